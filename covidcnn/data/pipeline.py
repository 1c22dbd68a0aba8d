"""Batches for training and scoring, streamed by tf.data from the image cache.

Everything random in a training batch follows from (seed, epoch, step): the order of the films from
(seed, epoch), their augmentation from (seed, epoch, step). Nothing depends on what ran before.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from covidcnn.augment import SIMULATED_SHIFTS, Augmentation, augment_images, change_intensity, oversampled
from covidcnn.backend import tf
from covidcnn.data.cache import release_pages

# Second entries of the seed sequences: order and augmentation draw from streams of their own.
_ORDER, _AUGMENTATION = 1, 2


def steps_per_epoch(labels: np.ndarray, batch_size: int, balance: str) -> int:
    """Batches that show every training film once (the rarer class's more often when oversampling)."""
    films = 2 * int(np.bincount(labels, minlength=2).max()) if balance == "oversample" else len(labels)
    return -(-films // batch_size)


def training_batches(images: np.ndarray, labels: np.ndarray, rows: np.ndarray, *, batch_size: int, seed: int,
                     epochs: Sequence[int], augmentation: Augmentation, balance: str = "none") -> tf.data.Dataset:
    """Shuffled, augmented batches of the given epochs in a row.

    Args:
        images: uint8 (n, size, size), usually a memory map.
        labels: int (n,), 1 for PNEUMONIA.
        rows: int (m,), the rows of ``images`` to train on.
        batch_size: films a batch; an epoch's last batch may be smaller.
        seed: of order and augmentation.
        epochs: their numbers, for example ``range(8)``; a continued training begins with a later one.
        augmentation: random changes, new in every epoch.
        balance: 'oversample' repeats films of the rarer class; other values change nothing here.

    Returns:
        Data set of (float32 (batch, size, size, 1) in 0..1, float32 (batch, 1)).
    """
    steps = steps_per_epoch(labels[rows], batch_size, balance)

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        generator = np.random.default_rng([seed, _ORDER, epoch])
        shown = rows[oversampled(labels[rows], generator)] if balance == "oversample" else rows
        return generator.permutation(shown)

    def batch(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turn, within = divmod(int(step), steps)
        epoch = epochs[turn]
        chosen = order(epoch)[within * batch_size : (within + 1) * batch_size]
        generator = np.random.default_rng([seed, _AUGMENTATION, epoch, within])
        films = augment_images([images[row] for row in chosen], augmentation, generator)
        release_pages(images)
        return films, labels[chosen].astype(np.float32)

    return _stream(batch, steps * len(epochs), images.shape[1])


def scoring_batches(images: np.ndarray, labels: np.ndarray, rows: np.ndarray, batch_size: int = 64,
                    shift: str = "") -> tf.data.Dataset:
    """The films of ``rows`` in their order; the same form as :func:`training_batches`.

    Films are unchanged, or all changed alike by a ``shift`` of ``SIMULATED_SHIFTS``.
    """
    change = SIMULATED_SHIFTS[shift] if shift else None

    def batch(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = rows[int(step) * batch_size : (int(step) + 1) * batch_size]
        films = np.stack([change_intensity(images[row], **change) for row in chosen]) if change else images[chosen]
        release_pages(images)
        return films, labels[chosen].astype(np.float32)

    return _stream(batch, -(-len(rows) // batch_size), images.shape[1])


def _stream(batch: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], steps: int, size: int
            ) -> tf.data.Dataset:
    def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Stateless: the batch follows from its step, so TensorFlow may prepare several at once even
        # where it is told to be deterministic.
        films, targets = tf.numpy_function(batch, [step], (tf.uint8, tf.float32), stateful=False)
        films = tf.ensure_shape(films, (None, size, size))
        # Pixels divided by 255: an assumption, the paper does not say.
        return tf.cast(films, tf.float32)[..., tf.newaxis] / 255, tf.ensure_shape(targets, (None,))[:, tf.newaxis]

    options = tf.data.Options()
    # All numbers below are fixed, so there is nothing to tune. TensorFlow 2.21 tunes all the same, and its
    # tuner sleeps 10, 20, 40 … ms: each iterator, and so each epoch, lasts until it next wakes up, for
    # example 2.55 s instead of 1.6.
    options.autotune.enabled = False
    stream = tf.data.Dataset.range(steps).map(load, num_parallel_calls=2, deterministic=True).prefetch(2)
    return stream.with_options(options)
