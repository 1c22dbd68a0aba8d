"""Figures of the network as a whole: its layers, its parameters, what its units see (Fig. 10)."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle

from covidcnn.plots.layers import GREYS, picture

KIND_COLOURS = {"InputLayer": "#BBBBBB", "Conv2D": "#56B4E9", "BatchNormalization": "#009E73",
                "MaxPooling2D": "#E69F00", "Dropout": "#CC79A7", "Flatten": "#DDDDDD", "Dense": "#D55E00"}
DEPTH_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def stages(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Cut a layer table into what is drawn together: the input, each block to its pooling, then each
    further layer that changes the shape, with the dropout before or behind it."""
    opens = table["kind"].isin(["Conv2D", "Dense"]) | (
        (table["kind"] == "Dropout") & table["output shape"].str.contains(" x "))
    return [group for _, group in table.groupby(opens.cumsum())]


def network_diagram(table: pd.DataFrame) -> Figure:
    """The network, a ``layer_table``, as solids of the size of what flows through it, its layers listed below
    (Fig. 10). Side lengths grow with the logarithm of pixels, depths with that of channels, heights of vectors with
    that of units."""
    groups = stages(table)
    figure, ax = plt.subplots(figsize=(10, 4.2))
    for place, group in enumerate(groups):
        left = 1.3 * place
        shape = [int(size) for size in group["output shape"].iloc[-1].split(" x ")]
        _solid(ax, left, shape)
        ax.text(left + 0.61, -0.1, " x ".join(f"{size:,}" for size in shape), ha="center", va="top", size=9,
                weight="bold")
        for line, layer in enumerate(group.itertuples()):
            _tile(ax, left, -0.42 - 0.45 * line, layer.kind, layer.layer, layer.parameters)
        if place:
            ax.annotate("", (left + 0.08, 0.95), (left - 0.12, 0.95), arrowprops={"arrowstyle": "->", "color": "0.4"})
    ax.set(xlim=(-0.05, 1.3 * len(groups)), ylim=(-1.8, 2.0))
    ax.axis("off")
    return figure


def _solid(ax: Axes, left: float, shape: list[int]) -> None:
    """A box for maps (height, width, channels), a bar for a vector."""
    colour, edge = "#D6E6F2", "#4C6A85"
    if len(shape) == 1:
        height = 0.12 + 0.11 * np.log2(shape[0] + 1)
        ax.add_patch(Rectangle((left + 0.52, 0.95 - height / 2), 0.16, height, fc=colour, ec=edge))
        return
    side, depth = 0.11 * np.log2(shape[0]), 0.04 * np.log2(shape[2] + 1)
    x, y = left + 0.6 - (side + depth) / 2, 0.95 - (side + depth) / 2
    ax.add_patch(Polygon([(x, y + side), (x + depth, y + side + depth), (x + side + depth, y + side + depth),
                          (x + side, y + side)], fc="#EAF2F9", ec=edge))
    ax.add_patch(Polygon([(x + side, y), (x + side + depth, y + depth), (x + side + depth, y + side + depth),
                          (x + side, y + side)], fc="#A9C6DE", ec=edge))
    ax.add_patch(Rectangle((x, y), side, side, fc=colour, ec=edge))


def _tile(ax: Axes, left: float, top: float, kind: str, name: str, parameters: int) -> None:
    """One layer: its name and parameters on the colour of its kind."""
    ax.add_patch(FancyBboxPatch((left + 0.05, top - 0.4), 1.12, 0.36, fc=KIND_COLOURS[kind], ec="none",
                                alpha=0.55, boxstyle="round,pad=0,rounding_size=0.06"))
    text = f"{name}\n{parameters:,}" if parameters else name
    ax.text(left + 0.61, top - 0.22, text, ha="center", va="center", size=8, linespacing=1.1)


def parameter_bars(table: pd.DataFrame, ax: Axes) -> Axes:
    """Parameters of each layer that has any, with their share of all."""
    own = table[table["parameters"] > 0]
    total = own["parameters"].sum()
    ax.barh(own["layer"], own["parameters"] / 1e6, color=[KIND_COLOURS[kind] for kind in own["kind"]])
    for row, count in enumerate(own["parameters"]):
        share = f"{count / total:.1%}" if count >= total / 1000 else "below 0.1%"
        ax.text(count / 1e6, row, f"  {count:,} ({share})", va="center", size=9)
    ax.set(xlabel="parameters, millions", xlim=(0, 1.3 * own["parameters"].max() / 1e6),
           title=f"{total:,} parameters in all")
    ax.invert_yaxis()
    return ax


def seen_by_one_unit(images: Mapping[str, np.ndarray], fields: pd.DataFrame) -> Figure:
    """How many pixels one unit of each ``layer`` sees (its ``receptive field``), as squares drawn around the middle of
    the same image at several sizes, uint8 (size, size) by title."""
    figure, axes = plt.subplots(1, len(images), figsize=(9, 9 / len(images) + 0.8))
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        picture(image, ax, "gray", GREYS, title)
        middle = len(image) / 2 - 0.5
        for (_, row), colour in zip(fields.iterrows(), DEPTH_COLOURS, strict=False):
            side = row["receptive field"]
            ax.add_patch(Rectangle((middle - side / 2, middle - side / 2), side, side, fill=False, lw=2.5,
                                   ec=colour, label=f"{row['layer']}: {side} x {side}"))
        ax.set(xlim=(-0.5, len(image) - 0.5), ylim=(len(image) - 0.5, -0.5))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(fields))
    return figure
