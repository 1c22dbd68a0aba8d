"""What is measured on images of a binary task, each as ``f(labels, scores, weights)``.

``labels`` are int (images,), 1 for the positive class; ``scores`` float (images,). ``weights``, float (images,) or
(samples, images), count how often a bootstrap drew an image; the result is a number, or one a sample. The threshold is
0.5. Predictions at another one (see ``Condition.scores``) are handed in as scores of 0 or 1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
THRESHOLD = 0.5


def accuracy(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eq. 6: the weighted share of images predicted rightly."""
    return _share((scores >= THRESHOLD) == labels, np.ones(len(labels), bool), weights)


def sensitivity(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eq. 7, recall: of the positive images the weighted share predicted so."""
    return _share(scores >= THRESHOLD, labels == 1, weights)


def precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eq. 8: of the positive predictions the weighted share that is right; NaN if there is none."""
    return _share(labels == 1, scores >= THRESHOLD, weights)


def specificity(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eq. 9: of the negative images the weighted share predicted so."""
    return _share(scores < THRESHOLD, labels == 0, weights)


def f1(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eq. 10: the harmonic mean of precision and recall; NaN without positive images and positive predictions."""
    predicted, positive = scores >= THRESHOLD, labels == 1
    with np.errstate(invalid="ignore"):
        return 2 * (weights @ (predicted & positive)) / (weights @ predicted + weights @ positive)


def accuracy_at(share: float) -> Metric:
    """Accuracy as it would be if this share of the images were positive: where two sets of images have another mix of
    classes, the mix alone makes no difference."""
    def measured(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return share * sensitivity(labels, scores, weights) + (1 - share) * specificity(labels, scores, weights)

    return measured


def loss(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eq. 5: the weighted mean cross-entropy, scores kept 1e-7 away from 0 and 1 as Keras does."""
    kept = np.clip(scores, 1e-7, 1 - 1e-7)
    return weights @ -np.log(np.where(labels == 1, kept, 1 - kept)) / weights.sum(-1)


def log_of_loss(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The logarithm of ``loss``. Losses are compared by it, because one bad seed would rule the mean of the losses."""
    return np.log(loss(labels, scores, weights))


def accuracy_of_any_threshold(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The highest accuracy that any threshold gives on these images, a bound and no result: which threshold gives it,
    only their labels tell. It is itself drawn upwards by the chance that these images hold."""
    order = np.argsort(scores)
    # A threshold that rises past a score gets its negative images right, and its positive ones wrong.
    gained = np.cumsum((weights * (1 - 2 * labels))[..., order], axis=-1)
    last_of_equals = np.append(np.diff(scores[order]) > 0, True)
    best = np.maximum(gained[..., last_of_equals].max(axis=-1), 0)
    return (weights @ labels + best) / weights.sum(-1)


def weighted_auc(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> Any:
    """The chance that a positive image scores higher than a negative one, equal scores counted half: scikit-learn's
    ``roc_auc_score`` without its checks, for many samples at once."""
    order = np.argsort(scores)
    first_of_equals = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))
    positive, negative = (np.add.reduceat((sample_weight * of_class)[..., order], first_of_equals, axis=-1)
                          for of_class in (labels, 1 - labels))
    below = np.cumsum(negative, axis=-1) - negative / 2
    return (positive * below).sum(-1) / (positive.sum(-1) * negative.sum(-1))


def accuracy_of_classes(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of more than two classes the weighted share of images whose class is the most probable one; ``labels`` are the
    places of their classes, ``scores`` float (images, classes)."""
    return _share(scores.argmax(axis=1) == labels, np.ones(len(labels), bool), weights)


def against_rest(place: int, metric: Metric, of_predictions: bool = True) -> Metric:
    """A metric of one of several classes, the others together the negative one; arrays as in ``accuracy_of_classes``.
    It is given predictions, 1 where the class is the most probable one, or else the class's scores."""
    def measured(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
        own = (scores.argmax(axis=1) == place).astype(float) if of_predictions else scores[:, place]
        return metric((labels == place).astype(int), own, sample_weight)

    return measured


def macro_auc(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
    """The mean of the AUCs of each class against the rest; arrays as in ``accuracy_of_classes``."""
    weight = np.ones(len(labels)) if sample_weight is None else sample_weight
    return np.mean([against_rest(place, weighted_auc, of_predictions=False)(labels, scores, weight)
                    for place in range(scores.shape[1])], axis=0)


def expected_calibration_error(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> Any:
    """Mean distance between score and share of the positive class over ten equal bins of the score, weighted by images
    (Guo et al. 2017)."""
    which = np.minimum((scores * 10).astype(int), 9)
    gap = sample_weight @ ((labels - scores)[:, np.newaxis] * (which[:, np.newaxis] == np.arange(10)))
    return np.abs(gap).sum(-1) / sample_weight.sum(-1)


def _share(part: np.ndarray, whole: np.ndarray, weights: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (weights @ (part & whole)) / (weights @ whole)


PROPORTIONS: dict[str, Metric] = {"accuracy": accuracy, "sensitivity": sensitivity, "specificity": specificity,
                                  "precision": precision, "f1": f1}
"""The paper's metrics, by the names of ``covidcnn.paper.reported.FINAL_METRICS``."""
METRICS: dict[str, Metric] = PROPORTIONS | {"loss": loss, "AUC": weighted_auc,
                                             "calibration error": expected_calibration_error}
