"""The file a trained model travels in."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from covidcnn.data.dataset import open_dataset
from covidcnn.errors import DataError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.model_file import DISCLAIMER, MEMBER, ModelFacts, load_model, save_model, short_hashes
from covidcnn.models.paper_cnn import PaperCnn, paper_cnn
from covidcnn.training.recipe import Recipe
from covidcnn.trials.session import train_into

FACTS = ModelFacts(ImageSettings(16, "equalize", "linear", pad=True), 0.37, "youden on validation",
                   {"seed": 3, "optimizer": "Nadam", "data": "phantom"})
IMAGES = np.random.default_rng(0).random((4, 16, 16, 1), np.float32)


@pytest.fixture(scope="module")
def model():
    return paper_cnn(16, filters=(4, 8))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(path, model, FACTS)
    return path


def with_member(source, target, text):
    """A copy of a model file whose covidcnn.json is ``text``, or absent if None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            if member.filename != MEMBER:
                new.writestr(member, old.read(member))
        if text is not None:
            new.writestr(MEMBER, text)
    return target


def test_model_and_facts_come_back_as_they_were(saved, model):
    loaded, facts = load_model(saved)
    assert facts == FACTS
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_hashes_of_a_large_training_stay_small(model, tmp_path):
    images = pd.DataFrame({"role": ["train"] * 4500 + ["validation"] * 500 + ["test"] * 100})
    images["sha256"] = [hashlib.sha256(str(number).encode()).hexdigest() for number in images.index]
    save_model(tmp_path / "m.keras", model, replace(FACTS, image_hashes=short_hashes(images)))
    with zipfile.ZipFile(tmp_path / "m.keras") as members:
        assert members.getinfo(MEMBER).file_size < 100_000
    known = load_model(tmp_path / "m.keras")[1].known_as(images["sha256"])
    assert known == ["train"] * 4500 + ["validation"] * 500 + [""] * 100


@pytest.mark.parametrize("hashes", [3, "train", {"train": "0"}, {"train": ["0"], "validation": []}])
def test_hashes_of_another_kind_are_refused(saved, tmp_path, refused, hashes):
    with zipfile.ZipFile(saved) as members:
        facts = json.loads(members.read(MEMBER))
    path = with_member(saved, tmp_path / "m.keras", json.dumps(facts | {"image_hashes": hashes}))
    with refused("m.keras", "damaged", error=DataError):
        load_model(path)


def test_saving_leaves_the_one_file(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["model.keras"]


def test_saving_replaces_an_older_model(saved, model, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    save_model(path, model, FACTS)
    assert load_model(path)[1] == FACTS


@pytest.mark.parametrize("name", ["model", "model.v2.keras", "my.model"])
def test_name_of_the_file_is_free(model, tmp_path, name):
    save_model(tmp_path / name, model, FACTS)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with zipfile.ZipFile(tmp_path / name) as members:
        assert MEMBER in members.namelist()


def test_facts_say_what_a_later_user_must_not_guess(saved):
    with zipfile.ZipFile(saved) as members:
        facts = json.loads(members.read(MEMBER))
    assert facts["images"] == {"size": 16, "preprocess": "equalize", "interpolation": "linear", "pad": True}
    assert (facts["threshold"], facts["threshold_rule"]) == (0.37, "youden on validation")
    assert facts["task"] == {"classes": ["NORMAL", "PNEUMONIA"], "column": "label"}
    assert facts["training"]["seed"] == 3
    assert facts["disclaimer"] == DISCLAIMER
    assert "Not a medical device" in DISCLAIMER


@pytest.mark.long
@pytest.mark.slow
def test_plain_keras_loads_the_file_without_this_project(saved, model, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    script = (
        "import sys; sys.modules['covidcnn'] = None\n"
        "import keras, numpy as np\n"
        f"model = keras.models.load_model({str(saved)!r})\n"
        "np.save('scores.npy', model(np.load('images.npy')))\n"
    )
    # -I: neither this folder nor PYTHONPATH is looked into.
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True, capture_output=True,
                   env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"})
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), model(IMAGES))


def test_failed_save_leaves_nothing(model, tmp_path, refused):
    (tmp_path / "file").write_text("x")
    with refused(tmp_path / "file" / "model.keras", "choose another folder"):
        save_model(tmp_path / "file" / "model.keras", model, FACTS)
    with pytest.raises(TypeError):
        save_model(tmp_path / "model.keras", model, ModelFacts(ImageSettings(16), 0.5, "0.5", {"bad": object()}))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_missing_model_is_refused(tmp_path, refused):
    with refused(tmp_path / "model.keras", "no such model file", "covidcnn train", error=DataError):
        load_model(tmp_path / "model.keras")


def test_plain_keras_model_is_refused_for_what_it_does_not_say(model, tmp_path, refused):
    model.save(tmp_path / "plain.keras")
    with refused("plain.keras", MEMBER, "covidcnn train", error=DataError):
        load_model(tmp_path / "plain.keras")


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_file_that_is_no_archive_is_refused(tmp_path, refused, content):
    (tmp_path / "model.keras").write_bytes(content)
    with refused("model.keras", "covidcnn train", error=DataError):
        load_model(tmp_path / "model.keras")


def test_model_file_cut_short_is_refused(saved, tmp_path, refused):
    (tmp_path / "cut.keras").write_bytes(saved.read_bytes()[:-200])
    with refused("cut.keras", "covidcnn train", error=DataError):
        load_model(tmp_path / "cut.keras")


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", "{}", '{"images": {"width": 3}}',
                                  '{"images": {"size": 16, "preprocess": "sharpen"}, "class_names": []}'])
def test_model_file_with_facts_of_another_kind_is_refused_by_its_name(saved, tmp_path, refused, text):
    path = with_member(saved, tmp_path / "other.keras", text)
    with refused("other.keras", error=DataError):
        load_model(path)


def test_archive_without_a_keras_model_is_refused(saved, tmp_path, refused):
    with zipfile.ZipFile(saved) as members:
        facts = members.read(MEMBER)
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as members:
        members.writestr(MEMBER, facts)
    with refused("empty.keras", "Keras cannot load it", error=DataError):
        load_model(tmp_path / "empty.keras")


@pytest.mark.long
@pytest.mark.slow
def test_model_trained_in_bfloat16_loads_without_covidcnn_and_gives_the_same_scores(tiny_tree, tmp_path):
    recipe = Recipe(1, ImageSettings(16), PaperCnn(filters=(4, 8), batch_norm_momentum=0.5), batch_size=8,
                    precision="bfloat16", validation_fraction=0.3)
    training = train_into(tmp_path / "out", open_dataset(tiny_tree), recipe, 0)
    pixels = np.random.default_rng(0).random((5, 16, 16, 1), dtype=np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    code = ("import sys; sys.modules['covidcnn'] = None\n"
            "import keras, numpy as np\n"
            f"model = keras.models.load_model({str(tmp_path / 'out' / 'model.keras')!r})\n"
            f"np.save({str(tmp_path / 'scores.npy')!r}, model.predict(np.load({str(tmp_path / 'pixels.npy')!r})))\n")
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), training.model.predict(pixels, verbose=0))
