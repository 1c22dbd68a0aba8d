"""The paper's numbers."""

import pytest

from covidcnn.data.facts import COUNTS
from covidcnn.evaluation.metrics import Confusion
from covidcnn.paper import reported


def test_reconstructed_matrix_is_the_only_one_that_fits():
    assert reported.matrices_that_fit() == (Confusion(true_negatives=205, false_positives=29, false_negatives=16,
                                                   true_positives=374),)


def test_rounding_alone_does_not_give_the_papers_figures():
    # Recall and specificity are cut, accuracy is rounded: half a unit of the last decimal fits nothing.
    assert reported.matrices_that_fit(0.5e-4) == ()


def test_rows_of_the_optimizer_table_are_whole_numbers_of_images():
    accuracy = reported.OPTIMIZER_TABLE["test accuracy"]
    images = (accuracy * 624).round().astype(int)
    assert images.to_dict() == {"Nadam": 578, "RMSprop": 568, "Adam": 561, "SGD": 560, "AdaGrad": 536, "Adadelta": 483}
    assert (images / 624 - accuracy).abs().max() < 1e-4


def test_optimizer_table_is_sorted_by_accuracy_and_not_by_loss():
    table = reported.OPTIMIZER_TABLE
    assert table["test accuracy"].is_monotonic_decreasing
    assert table["test loss"].idxmax() == "RMSprop"
    assert table["test loss"].to_dict() == {"Nadam": 0.2109, "RMSprop": 0.5744, "Adam": 0.2997, "SGD": 0.2821,
                                            "AdaGrad": 0.3266, "Adadelta": 0.4621}


def test_papers_counts_are_those_of_the_published_set():
    def published(split, *subtypes):
        return sum(COUNTS[split, subtype] for subtype in subtypes)

    for split, counts in (("train", reported.TRAIN_COUNTS), ("test", reported.TEST_COUNTS)):
        assert counts == {"NORMAL": published(split, "normal"), "PNEUMONIA": published(split, "bacteria", "virus")}


def test_layer_list_contradicts_the_number_in_the_text():
    assert sum(reported.LAYER_LIST.values()) == 16
    assert reported.LAYERS_IN_TEXT == 14


def test_final_accuracy_is_not_the_tables():
    assert reported.FINAL_METRICS["accuracy"] == pytest.approx(579 / 624, abs=1e-4)
    assert reported.OPTIMIZER_TABLE.loc["Nadam", "test accuracy"] == pytest.approx(578 / 624, abs=1e-4)
