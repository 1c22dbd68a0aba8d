"""PneumoniaMNIST as a data set: its facts, its file, and what becomes of it everywhere."""

import importlib.util
import json
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import yaml

from covidcnn.data import pneumoniamnist
from covidcnn.data.dataset import open_dataset
from covidcnn.data.pneumoniamnist import COUNTS, MARKER, MD5, PAGE, file_name, write_folder
from covidcnn.data.sources import PNEUMONIAMNIST
from covidcnn.errors import DataError
from covidcnn.imaging.reading import read_grey
from covidcnn.provenance import EXPLORATORY
from covidcnn.training.fit import select_images
from covidcnn.training.recipe import Recipe

RECIPE = Recipe(epochs=1)


@pytest.fixture
def mnist_folder(tmp_path, mnist_file):
    folder = tmp_path / "mnist"
    folder.mkdir()
    write_folder(mnist_file, 28, pneumoniamnist.MD5[28], folder)
    return folder


def test_facts_are_those_of_the_medmnist_package(monkeypatch, tmp_path):
    package = importlib.util.find_spec("medmnist")
    if not package:
        pytest.skip("medmnist is not installed (it brings PyTorch); compared with its version 3.0.2 by hand")
    monkeypatch.setenv("HOME", str(tmp_path))
    # Its table alone: the package itself imports PyTorch.
    spec = importlib.util.spec_from_file_location("info", f"{package.submodule_search_locations[0]}/info.py")
    info = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(info)
    facts = info.INFO["pneumoniamnist"]
    for size in MD5:
        ending = "" if size == 28 else f"_{size}"
        assert facts[f"MD5{ending}"] == MD5[size]
        assert facts[f"url{ending}"] == f"{PAGE}/files/{file_name(size)}?download=1"
    assert facts["n_samples"] == {split: sum(counts) for split, counts in COUNTS.items()}
    assert facts["label"] == {"0": "normal", "1": "pneumonia"}
    assert facts["license"] == "CC BY 4.0"


def test_images_keep_their_pixels_labels_and_order(mnist_folder, mnist_file):
    images = open_dataset(mnist_folder).images
    with np.load(mnist_file) as arrays:
        for split in COUNTS:
            own = images[images["split"] == split].sort_values("path", key=lambda paths: paths.str.split("/").str[-1])
            assert (own["label"] == "PNEUMONIA").astype(int).tolist() == arrays[f"{split}_labels"][:, 0].tolist()
            found = [read_grey(mnist_folder / path) for path in own["path"]]
            np.testing.assert_array_equal(found, arrays[f"{split}_images"])


def test_images_are_known_as_what_they_are(mnist_folder):
    data = open_dataset(mnist_folder)
    assert data.source is PNEUMONIAMNIST
    assert data.source.protects_test
    assert data.warnings == ()
    for words in ("at 28 px, from the official file", "4 train, 3 val, 5 test", "CC BY 4.0",
                  "Its patients are not published: each image counts as a patient of its own"):
        assert words in data.identity
    assert data.images["patient"].is_unique


def test_images_have_the_same_bytes_everywhere(mnist_folder, mnist_file):
    image = next(mnist_folder.glob("train/NORMAL/*.bmp"))
    with np.load(mnist_file) as arrays:
        pixels = arrays["train_images"][int(image.stem.removeprefix("train-"))]
    # Sizes and places, a header of 40 bytes, the 256 greys, and the lines from below.
    header = struct.pack("<2sIHHI", b"BM", 1078 + 28 * 28, 0, 0, 1078)
    header += struct.pack("<IiiHHIIiiII", 40, 28, 28, 1, 8, 0, 0, 0, 0, 0, 0)
    palette = b"".join(bytes([grey, grey, grey, 0]) for grey in range(256))
    assert image.read_bytes() == header + palette + pixels[::-1].tobytes()


def test_changed_image_or_marker_is_refused(mnist_folder, refused):
    image = next(mnist_folder.glob("train/NORMAL/*.bmp"))
    image.rename(image.with_name("moved.bmp"))
    with refused(MARKER, "not those that it was written for", "again"):
        open_dataset(mnist_folder)
    for damaged in ("{", "[]", "{}"):
        (mnist_folder / MARKER).write_text(damaged)
        with refused(MARKER, "damaged"):
            open_dataset(mnist_folder)
    (mnist_folder / MARKER).unlink()
    assert open_dataset(mnist_folder).source is not PNEUMONIAMNIST


@pytest.mark.parametrize(("name", "change", "words"), [
    ("val_images", lambda images: images[:-1], "val_images is not uint8 (3, 28, 28)"),
    ("val_images", lambda images: np.pad(images, ((0, 0), (0, 36), (0, 36))), "--size"),
    ("train_images", lambda images: images.astype(np.float32), "train_images is not uint8"),
    ("train_images", lambda images: images.astype(object), "train_images"),
    ("train_labels", lambda labels: labels[:, 0], "train_labels is not uint8 (4, 1)"),
    ("test_labels", lambda labels: labels + 1, "beyond 0 and 1"),
    ("test_labels", lambda labels: 1 - labels, "not 2 NORMAL and 3 PNEUMONIA in test"),
])
def test_file_of_another_content_is_refused(tmp_path, mnist_file, refused, name, change, words):
    with np.load(mnist_file) as arrays:
        changed = dict(arrays) | {name: change(arrays[name])}
    np.savez_compressed(tmp_path / "other.npz", **changed)
    with refused(tmp_path / "other.npz", words, error=DataError):
        write_folder(tmp_path / "other.npz", 28, "", tmp_path / "folder")


@pytest.mark.parametrize("damage", ["no archive", "truncated", "an array missing", "a header that claims too much"])
def test_damaged_file_is_refused(tmp_path, mnist_file, refused, damage):
    content = mnist_file.read_bytes()
    other = tmp_path / "other.npz"
    other.write_bytes({"no archive": b"<html>", "truncated": content[:-30]}.get(damage, b""))
    if damage == "an array missing":
        np.savez(other, train_images=np.zeros((4, 28, 28), np.uint8))
    if damage == "a header that claims too much":
        with zipfile.ZipFile(mnist_file) as source, zipfile.ZipFile(other, "w") as target:
            for member in source.namelist():
                # As long as before: spaces fill an array's header.
                target.writestr(member, source.read(member).replace(b"(4, 28, 28), }     ", b"(4, 28000, 28000),}"))
    with refused(other, "again", error=DataError):
        write_folder(other, 28, "", tmp_path / "folder")


def test_official_validation_is_the_default(mnist_folder, tiny_tree):
    data = open_dataset(mnist_folder)
    chosen = replace(RECIPE, validation=data.source.validation)
    images = select_images(data.images, chosen)
    assert set(images.loc[images["role"] == "validation", "split"]) == {"val"}
    assert images["role"].value_counts().to_dict() == {"train": 4, "validation": 3, "test": 5}
    assert open_dataset(tiny_tree).source.validation == RECIPE.validation == "patient"


@pytest.mark.slow
def test_training_uses_it_and_says_what_it_was_made_from(mnist_folder, tmp_path, run):
    code, _, _ = run("train", "--data", mnist_folder, "--out", tmp_path / "model", "--size", 16, "--epochs", 1)
    assert code == 0
    record = json.loads((tmp_path / "model" / "run.json").read_text())
    assert record["recipe"]["validation"] == "published"
    assert record["counts"]["validation"] == {"PNEUMONIA": 2, "NORMAL": 1}
    assert record["test-set accesses"] == [EXPLORATORY]
    assert record["licence of the images"] == "CC BY 4.0"
    assert all(name in record["citation"] for name in ("MedMNIST v2", "Kermany"))
    code, out, _ = run("evaluate", tmp_path / "model" / "model.keras", "--data", mnist_folder, "--json",
                       "--bootstrap-samples", 10)
    result = json.loads(out)
    assert (code, result["n"], result["note"]) == (0, 5, EXPLORATORY)
    assert "each image counts as a patient of its own" in result["identity"]


def test_sweep_uses_it(mnist_folder, tmp_path, run, monkeypatch):
    asked = []
    monkeypatch.setattr("covidcnn.cli.trials.run_and_watch", lambda trials, *others: asked.extend(trials))
    for grid in ({}, {"grid": {"validation": ["patient", "image"]}}):
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"seeds": [0], "recipe": {"epochs": 1, "size": 16}} | grid))
        code, _, _ = run("sweep", tmp_path / "sweep.yaml", "--store", tmp_path / "store", "--data", mnist_folder)
        assert code == 0
    assert [trial.recipe.validation for trial in asked] == ["published", "patient", "image"]


@pytest.mark.slow
def test_rebuilt_copy_has_the_official_counts_and_eight_images_in_two_splits(tmp_path, shared_mnist, run):
    code, out, _ = run("data", "fetch", "pneumoniamnist", "--from", shared_mnist / "pneumoniamnist_rebuilt.npz",
                       "--unofficial", "--out", tmp_path / "mnist")
    assert code == 0
    assert "(4,708 train, 524 val, 624 test;" in out
    assert "8 groups of identical files lie in more than one split" in out


def test_check_names_the_damaged_image(mnist_folder, run):
    image = next(mnist_folder.glob("train/NORMAL/*.bmp"))
    image.write_bytes(b"BM")
    code, out, _ = run("data", "check", mnist_folder)
    assert code == 2
    assert f"error: train/NORMAL/{image.name}: " in out
    assert "not those that it was written for" in out
