"""Figures of what layers do, number by number: convolution, pooling, tanh, dense (Fig. 6 to 9).

Images are uint8 (height, width), feature maps float (height, width, channels); positions are (row, column).
"""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from covidcnn.plots.style import NEGATIVE, POSITIVE

POSITION_COLOURS = ("#E69F00", "#56B4E9", "#009E73")
SATURATED, UNSATURATED = "#D55E00", "#56B4E9"
GREYS = (0, 255)
"""Limits of an image's grey levels."""


def picture(values: np.ndarray, ax: Axes, cmap: str, limits: tuple[float, float] | None = None,
            title: str = "") -> Axes:
    """An image, a feature map or a kernel (height, width), without ticks and without the style's half frame; the colour
    map ends at ``limits``, or at the smallest and largest value."""
    low, high = limits or (values.min(), values.max())
    ax.imshow(values, cmap=cmap, vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(False)
    return ax


def number_grid(values: np.ndarray, ax: Axes, decimals: int = 2, cmap: str = "gray",
                limits: tuple[float, float] | None = None, size: float = 8) -> Axes:
    """An array (height, width) as cells, each with its value written in it (see :func:`picture`)."""
    image = picture(values, ax, cmap, limits).images[0]
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        # Adding zero turns -0.00 into 0.00; laying out hundreds of numbers would take seconds.
        ax.text(column, row, f"{np.round(value, decimals) + 0.0:.{decimals}f}", ha="center", va="center",
                size=size, color="white" if dark else "black", in_layout=False)
    return ax


def frame(ax: Axes, corner: tuple[float, float], side: float, colour: str, width: float = 2.5) -> None:
    """Frame the cells from ``corner``, ``side`` cells wide and high."""
    ax.add_patch(Rectangle((corner[1] - 0.5, corner[0] - 0.5), side, side, fill=False, ec=colour, lw=width,
                           clip_on=False, zorder=3))


def _cross_lines(ax: Axes, places: np.ndarray, **style: float) -> None:
    """White lines across and down."""
    for place in places:
        ax.axhline(place, color="white", **style)
        ax.axvline(place, color="white", **style)


def _diverging(values: np.ndarray) -> tuple[float, float]:
    """Colour limits with zero in the middle."""
    largest = max(float(np.abs(values).max()), 1e-9)
    return -largest, largest


def convolution_steps(image: np.ndarray, kernel: np.ndarray, bias: float, response: np.ndarray,
                      corner: tuple[int, int], side: int, positions: Sequence[tuple[int, int]]) -> Figure:
    """One kernel, float (3, 3) with its bias, on one image's pixels divided by 255, worked out in numbers at some
    positions, the centres of windows inside the patch that ``corner`` and ``side`` frame (Fig. 6). The response, float
    (height, width), is that before ReLU."""
    figure = plt.figure(figsize=(10, 8.2))
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.3, 4.4), squeeze=False).flat
    whole, patch, result = upper.subplots(1, 3)
    cut = np.s_[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    picture(image, whole, "gray", GREYS, f"the image, {image.shape[0]} x {image.shape[1]} pixels")
    frame(whole, corner, side, "#D55E00")
    number_grid(image[cut] / 255, patch, limits=(0, 1)).set_title("the marked patch, pixels / 255")
    number_grid(response[cut], result, cmap="RdBu_r", limits=_diverging(response[cut])
                ).set_title("the layer's output there, before ReLU")
    rows = lower.subplots(len(positions), 4, width_ratios=(1, 1, 1, 1.25), squeeze=False)
    for axes, (row, column), colour in zip(rows, positions, POSITION_COLOURS, strict=False):
        frame(patch, (row - corner[0] - 1, column - corner[1] - 1), 3, colour)
        frame(result, (row - corner[0], column - corner[1]), 1, colour)
        window = image[row - 1 : row + 2, column - 1 : column + 2] / 255
        _equation(axes, window, kernel, bias, colour)
    for ax, title in zip(rows[0], ("pixels in the window", "kernel", "products", "output"), strict=True):
        ax.set_title(title)
    return figure


def _equation(axes: np.ndarray, window: np.ndarray, kernel: np.ndarray, bias: float, colour: str) -> None:
    """A row of Fig. 6: window x kernel = products, their sum with the bias, and ReLU."""
    products = window * kernel
    number_grid(window, axes[0], limits=(0, 1))
    number_grid(kernel, axes[1], cmap="RdBu_r", limits=_diverging(kernel))
    number_grid(products, axes[2], decimals=3, cmap="RdBu_r", limits=_diverging(kernel))
    for ax, sign in zip(axes, "×=→", strict=False):
        frame(ax, (0, 0), 3, colour)
        ax.text(1.32, 0.5, sign, transform=ax.transAxes, ha="center", va="center", size=18)
    output = products.sum() + bias
    for line, (name, value) in enumerate((("sum of products", products.sum()), ("+ bias", bias),
                                          ("= before ReLU", output), ("after ReLU", max(output, 0.0)))):
        height, weight = 0.86 - 0.24 * line, "bold" if line == 2 else "normal"
        axes[3].text(0.62, height, name, ha="right", va="center", size=10, weight=weight)
        axes[3].text(0.98, height, f"{value:.3f}", ha="right", va="center", size=10, weight=weight)
    axes[3].plot([0.04, 1.0], [0.5, 0.5], color=colour, lw=1.5)
    axes[3].set(xlim=(0, 1.05), ylim=(0, 1))
    axes[3].axis("off")


def feature_maps(image: np.ndarray, kernels: np.ndarray, maps: np.ndarray, numbers: Sequence[int]) -> Figure:
    """Kernels of the first layer, float (3, 3, n), and below each the feature map it makes of an image, after ReLU;
    ``numbers`` says which kernels of the layer these are, from 0 (Fig. 6)."""
    half = -(-len(numbers) // 2)
    figure, axes = _beside_image(image, (10, 6.2), half * 0.72, 4, half, (1, 2.2, 1, 2.2))
    limits = _diverging(kernels)
    for place, number in enumerate(numbers):
        row, column = 2 * (place // half), place % half
        picture(kernels[..., place], axes[row, column], "RdBu_r", limits, f"kernel {number}")
        # A bright line along the border would leave the rest dark.
        brightest = np.percentile(maps[..., place], 98) or maps[..., place].max() or 1
        picture(maps[..., place], axes[row + 1, column], "viridis", (0, float(brightest)))
    return figure


def _beside_image(image: np.ndarray, size: tuple[float, float], width: float, rows: int, columns: int,
                  heights: Sequence[float] | None = None) -> tuple[Figure, np.ndarray]:
    """A figure with the image on the left, and ``width`` times as wide on the right axes that are off."""
    figure = plt.figure(figsize=size)
    left, right = figure.subfigures(1, 2, width_ratios=(1, width), squeeze=False).flat
    picture(image, left.subplots(), "gray", GREYS, "the image")
    axes = right.subplots(rows, columns, height_ratios=heights, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    return figure, axes


def block_maps(image: np.ndarray, maps: Mapping[str, np.ndarray], channels: Mapping[str, Sequence[int]]) -> Figure:
    """Feature maps of one image at several depths, a row a layer: those ``channels`` of each layer's maps."""
    shown = max(len(chosen) for chosen in channels.values())
    figure, axes = _beside_image(image, (10, 1.65 * len(maps)), 0.62 * shown, len(maps), shown)
    for row, (name, values) in zip(axes, maps.items(), strict=True):
        for ax, channel in zip(row, channels[name], strict=False):
            ax.axis("on")
            picture(values[..., channel], ax, "viridis", title=f"channel {channel}").title.set_fontsize(9)
        row[0].set_ylabel(f"{name}\n{' x '.join(map(str, values.shape))}", size=9)
    return figure


def tanh_activation(cases: Mapping[str, np.ndarray], threshold: float = 0.95) -> Figure:
    """Where pre-activations, by a case's name, fall on the tanh curve (Fig. 7). Outputs beyond the threshold, in
    absolute value, count as saturated; values beyond 6 are counted in the histogram's end bars."""
    figure, reach = plt.figure(figsize=(10, 5)), 6
    edge, line = np.arctanh(threshold), np.linspace(-reach, reach, 400)
    for part, (name, values) in zip(figure.subfigures(1, len(cases), squeeze=False).flat, cases.items(), strict=True):
        values = np.ravel(values)
        axes = part.subplot_mosaic([["curve", "out"], ["in", "."]], width_ratios=(3, 1), height_ratios=(2, 1))
        curve, inputs, outputs = axes["curve"], axes["in"], axes["out"]
        curve.plot(line, np.tanh(line), color="black", lw=2)
        for ax in (curve, inputs):
            for side in (-1, 1):
                ax.axvspan(side * edge, side * reach, color=SATURATED, alpha=0.12, lw=0)
            ax.set_xlim(-reach, reach)
        _two_coloured(inputs.bar, np.clip(values, -reach, reach), np.linspace(-reach, reach, 49), edge)
        _two_coloured(outputs.barh, np.tanh(values), np.linspace(-1, 1, 41), threshold)
        share = (np.abs(np.tanh(values)) > threshold).mean()
        part.suptitle(f"{name}: {share:.0%} saturated")
        curve.set(ylabel="tanh", ylim=(-1.05, 1.05), xticklabels=[])
        outputs.set(ylim=(-1.05, 1.05), yticklabels=[], xticks=[], xlabel="share of\noutputs")
        inputs.set(xlabel=f"pre-activation (end bars: all beyond ±{reach:g})", ylabel="share", yticks=[])
    return figure


def _two_coloured(bars: Callable[..., object], values: np.ndarray, edges: np.ndarray, threshold: float) -> None:
    """A histogram, drawn with an axes' ``bar`` or ``barh``, its saturated part in a colour of its own."""
    shares, middles = np.histogram(values, edges)[0] / len(values), (edges[1:] + edges[:-1]) / 2
    colours = [SATURATED if abs(middle) > threshold else UNSATURATED for middle in middles]
    bars(middles, shares, np.diff(edges), color=colours, edgecolor="white", lw=0.3)


def pooling(before: np.ndarray, pooled: Mapping[str, np.ndarray], corner: tuple[int, int], side: int = 6) -> Figure:
    """A feature map, float (height, width), before and after 2 x 2 pooling (by name; the first is max pooling), whole,
    and in numbers within the patch of this corner and side, all even (Fig. 8)."""
    maps = {"before pooling": before, **pooled}
    figure, axes = plt.subplots(2, len(maps), figsize=(10, 7.2))
    # A bright line along the border would leave the rest dark.
    limits = float(before.min()), float(np.percentile(before, 99))
    row, column = corner
    patch = before[row : row + side, column : column + side]
    near = float(patch.min()), float(patch.max())
    for (upper, lower), (name, values) in zip(axes.T, maps.items(), strict=True):
        step = len(before) // len(values)
        cut = values[row // step : (row + side) // step, column // step : (column + side) // step]
        picture(values, upper, "viridis", limits, f"{name}, {values.shape[0]} x {values.shape[1]}")
        frame(upper, (row / step, column / step), side / step, "#D55E00")
        number_grid(cut, lower, cmap="viridis", limits=near, size=9 if step == 1 else 12)
        lower.set_title("there, framed: the largest of each four" if step == 1 else f"there, {name}")
        _cross_lines(lower, np.arange(0, len(cut) + 1, 2 // step) - 0.5, lw=4)
    for top in range(0, side, 2):
        for left in range(0, side, 2):
            best = np.unravel_index(patch[top : top + 2, left : left + 2].argmax(), (2, 2))
            frame(axes[1, 0], (top + best[0] + 0.06, left + best[1] + 0.06), 0.88, "#D55E00", 2)
    return figure


def dense_contributions(images: Mapping[str, np.ndarray], contributions: np.ndarray, bias: float) -> Figure:
    """How a dense layer's activations add up to a probability, a row an image, by label, the negative class first
    (Fig. 9). Contributions, float (n, units), are activation times output weight; the bias is the output unit's."""
    figure, rows = plt.subplots(len(images), 3, figsize=(10, 3.1 * len(images)), width_ratios=(1, 2, 1.3),
                                squeeze=False)
    logits = contributions.sum(1) + bias
    reach = max(6.0, float(np.abs(logits).max()) + 1)
    line = np.linspace(-reach, reach, 300)
    for (image_ax, bars, sigmoid), (label, image), own, logit, colour in zip(
            rows, images.items(), contributions, logits, (NEGATIVE, POSITIVE), strict=True):
        picture(image, image_ax, "gray", GREYS, f"label: {label}")
        ordered = np.sort(own[own != 0])
        bars.bar(range(len(ordered)), ordered, 0.8, color=np.where(ordered < 0, NEGATIVE, POSITIVE))
        bars.plot(range(-1, len(ordered)), np.cumsum([bias, *ordered]), color="black", lw=1.5, marker=".")
        bars.plot(len(ordered) - 1, logit, "o", color="black")
        bars.axhline(0, color="0.6", lw=0.8)
        bars.set(xlabel=f"{len(ordered)} active units, sorted ({len(own) - len(ordered)} are silent)",
                 xticks=[], ylabel="activation x weight", title="contributions (bars), running sum (line)")
        sigmoid.plot(line, 1 / (1 + np.exp(-line)), color="black")
        probability = 1 / (1 + np.exp(-logit))
        sigmoid.plot([logit, logit, -reach], [0, probability, probability], ":", color=colour)
        sigmoid.plot(logit, probability, "o", ms=9, color=colour)
        sigmoid.set(xlabel="sum with bias", ylabel="probability", ylim=(-0.04, 1.04), xlim=(-reach, reach),
                    title=f"sigmoid({logit:.2f}) = {probability:.3f}")
    return figure


def unit_parts(images: Mapping[str, np.ndarray], parts: np.ndarray, units: Sequence[int]) -> Figure:
    """What each part of the images, by label, adds to one unit of the dense layer (Fig. 9, 'different parts').
    ``parts``, float (n, rows, columns), are the unit's sum, split by position of the last feature map; ``units`` has
    one for each image."""
    figure, axes = plt.subplots(1, 2 * len(images), figsize=(10, 3), squeeze=False)
    for place, ((label, image), own, unit) in enumerate(zip(images.items(), parts, units, strict=True)):
        image_ax, grid = axes[0, 2 * place : 2 * place + 2]
        picture(image, image_ax, "gray", GREYS, f"label: {label}")
        _cross_lines(image_ax, np.arange(1, len(own)) * len(image) / len(own) - 0.5, lw=0.7, alpha=0.6)
        if len(own) <= 8:
            number_grid(own, grid, cmap="RdBu_r", limits=_diverging(own), size=10)
        else:
            picture(own, grid, "RdBu_r", _diverging(own))
        grid.set_title(f"added to unit {unit}")
    return figure
