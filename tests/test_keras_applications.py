"""Networks of keras.applications: theirs but for the initial weights and the two ends. Nothing is fetched here."""

import urllib.error
from dataclasses import asdict

import keras
import numpy as np
import pytest

from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.keras_applications import KerasApplication
from covidcnn.models.model_file import ModelFacts, load_model, save_model
from covidcnn.models.registry import untrained
from covidcnn.prediction.explain import GradCam
from covidcnn.task import PNEUMONIA, SUBTYPE

SCALES = {"MobileNetV2": keras.applications.mobilenet_v2, "DenseNet121": keras.applications.densenet,
          "ResNet50V2": keras.applications.resnet_v2}
IMAGES = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)


@pytest.mark.parametrize("name", SCALES)
def test_network_is_keras_own_of_three_grey_channels_in_its_scale(name, tmp_path):
    options = KerasApplication(network=name, pretrained=False, batch_norm_momentum=0.9)
    network, generator = options.build(SUBTYPE, 32, 0), np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # As after a training: with the initial ones next to nothing arrives at the end.
            layer.set_weights([generator.uniform(*limits, layer.gamma.shape) for limits in (
                (0.5, 1.5), (-0.1, 0.1), (-0.1, 0.1), (0.01, 1))])
    theirs = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    theirs.set_weights(network.get_weights()[:-2])
    inputs = SCALES[name].preprocess_input(np.repeat(255 * IMAGES, 3, axis=-1))
    features = keras.ops.convert_to_numpy(theirs(inputs, training=False))
    # With dropout off, what the last layer gets.
    got = keras.ops.convert_to_numpy(keras.Model(network.input, network.get_layer("dropout").output)(IMAGES))
    assert np.ptp(features) > 0.01
    np.testing.assert_allclose(got, features, atol=1e-4 * np.abs(features).max())
    momenta = {layer.momentum for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {0.9}
    # A heat map is of what is averaged: a sum, or several maps in one, of which the last convolution has a part.
    np.testing.assert_allclose(GradCam(network)._part(IMAGES)[0].numpy().mean(axis=(1, 2)), got, atol=1e-5)
    save_model(tmp_path / "m.keras", network, ModelFacts(ImageSettings(32), 0.5, "0.5", {}, SUBTYPE, model={
        "model": "keras-applications", **asdict(options)}))
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras")[0](IMAGES), network(IMAGES))


def test_pretrained_weights_are_those_that_keras_has(monkeypatch):
    """Keras's network with weights of its own stands in for those of ImageNet, which would have to be fetched."""
    build, asked = keras.applications.MobileNetV2, []

    def with_weights(weights, **options):
        asked.append(weights)
        keras.utils.set_random_seed(3)
        return build(weights=None, **options)

    monkeypatch.setattr(keras.applications, "MobileNetV2", with_weights)
    first, other = (KerasApplication().build(PNEUMONIA, 32, seed) for seed in (0, 1))
    random = KerasApplication(pretrained=False).build(PNEUMONIA, 32, 0)
    assert asked == ["imagenet", "imagenet", None]
    for one, two in zip(first.get_weights()[:-2], other.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.get_weights()[-2], other.get_weights()[-2])
    assert not np.array_equal(first.get_weights()[0], random.get_weights()[0])


def test_head_alone_is_trained_on_demand():
    network = KerasApplication(pretrained=False, trainable="head").build(PNEUMONIA, 32, 0)
    assert [variable.path for variable in network.trainable_variables] == ["output/kernel", "output/bias"]


@pytest.mark.parametrize("why", [Exception("URL fetch failure on https://x: None -- offline"),
                                 urllib.error.URLError("offline")])
def test_weights_that_cannot_be_fetched_are_one_line_with_a_way_out(why, monkeypatch, refused):
    def offline(**options):
        raise why

    monkeypatch.setattr(keras.applications, "DenseNet121", offline)
    with refused("the ImageNet weights of DenseNet121 cannot be had", "offline", "lite0, whose weights a package",
                 error=UserError):
        KerasApplication(network="DenseNet121").build(PNEUMONIA, 32, 0)


def test_unknown_network_is_refused(refused):
    with refused("unknown network 'VGG16'; choose one of MobileNetV2", error=UserError):
        KerasApplication(network="VGG16")


def test_size_is_told_without_fetching():
    assert untrained(KerasApplication()) == KerasApplication(pretrained=False)
