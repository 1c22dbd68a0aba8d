"""Every registered model: built from its seed alone, trained in a form of its own, gone on with after a break."""

import importlib
import io
import json
import os
import re
from dataclasses import asdict

import keras
import numpy as np
import pandas as pd
import pytest
from model_files import with_few_layers
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tensorflow.python.framework.config import disable_op_determinism

from covidcnn.backend import tf
from covidcnn.data.dataset import open_dataset
from covidcnn.errors import DataError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.classical import features_of
from covidcnn.models.fused import FusedBatchNormalization, training_form
from covidcnn.models.inspect import model_table, multiply_adds
from covidcnn.models.model_file import ModelFacts, load_predictor, save_model
from covidcnn.models.paper_cnn import paper_cnn
from covidcnn.models.predictor import ClassicalPredictor
from covidcnn.models.registry import CLASSICAL, MODELS, NETWORKS, model_named, name_of, untrained
from covidcnn.paths import PROJECT
from covidcnn.prediction.explain import GradCam
from covidcnn.task import PNEUMONIA, SUBTYPE
from covidcnn.training.fit import UNFINISHED, train
from covidcnn.training.recipe import Recipe
from covidcnn.trials.trial import pin_trial

SMALL = {"paper": {"filters": (4, 8)}, "five-block": {}, "residual": {"widths": (4, 8)},
         "lite0": {"pretrained": False}, "keras-applications": {"pretrained": False}}
IMAGES = np.random.default_rng(0).random((4, 32, 32, 1), np.float32)


@pytest.mark.parametrize("task", [PNEUMONIA, SUBTYPE])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_probabilities_follow_from_the_seed(name, task):
    options = model_named(name)(**SMALL[name])
    first = options.build(task, 32, 0)
    keras.utils.set_random_seed(99)  # what else was drawn does not count
    again, other = (options.build(task, 32, seed) for seed in (0, 1))
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    scores = task.probabilities(keras.ops.convert_to_numpy(first(IMAGES)))
    assert scores.shape == (4, len(task.classes))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    kernels = [(one, two) for one, two in zip(first.get_weights(), other.get_weights(), strict=True) if one.ndim > 1]
    assert not any(np.array_equal(one, two) for one, two in kernels)
    assert name_of(options) == name


@pytest.mark.parametrize("name", NETWORKS)
def test_no_two_layers_of_a_model_start_alike(name):
    model = untrained(model_named(name)()).build(PNEUMONIA, 32, 0)
    seeds = [getattr(layer, kind).seed for layer in model.layers for kind in (
        "kernel_initializer", "depthwise_initializer") if hasattr(layer, kind)]
    seeds += [layer.seed for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_form_has_the_models_weights_and_its_scores(name):
    plain = model_named(name)(**SMALL[name]).build(PNEUMONIA, 32, 0)
    fast = training_form(plain, "float32")
    normalisations = [layer for layer in fast.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert normalisations
    assert all(isinstance(layer, FusedBatchNormalization) for layer in normalisations)
    np.testing.assert_allclose(fast(IMAGES, training=False), plain(IMAGES, training=False), atol=1e-6)


def test_training_form_in_bfloat16_gives_its_output_in_float32():
    fast = training_form(paper_cnn(32, filters=(4, 8)), "mixed_bfloat16")
    policies = {layer.name: layer.dtype_policy.name for layer in fast.layers}
    assert policies.pop("output") == "float32"
    assert {policy for name, policy in policies.items() if name != "image"} == {"mixed_bfloat16"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_another_implementation(name, monkeypatch):
    # A training of an earlier test has switched it on for the whole process, and XLA cannot pool so; every training
    # switches it on again.
    disable_op_determinism()
    with_few_layers(monkeypatch)
    model = training_form(model_named(name)(**SMALL[name]).build(PNEUMONIA, 32, 0), "float32")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0

    def gradients():
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(tf.square(model(IMAGES, training=True) - 1))
        return tape.gradient(value, model.trainable_variables)

    # XLA has convolutions of its own; TensorFlow otherwise takes oneDNN's, which are wrong for some shapes.
    for usual, by_xla, variable in zip(tf.function(gradients)(), tf.function(gradients, jit_compile=True)(),
                                       model.trainable_variables, strict=True):
        largest = float(np.abs(by_xla).max())
        np.testing.assert_allclose(usual, by_xla, rtol=0, atol=1e-3 * largest + 1e-5, err_msg=variable.path)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_each_model_trains_and_goes_on_after_a_break_as_if_there_was_none(name, tiny_tree, tmp_path, monkeypatch):
    with_few_layers(monkeypatch)
    recipe = Recipe(3, ImageSettings(32), model_named(name)(**SMALL[name], batch_norm_momentum=0.5), batch_size=8,
                    validation_fraction=0.3, precision="float32")
    assert_goes_on(recipe, open_dataset(tiny_tree), tmp_path)


@pytest.mark.slow
def test_dropout_of_a_network_within_a_network_goes_on_as_it_would_have(tiny_tree, tmp_path):
    recipe = Recipe(3, ImageSettings(32), Nested(), batch_size=8, validation_fraction=0.3, precision="float32")
    assert_goes_on(recipe, open_dataset(tiny_tree), tmp_path)


class Nested:
    """A network whose features are a network of its own, as a pretrained backbone is."""

    smallest_image = 1

    def build(self, task, image_size, seed):
        inner = keras.Input((image_size, image_size, 1))
        features = keras.layers.Conv2D(4, 3, strides=4, activation="relu", kernel_initializer=keras.initializers.
                                       GlorotUniform(1))(inner)
        features = keras.layers.Dropout(0.5, seed=5)(keras.layers.Flatten()(features))
        images = keras.Input((image_size, image_size, 1))
        output = keras.layers.Dense(task.outputs, task.activation, kernel_initializer=keras.initializers.
                                    GlorotUniform(2))(keras.Model(inner, features, name="backbone")(images))
        return keras.Model(images, output)


def assert_goes_on(recipe, data, folder):
    """A training that is stopped after its first epoch ends with the same weights as one that is not."""
    class Stop(Exception):
        pass

    def stop(epoch, epochs, logs):
        raise Stop

    undisturbed = train(data, recipe, 0)
    with pytest.raises(Stop):
        train(data, recipe, 0, folder, report=stop)
    assert (folder / UNFINISHED).is_file()
    for one, two in zip(train(data, recipe, 0, folder).model.get_weights(), undisturbed.model.get_weights(),
                        strict=True):
        np.testing.assert_array_equal(one, two)


def test_multiply_adds_are_as_counted_by_hand():
    # 32 px: 3 x 3 of one channel to 4 at 32 x 32 places, of 4 to 8 at 16 x 16; 8 x 8 x 8 to 128, to 1.
    assert multiply_adds(paper_cnn(32, filters=(4, 8))) == (
        32 * 32 * 9 * 4 + 16 * 16 * 9 * 4 * 8 + 8 * 8 * 8 * 128 + 128)


def test_command_lists_each_model_with_its_size(run):
    code, out, err = run("models", "--size", 64)
    assert code == 0, err
    table = model_table(PNEUMONIA, 64).set_index("model")
    assert table.loc["paper", "parameters"] == paper_cnn(64).count_params()
    for name, row in table.iterrows():
        assert name in out
        if name in NETWORKS:
            assert f"{row['parameters']:,}" in out


def test_model_and_options_are_taken_from_the_command_line(tiny_tree, tmp_path, run):
    code, _, err = run("train", "--data", tiny_tree, "--out", tmp_path / "m", "--model", "residual", "--option",
                       "widths=[4, 8]", "--size", 16, "--epochs", 1)
    assert code == 0, err
    assert '"widths": [' in (tmp_path / "m/run.json").read_text()
    for given, words in ((("--model", "lenet"), "unknown model 'lenet'; choose one of paper"),
                         (("--option", "widths=[4]"), "unknown setting 'widths'"),
                         (("--option", "dropout"), "give NAME=VALUE"),
                         (("--option", "dropout=high"), "dropout: Input should be a valid number")):
        code, _, err = run("train", "--data", tiny_tree, "--out", tmp_path / "other", *given)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert words in err


@pytest.mark.slow
def test_a_model_is_added_as_the_docs_say(tiny_tree, tmp_path, monkeypatch, run):
    """The file of the docs page, entered as it says, is trained, saved, loaded and used."""
    page = (PROJECT / "docs/models.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "lenet_of_the_docs.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODELS, "lenet", importlib.import_module("lenet_of_the_docs").LeNet)
    code, out, err = run("models", "--size", 32, "--task", "subtype")
    assert (code, "lenet" in out) == (0, True), err
    code, _, err = run("train", "--data", tiny_tree, "--model", "lenet", "--option", "units=32", "--task", "subtype",
                       "--size", 16, "--epochs", 1, "--out", tmp_path / "model")
    assert code == 0, err
    code, _, err = run("evaluate", tmp_path / "model/model.keras", "--data", tiny_tree, "--bootstrap-samples", 10)
    assert code == 0, err
    assert len(source.splitlines()) < 34


# ---------------------------------------------------------------- models of scikit-learn

@pytest.fixture(scope="module")
def spots():
    """Images of noise, those of the last class with a bright middle."""
    def make(classes):
        generator = np.random.default_rng(0)
        images = generator.integers(60, 120, (60, 32, 32)).astype(np.uint8)
        labels = np.arange(60) % classes
        for label in range(1, classes):
            images[labels == label, 8 * label : 8 * label + 8, 8:24] += 60
        return images, labels

    return make


@pytest.mark.parametrize("task", [PNEUMONIA, SUBTYPE])
@pytest.mark.parametrize("features", ["pixels", "hog"])
@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_model_learns_saves_and_says_the_same_when_it_is_read(name, features, task, spots, tmp_path):
    images, labels = spots(len(task.classes))
    options = CLASSICAL[name](features=features)
    fitted = options.estimator(0, name != "neighbours").fit(features_of(images, features, options.side), labels)
    predictor = ClassicalPredictor(options, fitted, task)
    probabilities = predictor(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (task.predict(probabilities) == labels).mean() > 0.9
    facts = ModelFacts(ImageSettings(32), 0.5, "0.5", {}, task, model={"model": name, **asdict(options)})
    save_model(tmp_path / "m.skops", fitted, facts)
    again, read = load_predictor(tmp_path / "m.skops")
    np.testing.assert_array_equal(again(images), probabilities)
    assert read.task == task


def test_what_does_nothing_to_a_classical_model_makes_no_trial_of_its_own():
    keys = {pin_trial("data", Recipe(epochs, model=model, precision=precision, learning_rate=rate), 0).key
            for epochs, precision, model, rate in ((1, "float32", CLASSICAL["ridge"](alpha=1), None),
                                                   (9, "bfloat16", CLASSICAL["ridge"](alpha=1.0), 0.5))}
    assert len(keys) == 1
    networks = (NETWORKS["residual"](batch_norm_momentum=one) for one in (1, 1.0))
    keys = {pin_trial("data", Recipe(1, model=model, precision="float32"), 0).key for model in networks}
    assert len(keys) == 1


def test_heat_map_of_a_residual_network_is_of_what_comes_of_the_sum():
    network = NETWORKS["residual"](widths=(4, 8)).build(PNEUMONIA, 32, 0)
    part = GradCam(network)._part
    assert part.outputs[0].shape[-1] == 8
    np.testing.assert_allclose(part(IMAGES)[0], keras.Model(network.input, network.get_layer("relu_2").output)(IMAGES))


def test_rows_and_perturbations_are_those_that_are_asked_for(spots):
    images, labels = spots(2)
    options = CLASSICAL["ridge"]()
    predictor = ClassicalPredictor(options, options.estimator(0, False).fit(
        features_of(images, "pixels", 16), labels), PNEUMONIA)
    np.testing.assert_allclose(predictor(images, np.array([5, 2])), predictor(images)[[5, 2]], atol=1e-5)
    assert np.abs(predictor(images, perturbation="height 1.10") - predictor(images)).max() > 0.01


@pytest.mark.parametrize("damage", ["circle", "beyond", "feature"])
def test_forest_that_leads_astray_is_refused(damage, spots, tmp_path, refused):
    images, labels = spots(2)
    options = CLASSICAL["forest"](trees=2)
    forest = options.estimator(0, False).fit(features_of(images, "pixels", 16), labels)
    state = forest.estimators_[0].tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][{"feature": "feature"}.get(damage, "left_child")][0] = {"circle": 0, "beyond": 10**6,
                                                                        "feature": 10**6}[damage]
    forest.estimators_[0].tree_.__setstate__(state)
    save_model(tmp_path / "m.skops", forest, ModelFacts(ImageSettings(32), 0.5, "0.5", {}, model={
        "model": "forest", **asdict(options)}))
    with refused("m.skops", "not a model that covidcnn train saves", error=DataError):
        load_predictor(tmp_path / "m.skops")


def test_file_of_skops_with_a_foreign_part_is_refused_and_nothing_of_it_runs(spots, tmp_path, refused):
    class Evil(DummyClassifier):
        def __setstate__(self, state):
            (tmp_path / "ran").touch()

    facts = ModelFacts(ImageSettings(32), 0.5, "0.5", {}, model={"model": "ridge", **asdict(CLASSICAL["ridge"]())})
    images, labels = spots(2)
    features = features_of(images, "pixels", 16)
    swapped = CLASSICAL["ridge"]().estimator(0, False).fit(features, np.array(["PNEUMONIA", "NORMAL"])[labels])
    hidden = make_pipeline(StandardScaler(), CLASSICAL["forest"](trees=2).estimator(0, False)).fit(features, labels)
    for name, estimator in (("class", Evil()), ("function", FunctionTransformer(os.remove)), ("order", swapped),
                            ("pipeline", hidden), ("dummy", DummyClassifier().fit(features, labels))):
        save_model(tmp_path / f"{name}.skops", estimator, facts)
        with refused(f"{name}.skops", "not a model that covidcnn train saves", error=DataError):
            load_predictor(tmp_path / f"{name}.skops")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "options", "words"), [
    ("svm", {"features": "edges"}, "unknown features 'edges'"),
    ("ridge", {"side": 2}, "side: Input should be greater than or equal to 4, not 2"),
    ("forest", {"features": "hog", "side": 20}, "side 20: hog needs a multiple of 8"),
    ("logistic", {"c": 0}, "c: Input should be greater than or equal to 0.000001, not 0")])
def test_options_that_cannot_work_are_refused(name, options, words, refused):
    with refused(words):
        CLASSICAL[name](**options)


@pytest.mark.slow
def test_classical_models_go_through_sweep_train_evaluate_and_predict(tiny_tree, tmp_path, run):
    (tmp_path / "sweep.yaml").write_text(
        "seeds: [0, 1]\nscore_test: true\nrecipe: {epochs: 1, size: 32}\n"
        "grid: {model: [logistic, forest], features: [pixels, hog]}\n")
    code, _, err = run("sweep", tmp_path / "sweep.yaml", "--store", tmp_path / "store", "--data", tiny_tree)
    assert code == 0, err
    _, out, _ = run("trials", tmp_path / "store", "--csv")
    table = pd.read_csv(io.StringIO(out))
    assert table.groupby(["model", "features"]).size().to_dict() == {
        (model, features): 2 for model in ("forest", "logistic") for features in ("hog", "pixels")}
    assert table["test AUC"].between(0, 1).all()
    code, _, err = run("train", "--data", tiny_tree, "--model", "svm", "--task", "subtype", "--epochs", 1, "--size", 32,
                       "--balance", "oversample", "--out", tmp_path / "svm")
    assert code == 0, err
    model = tmp_path / "svm/model.skops"
    code, out, err = run("evaluate", model, "--data", tiny_tree, "--json", "--bootstrap-samples", 10)
    assert (code, "macro auc" in out) == (0, True), err
    code, out, err = run("predict", model, tiny_tree / "test", "--json")
    assert (code, len(json.loads(out)["images"])) == (0, 32), err
    code, _, err = run("predict", model, tiny_tree / "test", "--explain", tmp_path / "maps")
    assert (code, "there is no heat map" in err) == (2, True)
    code, _, err = run("export", model, "--out", tmp_path / "no.tflite")
    assert (code, err.count("\n"), "no network in Keras" in err) == (2, 1, True)
    for option, value, refused in (("--augment", "paper", "augmentation paper"),
                                   ("--learning-rate", 0.5, "learning_rate 0.5")):
        code, _, err = run("train", "--data", tiny_tree, "--model", "svm", option, value, "--out", tmp_path / "no")
        assert (code, f"{refused}: a model of scikit-learn is fitted at once" in err) == (2, True)
