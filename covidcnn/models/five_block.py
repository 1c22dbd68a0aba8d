"""The network of a public notebook on the same images, which many have copied.

'Pneumonia Detection using CNN (92.6 % Accuracy)', madz2000 on Kaggle, 2020, as its copies describe it: convolutions of
32, 64, 64, 128 and 256 kernels, each with batch normalisation and pooling, dropout of 0.1 to 0.2, a dense layer of 128.
"""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from covidcnn.models.options import Checked, Momentum, initial_weights
from covidcnn.task import Task

if TYPE_CHECKING:
    from covidcnn.backend import keras

# Kernels, and dropout before the batch normalisation, of each block.
_BLOCKS = ((32, 0.0), (64, 0.1), (64, 0.0), (128, 0.2), (256, 0.2))


@dataclass(frozen=True)
class FiveBlockCnn(Checked):
    """A public notebook's network for these images."""

    batch_norm_momentum: Momentum = 0.99
    smallest_image: ClassVar[int] = 1
    """Its poolings keep the edge."""

    def build(self, task: Task, image_size: int, seed: int) -> "keras.Model":
        """The network in plain Keras: see ``registry.Model``."""
        from covidcnn.backend import keras

        layers = keras.layers
        images = keras.Input((image_size, image_size, 1), name="image")
        features = images
        for block, (kernels, dropout) in enumerate(_BLOCKS, start=1):
            features = layers.Conv2D(kernels, 3, padding="same", activation="relu",
                                     kernel_initializer=initial_weights(seed, block),
                                     name=f"convolution_{block}")(features)
            if dropout:
                features = layers.Dropout(dropout, seed=1000 * seed + 100 + block, name=f"dropout_{block}")(features)
            features = layers.BatchNormalization(momentum=self.batch_norm_momentum,
                                                 name=f"normalisation_{block}")(features)
            features = layers.MaxPooling2D(2, padding="same", name=f"pooling_{block}")(features)
        features = layers.Flatten(name="flatten")(features)
        features = layers.Dense(128, activation="relu", kernel_initializer=initial_weights(seed, 201),
                                name="dense_1")(features)
        features = layers.Dropout(0.2, seed=1000 * seed + 106, name="dropout_6")(features)
        output = layers.Dense(task.outputs, activation=task.activation, kernel_initializer=initial_weights(seed, 202),
                              name="output")(features)
        return keras.Model(images, output, name="five_block_cnn")
