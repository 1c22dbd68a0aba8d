"""The copy at 224 px: byte for byte the evidence's images, whole or not at all."""

from dataclasses import replace

import numpy as np
import pytest
from dicom_files import write_dicom
from PIL import Image

from covidcnn.data.dataset import open_dataset
from covidcnn.data.resized import write_resized
from covidcnn.data.sources import CHEST_XRAY, PHANTOM


def test_originals_become_the_images_of_the_evidence(shared_originals, shared_images, tmp_path, run):
    code, out, err = run("data", "resize", shared_originals, tmp_path / "small")
    assert (code, out) == (0, f"56 images of 224 px: {tmp_path / 'small'}\n"), err
    made = sorted(path.relative_to(tmp_path / "small") for path in (tmp_path / "small").rglob("*.jpeg"))
    assert len(made) == 56
    for path in made:
        assert (tmp_path / "small" / path).read_bytes() == (shared_images / path).read_bytes(), path


def test_names_colour_and_nothing_else_are_kept(small_tree, tmp_path):
    described = Image.Exif()
    described[270] = "somebody's name"
    # Stored lying on its side.
    described[274] = 6
    colour = next(small_tree.rglob("*.jpeg"))
    pixels = np.full((40, 60, 3), (200, 60, 30), np.uint8)
    pixels[:, :30] = 0
    Image.fromarray(pixels).save(colour, exif=described, comment=b"somebody")
    seen = []
    write_resized(open_dataset(small_tree), tmp_path / "copy", lambda *done: seen.append(done))
    assert seen[-1] == (20, 20)
    names = {path.relative_to(small_tree) for path in small_tree.rglob("*.jpeg")}
    assert {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*") if path.is_file()} == names
    with Image.open(tmp_path / "copy" / colour.relative_to(small_tree)) as image:
        assert (image.size, image.mode) == ((224, 224), "RGB")
        assert not image.getexif()
        assert "comment" not in image.info
        # Turned upright: what was on the left is above.
        shown = np.asarray(image, float)
        np.testing.assert_allclose(shown[120:].mean(axis=(0, 1)), (200, 60, 30), atol=6)
        np.testing.assert_allclose(shown[:104].mean(axis=(0, 1)), 0, atol=6)


@pytest.mark.parametrize("same", [True, False])
def test_copy_of_the_published_set_says_whether_it_is_the_evidence(small_tree, tmp_path, run, monkeypatch, same):
    write_resized(open_dataset(small_tree), tmp_path / "first")
    content = open_dataset(tmp_path / "first").content_hash if same else "another"
    monkeypatch.setattr("covidcnn.study.protocol.read_protocol",
                        lambda path: type("Protocol", (), {"data": content}))
    published = replace(open_dataset(small_tree), source=CHEST_XRAY)
    monkeypatch.setattr("covidcnn.cli.data.open_data", lambda *_: published)
    code, out, err = run("data", "resize", small_tree, tmp_path / "second")
    first, *others = out.splitlines()
    assert (code, first) == (0, f"20 images of 224 px: {tmp_path / 'second'}")
    assert others == (["byte for byte those of the evidence"] if same else [])
    assert ("not byte for byte those of the evidence" in err) != same


def test_copy_is_made_where_there_is_no_evidence_to_compare_it_with(small_tree, tmp_path, run, monkeypatch):
    monkeypatch.setattr("covidcnn.study.protocol.REPORTS", tmp_path / "reports")
    published = replace(open_dataset(small_tree), source=CHEST_XRAY)
    monkeypatch.setattr("covidcnn.cli.data.open_data", lambda *_: published)
    assert run("data", "resize", small_tree, tmp_path / "second")[:2] == (
        0, f"20 images of 224 px: {tmp_path / 'second'}\n")


def test_copied_phantoms_are_phantoms(phantom_images, tmp_path):
    write_resized(open_dataset(phantom_images), tmp_path / "copy")
    assert open_dataset(tmp_path / "copy").source is PHANTOM


@pytest.mark.parametrize("spoil", ["no JPEG", "DICOM", "taken"])
def test_what_cannot_be_copied_leaves_all_as_it_was(small_tree, tmp_path, run, spoil):
    (tmp_path / "small_copy").mkdir()
    if spoil == "taken":
        (tmp_path / "small_copy/mine").write_text("kept")
        named = f"{tmp_path / 'small_copy'}: there is something already"
    elif spoil == "DICOM":
        radiograph = next(small_tree.rglob("*.jpeg"))
        write_dicom(radiograph, np.random.default_rng(0).integers(0, 4096, (40, 48), np.uint16), 12)
        named = f"{radiograph}: no JPEG file"
    else:
        radiograph = next(small_tree.rglob("*.jpeg"))
        with Image.open(radiograph) as image:
            image.save(radiograph.with_suffix(".png"))
        radiograph.unlink()
        named = f"{radiograph.with_suffix('.png')}: no JPEG file"
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("data", "resize", small_tree, tmp_path / "small_copy")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert named in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("how", ["vanished", "cut"])
def test_image_that_went_bad_is_named_and_nothing_is_left(small_tree, tmp_path, refused, how):
    dataset = open_dataset(small_tree)
    image = next(small_tree.rglob("*.jpeg"))
    content = image.read_bytes()
    image.unlink()
    if how == "cut":
        image.write_bytes(content[:-300])
    with refused(image, "copy it again or remove it"):
        write_resized(dataset, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_copy_among_the_images_is_refused(small_tree, refused):
    with refused("lies among the images"):
        write_resized(open_dataset(small_tree), small_tree / "train/NORMAL/copy")
    assert not (small_tree / "train/NORMAL/copy").exists()
