"""The fused batch normalisation beside Keras's own, on the same inputs and weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from covidcnn.models.fused import FusedBatchNormalization

ROUNDING = {"float32": 1e-5, "mixed_bfloat16": 1e-2}
"""Of values about 1: float32 has 24 bits, bfloat16 has 8."""


def pair(policy, momentum=0.9, channels=6):
    """Both layers with the same weights, none of them 0 or 1."""
    generator = np.random.default_rng(0)
    layers = [kind(momentum=momentum, dtype=policy) for kind in (FusedBatchNormalization,
                                                                 keras.layers.BatchNormalization)]
    weights = [generator.uniform(0.5, 2, channels).astype(np.float32) for _ in range(4)]
    for layer in layers:
        layer.build((None, 5, 7, channels))
        layer.set_weights(weights)
    return layers


def images(policy, count=4, channels=6):
    values = np.random.default_rng(1).normal(0.7, 1.5, (count, 5, 7, channels)).astype(np.float32)
    # Both layers get what the precision can hold.
    return tf.cast(values, "bfloat16" if policy == "mixed_bfloat16" else "float32")


@pytest.mark.parametrize("policy", ROUNDING)
def test_inference_equals_keras(policy):
    fused, plain = pair(policy)
    one, two = (tf.cast(layer(images(policy), training=False), tf.float32) for layer in (fused, plain))
    np.testing.assert_allclose(one, two, atol=ROUNDING[policy], rtol=ROUNDING[policy])


@pytest.mark.parametrize("policy", ROUNDING)
def test_training_output_gradients_and_statistics_equal_keras(policy):
    outcomes = []
    for layer in pair(policy):
        inputs = images(policy)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = tf.cast(layer(inputs, training=True), tf.float32)
            # A loss that no normalisation makes constant.
            loss = tf.reduce_sum(tf.sin(output) * np.linspace(-1, 1, output.shape.num_elements()).reshape(output.shape))
        gradients = tape.gradient(loss, [inputs, *[weight.value for weight in layer.trainable_weights]])
        outcomes.append([output, *[tf.cast(gradient, tf.float32) for gradient in gradients]])
        assert output.shape == (4, 5, 7, 6)
        outcomes[-1] += layer.get_weights()
    for one, two in zip(*outcomes, strict=True):
        scale = float(np.abs(two).max())
        np.testing.assert_allclose(one, two, atol=3 * ROUNDING[policy] * scale, rtol=3 * ROUNDING[policy])


def test_variance_is_the_biased_one_as_in_keras():
    """With two values in a channel, the unbiased variance would be twice as large."""
    layer = FusedBatchNormalization(momentum=0.0)
    layer(np.array([1.0, 3.0], np.float32).reshape(2, 1, 1, 1), training=True)
    assert float(layer.moving_mean[0]) == pytest.approx(2)
    assert float(layer.moving_variance[0]) == pytest.approx(1)


def test_statistics_of_a_bfloat16_training_stay_in_float32_and_arrive():
    """In bfloat16 the moving mean would stop at about 0.6 on its way to 1: steps of 0.01 are lost in rounding."""
    layer = FusedBatchNormalization(momentum=0.99, dtype="mixed_bfloat16")
    step = tf.function(lambda inputs: layer(inputs, training=True))
    for _ in range(1000):
        step(tf.ones((2, 3, 3, 1), tf.bfloat16))
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    assert float(layer.moving_mean[0]) == pytest.approx(1, abs=1e-3)
    assert float(layer.moving_variance[0]) == pytest.approx(0, abs=1e-3)


def test_frozen_layer_learns_nothing():
    layer, _ = pair("float32")
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_array_equal(layer(images("float32"), training=True), layer(images("float32"), training=False))
    for one, two in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
