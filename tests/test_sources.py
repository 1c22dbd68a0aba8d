"""The registry of data sets."""

import pytest

from covidcnn.data.facts import COUNTS
from covidcnn.data.sources import CHEST_XRAY, PNEUMONIAMNIST, PUBLISHED_TEST, SOURCES
from covidcnn.data.splits import VALIDATION_DESIGNS


def test_every_source_is_entered_under_its_name_with_a_validation_that_there_is():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.validation in VALIDATION_DESIGNS


@pytest.mark.parametrize("source", [CHEST_XRAY, PNEUMONIAMNIST])
def test_published_sources_say_whose_they_are(source):
    assert source.licence == "CC BY 4.0"
    assert "Kermany" in source.citation
    assert source.protects_test


def test_counts_are_those_of_the_files():
    assert sum(CHEST_XRAY.counts.values()) == sum(COUNTS.values()) == 5856
    assert PNEUMONIAMNIST.counts["test"] == CHEST_XRAY.counts["test"] == PUBLISHED_TEST.counts["test"] == 624
