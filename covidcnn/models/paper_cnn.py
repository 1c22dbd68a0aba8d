"""The paper's convolutional network (section 'Convolutional Neural Network Model Structure').

Given by the paper: input (224, 224, 1); four convolution layers, the first with 32 kernels of 3 x 3 and
ReLU; four batch normalisations, four 2 x 2 max poolings, two dropouts; Dense(128, ReLU), Dense(1,
sigmoid). Everything else is an assumption, stated beside its parameter.
"""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from covidcnn.backend import keras

FILTERS = (32, 64, 128, 256)
KERNEL = 3
DENSE_UNITS = 128


def paper_cnn(image_size: int = 224, *, filters: tuple[int, ...] = FILTERS, dropout: float = 0.2,
              batch_norm: bool = True, batch_norm_momentum: float = 0.99, seed: int = 0, training_policy: str = ""
              ) -> "keras.Model":
    """Build the network, not yet compiled, with initial weights that depend on the seed alone.

    There are two forms with the same layers and weights. The plain form is standard Keras in float32: it is
    what is saved and what scores films. The training form is several times faster to train: its batch
    normalisation is fused, and its activations have the precision asked for.

    Args:
        image_size: side of the input in pixels; at least 2 ** len(filters).
        filters: kernels of each convolution block; the paper gives the first, 32 (assumption: doubled
            from block to block).
        dropout: rate after the last block and before the output (assumption: 0.2, in these two places).
        batch_norm: whether there is batch normalisation, as in the paper.
        batch_norm_momentum: of the moving averages (assumption: Keras's default, 0.99).
        seed: of initial weights and dropout.
        training_policy: 'float32' or 'mixed_bfloat16' builds the training form; empty the plain one.

    Returns:
        Functional model from float (batch, image_size, image_size, 1) in 0..1 to the probability of
        PNEUMONIA, float (batch, 1).
    """
    # Here and not above: recipes take the constants, and need not wait for TensorFlow.
    from covidcnn.backend import keras, tf
    from covidcnn.models.fused import FusedBatchNormalization

    layers = keras.layers
    # Other backends fuse Keras's own layer by themselves.
    normalisation = FusedBatchNormalization if training_policy and tf else layers.BatchNormalization
    policy = training_policy or "float32"

    # A seed of its own for each layer: what was built before in the process has no say.
    def initializer(position: int) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=1000 * seed + position)

    films = keras.Input((image_size, image_size, 1), name="film")
    features = films
    # Order convolution, ReLU, batch normalisation, pooling, and 'same' padding: assumptions.
    for block, kernels in enumerate(filters, start=1):
        features = layers.Conv2D(kernels, KERNEL, padding="same", activation="relu",
                                 kernel_initializer=initializer(block), dtype=policy,
                                 name=f"convolution_{block}")(features)
        if batch_norm:
            features = normalisation(momentum=batch_norm_momentum, dtype=policy,
                                     name=f"normalisation_{block}")(features)
        features = layers.MaxPooling2D(2, dtype=policy, name=f"pooling_{block}")(features)
    features = layers.Dropout(dropout, seed=1000 * seed + 101, dtype=policy, name="dropout_1")(features)
    features = layers.Flatten(dtype=policy, name="flatten")(features)
    features = layers.Dense(DENSE_UNITS, activation="relu", kernel_initializer=initializer(201), dtype=policy,
                            name="dense_1")(features)
    features = layers.Dropout(dropout, seed=1000 * seed + 102, dtype=policy, name="dropout_2")(features)
    # In float32 always: near 0 and 1 bfloat16 has too few values for a loss.
    output = layers.Dense(1, activation="sigmoid", kernel_initializer=initializer(202), dtype="float32",
                          name="output")(features)
    return keras.Model(films, output, name="paper_cnn")


def count_parameters(image_size: int = 224, filters: tuple[int, ...] = FILTERS) -> dict[str, int]:
    """The parameters of each layer that has any, derived by hand and not asked of Keras.

    A convolution has one 3 x 3 kernel for each pair of input and output channel, and a bias for each
    output; batch normalisation has scale, shift, moving mean and moving variance for each channel; a
    dense layer has a weight for each pair, and a bias for each unit.
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
