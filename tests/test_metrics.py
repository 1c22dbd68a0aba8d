"""Metrics and their intervals."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from covidcnn.evaluation.metrics import (
    Confusion,
    bootstrap_by_patient,
    confusion,
    cross_entropy,
    estimates_table,
    evaluate_scores,
    wilson,
)
from covidcnn.evaluation.weighted_metrics import expected_calibration_error
from covidcnn.task import PNEUMONIA


def make_scores(labels, scores, patients=None, subtypes=None):
    """A table of scores; 1 is PNEUMONIA. Each image is a patient of its own unless said otherwise."""
    names = np.where(np.array(labels) == 1, "PNEUMONIA", "NORMAL")
    subtypes = subtypes or np.where(np.array(labels) == 1, "bacteria", "normal")
    patients = patients if patients is not None else [f"p{row}" for row in range(len(labels))]
    return pd.DataFrame({"label": names, "score": scores, "subtype": subtypes, "patient": patients})


def random_scores(images=200, seed=0):
    generator = np.random.default_rng(seed)
    labels = (np.arange(images) % 8 < 5).astype(int)
    return make_scores(labels, np.round(generator.normal(0.4 + 0.25 * labels, 0.2).clip(0, 1), 2))


PAPER = Confusion(true_negatives=205, false_positives=29, false_negatives=16, true_positives=374)


# ---------------------------------------------------------------- confusion matrix

def test_matrix_counts_predictions_at_and_above_the_threshold():
    scores = make_scores([0, 0, 0, 1, 1, 1], [0.1, 0.5, 0.49, 0.5, 0.9, 0.2])
    assert confusion(scores) == Confusion(2, 1, 1, 2)
    assert confusion(scores, 0.0) == Confusion(0, 3, 0, 3)
    assert confusion(scores, 0.95) == Confusion(3, 0, 3, 0)


def test_metrics_are_as_worked_out_by_hand():
    matrix = Confusion(true_negatives=6, false_positives=2, false_negatives=3, true_positives=9)
    assert matrix.n == 20
    assert matrix.accuracy == 15 / 20
    assert matrix.sensitivity == 9 / 12
    assert matrix.specificity == 6 / 8
    assert matrix.precision == 9 / 11
    assert matrix.f1 == 18 / 23


def test_metrics_of_the_papers_matrix_are_the_papers():
    assert PAPER.accuracy == 579 / 624
    assert PAPER.sensitivity == 374 / 390
    assert PAPER.specificity == 205 / 234
    assert PAPER.precision == 374 / 403
    assert PAPER.f1 == pytest.approx(748 / 793)


def test_metrics_that_are_undefined_are_nan():
    never_predicted = Confusion(5, 0, 5, 0)
    assert math.isnan(never_predicted.precision)
    assert never_predicted.f1 == 0
    assert math.isnan(Confusion(0, 0, 2, 3).specificity)
    assert math.isnan(Confusion(2, 3, 0, 0).sensitivity)
    assert math.isnan(Confusion(0, 0, 0, 0).accuracy)
    assert math.isnan(Confusion(4, 0, 0, 0).f1)


def test_matrix_as_a_table_has_images_in_rows_and_predictions_in_columns():
    table = PAPER.as_table()
    assert table.loc["NORMAL"].to_dict() == {"NORMAL": 205, "PNEUMONIA": 29}
    assert table.loc["PNEUMONIA"].to_dict() == {"NORMAL": 16, "PNEUMONIA": 374}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.77])
def test_metrics_agree_with_scikit_learn(threshold):
    scores = random_scores()
    labels, predicted = PNEUMONIA.encode(scores["label"]), (scores["score"] >= threshold).astype(int)
    matrix = confusion(scores, threshold)
    assert matrix.as_table().to_numpy().tolist() == sk.confusion_matrix(labels, predicted).tolist()
    assert matrix.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    assert matrix.sensitivity == pytest.approx(sk.recall_score(labels, predicted))
    assert matrix.specificity == pytest.approx(sk.recall_score(labels, predicted, pos_label=0))
    assert matrix.precision == pytest.approx(sk.precision_score(labels, predicted))
    assert matrix.f1 == pytest.approx(sk.f1_score(labels, predicted))


# ---------------------------------------------------------------- scores

def test_cross_entropy_is_as_worked_out_by_hand_and_as_scikit_learns():
    assert cross_entropy(np.array([1, 0]), np.array([0.8, 0.4])) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    labels, scores = np.arange(200) % 2, np.random.default_rng(0).uniform(0.01, 0.99, (200, 1))
    assert cross_entropy(labels, scores) == pytest.approx(sk.log_loss(labels, scores[:, 0]))


def test_cross_entropy_of_three_classes_is_that_of_the_right_one():
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    assert cross_entropy(np.array([0, 1]), scores) == pytest.approx(-(math.log(0.7) + math.log(0.3)) / 2)


def test_cross_entropy_of_a_sure_mistake_is_finite():
    assert cross_entropy(np.array([1, 0]), np.array([0.0, 1.0])) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_calibration_error_is_as_worked_out_by_hand():
    # Bins: [0, 0.1) holds 0.05 twice with one PNEUMONIA, gap 0.9; [0.5, 0.6) 0.55 of none; [0.9, 1] 0.95 of one.
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.05, 0.05, 0.55, 0.95])
    assert expected_calibration_error(labels, scores, np.ones(len(labels))) == pytest.approx((0.9 + 0.55 + 0.05) / 4)


def test_calibration_error_puts_a_score_of_one_into_the_last_bin():
    assert expected_calibration_error(np.array([1, 0]), np.array([1.0, 0.96]), np.ones(2)) == pytest.approx(0.48)


def test_weight_of_two_is_the_image_twice():
    labels, scores = np.array([0, 1, 1]), np.array([0.3, 0.35, 0.8])
    doubled = expected_calibration_error(np.append(labels, 1), np.append(scores, 0.35), np.ones(4))
    assert expected_calibration_error(labels, scores, np.array([1.0, 2.0, 1.0])) == pytest.approx(doubled)


# ---------------------------------------------------------------- Wilson

@pytest.mark.parametrize(("successes", "trials", "low", "high"), [
    (579, 624, 0.905, 0.946),
    (374, 390, 0.934, 0.975),
    (205, 234, 0.828, 0.912),
    # Newcombe 1998, table I.
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
])
def test_wilson_intervals_are_the_known_ones(successes, trials, low, high):
    estimate = wilson(successes, trials)
    assert estimate.value == successes / trials
    decimals = 3 if trials > 200 and trials != 263 else 4
    assert (round(estimate.low, decimals), round(estimate.high, decimals)) == (low, high)
    assert estimate.interval == "Wilson"


def test_wilson_interval_of_no_trials_is_nan():
    estimate = wilson(0, 0)
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


# ---------------------------------------------------------------- bootstrap by patient

def share_right(labels, scores, sample_weight):
    """Accuracy at 0.5: quick, and its standard error is known."""
    return np.average((scores >= 0.5) == labels, weights=sample_weight)


def accuracy_of(scores, samples=500, **options):
    return bootstrap_by_patient(scores, {"accuracy": share_right}, samples, **options)["accuracy"]


def auc_of(scores, samples=20, **options):
    return bootstrap_by_patient(scores, {"auc": sk.roc_auc_score}, samples, **options)["auc"]


def width(estimate):
    return estimate.high - estimate.low


def test_bootstrap_value_is_the_metric_itself_within_its_interval():
    scores = random_scores()
    estimate = auc_of(scores)
    assert estimate.value == sk.roc_auc_score(PNEUMONIA.encode(scores["label"]), scores["score"])
    assert estimate.low < estimate.value < estimate.high
    assert estimate.interval == "bootstrap by patient"


def test_bootstrap_of_single_images_has_the_width_of_the_known_standard_error():
    scores = random_scores()
    matrix = confusion(scores)
    variance = sum(images * share * (1 - share) for images, share in (
        (75, matrix.specificity), (125, matrix.sensitivity))) / 200**2
    assert width(accuracy_of(scores, 2000)) == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.1)


def test_copies_of_a_patients_image_do_not_narrow_the_interval():
    scores = random_scores(80)
    copies = pd.concat([scores] * 5, ignore_index=True)
    assert width(accuracy_of(copies)) == pytest.approx(width(accuracy_of(scores)))
    as_if_independent = copies.assign(patient=[f"p{row}" for row in range(len(copies))])
    assert width(accuracy_of(copies)) > 1.7 * width(accuracy_of(as_if_independent))


def test_one_patient_in_each_class_gives_no_interval():
    """One without width would say that nothing is uncertain."""
    scores = make_scores([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], patients=["a", "a", "b", "b"])
    estimate = auc_of(scores)
    assert estimate.value == 0.75
    assert np.isnan([estimate.low, estimate.high]).all()


def test_patient_with_images_of_both_classes_is_drawn_within_each_class():
    # Drawn as one, a sample of one patient alone would hold one class only where that patient has no other.
    scores = make_scores([0, 1, 0, 1], [0.1, 0.6, 0.5, 0.9], patients=["a", "a", "b", "b"])
    estimate = auc_of(scores)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)


def test_bootstrap_repeats_with_its_seed():
    scores = random_scores(60)
    assert accuracy_of(scores, seed=1) == accuracy_of(scores, seed=1)
    assert auc_of(scores, seed=1) != auc_of(scores, seed=2)


# ---------------------------------------------------------------- all together

def test_every_metric_has_an_estimate_and_its_kind_of_interval():
    scores = random_scores().assign(subtype=lambda table: np.where(
        table["label"] == "NORMAL", "normal", np.where(np.arange(len(table)) % 2, "virus", "bacteria")))
    estimates = evaluate_scores(scores, samples=50)
    kinds = {name: estimate.interval for name, estimate in estimates.items()}
    wilsons = ["accuracy", "sensitivity", "specificity", "precision", "sensitivity, bacteria", "sensitivity, virus"]
    bootstraps = ["f1", "auc", "average precision", "brier score", "calibration error"]
    assert kinds == dict.fromkeys(wilsons, "Wilson") | dict.fromkeys(bootstraps, "bootstrap by patient")
    for estimate in estimates.values():
        assert estimate.low <= estimate.value <= estimate.high or estimate is estimates["calibration error"]


@pytest.mark.parametrize("threshold", [0.5, 0.6])
def test_estimates_agree_with_scikit_learn(threshold):
    scores = random_scores()
    labels, score = PNEUMONIA.encode(scores["label"]), scores["score"]
    values = {name: estimate.value for name, estimate in evaluate_scores(scores, threshold, samples=2).items()}
    assert values["auc"] == pytest.approx(sk.roc_auc_score(labels, score))
    assert values["average precision"] == pytest.approx(sk.average_precision_score(labels, score))
    assert values["brier score"] == pytest.approx(sk.brier_score_loss(labels, score))
    assert values["f1"] == pytest.approx(sk.f1_score(labels, score >= threshold))
    assert values["accuracy"] == confusion(scores, threshold).accuracy


def test_sensitivity_by_subtype_counts_the_images_of_that_subtype():
    scores = make_scores([0, 1, 1, 1, 1, 1], [0.9, 0.9, 0.1, 0.9, 0.9, 0.1],
                         subtypes=["normal", "bacteria", "bacteria", "virus", "virus", "virus"])
    estimates = evaluate_scores(scores, samples=2)
    assert estimates["sensitivity, bacteria"] == wilson(1, 2)
    assert estimates["sensitivity, virus"] == wilson(2, 3)


def test_sensitivity_by_subtype_leaves_out_images_of_the_other_class():
    # An image named 'bacteria' that lies in NORMAL is no PNEUMONIA to be found.
    scores = make_scores([0, 0, 1, 1], [0.1, 0.2, 0.9, 0.9],
                         subtypes=["normal", "bacteria", "bacteria", "bacteria"])
    assert evaluate_scores(scores, samples=2)["sensitivity, bacteria"] == wilson(2, 2)


def test_subtype_that_does_not_occur_is_not_reported():
    assert "sensitivity, virus" not in evaluate_scores(random_scores(), samples=2)


def test_precision_is_nan_and_the_rest_is_not_when_pneumonia_is_never_predicted():
    estimates = evaluate_scores(random_scores(), threshold=1.1, samples=20)
    assert math.isnan(estimates["precision"].value)
    assert estimates["sensitivity"].value == estimates["f1"].value == 0
    assert estimates["specificity"].value == 1
    assert not math.isnan(estimates["auc"].low)


def test_table_of_estimates_keeps_order_and_numbers():
    table = estimates_table({"accuracy": wilson(579, 624), "sensitivity": wilson(374, 390)})
    assert table.index.tolist() == ["accuracy", "sensitivity"]
    assert table.loc["accuracy", "value"] == 579 / 624
    assert table.loc["sensitivity", "interval"] == "Wilson"
    assert str(wilson(579, 624)) == "0.928 (0.905 to 0.946)"
