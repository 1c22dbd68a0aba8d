"""The paper's convolutional network (section 'Convolutional Neural Network Model Structure').

Given by the paper: input (224, 224, 1); four convolution layers, the first with 32 kernels of 3 x 3 and
ReLU; four batch normalisations, four 2 x 2 max poolings, two dropouts; Dense(128, ReLU), Dense(1,
sigmoid). Everything else is an assumption, stated beside its parameter.
"""

from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from covidcnn.models.options import Checked, Momentum, Widths, initial_weights
from covidcnn.task import PNEUMONIA, Task

if TYPE_CHECKING:
    from covidcnn.backend import keras

FILTERS = (32, 64, 128, 256)
KERNEL = 3
DENSE_UNITS = 128


@dataclass(frozen=True)
class PaperCnn(Checked):
    """The paper's network.

    Its options are what the paper leaves open; defaults are the paper's, or stated assumptions.
    """

    filters: Widths = FILTERS
    """Kernels of each convolution block; the paper gives the first, 32 (assumption: doubled from block to block)."""
    dropout: Annotated[float, Field(ge=0, le=0.99)] = 0.2
    """Rate after the last block and before the output (assumption: 0.2, in these two places)."""
    batch_norm: bool = True
    """Without it the network is not the paper's: to see what batch normalisation does."""
    batch_norm_momentum: Momentum = 0.99
    """Of the moving averages (assumption: Keras's default)."""

    @property
    def smallest_image(self) -> int:
        """Side in pixels below which its poolings leave nothing."""
        return 2 ** len(self.filters)

    def build(self, task: Task, image_size: int, seed: int) -> "keras.Model":
        """The network in plain Keras, with initial weights that depend on the seed alone: see ``registry.Model``."""
        # Here and not above: recipes take the options, and need not wait for TensorFlow.
        from covidcnn.backend import keras

        layers = keras.layers
        images = keras.Input((image_size, image_size, 1), name="image")
        features = images
        # Order convolution, ReLU, batch normalisation, pooling, and 'same' padding: assumptions.
        for block, kernels in enumerate(self.filters, start=1):
            features = layers.Conv2D(kernels, KERNEL, padding="same", activation="relu",
                                     kernel_initializer=initial_weights(seed, block),
                                     name=f"convolution_{block}")(features)
            if self.batch_norm:
                features = layers.BatchNormalization(momentum=self.batch_norm_momentum,
                                                     name=f"normalisation_{block}")(features)
            features = layers.MaxPooling2D(2, name=f"pooling_{block}")(features)
        features = layers.Dropout(self.dropout, seed=1000 * seed + 101, name="dropout_1")(features)
        features = layers.Flatten(name="flatten")(features)
        features = layers.Dense(DENSE_UNITS, activation="relu", kernel_initializer=initial_weights(seed, 201),
                                name="dense_1")(features)
        features = layers.Dropout(self.dropout, seed=1000 * seed + 102, name="dropout_2")(features)
        output = layers.Dense(task.outputs, activation=task.activation, kernel_initializer=initial_weights(seed, 202),
                              name="output")(features)
        return keras.Model(images, output, name="paper_cnn")


def paper_cnn(image_size: int = 224, seed: int = 0, **options: Any) -> "keras.Model":
    """The paper's network for its own task, with fields of ``PaperCnn`` as options."""
    return PaperCnn(**options).build(PNEUMONIA, image_size, seed)


def count_parameters(image_size: int = 224, filters: tuple[int, ...] = FILTERS) -> dict[str, int]:
    """The parameters of each layer that has any, derived by hand and not asked of Keras.

    A convolution has one 3 x 3 kernel for each pair of input and output channel, and a bias for each output; batch
    normalisation scale, shift, moving mean and moving variance for each channel; a dense layer a weight for each pair,
    and a bias for each unit.
    """
    counts, channels, side = {}, 1, image_size
    for block, kernels in enumerate(filters, start=1):
        counts[f"convolution_{block}"] = (KERNEL * KERNEL * channels + 1) * kernels
        counts[f"normalisation_{block}"] = 4 * kernels
        channels, side = kernels, side // 2
    counts["dense_1"] = (side * side * channels + 1) * DENSE_UNITS
    counts["output"] = DENSE_UNITS + 1
    return counts


def layer_table(model: "keras.Model") -> pd.DataFrame:
    """Every layer's name, kind, output shape and parameters: the paper's Fig. 10 and 'Table 1'."""
    return pd.DataFrame(
        [{"layer": layer.name, "kind": type(layer).__name__,
          "output shape": " x ".join(str(size) for size in layer.output.shape[1:]),
          "parameters": layer.count_params()} for layer in model.layers])
