"""What a network says of films: one place for training, evaluation and prediction."""

import numpy as np

from covidcnn.backend import keras
from covidcnn.data.pipeline import scoring_batches


def predict(model: keras.Model, images: np.ndarray, rows: np.ndarray, shift: str = "") -> np.ndarray:
    """The probability of PNEUMONIA.

    Args:
        model: from ``paper_cnn`` or ``load_model``.
        images: uint8 (films, size, size).
        rows: int (n,), which of the films.
        shift: one of ``SIMULATED_SHIFTS``, which all films are given; empty leaves them as they are.

    Returns:
        float (n,) in 0..1.
    """
    # Batches are pairs, and Keras passes over the labels here.
    unknown = np.zeros(len(images), int)
    return model.predict(scoring_batches(images, unknown, rows, shift=shift), verbose=0)[:, 0].astype(float)
