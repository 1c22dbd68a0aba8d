"""What scores images: the same for networks and for models of scikit-learn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from covidcnn.backend import keras
from covidcnn.data.pipeline import scoring_batches
from covidcnn.models.classical import ClassicalModel, features_of, probabilities_of
from covidcnn.perturbations import perturbed
from covidcnn.task import Task

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


class Predictor(Protocol):
    """A trained model of a task."""

    @property
    def task(self) -> Task: ...

    def __call__(self, images: np.ndarray, rows: np.ndarray | None = None, perturbation: str = "") -> np.ndarray:
        """A probability for each class, float (n, classes).

        Args:
            images: their pixels, uint8 (m, size, size), of the model's input size; usually a memory map.
            rows: int (n,), which of the images to score; None takes all.
            perturbation: one of ``PERTURBATIONS``, applied to all of them; empty leaves them as they are.
        """


@dataclass(frozen=True)
class KerasPredictor:
    """A network in plain Keras."""

    model: keras.Model
    task: Task

    def __call__(self, images: np.ndarray, rows: np.ndarray | None = None, perturbation: str = "") -> np.ndarray:
        chosen = np.arange(len(images)) if rows is None else rows
        # Batches are pairs, and Keras passes over the labels here.
        batches = scoring_batches(images, np.zeros(len(images), int), chosen, perturbation=perturbation)
        return self.task.probabilities(self.model.predict(batches, verbose=0).astype(float))


@dataclass(frozen=True)
class ClassicalPredictor:
    """A fitted model of scikit-learn."""

    options: ClassicalModel
    estimator: "ClassifierMixin"
    task: Task

    def __call__(self, images: np.ndarray, rows: np.ndarray | None = None, perturbation: str = "") -> np.ndarray:
        chosen = range(len(images)) if rows is None else rows
        seen = [perturbed(images[row], perturbation) if perturbation else images[row] for row in chosen]
        return probabilities_of(self.estimator, features_of(seen, self.options.features, self.options.side))
