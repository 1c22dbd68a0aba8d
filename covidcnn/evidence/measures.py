"""What is measured on test films, each as ``f(labels, scores, weights)``.

Weights count how often a bootstrap drew a film. Calls are made at 0.5; scores moved by a threshold of their own
(``Treatment.scores_at_validation_threshold``) are called at that. PNEUMONIA is the positive class.
"""

from collections.abc import Callable

import numpy as np

from covidcnn.data.shortcuts import weighted_auc
from covidcnn.evaluation.metrics import expected_calibration_error

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
THRESHOLD = 0.5


def accuracy(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 6: the weighted share of films called rightly."""
    return float(weights @ ((scores >= THRESHOLD) == labels) / weights.sum())


def sensitivity(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 7, recall: the weighted share of PNEUMONIA films called so."""
    positive = weights * (labels == 1)
    return float(positive @ (scores >= THRESHOLD) / positive.sum())


def precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 8: the weighted share of PNEUMONIA among films called so; NaN if none was."""
    called = weights * (scores >= THRESHOLD)
    return float(called @ (labels == 1) / called.sum()) if called.sum() else np.nan


def specificity(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 9: the weighted share of NORMAL films called so."""
    normal = weights * (labels == 0)
    return float(normal @ (scores < THRESHOLD) / normal.sum())


def f1(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 10: the harmonic mean of precision and recall; NaN where there is nothing to find and nothing is called."""
    called, positive = scores >= THRESHOLD, labels == 1
    counted = weights @ called.astype(float) + weights @ positive.astype(float)
    return float(2 * (weights @ (called & positive)) / counted) if counted else np.nan


def loss(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Eq. 5: the weighted mean cross-entropy, scores kept 1e-7 away from 0 and 1 as Keras does."""
    kept = np.clip(scores, 1e-7, 1 - 1e-7)
    return float(weights @ -np.log(np.where(labels == 1, kept, 1 - kept)) / weights.sum())


PROPORTIONS: dict[str, Metric] = {"accuracy": accuracy, "sensitivity": sensitivity, "specificity": specificity,
                                  "precision": precision, "f1": f1}
"""The paper's metrics, by the names of ``paper.FINAL_METRICS``."""
MEASURES: dict[str, Metric] = PROPORTIONS | {"loss": loss, "AUC": weighted_auc,
                                             "calibration error": expected_calibration_error}
