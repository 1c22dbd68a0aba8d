"""Weighted metrics, held against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from covidcnn.evaluation.metrics import Confusion
from covidcnn.evaluation.weighted_metrics import METRICS, PROPORTIONS
from covidcnn.paper.reported import FINAL_METRICS


@pytest.fixture
def images():
    generator = np.random.default_rng(2)
    return generator.integers(0, 2, 60), generator.uniform(size=60), generator.integers(0, 4, 60).astype(float)


@pytest.mark.parametrize(("name", "expected"), [
    ("accuracy", accuracy_score), ("precision", precision_score), ("sensitivity", recall_score), ("f1", f1_score)])
def test_proportions_are_scikit_learns(images, name, expected):
    labels, scores, weights = images
    assert METRICS[name](labels, scores, weights) == pytest.approx(
        expected(labels, scores >= 0.5, sample_weight=weights))


def test_specificity_is_the_recall_of_normal_images(images):
    labels, scores, weights = images
    assert METRICS["specificity"](labels, scores, weights) == pytest.approx(
        recall_score(labels, scores >= 0.5, pos_label=0, sample_weight=weights))


def test_loss_and_auc_are_scikit_learns(images):
    labels, scores, weights = images
    assert METRICS["loss"](labels, scores, weights) == pytest.approx(log_loss(labels, scores, sample_weight=weights))
    assert METRICS["AUC"](labels, scores, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights))


def test_certainty_that_is_wrong_costs_what_keras_lets_it_cost():
    assert METRICS["loss"](np.array([0]), np.array([1.0]), np.ones(1)) == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_what_cannot_be_computed_is_no_number():
    labels, scores = np.array([0, 0]), np.array([0.1, 0.2])
    assert np.isnan(METRICS["precision"](labels, scores, np.ones(2)))
    assert np.isnan(METRICS["f1"](labels, scores, np.ones(2)))


def test_a_score_of_the_threshold_is_a_call():
    labels, scores = np.array([1, 0]), np.array([0.5, 0.5])
    matrix = Confusion(0, 1, 0, 1)
    for name, metric in PROPORTIONS.items():
        assert metric(labels, scores, np.ones(2)) == pytest.approx(getattr(matrix, name)), name


@pytest.mark.parametrize("name", METRICS)
def test_samples_at_once_are_the_samples_one_by_one(images, name):
    labels, scores, _ = images
    weights = np.random.default_rng(3).integers(0, 4, (5, 60)).astype(float)
    np.testing.assert_allclose(METRICS[name](labels, scores, weights),
                               [METRICS[name](labels, scores, one) for one in weights])


def test_the_papers_metrics_are_all_there():
    assert set(PROPORTIONS) == set(FINAL_METRICS)
