"""Augmentation and balancing."""

import itertools

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.utils.class_weight import compute_class_weight

from covidcnn import augment
from covidcnn.augment import (
    AUGMENTATIONS,
    Augmentation,
    augment_image,
    change_intensity,
    class_weights,
    crop,
    flip,
    oversampled,
    shift,
    warp,
)
from covidcnn.backend import tf
from covidcnn.perturbations import CHOSEN_UNDER, PERTURBATIONS, SIMULATED_SHIFTS, perturbed

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
# Left half dark, right half bright: shows flips, and survives them.
HALVES = np.repeat(np.array([[50, 200]], np.uint8), 24, axis=1).repeat(40, axis=0)


def generated(image, **transform):
    """What Keras's ImageDataGenerator makes of an image with a given transform."""
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
    image = NOISE // 4
    difference = shift(image, rows, columns) - generated(image, tx=columns, ty=rows)
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


# ---------------------------------------------------------------- rotation, zoom, crop

SMOOTH = cv2.GaussianBlur(cv2.resize(NOISE, (64, 64)), (0, 0), 2)


@pytest.mark.parametrize("change", [
    {"angle": 30}, {"angle": -17.3}, {"height": 0.8}, {"width": 1.2}, {"height": 1.13, "width": 0.87},
    {"rows": 6.4, "columns": -3.2}, {"rows": -20, "columns": 31.5, "angle": 90},
    {"mirrored": True}, {"rows": -4.5, "columns": 6.1, "angle": 21, "height": 1.17, "width": 0.81, "mirrored": True}],
    ids=lambda change: " ".join(change))
def test_warp_equals_kerass_but_for_rounding_to_whole_levels(change):
    keras_names = {"angle": "theta", "rows": "ty", "columns": "tx", "height": "zy", "width": "zx",
                   "mirrored": "flip_horizontal"}
    expected = generated(SMOOTH, **{keras_names[name]: value for name, value in change.items()})
    assert np.abs(warp(SMOOTH, **change) - expected).max() <= 0.51


def test_warp_by_nothing_is_the_image_and_leaves_it():
    image = NOISE.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(warp(image), NOISE)


def test_a_smaller_field_of_view_looks_taller_and_one_axis_leaves_the_other():
    square = np.zeros((40, 40), np.uint8)
    square[10:30, 10:30] = 255
    taller = warp(square, height=0.8) > 127
    assert (taller.any(axis=1).sum(), taller.any(axis=0).sum()) == (pytest.approx(25, abs=1), 20)


def test_crop_shows_what_a_zoom_shows_without_stretching_it():
    gradient = np.add.outer(np.arange(40), 2 * np.arange(40)).astype(np.uint8)
    cropped = crop(gradient, 0.8, 0.5)
    np.testing.assert_array_equal(cropped[4:36, 10:30], gradient[4:36, 10:30])
    np.testing.assert_array_equal(cropped[:4], np.tile(cropped[4], (4, 1)))
    zoomed = warp(gradient, height=0.8, width=0.5)
    assert abs(int(cropped.min()) - int(zoomed.min())) <= 2
    assert abs(int(cropped.max()) - int(zoomed.max())) <= 2
    np.testing.assert_array_equal(crop(gradient, 1.2, 1.0), gradient)


def test_public_recipe_draws_as_imagedatagenerator_does():
    """Angle, zoom of each axis, shifts and flip of 2,000 versions of three spots, in distribution."""
    recipe = AUGMENTATIONS["public recipe"]
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=30, zoom_range=0.2, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True)
    # It draws from the generator of all NumPy.
    np.random.seed(0)  # noqa: NPY002
    theirs = [generator.get_random_transform((64, 64, 1)) for _ in range(2000)]
    ours = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "warp", lambda image, **change: (ours.append(change), image)[1])
        versions(HALVES[:24, :24 * 2], recipe, 2000)
    for own, name, scale in (("angle", "theta", 1), ("height", "zy", 1), ("width", "zx", 1), ("rows", "ty", 24 / 64),
                             ("columns", "tx", 48 / 64)):
        drawn, expected = (np.array([change[key] for change in changes]) for changes, key in ((ours, own),
                                                                                             (theirs, name)))
        assert stats.ks_2samp(drawn, expected * scale).pvalue > 0.001, own
    for one, other in itertools.combinations(("angle", "height", "width", "rows", "columns"), 2):
        assert abs(np.corrcoef([change[one] for change in ours], [change[other] for change in ours])[0, 1]) < 0.1
    assert 900 < sum(change["mirrored"] for change in ours) < 1100


@pytest.mark.parametrize(("name", "moves"), [
    ("paper and height zoom", {"height"}), ("paper and width zoom", {"width"}), ("paper and rotation", {"angle"}),
    ("paper and zoom", {"height", "width"}), ("paper and zoom alike", {"height", "width"}), ("paper and crop", set())])
def test_named_sets_change_what_their_names_say_and_shift_as_the_paper_does(name, moves, monkeypatch):
    changes, cropped = [], []
    monkeypatch.setattr(augment, "warp", lambda image, **change: (changes.append(change), image)[1])
    monkeypatch.setattr(augment, "crop", lambda image, *views: (cropped.append(views), image)[1])
    versions(NOISE, AUGMENTATIONS[name], 30)
    still = {"height": 1.0, "width": 1.0, "angle": 0.0}
    assert {key for change in changes for key in still if change.get(key, still[key]) != still[key]} == moves
    assert ("alike" in name) == all(change.get("height", 1) == change.get("width", 1) != 1 for change in changes)
    assert bool(cropped) == ("crop" in name)
    # The same flips and shifts as without it, so that trainings that differ in one thing differ in nothing else.
    draws = np.random.default_rng(0).uniform(-1, 1, (30, 6))
    assert [change["rows"] for change in changes] == pytest.approx((draws[:, 1] * 4).tolist())
    assert [change["columns"] for change in changes] == pytest.approx((draws[:, 2] * 4.8).tolist())


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


def test_papers_augmentation_is_to_the_bit_what_it_was_when_the_first_study_was_trained():
    images = np.random.default_rng(1).integers(0, 256, (64, 40, 48), dtype=np.uint8)
    generator, expected = np.random.default_rng([0, 2, 3, 4]), []
    for image in images:
        mirrored, rows, columns, *_ = generator.uniform(-1, 1, 6)
        moved = shift(image, rows * 0.1 * 40, columns * 0.1 * 48)
        expected.append(flip(moved) if mirrored < 0 else moved)
    versions_now = augment.augment_images(list(images), AUGMENTATIONS["paper"], np.random.default_rng([0, 2, 3, 4]))
    np.testing.assert_array_equal(versions_now, expected)


def test_the_papers_augmentation_flips_and_shifts_and_leaves_the_grey_levels():
    paper = AUGMENTATIONS["paper"]
    assert not paper.changes_intensity
    assert paper.horizontal_flip
    assert paper.width_shift > 0
    assert paper.height_shift > 0
    intensity = AUGMENTATIONS["intensity"]
    assert intensity.changes_intensity
    assert not any([intensity.horizontal_flip, intensity.width_shift, intensity.height_shift, intensity.warps])


# ---------------------------------------------------------------- balancing

def test_class_weights_are_scikit_learns_and_give_equal_sums():
    labels = np.array([0] * 5 + [1] * 15)
    weights = class_weights(labels)
    assert weights == {0: 2.0, 1: pytest.approx(2 / 3)}
    assert list(weights.values()) == pytest.approx(compute_class_weight("balanced", classes=np.array([0, 1]), y=labels))


@pytest.mark.parametrize(("normal", "pneumonia"), [(3, 10), (10, 3), (5, 5), (1, 7), (4, 8)])
def test_oversampling_evens_the_classes_and_repeats_each_image_about_as_often(normal, pneumonia):
    labels = np.array([0] * normal + [1] * pneumonia)
    rows = oversampled(labels, np.random.default_rng(0))
    larger = max(normal, pneumonia)
    assert np.bincount(labels[rows]).tolist() == [larger, larger]
    times = np.bincount(rows, minlength=len(labels))
    rarer = int(pneumonia < normal)
    assert set(times[labels != rarer].tolist()) == {1}
    assert np.ptp(times[labels == rarer]) <= 1


def test_oversampling_draws_which_images_to_repeat():
    labels = np.array([0] * 6 + [1] * 9)
    repeats = {tuple(oversampled(labels, np.random.default_rng(seed))[15:]) for seed in range(5)}
    assert len(repeats) > 1


@pytest.mark.parametrize(("name", "tall", "wide"), [("height 1.10", 1.1, 1), ("width 0.85", 1, 0.85),
                                                    ("size 1.15", 1.15, 1.15), ("cropped height 1.10", 1, 1)])
def test_stretch_makes_a_thing_as_many_times_as_tall_and_wide(name, tall, wide):
    image = np.zeros((200, 200), np.uint8)
    image[80:120, 60:140] = 255
    found = perturbed(image, name)
    assert found.sum(axis=0).max() / 255 == pytest.approx(40 * tall, abs=0.5)
    assert found.sum(axis=1).max() / 255 == pytest.approx(80 * wide, abs=0.5)


def test_cropped_height_shows_what_the_stretch_of_its_factor_leaves():
    image = np.repeat(np.arange(200, dtype=np.uint8), 200).reshape(200, 200)
    cropped, stretched = perturbed(image, "cropped height 1.10"), perturbed(image, "height 1.10")
    assert abs(int(cropped.min()) - int(stretched.min())) <= 1
    assert abs(int(cropped.max()) - int(stretched.max())) <= 1
    np.testing.assert_array_equal(cropped[20:180], image[20:180])


def test_validation_is_perturbed_as_far_to_one_side_as_to_the_other():
    for names in CHOSEN_UNDER.values():
        assert set(names) <= set(PERTURBATIONS)
    factors = [name.rsplit(" ", 1) for name in CHOSEN_UNDER["perturbed validation"]]
    by_kind = pd.DataFrame(factors, columns=["kind", "factor"]).astype({"factor": float}).groupby("kind")["factor"]
    assert (by_kind.size() == 2).all()
    assert by_kind.mean().tolist() == pytest.approx([1] * 3)


def test_perturbation_of_grey_levels_is_the_simulated_shift_of_that_name():
    for name, change in SIMULATED_SHIFTS.items():
        np.testing.assert_array_equal(perturbed(NOISE, name), change_intensity(NOISE, **change))
