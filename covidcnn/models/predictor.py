"""What scores images: the same for networks, in Keras or as LiteRT files, and for models of scikit-learn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from covidcnn.models.classical import ClassicalModel, features_of, probabilities_of
from covidcnn.perturbations import perturbed
from covidcnn.task import Task

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter
    from sklearn.base import ClassifierMixin

    from covidcnn.backend import keras


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

    model: "keras.Model"
    task: Task

    def __call__(self, images: np.ndarray, rows: np.ndarray | None = None, perturbation: str = "") -> np.ndarray:
        # Here and not above: what runs LiteRT files alone has no TensorFlow.
        from covidcnn.data.pipeline import scoring_batches

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
        seen = _seen(images, rows, perturbation)
        return probabilities_of(self.estimator, features_of(seen, self.options.features, self.options.side))


@dataclass(frozen=True)
class LiteRTPredictor:
    """A network that ``covidcnn export`` wrote, from one image, uint8 or float32 (1, size, size, 1), to its logits,
    float32 (1, task.outputs): see :mod:`covidcnn.models.litert`."""

    interpreter: "Interpreter"
    task: Task

    def __call__(self, images: np.ndarray, rows: np.ndarray | None = None, perturbation: str = "") -> np.ndarray:
        (entry,), (end,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        logits = []
        for image in _seen(images, rows, perturbation):
            # An int8 network takes the pixels as they are: its scale of 1/255 does the division.
            pixels = image if entry["dtype"] is np.uint8 else image.astype(np.float32) / 255
            self.interpreter.set_tensor(entry["index"], pixels[np.newaxis, ..., np.newaxis])
            self.interpreter.invoke()
            logits.append(self.interpreter.get_tensor(end["index"])[0])
        return self.task.probabilities_of_logits(np.reshape(logits, (-1, self.task.outputs)).astype(float))


def _seen(images: np.ndarray, rows: np.ndarray | None, perturbation: str) -> Iterator[np.ndarray]:
    for row in range(len(images)) if rows is None else rows:
        yield perturbed(images[row], perturbation) if perturbation else images[row]
