"""Tables of scores: a row an image, and what a model says of it. Here alone it is written what their columns are."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from covidcnn.task import Task

_ABOUT, _FURTHER = ["split", "path", "label"], ["subtype", "patient", "perturbation"]
TEXTS = dict.fromkeys((*_ABOUT, *_FURTHER), str)
"""Types of columns for pandas: a patient may be called 001, a class 0."""


def score_table(images: pd.DataFrame, probabilities: np.ndarray, task: Task, perturbation: str = "") -> pd.DataFrame:
    """The table of scores of some images, with the columns of ``score_columns``, from the probability of each class,
    float (images, classes), under a perturbation."""
    scores = dict(zip(task.score_columns, task.scores(probabilities).T, strict=True))
    return images.assign(**scores, perturbation=perturbation)[score_columns(task.score_columns)]


def score_columns(scores: Sequence[str] = ("score",)) -> list[str]:
    """All columns of a table of scores, in their order; those of the scores themselves are ``Task.score_columns``."""
    return [*_ABOUT, *scores, *_FURTHER]


def is_score(column: str) -> bool:
    """Whether a column of a table of scores is one of ``Task.score_columns``."""
    return column == "score" or column.startswith("score ")


def epoch_columns(columns: Iterable[object]) -> list[str]:
    """Of the columns of a table of scores those of the scores after each epoch, in their order."""
    return [name for name in map(str, columns) if re.fullmatch(r"epoch \d+", name)]


def unperturbed(scores: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of a split's images as they are."""
    return scores[(scores["split"] == split) & (scores["perturbation"] == "")]
