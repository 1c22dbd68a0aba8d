"""Batch normalisation by TensorFlow's fused kernel: what Keras's layer computes, in one pass over memory.

On TensorFlow Keras 3 spells batch normalisation out in elementary operations, each of which reads and writes the whole
tensor; in this network that takes longer than the convolutions.
"""

from covidcnn.backend import keras, tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer with the same weights, for (batch, height, width, channels); used in training only.

    Scale, offset and statistics stay in float32 whatever the precision of the activations: moving averages
    kept in bfloat16 stop moving, because a hundredth of the difference is lost in rounding. No model is saved
    with this layer, so that files load without covidcnn.
    """

    def call(self, inputs: "tf.Tensor", training: bool | None = None, mask: "tf.Tensor | None" = None) -> "tf.Tensor":
        learning = bool(training) and self.trainable
        none = tf.zeros([0])
        output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=self.gamma.value, offset=self.beta.value,
            mean=none if learning else self.moving_mean.value,
            variance=none if learning else self.moving_variance.value,
            epsilon=self.epsilon, is_training=learning)
        if learning:
            # The kernel gives the unbiased variance; Keras averages the biased one.
            values = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance * (values - 1) / values)):
                average.assign(average * self.momentum + value * (1 - self.momentum))
        return output


def training_form(model: keras.Model, policy: str) -> keras.Model:
    """A twin of a model with the same weights that is several times faster to train.

    Its batch normalisation is fused, and its activations have the precision of the policy, 'float32' or
    'mixed_bfloat16', but those of the output: near 0 and 1 bfloat16 has too few values for a loss. Scores are those of
    the plain model, Functional and in plain Keras, with the twin's weights.
    """
    last = model.output._keras_history.operation

    def twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config() | ({} if layer is last else {"dtype": policy})
        # Other backends fuse Keras's own layer by themselves.
        is_fusible = (tf and type(layer) is keras.layers.BatchNormalization and layer.input_spec.ndim == 4
                      and layer.scale and layer.center and layer.axis in (-1, 3))
        return (FusedBatchNormalization if is_fusible else type(layer)).from_config(config)

    clone = keras.models.clone_model(model, clone_function=twin, recursive=True)
    clone.set_weights(model.get_weights())
    return clone
