"""What a training leaves, as plain values: read without TensorFlow wherever a stored one is all that is needed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from covidcnn.errors import UserError
from covidcnn.perturbations import CHOSEN_UNDER
from covidcnn.task import Task

if TYPE_CHECKING:
    from covidcnn.backend import keras
    from covidcnn.models.predictor import Predictor

SHIFTED_LOSS = "shifted_val_loss"
"""Column of a history: the mean loss over validation under the perturbations by which the epoch is chosen."""


class Diverged(UserError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Training:
    """What a training leaves."""

    predictor: "Predictor"
    """What was trained: of networks plain Keras in float32, with the weights of the best epoch."""
    history: pd.DataFrame
    """A row an epoch, from 1: ``loss``, ``accuracy`` and ``sensitivity`` at threshold 0.5, and those of validation:
    ``val_loss``, ``val_accuracy`` and ``val_sensitivity``; ``shifted_val_loss`` where the recipe chooses by it, and
    ``learning_rate`` where a plateau lowers it."""
    scores: pd.DataFrame
    """A row an image: ``split`` (train, validation, test or unlabelled), ``path``, ``label``, ``score`` (probability of
    the positive class; of more than two classes ``score NORMAL`` and so on), ``subtype``, ``patient``, ``perturbation``
    (empty; where the recipe scores perturbed images, or chooses by them, they stand here once more for each
    perturbation, under its name). Where the recipe scores every epoch, also ``epoch 1``, ``epoch 2`` and so on, NaN
    for images of other roles."""
    interrupted: bool

    choose_by: str = "validation"
    """As in ``Recipe``."""
    images: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The catalogue's images with their ``role``, and whether each was ``learnt`` from: of those without a label the
    ones of which a teacher was sure enough."""

    @property
    def task(self) -> Task:
        return self.predictor.task

    @property
    def model(self) -> "keras.Model":
        """The network; a model of scikit-learn is none."""
        return self.predictor.model  # type: ignore[attr-defined]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept."""
        return chosen_epoch(self.history, self.choose_by)


def chosen_epoch(history: pd.DataFrame, choose_by: str) -> int:
    """The epoch of a history that a recipe with this ``choose_by`` keeps; of equals the first."""
    if choose_by == "last":
        return int(history.index[-1])
    if choose_by == "validation accuracy":
        return int(history["val_accuracy"].idxmax())
    return int(history[SHIFTED_LOSS if choose_by in CHOSEN_UNDER else "val_loss"].idxmin())
