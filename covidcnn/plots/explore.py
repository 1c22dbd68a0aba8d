"""Pictures that are drawn anew whenever a reader moves a slider."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covidcnn.evaluation.metrics import confusion
from covidcnn.models.predictor import Predictor
from covidcnn.perturbations import perturbed
from covidcnn.plots.images import show_image
from covidcnn.plots.results import confusion_matrix
from covidcnn.plots.style import HERE
from covidcnn.task import PNEUMONIA, Task


def at_threshold(scores: pd.DataFrame, threshold: float, prevalence: float, task: Task = PNEUMONIA) -> Figure:
    """The confusion matrix at a threshold, and what it would mean where another share of patients is ill.

    Args:
        scores: an image a row, with ``label`` and ``score``.
        threshold: the positive class is predicted from this score on.
        prevalence: share of the positive class, within 0 and 1, for which precision and accuracy are given; sensitivity
            and specificity are those of the scores.
    """
    matrix = confusion(scores, threshold, task)
    found, alarms = prevalence * matrix.sensitivity, (1 - prevalence) * (1 - matrix.specificity)
    shares = {"sensitivity": matrix.sensitivity, "specificity": matrix.specificity,
              f"precision, {prevalence:.0%} {task.positive}": found / (found + alarms) if found + alarms else np.nan,
              f"accuracy, {prevalence:.0%} {task.positive}": found + (1 - prevalence) * matrix.specificity}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6))
    confusion_matrix(matrix, f"threshold {threshold:.2f}", left, task)
    bars = right.barh(list(shares), list(shares.values()), color=HERE)
    right.bar_label(bars, fmt="{:.2f}", padding=3)
    right.set(xlim=(0, 1.12))
    right.invert_yaxis()
    return figure


def under_stretch(image: np.ndarray, predictors: Mapping[str, Predictor], stretch: str,
                  task: Task = PNEUMONIA) -> Figure:
    """One image, uint8 (size, size), stretched as an entry of ``PERTURBATIONS`` says ('none': as it is), and what each
    network makes of it."""
    changed = image if stretch == "none" else perturbed(image, stretch)
    scores = {name: float(predictor(changed[np.newaxis])[0, -1]) for name, predictor in predictors.items()}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2))
    show_image(changed, left, stretch)
    bars = right.barh(list(scores), list(scores.values()), color=HERE)
    right.bar_label(bars, fmt="{:.2f}", padding=3)
    right.axvline(0.5, ls=":", color="0.4")
    right.set(xlim=(0, 1.12), xlabel=f"score for {task.positive}")
    right.invert_yaxis()
    return figure
