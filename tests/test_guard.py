"""A model file never runs code, and nothing of it is unpacked but what Keras reads."""

import json
import sys
import tempfile
import zipfile

import keras
import numpy as np
import pytest
from model_files import altered, pickled, with_external_link, with_facts, with_layer, with_strange_members

from covidcnn.config import DISCLAIMER
from covidcnn.errors import DataError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.allow_list import ALLOWED, CONFIG, require_known_parts
from covidcnn.models.model_file import ModelFacts, load_model, save_model
from covidcnn.models.registry import NETWORKS, untrained
from covidcnn.task import PNEUMONIA, SUBTYPE

IMAGE = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)


def test_every_registered_model_passes_and_together_they_need_all_that_is_allowed(tmp_path):
    texts = ""
    for options in NETWORKS.values():
        for task in (PNEUMONIA, SUBTYPE):
            facts = ModelFacts(ImageSettings(32), 0.5, "0.5", {}, task)
            save_model(tmp_path / "m.keras", untrained(options()).build(task, 32, 0), facts)
            assert load_model(tmp_path / "m.keras")[1].task == task
            with zipfile.ZipFile(tmp_path / "m.keras") as archive:
                texts += archive.read(CONFIG).decode()
    dense = NETWORKS["keras-applications"](network="DenseNet121", pretrained=False).build(PNEUMONIA, 32, 0).to_json()
    require_known_parts(dense.encode())
    assert {name for _, name in ALLOWED if name not in texts + dense} == set()


@pytest.mark.parametrize("layer", [
    {"module": "evil_module", "class_name": "Evil"},
    {"module": "keras.src.evil_module", "class_name": "Evil"},
    {"module": "keras_hub.evil", "class_name": "Evil"},
    {"module": "builtins", "class_name": "eval"},
    {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
    {"module": "keras.layers", "class_name": "Lambda"},
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "saved"}},
    {"module": "keras.layers", "class_name": "Dropout", "registered_name": "mine>Evil"},
    {"module": "covidcnn", "class_name": "Evil", "registered_name": "mine>Evil"},
    {"module": "keras.utils", "class_name": "get_file"},
    {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}},
    {"config": {"rate": {"class_name": "__typespec__", "module": "evil_module", "spec_name": "Evil",
                         "registered_name": None, "config": []}}},
    {"module": ["keras.layers"], "class_name": ["Dropout"]},
])
def test_network_with_a_foreign_part_is_refused_before_anything_is_imported(tiny_model, tmp_path, monkeypatch, refused,
                                                                            layer):
    (tmp_path / "evil_module.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass Evil:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    ran = []

    class Evil(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__()
            ran.append(options)

    before = dict(keras.saving.get_custom_objects())
    keras.saving.register_keras_serializable("mine", "Evil")(Evil)
    try:
        path = altered(tiny_model, tmp_path / "m.keras", config=with_layer(**layer))
        with refused(path, "not one that covidcnn train saves", error=DataError):
            load_model(path)
    finally:
        keras.saving.get_custom_objects().clear()
        keras.saving.get_custom_objects().update(before)
    assert not ran
    assert "evil_module" not in sys.modules
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"class_name": "Sequential", "module": "keras"}',
                                    b'{"a":' * 100_000, b"[" * 100_000, b"\xff\xfe"])
def test_configuration_of_another_kind_is_refused(tiny_model, tmp_path, refused, config):
    with pytest.raises((ValueError, RecursionError)):
        require_known_parts(config)
    path = altered(tiny_model, tmp_path / "m.keras", config=config)
    with refused(path, "train the model again", error=DataError):
        load_model(path)


def test_no_pickle_is_read(tiny_model, tmp_path, refused):
    evil = pickled(tmp_path / "ran")
    (tmp_path / "plain.keras").write_bytes(evil)
    with zipfile.ZipFile(tmp_path / "npz.zip", "w") as archive:
        archive.writestr("layers.npy", evil)
    altered(tiny_model, tmp_path / "weights.keras", model=evil)
    npz = altered(tiny_model, tmp_path / "npz.keras", model=None)
    with zipfile.ZipFile(npz, "a") as archive:
        archive.writestr("model.weights.npz", (tmp_path / "npz.zip").read_bytes())
    for name in ("plain.keras", "weights.keras", "npz.keras"):
        with refused(name, error=DataError):
            load_model(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_weights_that_lead_to_another_file_are_refused(tiny_model, tmp_path, refused):
    path = altered(tiny_model, tmp_path / "m.keras", model=with_external_link)
    with refused(path, "Keras cannot load it", error=DataError):
        load_model(path)


def test_strange_members_are_not_unpacked(tiny_model, tmp_path, monkeypatch):
    path = with_strange_members(tiny_model, tmp_path / "m.keras")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    seen = []
    load = keras.models.load_model

    def spy(archive, **options):
        with zipfile.ZipFile(archive) as members:
            seen.extend(members.namelist())
        return load(archive, **options)

    monkeypatch.setattr(keras.models, "load_model", spy)
    model, _ = load_model(path)
    assert sorted(seen) == ["config.json", "metadata.json", "model.weights.h5"]
    np.testing.assert_array_equal(model(IMAGE), load_model(tiny_model)[0](IMAGE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.keras", "temporary"]
    assert list(temporary.iterdir()) == []


def test_member_that_swells_is_refused(tiny_model, tmp_path, refused):
    for member in ("covidcnn", "config"):
        path = altered(tiny_model, tmp_path / f"{member}.keras", **{member: b" " * 50_000_000})
        assert path.stat().st_size < 1_000_000
        with refused(path, "not a model file, or damaged", error=DataError):
            load_model(path)


def test_model_file_may_have_any_name(tiny_model, tmp_path):
    for name in ("model", "model.v2", "hf:--x"):
        (tmp_path / name).write_bytes(tiny_model.read_bytes())
        np.testing.assert_array_equal(load_model(tmp_path / name)[0](IMAGE), load_model(tiny_model)[0](IMAGE))


def test_file_cannot_unsay_that_it_is_no_medical_device(tiny_model, tmp_path):
    path = altered(tiny_model, tmp_path / "m.keras", covidcnn=with_facts(disclaimer="Certified."))
    assert load_model(path)[1].disclaimer == DISCLAIMER


@pytest.mark.parametrize("facts", [
    {"threshold": float("nan")}, {"threshold": True}, {"training": "x"}, {"appearance": {"images": 1}},
    {"appearance": 3}, {"images": {"size": 10**9}}, {"images": {"size": "16"}}, {"images": {"size": 16, "pad": "no"}},
    {"class_names": 3}, {"extra": 1}])
def test_facts_of_another_kind_are_refused(tiny_model, tmp_path, refused, facts):
    path = altered(tiny_model, tmp_path / "m.keras", covidcnn=with_facts(**facts))
    with refused(path, "not a model file, or damaged", error=DataError):
        load_model(path)


def test_file_of_before_has_no_appearance(tiny_model, tmp_path):
    def without(text):
        facts = json.loads(text)
        del facts["appearance"]
        return json.dumps(facts).encode()

    assert load_model(altered(tiny_model, tmp_path / "m.keras", covidcnn=without))[1].appearance is None
