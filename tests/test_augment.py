"""Augmentation and balancing."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from covidcnn.augment import (
    AUGMENTATIONS,
    Augmentation,
    augment_image,
    augmentation_named,
    change_intensity,
    class_weights,
    flip,
    oversampled,
    shift,
)

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
# Left half dark, right half bright: shows flips, and survives them.
HALVES = np.repeat(np.array([[50, 200]], np.uint8), 24, axis=1).repeat(40, axis=0)


def generated(image, **transform):
    """What Keras's ImageDataGenerator makes of an image with a given transform."""
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator()
    return generator.apply_transform(image[..., np.newaxis].astype(np.float32), transform)[..., 0]


# ---------------------------------------------------------------- shift and flip

# In apply_transform of Keras 3 'tx' moves along the columns and 'ty' along the rows, whatever its documentation
# says: it swaps the axes before it transforms.
@pytest.mark.parametrize(("rows", "columns"), [(3, 0), (0, 5), (-4, 7), (6, -2), (-39, 0), (0, 60)])
def test_whole_shift_equals_kerass_exactly(rows, columns):
    np.testing.assert_array_equal(shift(NOISE, rows, columns), generated(NOISE, tx=columns, ty=rows))


@pytest.mark.parametrize(("rows", "columns"), [(0.5, 0), (0, 1.5), (2.3, -3.7), (-0.01, 0.49), (4.2, 4.9)])
def test_part_shift_equals_kerass_but_for_rounding(rows, columns):
    # Some versions of cv2 keep positions to a 32nd of a pixel; neighbours here differ by up to 63 levels.
    film = NOISE // 4
    difference = shift(film, rows, columns) - generated(film, tx=columns, ty=rows)
    assert np.abs(difference).max() <= 2


def test_shift_then_flip_equals_kerass():
    np.testing.assert_array_equal(flip(shift(NOISE, 3, -5)), generated(NOISE, tx=-5, ty=3, flip_horizontal=True))


def test_shift_moves_rows_and_columns_and_repeats_the_edge():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert shift(image, 1, 0).tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]
    assert shift(image, 0, -1).tolist() == [[0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]


def test_flip_mirrors_left_for_right_and_undoes_itself():
    assert flip(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)).tolist() == [[3, 2, 1], [6, 5, 4]]
    np.testing.assert_array_equal(flip(flip(NOISE)), NOISE)


# ---------------------------------------------------------------- intensity

def test_intensity_without_change_is_the_image():
    np.testing.assert_array_equal(change_intensity(NOISE), NOISE)


@pytest.mark.parametrize(("change", "expected"), [
    ({"brightness": 0.2}, [51, 151, 255]),             # + 51
    ({"brightness": -0.2}, [0, 49, 204]),
    ({"contrast": 0.5}, [64, 114, 191]),               # 127.5 + 0.5 (level - 127.5)
    ({"contrast": 2.0}, [0, 72, 255]),                 # 127.5 + 2 (100 - 127.5) = 72.5
    ({"gamma": 2.0}, [0, 39, 255]),                    # 255 (100 / 255) ** 2 = 39.2
    ({"gamma": 0.5}, [0, 160, 255]),                   # 255 sqrt(100 / 255) = 159.7
    ({"gamma": 2.0, "contrast": 0.5, "brightness": 0.1}, [89, 109, 217]),
])
def test_intensity_changes_known_levels_as_worked_out_by_hand(change, expected):
    result = change_intensity(np.array([[0, 100, 255]], np.uint8), **change)
    assert result.dtype == np.uint8
    assert np.abs(result[0].astype(int) - expected).max() <= 1


# ---------------------------------------------------------------- random versions

def versions(image, augmentation, number=200, seed=0):
    generator = np.random.default_rng(seed)
    return [augment_image(image, augmentation, generator) for _ in range(number)]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_random_version_has_the_form_of_the_image_and_leaves_it(name):
    image = NOISE.copy()
    image.flags.writeable = False
    for version in versions(image, AUGMENTATIONS[name], 20):
        assert version.shape == image.shape
        assert version.dtype == np.uint8
    np.testing.assert_array_equal(image, NOISE)


def test_no_augmentation_changes_nothing():
    for version in versions(NOISE, AUGMENTATIONS["none"], 5):
        np.testing.assert_array_equal(version, NOISE)


def test_same_generator_gives_the_same_versions():
    first, again, other = (np.stack(versions(NOISE, AUGMENTATIONS["paper"], 5, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_second_image_is_mirrored():
    mirrored = [int(version[0, 0]) == 200 for version in versions(HALVES, Augmentation(horizontal_flip=True))]
    assert 70 < sum(mirrored) < 130


def shifts_found(augmentation, axis):
    """The shifts of 200 versions of a ramp, in pixels along an axis, read off its middle."""
    ramp = np.broadcast_to(4 * np.arange(48, dtype=np.uint8), (48, 48))
    ramp = ramp if axis == 1 else ramp.T
    found = versions(np.ascontiguousarray(ramp), augmentation)
    return np.array([(float(version[24, 24]) - 96) / 4 for version in found])


@pytest.mark.parametrize(("name", "axis"), [("height_shift", 0), ("width_shift", 1)])
def test_shift_reaches_its_share_of_the_side_to_both_sides_and_no_other_axis(name, axis):
    augmentation = Augmentation(**{name: 0.1})
    shifts = shifts_found(augmentation, axis)
    assert np.abs(shifts).max() <= 4.8 + 0.25
    assert shifts.min() < -4.3
    assert shifts.max() > 4.3
    assert abs(shifts.mean()) < 0.7
    assert np.abs(shifts_found(augmentation, 1 - axis)).max() == 0


def test_shift_is_a_share_of_its_own_side():
    tall = np.repeat(np.arange(100, dtype=np.uint8)[:, np.newaxis], 20, axis=1)
    down = [int(version[50, 10]) - 50 for version in versions(tall, Augmentation(height_shift=0.2))]
    assert max(down) > 17
    assert min(down) < -17


def test_switching_one_change_off_leaves_the_others_as_they_were():
    both = versions(HALVES, Augmentation(horizontal_flip=True, brightness=0.1), 50)
    only_bright = versions(HALVES, Augmentation(brightness=0.1), 50)
    for changed, brightened in zip(both, only_bright, strict=True):
        assert np.array_equal(changed, brightened) or np.array_equal(changed, flip(brightened))


def test_the_papers_augmentation_flips_and_shifts_and_leaves_the_grey_levels():
    paper = AUGMENTATIONS["paper"]
    assert paper.changes_geometry
    assert not paper.changes_intensity
    assert paper.horizontal_flip
    assert paper.width_shift > 0
    assert paper.height_shift > 0
    intensity = AUGMENTATIONS["intensity"]
    assert intensity.changes_intensity
    assert not intensity.changes_geometry


def test_unknown_augmentation_is_refused_with_the_known_ones(refused):
    with refused("'rotate'", *AUGMENTATIONS):
        augmentation_named("rotate")
    assert augmentation_named("paper") is AUGMENTATIONS["paper"]


# ---------------------------------------------------------------- balancing

def test_class_weights_are_scikit_learns_and_give_equal_sums():
    labels = np.array([0] * 5 + [1] * 15)
    weights = class_weights(labels)
    assert weights == {0: 2.0, 1: pytest.approx(2 / 3)}
    assert list(weights.values()) == pytest.approx(compute_class_weight("balanced", classes=np.array([0, 1]), y=labels))


@pytest.mark.parametrize(("normal", "pneumonia"), [(3, 10), (10, 3), (5, 5), (1, 7), (4, 8)])
def test_oversampling_evens_the_classes_and_repeats_each_film_about_as_often(normal, pneumonia):
    labels = np.array([0] * normal + [1] * pneumonia)
    rows = oversampled(labels, np.random.default_rng(0))
    larger = max(normal, pneumonia)
    assert np.bincount(labels[rows]).tolist() == [larger, larger]
    times = np.bincount(rows, minlength=len(labels))
    rarer = int(pneumonia < normal)
    assert set(times[labels != rarer].tolist()) == {1}
    assert np.ptp(times[labels == rarer]) <= 1


def test_oversampling_draws_which_films_to_repeat():
    labels = np.array([0] * 6 + [1] * 9)
    repeats = {tuple(oversampled(labels, np.random.default_rng(seed))[15:]) for seed in range(5)}
    assert len(repeats) > 1
