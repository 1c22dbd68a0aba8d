"""Look inside a trained network: what its layers hold for given images, and how it was put together."""

import math
from dataclasses import asdict
from inspect import getdoc

import numpy as np
import pandas as pd

from covidcnn.backend import keras
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.registry import MODELS, untrained
from covidcnn.task import PNEUMONIA, Task


def as_input(images: np.ndarray) -> np.ndarray:
    """Images as the network takes them: uint8 (n, size, size) to float32 (n, size, size, 1) in 0..1."""
    return np.asarray(images, np.float32)[..., np.newaxis] / 255


def layer_output(model: keras.Model, name: str, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """What a layer of a Functional model passes on for images, uint8 (n, size, size), at inference (no dropout, moving
    averages): float32 (n, ...), the layer's output shape."""
    return _in_batches(keras.Model(model.input, model.get_layer(name).output), images, batch_size)


def pre_activations(model: keras.Model, name: str, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Like ``layer_output``: what a convolution or dense layer computes before its activation function is applied."""
    return _in_batches(keras.Model(model.input, without_activation(model.get_layer(name))), images, batch_size)


def without_activation(layer: keras.layers.Layer) -> keras.KerasTensor:
    """What a convolution or dense layer of a Functional model computes before its activation function is applied."""
    linear = type(layer).from_config(layer.get_config() | {"activation": "linear"})
    output = linear(layer.input)
    linear.set_weights(layer.get_weights())
    return output


def _in_batches(part: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    # Called and not asked to predict(), which compiles a function for each such part: seconds for an image.
    starts = range(0, len(images), batch_size)
    return np.concatenate([keras.ops.convert_to_numpy(
        part(as_input(images[start : start + batch_size]), training=False)) for start in starts])


def normalise(values: np.ndarray) -> np.ndarray:
    """Batch normalisation as in training, before its learnt scale and shift: each channel (the last axis) gets mean 0
    and variance 1 over the batch, with Keras's epsilon."""
    axes = tuple(range(values.ndim - 1))
    return (values - values.mean(axes)) / np.sqrt(values.var(axes) + 1e-3)


def tanh_table(values: dict[str, np.ndarray], threshold: float = 0.95) -> pd.DataFrame:
    """How a tanh would take the pre-activations of several layers, channels last, with and without normalisation.

    Returns:
        A row a layer: ``mean``, ``standard deviation``, and for 'plain' and 'normalised' values the ``saturated``
        share, of outputs beyond the threshold, and the mean ``slope`` of tanh, what it lets through of a gradient.
    """
    rows = []
    for layer, plain in values.items():
        row = {"layer": layer, "mean": plain.mean(), "standard deviation": plain.std()}
        for case, inputs in (("plain", plain), ("normalised", normalise(plain))):
            outputs = np.tanh(inputs)
            row[f"saturated, {case}"] = (np.abs(outputs) > threshold).mean()
            row[f"slope, {case}"] = (1 - outputs**2).mean()
        rows.append(row)
    return pd.DataFrame(rows).set_index("layer").astype(float)


def telling_window(response: np.ndarray, side: int) -> tuple[int, int]:
    """Top left corner of the square of a feature map whose values differ most: a place worth looking at.

    The outer quarter on each side is passed over: padding and collimation are the strongest edges of many images.
    Corners lie on even rows and columns, where 2 x 2 poolings begin.

    Args:
        response: float (size, size), one feature map; size at least twice the side.
    """
    margin = len(response) // 4
    windows = np.lib.stride_tricks.sliding_window_view(response, (side, side))
    spread = windows.std(axis=(-2, -1))
    spread[:margin], spread[:, :margin] = -1, -1
    spread[-margin:], spread[:, -margin:] = -1, -1
    spread[1::2], spread[:, 1::2] = -1, -1
    row, column = np.unravel_index(spread.argmax(), spread.shape)
    return int(row), int(column)


def three_positions(response: np.ndarray, corner: tuple[int, int], side: int) -> list[tuple[int, int]]:
    """Three (row, column) where a feature map is largest, middling and smallest inside a square, its rim left out so
    that a 3 x 3 window fits."""
    inner = response[corner[0] + 1 : corner[0] + side - 1, corner[1] + 1 : corner[1] + side - 1]
    order = np.argsort(inner, axis=None, kind="stable")
    found = (np.unravel_index(order[place], inner.shape) for place in (-1, order.size // 2, 0))
    return [(corner[0] + 1 + int(row), corner[1] + 1 + int(column)) for row, column in found]


def distinct_channels(maps: np.ndarray, count: int) -> list[int]:
    """The channels of a feature map, float (height, width, channels), that vary most, without those whose correlation
    with one already taken reaches 0.9 in absolute value; fewer come back where no more are distinct."""
    flat = maps.reshape(-1, maps.shape[-1]).astype(float)
    chosen: list[int] = []
    for channel in np.argsort(-flat.std(0), kind="stable"):
        if len(chosen) == count or flat[:, channel].std() == 0:
            break
        if all(abs(np.corrcoef(flat[:, channel], flat[:, other])[0, 1]) < 0.9 for other in chosen):
            chosen.append(int(channel))
    return chosen


def typical_images(scores: pd.DataFrame, task: Task = PNEUMONIA) -> dict[str, str]:
    """For each of two classes the path of the image with the median score (``path``, ``label``, ``score``): neither the
    best case nor the worst."""
    ordered = scores.sort_values(["score", "path"])
    by_label = {label: ordered.loc[ordered["label"] == label, "path"] for label in task.classes}
    return {label: paths.iloc[len(paths) // 2] for label, paths in by_label.items()}


def receptive_fields(model: keras.Model) -> pd.DataFrame:
    """How much of the image one unit of each convolution or pooling layer sees.

    With kernel k and stride s a layer widens the field r by (k - 1) steps of the map it reads, each of which is j
    pixels of the image wide, and then multiplies j by s.

    Returns:
        A row a layer: ``layer``, ``receptive field`` and ``step`` (both in pixels of the image).
    """
    field, step, rows = 1, 1, []
    for layer in model.layers:
        reach = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if reach is None:
            continue
        field, step = field + (reach[0] - 1) * step, step * layer.strides[0]
        rows.append({"layer": layer.name, "receptive field": field, "step": step})
    return pd.DataFrame(rows)


def model_table(task: Task, image_size: int) -> pd.DataFrame:
    """The models that can be trained, with their options' defaults.

    Returns:
        A row a model: ``model``, ``what it is``, ``options``, and of networks ``parameters`` and ``multiply-adds`` for
        one image.
    """
    rows = []
    for name, kind in MODELS.items():
        options = kind()
        row: dict[str, object] = {
            "model": name, "what it is": (getdoc(kind) or "").splitlines()[0],
            "options": "\n".join(f"{option}={value}" for option, value in asdict(options).items())}
        if not isinstance(options, ClassicalModel) and image_size >= options.smallest_image:
            network = untrained(options).build(task, image_size, 0)
            row |= {"parameters": network.count_params(), "multiply-adds": multiply_adds(network)}
        rows.append(row)
    return pd.DataFrame(rows).astype({"parameters": "Int64", "multiply-adds": "Int64"})


def multiply_adds(model: keras.Model) -> int:
    """Multiplications, each with an addition, that convolutions and dense layers need for one image."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            # Each weight of the kernel is used once at every place of the output.
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total
