"""What a student learns from a teacher: its labels or its scores, and metrics that take either."""

import numpy as np
import pandas as pd

from covidcnn.backend import keras
from covidcnn.evaluation.weighted_metrics import THRESHOLD
from covidcnn.training.recipe import UNLABELLED, Recipe


def targets_of(images: pd.DataFrame, labels: np.ndarray, scores: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """What is learnt of each image: its label where it is known, else what the teacher says as the recipe has it, float
    (n,), NaN where the teacher is not sure enough, and of images that are not learnt from.

    Args:
        images: a row an image, with ``path`` and ``role``.
        labels: the places of their classes, int (n,); those that are not known are not looked at.
        scores: of the teacher's training.
    """
    unknown = scores[scores["split"] == UNLABELLED].set_index("path")["score"]
    of_teacher = unknown.reindex(images["path"]).to_numpy()
    sure = np.maximum(of_teacher, 1 - of_teacher) >= recipe.min_confidence
    told = of_teacher if recipe.teacher == "soft" else (of_teacher >= THRESHOLD).astype(float)
    return np.where(images["role"] == "train", labels, np.where(sure, told, np.nan))


def of_scores(metric: type[keras.metrics.Metric]) -> type[keras.metrics.Metric]:
    """A metric of two classes for which what is learnt may be a score: the class that the score predicts."""
    class OfScores(metric):  # type: ignore[misc, valid-type]
        def update_state(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor,
                         sample_weight: keras.KerasTensor | None = None) -> keras.KerasTensor | None:
            return super().update_state(keras.ops.cast(y_true >= THRESHOLD, "float32"), y_pred, sample_weight)

    return OfScores
