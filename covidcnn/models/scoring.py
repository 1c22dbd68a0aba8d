"""What a network says of films: one place for training, evaluation and prediction."""

import numpy as np

from covidcnn.backend import keras
from covidcnn.data.pipeline import scoring_batches


def predict(model: keras.Model, images: np.ndarray, rows: np.ndarray, perturbation: str = "") -> np.ndarray:
    """A network's outputs: see ``Task.probabilities`` for what they say.

    Args:
        model: from ``paper_cnn`` or ``load_model``.
        images: uint8 (films, size, size).
        rows: int (n,), which of the films.
        perturbation: one of ``PERTURBATIONS``, made to all films; empty leaves them as they are.

    Returns:
        float (n, outputs) in 0..1.
    """
    # Batches are pairs, and Keras passes over the labels here.
    unknown = np.zeros(len(images), int)
    batches = scoring_batches(images, unknown, rows, perturbation=perturbation)
    return model.predict(batches, verbose=0).astype(float)
