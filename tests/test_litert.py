"""Networks as LiteRT files: ``covidcnn export``, and what scores images with them."""

import io
import itertools
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from model_files import with_few_layers

from covidcnn.data.cache import load_images
from covidcnn.data.dataset import open_dataset
from covidcnn.data.phantom import draw_image, plan_images
from covidcnn.errors import DataError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.litert import calibration_images, save_litert
from covidcnn.models.model_file import MEMBER, ModelFacts, load_model, load_predictor, save_model
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.models.registry import NETWORKS, untrained
from covidcnn.paths import PROJECT
from covidcnn.perturbations import PERTURBATIONS
from covidcnn.task import PNEUMONIA, SUBTYPE
from covidcnn.training.recipe import Recipe
from covidcnn.trials.session import train_into

interpreter = pytest.importorskip("ai_edge_litert.interpreter",
                                  reason="ai-edge-litert is not installed (the extra 'edge')")
FACTS = ModelFacts(ImageSettings(32), 0.5, "0.5", {})


@pytest.fixture(scope="module")
def exported(tiny_model, tmp_path_factory):
    """The tiny model in floats."""
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    save_litert(path, *load_model(tiny_model))
    return path


@pytest.fixture(scope="module")
def phantoms():
    return np.stack([ImageSettings(32).prepare(draw_image(plan)) for plan in plan_images({"test": 12})])


@pytest.fixture(scope="module")
def trained(phantom_images, tmp_path_factory):
    """A folder with a model that was trained on phantom images, and it in floats and in whole numbers."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    recipe = Recipe(6, ImageSettings(32), PaperCnn(filters=(8, 16, 32), batch_norm_momentum=0.8), batch_size=16,
                    precision="float32", validation_fraction=0.2)
    dataset = open_dataset(phantom_images)
    train_into(folder, dataset, recipe, 0, "youden")
    model, facts = load_model(folder / "model.keras")
    save_litert(folder / "float32.tflite", model, facts)
    save_litert(folder / "int8.tflite", model, facts, calibration_images(dataset, facts, 40))
    return folder


def probabilities(path, images):
    return load_predictor(path)[0](images)


def split(path):
    """The network and the archive of a LiteRT file."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as members:
        place = members.getinfo(MEMBER).header_offset
    return content[:place], content[place:]


def with_facts_of(network, path, **changes):
    """A LiteRT file of another's facts, with changes."""
    with zipfile.ZipFile(path) as members:
        facts = json.loads(members.read(MEMBER))
    content = io.BytesIO(network)
    with zipfile.ZipFile(content, "a") as members:
        members.writestr(MEMBER, json.dumps(facts | changes))
    return content.getvalue()


@pytest.mark.parametrize(("name", "task"), zip(NETWORKS, itertools.cycle((PNEUMONIA, SUBTYPE)), strict=False))
def test_every_network_gives_in_floats_what_it_gives_in_keras(name, task, phantoms, tmp_path, monkeypatch):
    with_few_layers(monkeypatch)
    network, generator = untrained(NETWORKS[name]()).build(task, 32, 0), np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # As after a training, or worse: factors of either sign, and of different sizes.
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([generator.normal(0, 1, gamma.shape), generator.normal(0, 0.1, beta.shape),
                               generator.normal(0, 0.1, mean.shape), generator.uniform(0.01, 2, variance.shape)])
    facts = replace(FACTS, task=task)
    save_model(tmp_path / "model.keras", network, facts)
    weights = network.get_weights()
    save_litert(tmp_path / "model.tflite", network, facts)
    expected, got = (probabilities(tmp_path / f"model.{ending}", phantoms) for ending in ("keras", "tflite"))
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    for before, now in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(now, before)


def test_rows_and_perturbations_are_scored_as_asked_for(tiny_model, exported):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    in_keras, in_litert = load_predictor(tiny_model)[0], load_predictor(exported)[0]
    rows, perturbation = np.array([3, 1]), next(iter(PERTURBATIONS))
    np.testing.assert_allclose(in_litert(images, rows, perturbation), in_keras(images, rows, perturbation), atol=1e-5)
    assert in_litert(images[:0]).shape == (0, 2)


def test_probabilities_of_large_logits_are_no_overflow():
    logits = np.array([[-2000.0], [0.0], [2000.0]])
    np.testing.assert_array_equal(PNEUMONIA.probabilities_of_logits(logits), [[1, 0], [0.5, 0.5], [0, 1]])
    np.testing.assert_allclose(SUBTYPE.probabilities_of_logits(np.log([[2.0, 3, 5]])), [[0.2, 0.3, 0.5]])


def test_whole_numbers_predict_as_floats_do(trained):
    _, facts = load_model(trained / "model.keras")
    images = np.stack([facts.images.prepare(draw_image(plan)) for plan in plan_images({"test": 100}, seed=1)])
    expected, floats, whole = (probabilities(trained / name, images)
                               for name in ("model.keras", "float32.tflite", "int8.tflite"))
    np.testing.assert_allclose(floats, expected, atol=1e-5)
    predicted = facts.task.predict(expected, facts.threshold)
    assert 0.1 < predicted.mean() < 0.9
    assert (facts.task.predict(whole, facts.threshold) == predicted).mean() >= 0.95
    # Without a large shift of all of them, which the threshold would not know of.
    logits = [np.log(each[:, 1] / each[:, 0]) for each in (expected, whole)]
    assert abs((logits[1] - logits[0]).mean()) < 0.1 * logits[0].std()
    # As many as there are levels in the range, and not two or three.
    assert len(np.unique(whole[:, 1])) > 20


def test_numbers_are_whole_between_the_ends(trained):
    network, _ = split(trained / "int8.tflite")
    run = interpreter.Interpreter(model_content=network)
    run.allocate_tensors()
    (entry,), (end,) = run.get_input_details(), run.get_output_details()
    assert (entry["dtype"], end["dtype"]) == (np.uint8, np.float32)
    assert entry["quantization"] == (np.float32(1 / 255), 0)
    assert {tensor["dtype"] for tensor in run.get_tensor_details()
            if tensor["index"] not in (entry["index"], end["index"])} == {np.int8, np.int32}
    floats, _ = split(trained / "float32.tflite")
    assert len(network) < 0.3 * len(floats)


def test_facts_travel_with_the_network(trained):
    _, facts = load_model(trained / "model.keras")
    for numbers, images in (("float32", 0), ("int8", 40)):
        _, again = load_predictor(trained / f"{numbers}.tflite")
        assert replace(again, export=None) == facts
        assert (again.export["numbers"], again.export["calibration images"]) == (numbers, images)


def test_calibration_images_are_training_images_evenly_over_the_classes(tiny_tree, monkeypatch):
    monkeypatch.setattr("covidcnn.models.litert.load_images", lambda root, images, settings: images)
    dataset = open_dataset(tiny_tree)
    train = dataset.images[dataset.images["split"] == "train"]
    hashes = train["sha256"].str[:16]
    known = {"train": " ".join(hashes[::2]), "validation": " ".join(hashes[1::2])}
    for hashes, allowed in ((known, train[::2]), (None, train)):
        facts = replace(FACTS, image_hashes=hashes)
        drawn = calibration_images(dataset, facts, 20)
        assert drawn["label"].value_counts().to_dict() == {"NORMAL": 10, "PNEUMONIA": 10}
        assert set(drawn["path"]) <= set(allowed["path"])
        # Whatever the order of the files.
        shuffled = replace(dataset, images=dataset.images[::-1])
        assert calibration_images(shuffled, facts, 20)["path"].tolist() == drawn["path"].tolist()
        assert set(calibration_images(dataset, facts, 20, seed=1)["path"]) != set(drawn["path"])
        # All of a class that has not so many.
        assert calibration_images(dataset, facts, 2 * len(train)).shape == allowed.shape


def test_images_that_the_model_did_not_learn_from_calibrate_nothing(tiny_tree, refused):
    facts = replace(FACTS, image_hashes={"train": "0" * 16, "validation": ""})
    with refused(tiny_tree, "trained on none of these images", error=DataError):
        calibration_images(open_dataset(tiny_tree), facts)


@pytest.mark.parametrize("kind", ["empty", "mark", "head", "half", "archive cut", "without facts", "other facts",
                                  "byte", "behind", "facts of a keras file", "no network"])
def test_file_that_is_not_whole_or_has_the_facts_of_another_is_refused(kind, exported, tiny_model, tmp_path, run):
    network, archive = split(exported)
    middle = len(network) // 2
    with zipfile.ZipFile(tiny_model) as members:
        of_keras = members.read(MEMBER)
    other = io.BytesIO(network)
    with zipfile.ZipFile(other, "a") as members:
        members.writestr(MEMBER, of_keras)
    path = tmp_path / "model.tflite"
    path.write_bytes({
        "empty": b"", "mark": b"\x1c\0\0\0TFL3", "head": network[:100], "half": network[:middle],
        "archive cut": (network + archive)[:-30], "without facts": network,
        "other facts": with_facts_of(network, exported, export={"sha256": "0" * 64}),
        "byte": network[:middle] + bytes([network[middle] ^ 1]) + network[middle + 1:] + archive,
        "behind": network + b"\0" * 8 + archive, "facts of a keras file": other.getvalue(), "no network": archive,
    }[kind])
    code, out, err = run("predict", path, tmp_path)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"covidcnn: {path}: ")


def test_network_of_another_model_is_refused(exported, tiny_model, tmp_path, refused):
    _, facts = load_model(tiny_model)
    save_litert(tmp_path / "other.tflite", PaperCnn(filters=(4, 8)).build(PNEUMONIA, 16, 1), facts)
    own, other = split(exported), split(tmp_path / "other.tflite")
    (tmp_path / "swapped.tflite").write_bytes(other[0] + own[1])
    with refused("swapped.tflite", "another network", error=DataError):
        load_predictor(tmp_path / "swapped.tflite")
    # Facts of another image size, though of this network by their word.
    (tmp_path / "size.tflite").write_bytes(with_facts_of(own[0], exported, images={"size": 32}))
    with refused("size.tflite", "LiteRT cannot load it", error=DataError):
        load_predictor(tmp_path / "size.tflite")
    with refused("model.tflite", "so Keras cannot load it safely", error=DataError):
        load_model(exported)


def test_evaluate_says_of_an_exported_model_what_it_says_of_its_source(tiny_model, exported, tiny_tree, run):
    results = []
    for path in (tiny_model, exported):
        code, out, err = run("evaluate", path, "--data", tiny_tree, "--json", "--bootstrap-samples", 10)
        assert code == 0, err
        results.append(json.loads(out))
    assert list(results[0]) == list(results[1])
    for name, metric in results[0]["metrics"].items():
        assert results[1]["metrics"][name]["value"] == pytest.approx(metric["value"], abs=1e-6)
    assert results[0]["confusion matrix"] == results[1]["confusion matrix"]


def test_command_exports_what_predict_takes(tiny_model, tiny_tree, tmp_path, run):
    code, out, err = run("export", tiny_model, "--int8", "--data", tiny_tree, "--images", 8, "--out",
                         tmp_path / "model")
    assert (code, out) == (0, "")
    assert [line for line in err.splitlines() if not line.startswith("warning")] == [
        "calibrated on 8 training images", f"int8, 0.0 MB: {tmp_path / 'model'}"]
    code, out, err = run("predict", tmp_path / "model", tiny_tree / "test", "--json")
    assert (code, err, len(json.loads(out)["images"])) == (0, "", 32)
    code, _, err = run("predict", tmp_path / "model", tiny_tree / "test", "--explain", tmp_path / "maps")
    assert (code, err.count("\n"), "there is no heat map" in err) == (2, 1, True)
    for arguments, words in ((["--to", "onnx"], "choose litert"), (["--data", tiny_tree], "only --int8 takes images"),
                             (["--images", 8], "only --int8 takes images"),
                             (["--labels", "l.csv"], "only --int8 takes images")):
        code, _, err = run("export", tiny_model, *arguments, "--out", tmp_path / "no")
        assert (code, err.count("\n"), words in err) == (2, 1, True)
    code, _, err = run("export", tmp_path / "model", "--out", tmp_path / "no")
    assert (code, err.count("\n"), "no network in Keras" in err) == (2, 1, True)


def test_export_needs_tensorflow(tiny_model, tmp_path, monkeypatch, refused):
    monkeypatch.setattr("covidcnn.models.litert.tf", None)
    with refused("KERAS_BACKEND=tensorflow"):
        save_litert(tmp_path / "model.tflite", *load_model(tiny_model))


def test_without_the_runtime_the_extra_is_named(exported, monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with refused(exported, "pip install ai-edge-litert", "'edge'"):
        load_predictor(exported)


SMALL_DEVICE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {"tensorflow", "keras", "scipy", "sklearn", "skimage", "skops", "joblib", "matplotlib", "pydicom",
                    "statsmodels", "filelock", "requests", "h5py"}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Missing())
from covidcnn.cli import main
main()
"""


def _with_what_evaluate_needs(program):
    for name in ("scipy", "sklearn", "joblib", "statsmodels", "filelock"):
        program = program.replace(f'"{name}"', '"-"')
    return program


def test_small_runtime_alone_runs_the_file(exported, tiny_model, tiny_tree, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)])}

    def on_a_small_device(model):
        return subprocess.run([sys.executable, "-c", SMALL_DEVICE, "predict", model, tiny_tree / "test", "--json"],
                              cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = on_a_small_device(exported)
    assert (done.returncode, done.stderr) == (0, "")
    scores = {Path(image["path"]).name: image["probability"] for image in json.loads(done.stdout)["images"]}
    predictor, facts = load_predictor(tiny_model)
    images = open_dataset(tiny_tree).images
    test = images[images["split"] == "test"]
    expected = predictor(load_images(tiny_tree, test, facts.images))[:, 1]
    assert [scores[Path(path).name] for path in test["path"]] == pytest.approx(expected.tolist(), abs=1e-5)
    # What docs/edge.md asks for is enough to evaluate, too.
    evaluated = subprocess.run([sys.executable, "-c", _with_what_evaluate_needs(SMALL_DEVICE), "evaluate", exported,
                                "--data", tiny_tree, "--json", "--bootstrap-samples", "10"],
                               cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert evaluated.returncode == 0, evaluated.stderr
    refusal = on_a_small_device(tiny_model)
    assert (refusal.returncode, refusal.stderr.count("\n"), "the package keras" in refusal.stderr) == (2, 1, True)
