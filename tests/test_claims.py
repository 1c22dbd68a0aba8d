"""The list of claims itself: complete, named once, each shown by a cell that exists and tested on arms that exist."""

import nbformat
import pytest

from covidcnn.data.facts import COUNTS
from covidcnn.paper import reported
from covidcnn.paper.baseline_scores import BASELINE
from covidcnn.paper.claims import CLAIMS
from covidcnn.paper.study_folders import PROTOCOL
from covidcnn.paths import NOTEBOOKS
from covidcnn.study.protocol import read_protocol


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_claim_is_shown_by_a_cell_and_rests_on_arms_that_exist(claim):
    for place in filter(None, (claim.cell, claim.evidence_cell)):
        notebook, cell = place.split("#")
        cells = nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells
        assert cell in {one["id"] for one in cells}
    protocol = read_protocol(PROTOCOL)
    for arm in claim.arms:
        assert (arm == BASELINE and "floor" in protocol.rules) or protocol.arm(arm).sweep["score_test"]
    assert claim.where
    assert claim.statement
    # A bare number of a training says nothing without what was measured.
    assert bool(claim.measure) == bool(claim.arms)


def test_every_number_of_the_papers_results_is_a_claim():
    values = {claim.name: claim.value for claim in CLAIMS}
    for optimizer in reported.OPTIMIZER_TABLE.index:
        for quantity in ("accuracy", "loss"):
            assert float(values[f"{optimizer.lower()}-{quantity}"]) == reported.OPTIMIZER_TABLE.loc[
                optimizer, f"test {quantity}"]
    for metric in reported.FINAL_METRICS:
        printed = values[f"final-{metric}"]
        value = float(printed.removesuffix(" %")) / (100 if "%" in printed else 1)
        assert value == pytest.approx(reported.FINAL_METRICS[metric])


def test_numbers_that_notebooks_read_are_those_of_the_claims():
    values = {claim.name: claim.value for claim in CLAIMS}
    for split, counts in (("training", reported.TRAIN_COUNTS), ("test", reported.TEST_COUNTS)):
        assert values[f"{split}-counts"] == ", ".join(map(str, counts.values()))
    assert int(values["layers"]) == reported.LAYERS_IN_TEXT
    assert float(values["f1-follows"]) == reported.FINAL_METRICS["f1"]
    assert int(values["images"].replace(",", "")) - sum(COUNTS.values()) == 7


def test_every_figure_table_and_equation_with_a_claim_is_told_from_the_text():
    places = " ".join(claim.where for claim in CLAIMS)
    for place in ("abstract", "Dataset", "Fig. 2", "Fig. 5", "Fig. 11", "Fig. 12", "'Tables 2 and 3'", "Eq. 10",
                  "Model structure", "Conclusion", "Literature review"):
        assert place in places, place
