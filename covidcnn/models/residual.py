"""A small residual network (He and others, 2016), without a large dense layer: it has few parameters."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from covidcnn.models.options import Checked, Momentum, Widths, initial_weights
from covidcnn.task import Task

if TYPE_CHECKING:
    from covidcnn.backend import keras


@dataclass(frozen=True)
class ResidualCnn(Checked):
    """A small residual network."""

    widths: Widths = (16, 32, 64, 128)
    """Kernels of the convolutions of each stage; each stage halves the side of the maps."""
    batch_norm_momentum: Momentum = 0.99
    smallest_image: ClassVar[int] = 1
    """Its strides keep the edge."""

    def build(self, task: Task, image_size: int, seed: int) -> "keras.Model":
        """The network in plain Keras: see ``registry.Model``."""
        from covidcnn.backend import keras

        layers = keras.layers
        images = keras.Input((image_size, image_size, 1), name="image")

        def convolution(features: Any, stage: int, part: str, kernels: int, size: int, strides: int) -> Any:
            """Convolution and batch normalisation; the seed follows from the name."""
            position = 10 * stage + ("stem", "shortcut", "first", "second").index(part)
            features = layers.Conv2D(kernels, size, strides=strides, padding="same", use_bias=False,
                                     kernel_initializer=initial_weights(seed, position),
                                     name=f"convolution_{stage}_{part}")(features)
            return layers.BatchNormalization(momentum=self.batch_norm_momentum,
                                             name=f"normalisation_{stage}_{part}")(features)

        features = layers.ReLU(name="relu_0")(convolution(images, 0, "stem", self.widths[0], 3, 1))
        for stage, kernels in enumerate(self.widths, start=1):
            # Every second place first: of a convolution of 1 x 1 with stride 2, oneDNN's gradient is wrong, and another
            # each time, where it has fewer than 8 input channels (TensorFlow 2.21).
            every_second = layers.MaxPooling2D(1, strides=2, name=f"every_second_{stage}")(features)
            shortcut = convolution(every_second, stage, "shortcut", kernels, 1, 1)
            first = layers.ReLU(name=f"relu_{stage}_first")(convolution(features, stage, "first", kernels, 3, 2))
            second = convolution(first, stage, "second", kernels, 3, 1)
            features = layers.ReLU(name=f"relu_{stage}")(layers.Add(name=f"sum_{stage}")([shortcut, second]))
        features = layers.GlobalAveragePooling2D(name="average")(features)
        output = layers.Dense(task.outputs, activation=task.activation, kernel_initializer=initial_weights(seed, 202),
                              name="output")(features)
        return keras.Model(images, output, name="residual_cnn")
