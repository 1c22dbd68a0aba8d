"""Batches for training and scoring."""

import numpy as np
import pytest

from covidcnn.augment import AUGMENTATIONS
from covidcnn.data.pipeline import scoring_batches, steps_per_epoch, training_batches

# Image k is k everywhere, so that a batch shows which images it holds.
IMAGES = np.repeat(np.arange(30, dtype=np.uint8), 16 * 16).reshape(30, 16, 16)
LABELS = np.array([0] * 8 + [1] * 22)
ROWS = np.arange(2, 25)


def epochs_of(epochs=2, batch_size=5, seed=0, augmentation="none", balance="none", images=IMAGES, rows=ROWS):
    """The batches of each epoch, as (pixels, labels)."""
    batches = [(np.asarray(pixels), np.asarray(labels)) for pixels, labels in training_batches(
        images, LABELS, rows, batch_size=batch_size, seed=seed, epochs=range(epochs),
        augmentation=AUGMENTATIONS[augmentation], balance=balance)]
    steps = steps_per_epoch(LABELS[rows], batch_size, balance)
    assert len(batches) == epochs * steps
    return [batches[epoch * steps : (epoch + 1) * steps] for epoch in range(epochs)]


def images_in(batches):
    return np.rint(np.concatenate([pixels[:, 0, 0, 0] for pixels, _ in batches]) * 255).astype(int).tolist()


def test_batch_is_pixels_over_255_with_labels_as_a_column():
    pixels, labels = epochs_of(1)[0][0]
    assert pixels.shape == (5, 16, 16, 1)
    assert pixels.dtype == np.float32
    assert labels.shape == (5, 1)
    assert labels.dtype == np.float32
    images = images_in([(pixels, labels)])
    np.testing.assert_array_equal(labels[:, 0], LABELS[images])
    np.testing.assert_allclose(pixels[0], images[0] / 255, rtol=1e-6)


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own():
    first, second = map(images_in, epochs_of())
    assert sorted(first) == sorted(second) == ROWS.tolist()
    assert first != second
    assert first != ROWS.tolist()


def test_last_batch_of_an_epoch_is_smaller():
    assert [len(labels) for _, labels in epochs_of(1)[0]] == [5, 5, 5, 5, 3]


def test_seed_decides_the_order():
    order, again, other = (images_in(epochs_of(1, seed=seed)[0]) for seed in (1, 1, 2))
    assert order == again
    assert order != other


def test_epoch_does_not_depend_on_how_many_follow():
    short, long = epochs_of(1, augmentation="paper")[0], epochs_of(3, augmentation="paper")[0]
    for (one, _), (other, _) in zip(short, long, strict=True):
        np.testing.assert_array_equal(one, other)


NOISE = np.random.default_rng(0).integers(0, 256, (30, 16, 16), dtype=np.uint8)


def test_augmentation_repeats_with_its_seed_and_changes_every_epoch():
    one_image = np.array([9])
    first, second = (epoch[0][0] for epoch in epochs_of(images=NOISE, augmentation="paper", rows=one_image))
    again = epochs_of(images=NOISE, augmentation="paper", rows=one_image)[0][0][0]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


def test_augmentation_does_not_change_the_order():
    # A shift leaves an image of one grey level as it is.
    assert images_in(epochs_of(1, augmentation="paper")[0]) == images_in(epochs_of(1)[0])


def test_oversampling_shows_as_many_of_each_class_and_every_image():
    for epoch in epochs_of(balance="oversample"):
        images = images_in(epoch)
        assert np.bincount(LABELS[images]).tolist() == [17, 17]
        assert set(images) == set(ROWS.tolist())


@pytest.mark.parametrize(("balance", "steps"), [("none", 5), ("class-weight", 5), ("oversample", 7)])
def test_steps_cover_all_images_shown(balance, steps):
    assert steps_per_epoch(LABELS[ROWS], 5, balance) == steps


def test_scoring_shows_the_images_in_order_and_unchanged():
    rows = np.array([4, 2, 29, 0, 7])
    batches = [(np.asarray(pixels), np.asarray(labels)) for pixels, labels in scoring_batches(NOISE, LABELS, rows, 2)]
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches])[:, 0], LABELS[rows])
    np.testing.assert_allclose(np.concatenate([pixels for pixels, _ in batches])[..., 0], NOISE[rows] / 255,
                               rtol=1e-6)


class Counting:
    """Images that note which rows were read."""

    def __init__(self):
        self.shape = (10_000, 16, 16)
        self.read = []

    def __getitem__(self, row):
        self.read.append(row)
        return np.zeros((16, 16), np.uint8)


def test_images_are_streamed_and_not_loaded_at_once():
    images = Counting()
    batches = training_batches(images, np.arange(10_000) % 2, np.arange(10_000), batch_size=10, seed=0, epochs=range(1),
                               augmentation=AUGMENTATIONS["none"])
    next(iter(batches))
    assert 10 <= len(images.read) <= 200
