"""Metrics of a binary classifier (the paper's Eq. 5 to 10 and what they leave out), with intervals.

Of a task's two classes the second is positive. A score at or above the threshold is a call of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from covidcnn.task import PNEUMONIA, Task

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix, in images."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int

    @property
    def n(self) -> int:
        return self.true_negatives + self.false_positives + self.false_negatives + self.true_positives

    @property
    def proportions(self) -> dict[str, tuple[int, int]]:
        """(successes, trials) of each metric that is a proportion: Eq. 6 to 9."""
        tn, fp, fn, tp = (self.true_negatives, self.false_positives, self.false_negatives, self.true_positives)
        return {
            "accuracy": (tp + tn, self.n),
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "precision": (tp, tp + fp),
        }

    @property
    def accuracy(self) -> float:
        """Eq. 6: the share of images called rightly."""
        return _ratio(*self.proportions["accuracy"])

    @property
    def sensitivity(self) -> float:
        """Eq. 7, recall: the share of the positive class called so."""
        return _ratio(*self.proportions["sensitivity"])

    @property
    def precision(self) -> float:
        """Eq. 8: the share of the positive class among the calls of it; NaN if there was no such call."""
        return _ratio(*self.proportions["precision"])

    @property
    def specificity(self) -> float:
        """Eq. 9: the share of the other class called so."""
        return _ratio(*self.proportions["specificity"])

    @property
    def f1(self) -> float:
        """Eq. 10: the harmonic mean of precision and recall."""
        return _ratio(2 * self.true_positives,
                      2 * self.true_positives + self.false_positives + self.false_negatives)

    def as_table(self, task: Task = PNEUMONIA) -> pd.DataFrame:
        """Rows: what the image is; columns: what it is called."""
        return pd.DataFrame(
            [[self.true_negatives, self.false_positives], [self.false_negatives, self.true_positives]],
            index=pd.Index(task.classes, name="image"), columns=pd.Index(task.classes, name="called"))


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    interval: str
    """How the interval was made: 'Wilson' or 'bootstrap by patient'."""

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def confusion(scores: pd.DataFrame, threshold: float = 0.5, task: Task = PNEUMONIA) -> Confusion:
    """Count right and wrong calls at a threshold.

    Args:
        scores: a row an image, with ``label`` and ``score``.
        threshold: in 0..1.
        task: of two classes.
    """
    positive = task.encode(scores["label"]).astype(bool)
    called = scores["score"] >= threshold
    return Confusion(int((~positive & ~called).sum()), int((~positive & called).sum()),
                     int((positive & ~called).sum()), int((positive & called).sum()))


def cross_entropy(labels: np.ndarray, scores: np.ndarray) -> float:
    """Eq. 5: the mean cross-entropy, scores kept 1e-7 away from 0 and 1 as Keras does.

    Args:
        labels: int (n,), the place of each image's class.
        scores: float in 0..1: of two classes (n,) or (n, 1), the probability of the second; of more (n, classes).
    """
    scores = scores[:, 0] if scores.shape[1:] == (1,) else scores
    kept = np.clip(scores.astype(float), 1e-7, 1 - 1e-7)
    if kept.ndim == 1:
        return float(log_loss(labels, kept, labels=[0, 1]))
    return float(log_loss(labels, kept / kept.sum(axis=1, keepdims=True), labels=range(kept.shape[1])))


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with its Wilson score interval; NaN without trials."""
    if trials == 0:
        return Estimate(np.nan, np.nan, np.nan, "Wilson")
    low, high = proportion_confint(successes, trials, alpha=1 - CONFIDENCE, method="wilson")
    return Estimate(successes / trials, float(low), float(high), "Wilson")


def proportion_estimates(matrix: Confusion) -> dict[str, Estimate]:
    """Accuracy, sensitivity, specificity and precision of a matrix with their Wilson intervals."""
    return {name: wilson(*counts) for name, counts in matrix.proportions.items()}


def expected_calibration_error(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray | None = None,
                               bins: int = 10) -> Any:
    """Mean distance between score and share of the positive class over equal-width bins of the score, weighted
    by images (Guo et al. 2017)."""
    weight = np.ones(len(labels)) if sample_weight is None else sample_weight
    which = np.minimum((scores * bins).astype(int), bins - 1)
    # Of many samples at once, where the weights are (samples, images).
    gap = weight @ ((labels - scores)[:, np.newaxis] * (which[:, np.newaxis] == np.arange(bins)))
    return np.abs(gap).sum(-1) / weight.sum(-1)


def _f1_at(threshold: float) -> Callable[..., float]:
    def f1(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> float:
        called = scores >= threshold
        right = sample_weight[called & (labels == 1)].sum()
        wrong = sample_weight[called != (labels == 1)].sum()
        return _ratio(2 * right, 2 * right + wrong)

    return f1


def evaluate_scores(scores: pd.DataFrame, threshold: float = 0.5, samples: int = 1000, seed: int = 0,
                    task: Task = PNEUMONIA) -> dict[str, Estimate]:
    """Every metric with its 95 % interval.

    Proportions (accuracy, sensitivity, specificity, precision; sensitivity also by subtype) have Wilson
    intervals. F1, AUC, average precision, Brier score and expected calibration error have percentile
    intervals of a bootstrap that draws patients, within each class, with replacement.

    Args:
        scores: a row an image: ``label``, ``score``, ``subtype``, ``patient``; both classes present.
        threshold: in 0..1, fixed beforehand and never on these images.
        samples: of the bootstrap.
        seed: of the bootstrap.
        task: of two classes.
    """
    estimates = proportion_estimates(confusion(scores, threshold, task))
    for subtype in ("bacteria", "virus"):
        own = scores[(scores["subtype"] == subtype) & (scores["label"] == task.positive)]
        if len(own):
            estimates[f"sensitivity, {subtype}"] = wilson(int((own["score"] >= threshold).sum()), len(own))
    return estimates | bootstrap_by_patient(
        scores,
        {"f1": _f1_at(threshold), "auc": roc_auc_score, "average precision": average_precision_score,
         "brier score": brier_score_loss, "calibration error": expected_calibration_error},
        samples, seed, task)


def bootstrap_by_patient(scores: pd.DataFrame, metrics: dict[str, Callable[..., float]], samples: int = 1000,
                         seed: int = 0, task: Task = PNEUMONIA) -> dict[str, Estimate]:
    """Percentile intervals of metrics ``f(labels, scores, sample_weight=...)``; scores are float (n,), of more than two
    classes (n, classes).

    Images of one child are not independent, so children are drawn and not images. They are drawn within
    each class: the number of children of a class is a fact of the test set's making, not of chance.
    """
    labels, score = task.encode(scores["label"]), scores[task.score_columns].to_numpy(float)
    score = score[:, 0] if task.is_binary else score
    patient = pd.factorize(scores["patient"] + "/" + scores["label"])[0]
    patient_label = np.zeros(patient.max() + 1, int)
    patient_label[patient] = labels
    ones = np.ones(len(labels))
    found = {name: float(metric(labels, score, sample_weight=ones)) for name, metric in metrics.items()}
    generator = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in metrics}
    classes = [np.flatnonzero(patient_label == label) for label in range(len(task.classes))]
    # The arrays are checked once, by the first calls above, and not again for every sample.
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        for _ in range(samples):
            times_drawn = np.zeros(len(patient_label))
            for own in classes:
                times_drawn[own] = generator.multinomial(len(own), np.full(len(own), 1 / len(own)))
            for name, metric in metrics.items():
                values[name].append(metric(labels, score, sample_weight=times_drawn[patient]))
    tail = 100 * (1 - CONFIDENCE) / 2
    estimates = {}
    for name, value in found.items():
        low, high = np.nanpercentile(values[name], [tail, 100 - tail])
        estimates[name] = Estimate(value, float(low), float(high), "bootstrap by patient")
    return estimates


def estimates_table(estimates: dict[str, Estimate]) -> pd.DataFrame:
    """Estimates as a table: a row a metric, with value, low, high and the kind of interval."""
    return pd.DataFrame(
        [{"metric": name, "value": estimate.value, "low": estimate.low, "high": estimate.high,
          "interval": estimate.interval} for name, estimate in estimates.items()]).set_index("metric")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
