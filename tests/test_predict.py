"""``covidcnn predict`` as a user meets it."""

import errno
import gzip
import hashlib
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import encoded, make_tree
from dicom_files import POISONED_BYTES, write_dicom, write_poisoned_dicom
from PIL import Image, ImageDraw

from covidcnn.config import DISCLAIMER
from covidcnn.imaging.reading import read_grey
from covidcnn.models.inspect import as_input
from covidcnn.models.model_file import load_model, save_model
from covidcnn.paths import replacing_folder
from covidcnn.prediction.explain import GradCam, overlay
from covidcnn.prediction.images import find_images

NOISE = np.random.default_rng(0).normal(100, 30, (40, 48)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two folders with an image of the same name in each, a DICOM without an ending, and a text."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("a/image.png", "b/image.png", "b/deep/1.2.3"):
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith("png"):
            Image.fromarray(NOISE).save(folder / name)
        else:
            write_dicom(folder / name, NOISE)
    (folder / "a/notes.txt").write_text("no image")
    (folder / "a/.hidden.png").write_bytes(b"no image")
    return folder


def rows(out):
    return json.loads(out)["images"]


def test_probability_prediction_and_threshold_are_those_of_the_model_file(tiny_model, images, run):
    model, facts = load_model(tiny_model)
    expected = float(model(as_input(facts.images.prepare(NOISE)[np.newaxis]))[0, 0])
    code, out, err = run("predict", tiny_model, images / "a/image.png", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["disclaimer"] == DISCLAIMER
    assert result["probability"] == "of PNEUMONIA"
    (image,) = result["images"]
    assert image["path"] == str(images / "a/image.png")
    assert image["probability"] == pytest.approx(expected, abs=1e-6)
    assert image["predicted"] == ("PNEUMONIA" if expected >= 0.45 else "NORMAL")
    assert image["threshold"] == 0.45
    assert image["warnings"] == []


def test_threshold_of_the_file_decides(tiny_model, images, tmp_path, run):
    import zipfile

    for threshold, predicted in ((0.0, "PNEUMONIA"), (1.0, "NORMAL")):
        with zipfile.ZipFile(tiny_model) as source, zipfile.ZipFile(tmp_path / "m.keras", "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if name == "covidcnn.json":
                    content = json.dumps(json.loads(content) | {"threshold": threshold}).encode()
                target.writestr(name, content)
        _, out, _ = run("predict", tmp_path / "m.keras", images / "a/image.png", "--json")
        assert rows(out)[0]["predicted"] == predicted


def test_same_image_scores_the_same_in_every_file_format(tiny_model, tmp_path, run):
    for ending in ("png", "tiff", "bmp"):
        Image.fromarray(NOISE).save(tmp_path / f"image.{ending}")
    write_dicom(tmp_path / "image.dcm", NOISE)
    write_dicom(tmp_path / "inverted.dcm", 255 - NOISE, PhotometricInterpretation="MONOCHROME1")
    code, out, _ = run("predict", tiny_model, tmp_path, "--json")
    assert code == 0
    assert len(rows(out)) == 5
    assert len({image["probability"] for image in rows(out)}) == 1


def test_folders_are_searched_and_their_order_kept(tiny_model, images, run):
    _, out, _ = run("predict", tiny_model, images / "b", images / "a", images / "a/image.png", "--json")
    assert [image["path"] for image in rows(out)] == [str(images / name) for name in
                                                   ("b/image.png", "b/deep/1.2.3", "a/image.png")]


def test_more_images_than_a_batch_keep_their_own_scores(tiny_model, tmp_path, run, monkeypatch):
    monkeypatch.setattr("covidcnn.prediction.images.BATCH", 3)
    for number in range(8):
        Image.fromarray(np.roll(NOISE, 5 * number)).save(tmp_path / f"{number}.png")
    _, together, _ = run("predict", tiny_model, tmp_path, "--json")
    for image in rows(together):
        _, alone, _ = run("predict", tiny_model, image["path"], "--json")
        assert rows(alone)[0]["probability"] == pytest.approx(image["probability"], abs=1e-6)
    assert len({image["probability"] for image in rows(together)}) == 8


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_list_on_standard_input(tiny_model, images, run, line_end):
    stdin = line_end.join([os.fsencode(images / "b/image.png"), b"", os.fsencode(images / "a")]) + line_end
    code, out, _ = run("predict", tiny_model, "-", "--json", stdin=stdin)
    assert code == 0
    assert [image["path"] for image in rows(out)] == [str(images / "b/image.png"), str(images / "a/image.png")]


def test_table_and_csv_say_the_same_and_that_this_is_no_medical_device(tiny_model, images, run):
    code, table, _ = run("predict", tiny_model, images)
    assert code == 0
    assert DISCLAIMER in table
    assert "probability" in table
    _, text, _ = run("predict", tiny_model, images, "--csv")
    csv = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert list(csv.columns) == ["path", "probability", "predicted", "threshold", "warnings", "note"]
    assert set(csv["note"]) == {DISCLAIMER}
    _, out, _ = run("predict", tiny_model, images, "--json")
    left_out = json.loads(out)["left out"]
    assert [entry["path"] for entry in left_out] == [str(images / "a/notes.txt")]
    assert csv["path"].tolist() == [image["path"] for image in rows(out) + left_out]
    np.testing.assert_allclose(csv["probability"][:-1].astype(float), [image["probability"] for image in rows(out)],
                               rtol=1e-5)


@pytest.mark.parametrize("terminal", [True, False])
def test_table_breaks_no_path(tiny_model, tmp_path, run, monkeypatch, terminal):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "60")
    image = tmp_path / ("long " * 20) / "image.png"
    image.parent.mkdir()
    Image.fromarray(np.full((40, 48), 250, np.uint8)).save(image)
    _, table, _ = run("predict", tiny_model, image)
    assert str(image) in table
    # Piped, nothing is broken.
    assert ("mean grey 250, training images 60 to 140" in table) is not terminal


@pytest.mark.parametrize("name", ["result.csv", "result.json"])
def test_out_is_written_in_the_form_of_its_ending(tiny_model, images, tmp_path, run, name):
    code, out, err = run("predict", tiny_model, images, "--out", tmp_path / "new" / name)
    assert (code, out) == (0, "")
    assert name in err
    _, printed, _ = run("predict", tiny_model, images, f"--{name.rsplit('.', maxsplit=1)[-1]}")
    assert (tmp_path / "new" / name).read_text() == printed
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_what_makes_an_image_unlike_the_training_images_is_told(tiny_model, tmp_path, run):
    Image.fromarray(NOISE).convert("RGB").save(tmp_path / "1-colour.png")
    Image.fromarray(np.full((50, 60), 250, np.uint8)).save(tmp_path / "2-flat.png")
    Image.fromarray(np.repeat(NOISE, 5, 0)).save(tmp_path / "3-tall.png")
    Image.fromarray(NOISE[:16, :19]).save(tmp_path / "4-small.png")
    _, out, err = run("predict", tiny_model, tmp_path, "--json")
    colour, flat, tall, small = [image["warnings"] for image in rows(out)]
    assert colour == small == []
    assert [line.split(",")[0] for line in flat] == ["mean grey 250", "contrast 0"]
    assert "aspect ratio 0.24, training images 1.1 to 1.3" in tall
    # What the model does not see is told once.
    notes = json.loads(out)["notes"]
    assert len(notes) == 2
    assert "1 of 4 files have a shorter side outside 40 to 80 px" in notes[0]
    assert "4-small.png" in notes[0]
    assert "stored in colour" in notes[1]
    assert "1-colour.png" in notes[1]
    assert err == "".join(f"warning: {note}\n" for note in notes)


def test_further_frames_are_told(tiny_model, tmp_path, run):
    write_dicom(tmp_path / "1.dcm", np.stack([NOISE] * 3))
    pages = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]
    pages[0].save(tmp_path / "2.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "3.gif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "4.png")
    _, out, _ = run("predict", tiny_model, tmp_path, "--json")
    assert [image["warnings"] for image in rows(out)] == [
        [f"{count} frames, only the first was scored"] for count in (3, 2, 2)] + [[]]


# ---------------------------------------------------------------- refusals

def test_unreadable_file_ends_all_before_any_output(tiny_model, images, tmp_path, run):
    (tmp_path / "bad.png").write_bytes(b"bad")
    options = ("--out", tmp_path / "out.csv", "--explain", tmp_path / "overlays")
    code, out, err = run("predict", tiny_model, images, tmp_path / "bad.png", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"covidcnn: {tmp_path / 'bad.png'}: not a readable image")
    assert err.count("\n") == 1
    assert "--skip-bad" in err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


@pytest.mark.parametrize("option", ["--out", "--explain"])
def test_place_that_cannot_be_written_is_refused_before_anything_is_scored(tiny_model, images, tmp_path, run,
                                                                           monkeypatch, option):
    monkeypatch.setattr("covidcnn.prediction.score.predict_images", lambda *_: pytest.fail("images were scored"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "a.csv/file").write_text("x")
    places = [tmp_path / "a.csv", tmp_path / "file/new/b.csv"] + [Path("/proc/b.csv")] * Path("/proc/self").exists()
    for place in places:
        code, out, err = run("predict", tiny_model, images, option, place)
        assert (code, out) == (2, "")
        assert err.startswith(f"covidcnn: {place}")
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "file", "file"]


def test_what_a_folder_holds_is_scored_or_named(tiny_model, tmp_path, run):
    image = Image.fromarray(NOISE)
    for name in ("a.jpeg", "b.jfif", "c.jp2", "masks/a.png", "b_mask.png", "IM0001"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.save(tmp_path / name, None if "." in name else "PNG")
    for name in "1234":
        (tmp_path / f"{name}.txt").write_text("x")
    code, out, err = run("predict", tiny_model, tmp_path, "--json")
    assert code == 0
    assert {Path(radiograph["path"]).name for radiograph in rows(out)} == {"IM0001", "a.jpeg", "b.jfif", "c.jp2"}
    assert [Path(entry["path"]).name for entry in json.loads(out)["left out"]] == [
        "1.txt", "2.txt", "3.txt", "4.txt", "b_mask.png", "a.png"]
    texts, masks = err.splitlines()
    assert "left out: 4 files" in texts
    assert "3.txt and 1 more: no image" in texts
    assert "b_mask.png" in masks
    assert "a mask" in masks
    # What is named is meant.
    assert len(rows(run("predict", tiny_model, tmp_path / "masks", "--json")[1])) == 1


def test_folder_without_images_says_what_it_holds(tmp_path, refused):
    (tmp_path / "IM0001").write_bytes(b"x")
    with refused(tmp_path, "no image in this folder", "IM0001"):
        find_images([tmp_path])


def test_archive_is_to_be_unpacked(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    with refused("images.zip", "unpack it (unzip images.zip)"):
        find_images([tmp_path / "images.zip"])


def test_image_that_the_model_was_trained_on_is_told(tiny_model, images, tmp_path, run):
    from dataclasses import replace

    model, facts = load_model(tiny_model)
    digest = hashlib.sha256((images / "a/image.png").read_bytes()).hexdigest()
    for hashes, words in (({"train": digest[:16], "validation": ""}, "trained on"),
                          ({"train": "", "validation": f"0 {digest[:16]}"}, "validated on"),
                          ({"train": "0", "validation": ""}, "")):
        save_model(tmp_path / "m.keras", model, replace(facts, image_hashes=hashes))
        _, out, _ = run("predict", tmp_path / "m.keras", images / "a/image.png", "--json")
        warnings = rows(out)[0]["warnings"]
        assert len(warnings) == bool(words)
        assert all(words in warning and "this very file" in warning for warning in warnings)


@pytest.mark.parametrize("kind", ["pipe", "link", "device"])
def test_out_that_is_no_plain_file_is_written_to_and_stays(tiny_model, images, tmp_path, run, kind):
    out, got = tmp_path / "p.csv", ""
    if kind == "link":
        out.symlink_to(tmp_path / "elsewhere.csv")
        (tmp_path / "elsewhere.csv").write_text("old")
    elif kind == "pipe":
        os.mkfifo(out)
        reader = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    else:
        out = Path(os.devnull)
    code, _, err = run("predict", tiny_model, images / "a/image.png", "--csv", "--out", out)
    assert code == 0, err
    if kind == "link":
        got = (tmp_path / "elsewhere.csv").read_text()
        assert out.is_symlink()
    elif kind == "pipe":
        got = os.read(reader, 10_000).decode()
        os.close(reader)
        assert out.is_fifo()
    else:
        assert out.is_char_device()
    assert kind == "device" or got.startswith("path,probability")


def test_skip_bad_goes_on_with_the_others_and_lists_the_bad(tiny_model, images, tmp_path, run):
    (tmp_path / "bad.png").write_bytes(b"bad")
    code, out, err = run("predict", tiny_model, tmp_path / "bad.png", images / "a", "--json", "--skip-bad")
    assert code == 0
    assert [image["path"] for image in rows(out)] == [str(images / "a/image.png")]
    assert err.splitlines()[1] == (
        f"left out: {tmp_path / 'bad.png'}: not a readable image; copy it again or remove it")
    assert json.loads(out)["left out"][1] == {"path": str(tmp_path / "bad.png"),
                                              "problem": "not a readable image; copy it again or remove it"}
    _, out, _ = run("predict", tiny_model, tmp_path / "bad.png", images / "a", "--csv", "--skip-bad")
    scored, _, bad = pd.read_csv(io.StringIO(out), keep_default_na=False).to_dict("records")
    assert scored["path"] == str(images / "a/image.png")
    assert bad == {"path": str(tmp_path / "bad.png"), "probability": "", "predicted": "", "threshold": "", "warnings":
                   "left out: not a readable image; copy it again or remove it", "note": DISCLAIMER}
    code, out, err = run("predict", tiny_model, tmp_path / "bad.png", "--skip-bad")
    assert (code, out) == (2, "")
    assert "none of 1 files" in err


def test_names_with_line_breaks_colours_or_bytes_that_are_no_text(tiny_model, tmp_path, run):
    names = ["[red]image.png", "line\nbreak.png", "escape\x1b[31m.png", os.fsdecode(b"latin-\xe9.png"),
             "=cmd.png", "<img src=x onerror=alert(1)>.png"]
    for name in names:
        Image.fromarray(NOISE).save(tmp_path / name, format="PNG")
    for options in ((), ("--csv",), ("--json",), ("--out", tmp_path / "out.csv", "--explain", tmp_path / "new")):
        code, out, err = run("predict", tiny_model, tmp_path, *options)
        assert code == 0
        assert "\x1b" not in out + err
    assert "[red]image.png" in run("predict", tiny_model, tmp_path / names[0], "--csv")[1]
    assert len(list((tmp_path / "new").iterdir())) == len(names)
    (tmp_path / "bad\n\x1b.png").write_bytes(b"bad")
    code, _, err = run("predict", tiny_model, tmp_path / "bad\n\x1b.png")
    assert code == 2
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_pipe_is_not_waited_for(tmp_path, refused):
    os.mkfifo(tmp_path / "image.png")
    with refused("image.png", "neither a file nor a folder"):
        find_images([tmp_path / "image.png"])


# ---------------------------------------------------------------- overlays

def test_overlays_are_refused_before_scoring_where_there_is_no_tensorflow(tiny_model, images, tmp_path, run,
                                                                          monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    code, _, err = run("predict", tiny_model, images, "--explain", tmp_path / "overlays")
    assert code == 2
    assert "--explain needs TensorFlow" in err.splitlines()[-1]
    assert not (tmp_path / "overlays").exists()


@pytest.mark.parametrize("pair", ["éè", "ÄÖ", "ДЖ", "Ωλ"])
def test_text_of_overlays_has_letters_and_no_boxes(pair):
    first, second = (np.asarray(overlay(NOISE[:40, :40], np.zeros((40, 40), np.float32), [letter])) for letter in pair)
    assert (first != second).any()


def test_overlays_are_one_an_image_and_say_what_they_are(tiny_model, images, tmp_path, run):
    code, out, _ = run("predict", tiny_model, images, "--explain", tmp_path / "overlays", "--json")
    assert code == 0
    names = [image["overlay"] for image in rows(out)]
    assert sorted(path.name for path in (tmp_path / "overlays").iterdir()) == sorted(names)
    assert names == ["1-image.png", "2-image.png", "3-1.2.png"]
    with Image.open(tmp_path / "overlays" / names[0]) as picture:
        assert picture.text["Disclaimer"] == DISCLAIMER
        assert picture.mode == "RGB"
        assert picture.width == 448
        assert picture.height > 448
    assert [path.name for path in tmp_path.iterdir()] == ["overlays"]


def test_text_stands_below_the_image(monkeypatch):
    texts = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda self, place, text, *rest: texts.append((place, text)))
    picture = overlay(NOISE[:40, :40], np.zeros((40, 40), np.float32), ["PNEUMONIA 0.7", "not a medical device"])
    assert [text for _, text in texts] == ["PNEUMONIA 0.7", "not a medical device"]
    assert all(448 < place[1] < picture.height for place, _ in texts)


def test_overlay_bears_the_warnings_and_no_text_leaves_it(tiny_model, tmp_path, run, monkeypatch):
    drawn, draw = [], ImageDraw.ImageDraw.text

    def record(self, place, text, fill, font):
        drawn.append((self.textbbox(place, text, font), text))
        draw(self, place, text, fill, font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    write_dicom(tmp_path / "image.dcm", np.full((3, 16, 60), 250, np.uint8))
    _, out, _ = run("predict", tiny_model, tmp_path / "image.dcm", "--explain", tmp_path / "overlays", "--json")
    (image,) = rows(out)
    assert len(image["warnings"]) == 4
    text = " ".join(text for _, text in drawn)
    assert all(f"warning: {warning}" in text for warning in image["warnings"])
    with Image.open(tmp_path / "overlays" / image["overlay"]) as picture:
        assert all(left >= 0 and right <= picture.width for (left, _, right, _), _ in drawn)
        bottoms = [448, *(box[3] for box, _ in drawn)]
        assert all(box[1] >= bottom for (box, _), bottom in zip(drawn, bottoms, strict=False))
        assert bottoms[-1] <= picture.height


def test_overlay_without_heat_is_the_image_and_with_heat_is_coloured():
    image = NOISE[:40, :40]
    plain = np.asarray(overlay(image, np.zeros((40, 40), np.float32), []))[:448]
    assert (plain[..., 0] == plain[..., 2]).all()
    heat = np.zeros((40, 40), np.float32)
    heat[:10] = 1
    coloured = np.asarray(overlay(image, heat, []))[:448].astype(int)
    assert np.abs(coloured[:80, :, 0] - coloured[:80, :, 2]).mean() > 20
    np.testing.assert_array_equal(coloured[200:], plain[200:])


def test_heat_is_that_of_the_definition(tiny_model):
    import keras
    import tensorflow as tf

    model, facts = load_model(tiny_model)
    images = np.stack([facts.images.prepare(np.roll(NOISE, shift)) for shift in (0, 400)])
    heat = GradCam(model).heat(images)
    assert heat.shape == (2, 16, 16)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    # By hand: the gradient of the logit is that of the probability divided by p (1 - p).
    part = keras.Model(model.input, [model.get_layer("convolution_2").output, model.output])
    with tf.GradientTape() as tape:
        maps, probability = part(as_input(images), training=False)
    gradient = tape.gradient(probability, maps) / (probability * (1 - probability))[:, :, tf.newaxis, tf.newaxis]
    weights = gradient.numpy().mean((1, 2), keepdims=True)
    expected = np.maximum((weights * maps.numpy()).sum(-1), 0)
    for own, there in zip(expected, heat, strict=True):
        largest = own.max()
        enlarged = cv2.resize(own / largest if largest > 0 else own, (16, 16), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(there, enlarged, atol=1e-4)


def test_heat_finds_what_the_output_hangs_on():
    import keras

    images = keras.Input((16, 16, 1))
    maps = keras.layers.Conv2D(2, 1, use_bias=False, kernel_initializer="ones")(images)
    output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(maps))
    model = keras.Model(images, output)
    weights = np.zeros((16, 16, 2, 1), np.float32)
    # The first map speaks for it everywhere, the second against it.
    weights[:, :, 0], weights[:, :, 1] = 100, -1
    model.layers[-1].set_weights([weights.reshape(-1, 1), np.array([50], np.float32)])
    image = np.zeros((1, 16, 16), np.uint8)
    image[0, 4:8, 10:14] = 200
    heat = GradCam(model).heat(image)[0]
    # Sure of it: the sigmoid is 1 and its slope 0, and still the place is found.
    assert float(model(as_input(image))[0, 0]) == 1
    np.testing.assert_array_equal(heat, (image[0] > 0).astype(np.float32))


def test_table_in_the_folder_of_overlays_is_refused_before_anything_is_written(tiny_model, images, tmp_path, run):
    code, _, err = run("predict", tiny_model, images, "--explain", tmp_path / "overlays",
                       "--out", tmp_path / "overlays/p.csv")
    assert code == 2
    assert "overlays/p.csv: lies in the folder of --explain" in err.splitlines()[-1]
    assert not (tmp_path / "overlays").exists()


def test_overlays_do_not_join_other_files(tiny_model, images, tmp_path, run):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    code, _, err = run("predict", tiny_model, images, "--explain", tmp_path / "mine")
    assert code == 2
    assert "choose a new or empty folder" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


@pytest.mark.parametrize("full", ["overlay", "table"])
def test_full_disk_is_one_line_and_leaves_nothing_half_written(tiny_model, images, tmp_path, run, monkeypatch, full):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if full == "overlay":
        monkeypatch.setattr(Image.Image, "save", fail)
    else:
        monkeypatch.setattr(Path, "write_text", fail)
    code, out, err = run("predict", tiny_model, images, "--out", tmp_path / "a.csv", "--explain", tmp_path / "overlays")
    assert (code, out) == (2, "")
    assert "No space left on device" in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_killed_writing_of_a_folder_leaves_nothing_that_counts(tmp_path):
    import subprocess
    import sys

    script = ("import os, signal; from pathlib import Path; from covidcnn.paths import replacing_folder\n"
              f"with replacing_folder(Path({str(tmp_path / 'out')!r})) as folder:\n"
              "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)")
    subprocess.run([sys.executable, "-c", script], check=False)
    assert not (tmp_path / "out").exists()
    with replacing_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


# ---------------------------------------------------------------- what stands in a DICOM header

def held_by(path):
    """Everything that a file holds, unpacked too."""
    held = [path.read_bytes()]
    if path.suffix == ".gz":
        held.append(gzip.decompress(held[0]))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            held += [archive.read(name) for name in archive.namelist()]
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
            held += [str(picture.info).encode(), picture.getexif().tobytes()]
    return b"".join(held)


@pytest.mark.long
@pytest.mark.slow
def test_no_command_prints_writes_or_logs_a_word_of_a_header(tiny_model, tmp_path, run, caplog, recwarn, monkeypatch):
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "cache"))
    caplog.set_level(0)
    data = make_tree(tmp_path / "data", {"train": (6, 8), "val": (2, 2), "test": (2, 2)})
    for number, path in enumerate(sorted(data.rglob("*.jpeg"))):
        write_poisoned_dicom(path.with_suffix(".dcm"), read_grey(path),
                             PhotometricInterpretation=("MONOCHROME1", "MONOCHROME2")[number % 2])
        path.unlink()
    bad = tmp_path / "bad"
    shutil.copytree(data, bad)
    sound = (data / "test/NORMAL").iterdir()
    whole = next(sound).read_bytes()
    (bad / "test/NORMAL/cut.dcm").write_bytes(whole[:-300])
    write_dicom(bad / "test/NORMAL/kind.dcm", NOISE, PhotometricInterpretation="POISONOUS")
    write_dicom(bad / "test/NORMAL/window.dcm", NOISE, WindowCenter="1", WindowWidth="19420230")
    spec = tmp_path / "sweep.yaml"
    spec.write_text("seeds: [0]\nrecipe: {epochs: 1, size: 16, filters: [4]}")
    said = []
    for arguments in (
        ("data", "check", data), ("data", "check", data, "--json"), ("data", "check", bad),
        ("train", "--data", data, "--out", tmp_path / "out/model", "--size", 16, "--epochs", 1),
        ("train", "--data", bad, "--out", tmp_path / "out/bad", "--size", 16, "--epochs", 1),
        ("evaluate", tiny_model, "--data", data, "--bootstrap-samples", 10),
        ("evaluate", tiny_model, "--data", bad, "--skip-bad", "--json", "--bootstrap-samples", 10),
        ("predict", tiny_model, data), ("predict", tiny_model, bad), ("predict", tiny_model, bad, "--skip-bad"),
        ("predict", tiny_model, data, "--out", tmp_path / "out/a.csv", "--explain", tmp_path / "out/overlays"),
        ("predict", tiny_model, data, "--out", tmp_path / "out/a.json"),
        ("report", "--data", bad, "--profile", "smoke", "--out", tmp_path / "out/report"),
        ("report", "--data", bad, "--profile", "smoke", "--out", tmp_path / "out/report", "--only", "01", "--skip-bad"),
        ("sweep", spec, "--data", data, "--store", tmp_path / "out/store"), ("trials", tmp_path / "out/store"),
    ):
        code, out, err = run(*arguments)
        assert code == (2 if bad in arguments and "--skip-bad" not in arguments else 0), (arguments, err)
        said += [out, err]
    said += [record.getMessage() for record in caplog.records] + [str(warning.message) for warning in recwarn]
    written = [path for folder in ("out", "cache") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    for ending in (".csv", ".json", ".png", ".svg", ".html", ".ipynb", ".txt", ".gz", ".keras", ".npy", ".md"):
        assert any(path.suffix == ending for path in written), ending
    for word in POISONED_BYTES:
        assert word.decode() not in "".join(said)
        for path in written:
            assert word not in held_by(path), path


def test_picture_file_of_an_image_holds_no_metadata_of_it(tiny_model, tmp_path, run):
    exif = Image.Exif()
    exif[0x010E] = "Poisonous^Jane"
    (tmp_path / "image.jpeg").write_bytes(encoded(Image.fromarray(NOISE), "JPEG", exif=exif))
    run("predict", tiny_model, tmp_path / "image.jpeg", "--explain", tmp_path / "overlays")
    (overlay_path,) = (tmp_path / "overlays").iterdir()
    assert b"Poisonous" not in overlay_path.read_bytes()
