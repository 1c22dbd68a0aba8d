"""The registry of data sets."""

import pytest

from covidcnn.data import sources as known
from covidcnn.data.sources import CHEST_XRAY, PNEUMONIAMNIST, Source
from covidcnn.data.splits import VALIDATION_DESIGNS


def test_every_source_has_a_name_of_its_own_and_a_validation_that_there_is():
    sources = [value for value in vars(known).values() if isinstance(value, Source)]
    assert len(sources) >= 8
    assert len({source.name for source in sources}) == len(sources)
    assert all(source.validation in VALIDATION_DESIGNS for source in sources)


@pytest.mark.parametrize("source", [CHEST_XRAY, PNEUMONIAMNIST])
def test_published_sources_say_whose_they_are(source):
    assert source.licence == "CC BY 4.0"
    assert "Kermany" in source.citation
    assert source.protects_test
