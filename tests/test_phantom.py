"""Phantom images: plan, drawing and folder."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from covidcnn.data import phantom
from covidcnn.errors import UserError

NORMAL_NAME = re.compile(r"(IM|NORMAL2-IM)-(\d{4,})-0001(-\d{4})?\.jpeg")
PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_(\d+)\.jpeg")
FEW = {"train": 6, "val": 2, "test": 4}


@pytest.fixture(scope="module")
def images():
    return phantom.plan_images()


def small(image, side=200):
    """The same image at a size that is quick to draw."""
    scale = side / max(image.width, image.height)
    return replace(image, width=round(image.width * scale), height=round(image.height * scale))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def test_counts_and_shares_are_those_of_the_published_splits(images):
    # By hand: 560 * 1341 / 5216 = 143.97 and 416 * 2530 / 3875 = 271.6; 224 * 234 / 624 = 84.
    assert Counter((image.split, image.subtype) for image in images) == {
        ("train", "normal"): 144, ("train", "bacteria"): 272, ("train", "virus"): 144,
        ("val", "normal"): 8, ("val", "bacteria"): 8,
        ("test", "normal"): 84, ("test", "bacteria"): 87, ("test", "virus"): 53,
    }


@pytest.mark.parametrize("each", [2, 3, 5])
def test_every_small_split_has_both_classes(each):
    images = phantom.plan_images({"train": each, "val": each, "test": each})
    assert len(images) == 3 * each
    assert len({(image.split, image.label) for image in images}) == 6


def test_names_follow_the_published_patterns(images):
    for image in images:
        if image.label == "NORMAL":
            series, number = NORMAL_NAME.fullmatch(image.file_name).group(1, 2)
        else:
            number, series = PNEUMONIA_NAME.fullmatch(image.file_name).group(1, 2)
        assert (series, int(number)) == (image.series, image.number)
    assert len({image.path for image in images}) == len(images)
    assert {"IM-0115-0001.jpeg", "person1_bacteria_1.jpeg"} <= {image.file_name for image in images}


@pytest.mark.parametrize("counts", [phantom.DEFAULT_COUNTS, {"train": 5216, "val": 300, "test": 2000}])
def test_no_patient_is_in_two_splits(counts):
    images = phantom.plan_images(counts)
    splits = {(image.series, image.number): set() for image in images}
    for image in images:
        splits[image.series, image.number].add(image.split)
    assert all(len(found) == 1 for found in splits.values())
    # Numbers stand for children: two children never share one.
    children = {(image.series, image.number): image.patient_seed for image in images}
    assert all(children[image.series, image.number] == image.patient_seed for image in images)
    images_per_patient = Counter(image.patient_seed for image in images if image.label == "PNEUMONIA")
    assert 1.3 < np.mean(list(images_per_patient.values())) < 1.9


def test_plan_depends_on_its_seed_and_no_split_on_another(images):
    assert images == phantom.plan_images(seed=0)
    assert images != phantom.plan_images(seed=1)
    train = [image for image in images if image.split == "train"]
    changed = phantom.plan_images({"train": 560, "test": 10})
    assert train == [image for image in changed if image.split == "train"]
    with pytest.raises(ValueError, match="none negative"):
        phantom.plan_images({"training": 3})


def test_sizes_are_varied_and_tell_the_classes_apart():
    images = phantom.plan_images({"train": 4000})
    sizes = np.array([(image.width, image.height) for image in images])
    assert sizes.max() <= 2000
    assert sizes.max(axis=1).min() >= 300
    assert sizes.min() >= 120
    normal = [image.label == "NORMAL" for image in images]
    assert 0.88 <= roc_auc_score(normal, sizes.prod(axis=1)) <= 0.92
    # The planted cue.
    assert roc_auc_score(normal, -sizes[:, 0] / sizes[:, 1]) > 0.97


def test_a_image_is_a_pure_function_of_its_plan(images):
    image = small(images[0])
    drawn = phantom.draw_image(image)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (image.height, image.width)
    assert drawn.max() - drawn.min() > 100
    np.testing.assert_array_equal(drawn, phantom.draw_image(image))
    other_image = replace(image, image_seed=(*image.image_seed, 1))
    assert not np.array_equal(drawn, phantom.draw_image(other_image))


@pytest.mark.parametrize(("width", "height"), [(300, 120), (2000, 800), (700, 1400)])
def test_extreme_sizes_are_drawn(images, width, height):
    for image in (images[0], images[200], images[500]):
        assert phantom.draw_image(replace(image, width=width, height=height)).shape == (height, width)


def test_healthy_children_are_framed_tighter_in_test_and_nobody_else():
    images = phantom.plan_images({"train": 4000, "test": 2000})

    def middle(split, label):
        """Width by height, and width, of the middling image."""
        sizes = np.array([(image.width / image.height, image.width) for image in images
                          if (image.split, image.label) == (split, label)])
        return np.median(sizes, axis=0)

    assert middle("test", "NORMAL") / middle("train", "NORMAL") == pytest.approx([1.3, 1], rel=0.05)
    assert middle("test", "PNEUMONIA") / middle("train", "PNEUMONIA") == pytest.approx([1, 1], rel=0.05)
    # Squeezed to a square, their chests look taller than those of the ill, who look taller than the healthy of train.
    assert middle("test", "NORMAL")[0] > middle("train", "PNEUMONIA")[0] > 1.15 * middle("train", "NORMAL")[0]


def test_no_split_is_exposed_otherwise_than_another(images):
    for image in [image for image in images if image.split == "test"][::50]:
        in_train = replace(small(image), split="train")
        np.testing.assert_array_equal(phantom.draw_image(small(image)), phantom.draw_image(in_train))


@pytest.mark.slow
def test_folder_is_the_same_for_any_number_of_workers(tmp_path):
    done = []
    phantom.write_phantom(tmp_path / "one", {"train": 12, "test": 4}, seed=3, workers=1, progress=done.append)
    phantom.write_phantom(tmp_path / "two", {"train": 12, "test": 4}, seed=3, workers=2)
    assert done == list(range(1, 17))
    files = contents(tmp_path / "one")
    assert files == contents(tmp_path / "two")
    planned = phantom.plan_images({"train": 12, "test": 4}, seed=3)
    assert set(files) == {radiograph.path.as_posix() for radiograph in planned} | {phantom.MARKER}
    assert json.loads(files[phantom.MARKER]) == {
        "seed": 3, "counts": {"train": 12, "test": 4}, "generator_version": phantom.GENERATOR_VERSION}
    with Image.open(tmp_path / "one" / planned[0].path) as image:
        assert (image.format, image.mode) == ("JPEG", "L")
        assert image.size == (planned[0].width, planned[0].height)


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(image):
        raise KeyboardInterrupt

    monkeypatch.setattr("covidcnn.data.phantom.dataset.draw_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        phantom.write_phantom(tmp_path / "phantom", FEW, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_refused_unless_empty(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UserError, match="new or empty folder"):
        phantom.write_phantom(tmp_path, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    (tmp_path / "empty").mkdir()
    phantom.write_phantom(tmp_path / "empty", {"val": 2}, workers=1)
    assert (tmp_path / "empty" / phantom.MARKER).is_file()
