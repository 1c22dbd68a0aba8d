"""Batches for training and scoring, streamed from the image cache: the same for each of Keras's backends.

The order of the images follows from (seed, epoch), their augmentation from (seed, epoch, step), whatever ran before.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from covidcnn.augment import Augmentation, augment_images, oversampled
from covidcnn.backend import keras, tf
from covidcnn.data.cache import release_pages
from covidcnn.perturbations import perturbed

_ORDER, _AUGMENTATION = 1, 2
"""Second entries of the seed sequences: order and augmentation draw from streams of their own."""


def steps_per_epoch(labels: np.ndarray, batch_size: int, balance: str) -> int:
    """Batches that show every training image once (the rarer classes' more often when oversampling)."""
    if balance != "oversample":
        return math.ceil(len(labels) / batch_size)
    counts = np.bincount(labels.astype(int))
    return math.ceil(len(counts) * counts.max() / batch_size)


def training_batches(pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray, *, batch_size: int, seed: int,
                     epochs: Sequence[int], augmentation: Augmentation, balance: str = "none"
                     ) -> "tf.data.Dataset | Batches":
    """Shuffled, augmented batches of the given epochs in a row.

    Args:
        pixels: uint8 (n, size, size), usually a memory map.
        labels: (n,), the place of each image's class; without balancing, of two classes a score instead.
        rows: int (m,), the images to train on.
        batch_size: images a batch; an epoch's last batch may be smaller.
        seed: of order and augmentation.
        epochs: their numbers, for example ``range(8)``; a continued training begins with a later one.
        augmentation: random changes, new in every epoch.
        balance: 'oversample' repeats images of the rarer classes.

    Returns:
        Batches of (float32 (batch, size, size, 1) in 0..1, float32 (batch, 1)).
    """
    steps = steps_per_epoch(labels[rows], batch_size, balance)

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        generator = np.random.default_rng([seed, _ORDER, epoch])
        shown = rows[oversampled(labels[rows].astype(int), generator)] if balance == "oversample" else rows
        return generator.permutation(shown)

    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        turn, within = divmod(step, steps)
        epoch = epochs[turn]
        chosen = order(epoch)[within * batch_size : (within + 1) * batch_size]
        generator = np.random.default_rng([seed, _AUGMENTATION, epoch, within])
        images = augment_images([pixels[row] for row in chosen], augmentation, generator)
        release_pages(pixels)
        return images, labels[chosen].astype(np.float32)

    return _stream(Batches(batch, steps * len(epochs)), pixels.shape[1])


def scoring_batches(pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray, batch_size: int = 64,
                    perturbation: str = "") -> "tf.data.Dataset | Batches":
    """The images of ``rows`` in their order, in the form of :func:`training_batches`; unchanged, or all changed by one
    of ``covidcnn.perturbations.PERTURBATIONS``."""
    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = rows[step * batch_size : (step + 1) * batch_size]
        images = np.stack([perturbed(pixels[row], perturbation) for row in chosen]) if perturbation else pixels[chosen]
        release_pages(pixels)
        return images, labels[chosen].astype(np.float32)

    return _stream(Batches(batch, math.ceil(len(rows) / batch_size)), pixels.shape[1])


class Batches(keras.utils.PyDataset):
    """Batches that two threads prepare while the last one is used."""

    def __init__(self, batch: Callable[[int], tuple[np.ndarray, np.ndarray]], steps: int) -> None:
        """``batch`` gives uint8 (batch, size, size) and float32 (batch,) of a step in ``range(steps)``."""
        super().__init__()
        self._batch, self._steps = batch, steps
        self._threads = ThreadPoolExecutor(2)
        self._coming: dict[int, Future[tuple[np.ndarray, np.ndarray]]] = {}

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        for ahead in range(step, min(step + 4, self._steps)):
            if ahead not in self._coming:
                self._coming[ahead] = self._threads.submit(self._prepared, ahead)
        return self._coming.pop(step).result()

    def _prepared(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        images, targets = self._batch(step)
        # Pixels divided by 255: an assumption, the paper does not say.
        return images.astype(np.float32)[..., np.newaxis] / 255, targets[:, np.newaxis]


def _stream(batches: Batches, size: int) -> "tf.data.Dataset | Batches":
    """The batches in the form in which Keras's backend takes them fastest."""
    if tf is None:
        return batches
    options = tf.data.Options()
    # There is nothing to tune, and TensorFlow 2.21's tuner sleeps longer and longer (10, 20, 40 … ms). An epoch lasts
    # until it next wakes up, for example 2.55 s instead of 1.6.
    options.autotune.enabled = False
    signature = tf.TensorSpec((None, size, size, 1)), tf.TensorSpec((None, 1))
    stream = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    # Keras would otherwise learn by running out of them how many there are, and warn.
    return stream.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2).with_options(options)
