"""Metrics of a classifier (the paper's Eq. 5 to 10 and what they leave out) from per-image scores, with intervals.

Of two classes the second is positive, and predicted from the threshold on; of more the most probable is predicted.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from covidcnn.evaluation.weighted_metrics import against_rest, expected_calibration_error, f1, macro_auc, weighted_auc
from covidcnn.task import PNEUMONIA, Task

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of two classes, in images. Its shares are NaN where there is nothing to share."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int

    @property
    def n(self) -> int:
        return self.true_negatives + self.false_positives + self.false_negatives + self.true_positives

    @property
    def proportions(self) -> dict[str, tuple[int, int]]:
        """(successes, trials) of each metric that is a proportion, Eq. 6 to 9, which
        ``covidcnn.evaluation.weighted_metrics`` describes."""
        return {"accuracy": (self.true_positives + self.true_negatives, self.n),
                "sensitivity": (self.true_positives, self.true_positives + self.false_negatives),
                "specificity": (self.true_negatives, self.true_negatives + self.false_positives),
                "precision": (self.true_positives, self.true_positives + self.false_positives)}

    @property
    def accuracy(self) -> float:
        return _ratio(*self.proportions["accuracy"])

    @property
    def sensitivity(self) -> float:
        return _ratio(*self.proportions["sensitivity"])

    @property
    def precision(self) -> float:
        return _ratio(*self.proportions["precision"])

    @property
    def specificity(self) -> float:
        return _ratio(*self.proportions["specificity"])

    @property
    def f1(self) -> float:
        """Eq. 10."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    def as_table(self, task: Task = PNEUMONIA) -> pd.DataFrame:
        """Rows: what the image is; columns: what is predicted."""
        return pd.DataFrame(
            [[self.true_negatives, self.false_positives], [self.false_negatives, self.true_positives]],
            index=pd.Index(task.classes, name="image"), columns=pd.Index(task.classes, name="predicted"))


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    interval: str
    """How the interval was made: 'Wilson', 'bootstrap by patient' or 'Fieller'."""

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def counts_of(scores: pd.DataFrame, task: Task, threshold: float = 0.5) -> np.ndarray:
    """The confusion matrix, int (classes, classes): rows are classes, columns predictions."""
    predicted = task.predict(task.probabilities(scores[task.score_columns].to_numpy(float)), threshold)
    # Of no image at all scikit-learn's confusion_matrix makes an error.
    pairs = task.encode(scores["label"]) * len(task.classes) + predicted
    return np.bincount(pairs, minlength=len(task.classes) ** 2).reshape(len(task.classes), -1)


def confusion(scores: pd.DataFrame, threshold: float = 0.5, task: Task = PNEUMONIA) -> Confusion:
    """Count right and wrong predictions: ``scores`` has a row an image with ``label`` and ``score``, of two classes."""
    return Confusion(*counts_of(scores, task, threshold).ravel().tolist())


def confusion_rows(scores: pd.DataFrame, task: Task, threshold: float = 0.5) -> pd.DataFrame:
    """A row a pair of ``class`` and ``predicted``: ``images``, their ``share`` of the class, and its 95 % Wilson
    interval, ``low`` and ``high``."""
    rows = []
    for name, counts in zip(task.classes, counts_of(scores, task, threshold), strict=True):
        for other, images in zip(task.classes, counts.tolist(), strict=True):
            share = wilson(images, int(counts.sum()))
            rows.append({"class": name, "predicted": other, "images": images, "share": share.value,
                         "low": share.low, "high": share.high})
    return pd.DataFrame(rows)


def cross_entropy(labels: np.ndarray, scores: np.ndarray) -> float:
    """Eq. 5: the mean cross-entropy, scores kept 1e-7 away from 0 and 1 as Keras does.

    Labels are int (n,), the place of each image's class; scores are float in 0..1, of two classes (n,) or (n, 1), the
    probability of the second, of more (n, classes).
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


def evaluate_scores(scores: pd.DataFrame, threshold: float = 0.5, samples: int = 1000, seed: int = 0,
                    task: Task = PNEUMONIA) -> dict[str, Estimate]:
    """Every metric of two classes with its 95 % interval: Wilson's of proportions (sensitivity also by subtype), of F1,
    AUC, average precision, Brier score and expected calibration error that of a bootstrap by patient.

    Args:
        scores: a row an image: ``label``, ``score``, ``subtype``, ``patient``; both classes present.
        threshold: in 0..1, fixed beforehand and never on these images.
        samples, seed: of the bootstrap.
        task: of two classes.
    """
    estimates = proportion_estimates(confusion(scores, threshold, task))
    for subtype in ("bacteria", "virus"):
        own = scores[(scores["subtype"] == subtype) & (scores["label"] == task.positive)]
        if len(own):
            estimates[f"sensitivity, {subtype}"] = wilson(int((own["score"] >= threshold).sum()), len(own))

    def f1_at_threshold(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
        return f1(labels, (scores >= threshold).astype(float), sample_weight)

    return estimates | bootstrap_by_patient(
        scores,
        {"f1": f1_at_threshold, "auc": roc_auc_score, "average precision": average_precision_score,
         "brier score": brier_score_loss, "calibration error": expected_calibration_error},
        samples, seed, task)


def evaluate_classes(scores: pd.DataFrame, task: Task, samples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Like ``evaluate_scores``, of more than two classes: accuracy, and sensitivity, specificity and AUC of each class
    against the rest; the macro AUC is their mean."""
    counts = counts_of(scores, task)
    estimates = {"accuracy": wilson(int(counts.trace()), int(counts.sum()))}
    for place, name in enumerate(task.classes):
        of_class, others = counts[place], np.delete(counts, place, axis=0)
        estimates[f"sensitivity, {name}"] = wilson(int(of_class[place]), int(of_class.sum()))
        estimates[f"specificity, {name}"] = wilson(int(others.sum() - others[:, place].sum()), int(others.sum()))
    aucs = {f"auc, {name}": against_rest(place, weighted_auc, of_predictions=False)
            for place, name in enumerate(task.classes)}
    return estimates | bootstrap_by_patient(scores, {"macro auc": macro_auc, **aucs}, samples, seed, task)


def draw_patients(patients: pd.Series, labels: np.ndarray, samples: int, seed: int, at_once: int) -> np.ndarray:
    """How often each image is drawn when patients are, within each class, with replacement: float (samples, images).

    Images of one child are not independent, so children are drawn and not images. They are drawn within each class (the
    ``labels``, int (images,), say which): how many children a class has was decided when the test set was made, and not
    by chance. ``at_once`` is how many samples of one class are drawn before the next one's turn: it decides which
    random numbers each gets.
    """
    patient = pd.factorize(patients + "/" + pd.Series(labels, patients.index).astype(str))[0]
    label = np.zeros(patient.max() + 1, int)
    label[patient] = labels
    generator = np.random.default_rng(seed)
    drawn = np.zeros((samples, len(label)))
    classes = [np.flatnonzero(label == value) for value in np.unique(label)]
    for start in range(0, samples, at_once):
        for own in classes:
            drawn[start : start + at_once, own] = generator.multinomial(len(own), np.full(len(own), 1 / len(own)),
                                                                        size=at_once)
    return drawn[:, patient]


def bootstrap_by_patient(scores: pd.DataFrame, metrics: dict[str, Callable[..., Any]], samples: int = 1000,
                         seed: int = 0, task: Task = PNEUMONIA) -> dict[str, Estimate]:
    """Percentile intervals of metrics ``f(labels, scores, sample_weight=...)`` over ``draw_patients``; scores are float
    (n,), of more than two classes (n, classes)."""
    labels, score = task.encode(scores["label"]), scores[task.score_columns].to_numpy(float)
    score = score[:, 0] if task.is_binary else score
    draws = draw_patients(scores["patient"], labels, samples, seed, at_once=1)
    estimates = {}
    for name, metric in metrics.items():
        value = float(metric(labels, score, sample_weight=np.ones(len(labels))))
        # The arrays are checked once, by the call above, and not again for every sample.
        with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
            values = [metric(labels, score, sample_weight=weights) for weights in draws]
        estimates[name] = Estimate(value, *over_draws(np.array(values), draws), "bootstrap by patient")
    return estimates


def over_draws(values: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a metric over ``draw_patients``, of which ``values`` has one each. NaN where all
    draws are the same, as with one patient a class: they say nothing then."""
    if not np.ptp(draws, axis=0).any():
        return np.nan, np.nan
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def estimates_table(estimates: dict[str, Estimate]) -> pd.DataFrame:
    """Estimates as a table: a row a metric, with value, low, high and the kind of interval."""
    return pd.DataFrame([{"metric": name} | asdict(estimate) for name, estimate in estimates.items()]
                        ).set_index("metric")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
