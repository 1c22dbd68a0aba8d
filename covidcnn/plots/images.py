"""Figures of images, uint8 (height, width), and of what can be counted and measured on them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from covidcnn.plots.style import HERE, PAPER, class_colours
from covidcnn.task import PNEUMONIA, Task

if TYPE_CHECKING:
    from covidcnn.imaging.registration import Alignment

TITLE_SIZE = 9
LONGEST_SHOWN = 700
"""Pixels; an image of a third of the page's width has about 450 of them in print."""
PATCH_COLOUR = "#E69F00"
SPLIT_STYLES = {"train": "-", "test": "--"}
FRAME = 0.7
"""Side of the frame that is drawn in an average image, as a share of the image's."""

Box = Sequence[float]
"""A part of an image as shares of its width and height: left, top, width, height."""


def show_image(image: np.ndarray, ax: Axes, title: str = "", box: Box | None = None) -> Axes:
    """One image in its own proportions, black 0 and white 255, without ticks; a part of it may be framed."""
    image = _for_display(image)
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    sns.despine(ax=ax, left=True, bottom=True)
    if title:
        ax.set_title(title, size=TITLE_SIZE)
    if box is not None:
        top, bottom, left, right = _corners(image, box)
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False,
                               edgecolor=PATCH_COLOUR, linewidth=1.8))
    return ax


def cut(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of an image within ``box``, at least one pixel a side: a view, not a copy."""
    top, bottom, left, right = _corners(image, box)
    return image[top:bottom, left:right]


def image_grid(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 4, width: float = 9.0) -> Figure:
    """Images, whose sizes may differ, in rows, each in its own proportions and under its title (Fig. 1). The width is
    in inches; ValueError without images, or with another number of titles."""
    if len(images) == 0 or len(images) != len(titles):
        raise ValueError(f"need images and one title for each: {len(images)} images, {len(titles)} titles")
    tallest = [max(image.shape[0] / image.shape[1] for image in images[first : first + columns])
               for first in range(0, len(images), columns)]
    lines = max(title.count("\n") + 1 for title in titles)
    heights = [width / columns * shape + 0.2 * lines for shape in tallest]
    figure, axes = plt.subplots(len(tallest), columns, figsize=(width, sum(heights)), squeeze=False,
                                height_ratios=heights)
    for ax in axes.flat[len(images) :]:
        ax.remove()
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        show_image(image, ax, title)
        # Images of a row hang from one line, whatever their proportions.
        ax.set_anchor("N")
    return figure


def class_distribution(here: pd.DataFrame, paper: Mapping[str, Mapping[str, int]], task: Task = PNEUMONIA) -> Figure:
    """Images of each class in train and test, as ``counts_table`` gives them, beside the paper's counts by split and
    label (Fig. 2), if the task is the paper's. Bars are shares, so that a small data set can be held beside the
    paper's; counts stand on the bars."""
    colours = list(class_colours(task).values())
    figure, axes = plt.subplots(1, len(paper), figsize=(9, 3.6), sharey=True, squeeze=False)
    for ax, (split, counts) in zip(axes.flat, paper.items(), strict=True):
        own = here.reindex(index=[split], columns=list(task.classes), fill_value=0).loc[split]
        sources = {"here": own} | ({"paper": pd.Series(counts)[list(task.classes)]} if task == PNEUMONIA else {})
        for offset, (source, values) in zip((-0.2, 0.2), sources.items(), strict=False):
            shares = values / max(values.sum(), 1)
            bars = ax.bar(np.arange(len(task.classes)) + offset, shares, 0.36, edgecolor=colours, linewidth=1.5,
                          color=colours if source == "here" else "none", hatch="" if source == "here" else "//")
            ax.bar_label(bars, [f"{source}\n{value:,}\n{share:.1%}"
                                for value, share in zip(values, shares, strict=True)], padding=3, size=9)
        there = f", {sum(counts.values()):,} in the paper" if "paper" in sources else ""
        ax.set(title=f"{split}: {own.sum():,} images here{there}", ylim=(0, 1), xticks=range(len(task.classes)),
               xticklabels=task.classes)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0, 0].set_ylabel("share of the split's images")
    return figure


def size_scatter(images: pd.DataFrame, ax: Axes, task: Task = PNEUMONIA) -> Axes:
    """Width and height of every image by class. Images of one size lie on one point; the title says how many sizes
    there are."""
    sizes = images[["width", "height"]].drop_duplicates()
    area = 14 if len(sizes) > 1 else 90
    # The rarer class last, so that it is not painted over.
    for label in images["label"].value_counts().index:
        own = images[images["label"] == label]
        ax.scatter(own["width"], own["height"], s=area, alpha=0.45, color=class_colours(task)[label], label=label,
                   linewidths=0)
    longest = 1.08 * max(images["width"].max(), images["height"].max())
    ax.plot([0, longest], [0, longest], ":", color="0.6", lw=1)
    ax.annotate("square", (0.72 * longest, 0.72 * longest), ha="center", va="bottom", size=9, color="0.4",
                rotation=45, rotation_mode="anchor")
    title = (f"{len(images):,} images, {len(sizes):,} sizes" if len(sizes) > 1 else
             "one size, {} x {}: all images lie on this point".format(*sizes.iloc[0]))
    ax.set(xlabel="width [pixels]", ylabel="height [pixels]", xlim=(0, longest), ylim=(0, longest),
           aspect="equal", title=title)
    for handle in ax.legend(loc="upper left").legend_handles:
        if handle is not None:
            handle.set(sizes=[50], alpha=1)
    return ax


def densities(table: pd.DataFrame, quantity: str, ax: Axes, unit: str = "", task: Task = PNEUMONIA) -> Axes:
    """How a measure, the column ``quantity`` of a table with ``label`` and ``split``, is distributed, a curve a class;
    train drawn through, test dashed. The unit is for the axis label."""
    for split, style in SPLIT_STYLES.items():
        for label, colour in class_colours(task).items():
            values = table.loc[(table["split"] == split) & (table["label"] == label), quantity]
            if values.nunique() > 1:
                sns.kdeplot(values, ax=ax, color=colour, ls=style, label=f"{split} {label}", lw=2)
    ax.set(xlabel=f"{quantity} [{unit}]" if unit else quantity, ylabel="density of images", yticks=[])
    if ax.lines:
        # For the legend over the curves.
        ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
        ax.legend(fontsize=9, ncols=2, loc="upper center")
    else:
        ax.text(0.5, 0.5, f"{table[quantity].iloc[0]:g} in every image:\nit says nothing", ha="center",
                va="center", transform=ax.transAxes)
        ax.set(xticks=[], ylabel="")
    return ax


def images_per_patient(images: pd.DataFrame, ax: Axes, task: Task = PNEUMONIA) -> Axes:
    """How many patient keys have one image, two, three …, a bar a class. Counts on a logarithmic scale."""
    sizes = images.groupby(["label", "patient"]).size()
    longest = int(sizes.max())
    width = 0.8 / len(task.classes)
    for place, (label, colour) in enumerate(class_colours(task).items()):
        if label in sizes.index:
            counts = sizes.loc[label].value_counts().sort_index()
            offset = (place - (len(task.classes) - 1) / 2) * width
            ax.bar(counts.index + offset, counts, width, color=colour, label=label)
    # From below one, so that a single patient has a bar that can be seen.
    ax.set(xlabel="images of the patient", ylabel="patients (log scale)", yscale="log", xlim=(0.3, longest + 0.7),
           ylim=(0.6, None))
    ax.set_xticks(range(1, longest + 1) if longest <= 12 else [1, *range(5, longest + 1, 5)])
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend()
    return ax


def auc_rows(table: pd.DataFrame, name: str, ax: Axes) -> Axes:
    """AUCs with their 95 % intervals, a row each from the top; 0.5 is a coin. The table has the column ``name``, and
    ``auc``, ``low``, ``high``; the interval may be missing."""
    rows = np.arange(len(table))[::-1]
    errors = np.abs(table[["low", "high"]].sub(table["auc"], axis=0).fillna(0).to_numpy(float))
    ax.errorbar(table["auc"], rows, xerr=errors.T, fmt="o", color=HERE, capsize=3)
    for auc, row in zip(table["auc"], rows, strict=True):
        ax.annotate(f"{auc:.2f}", (auc, row), xytext=(0, 6), textcoords="offset points", ha="center", size=9,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    ax.axvline(0.5, ls=":", color=PAPER, lw=1, zorder=1.5)
    ax.text(0.5, len(table) - 0.45, "coin", ha="center", va="bottom", size=9)
    ax.set(yticks=rows, yticklabels=table[name], xlabel="AUC, with 95 % interval by patient",
           xlim=(min(0.42, table["low"].min() - 0.03), 1.02), ylim=(-0.5, len(table) - 0.4))
    ax.grid(axis="x", color="0.92")
    return ax


def histogram(image: np.ndarray, ax: Axes) -> Axes:
    """The share of pixels at each of the 256 grey levels. Black background and white markers can hold most pixels:
    where level 0 or 255 leaves the picture, its share is written beside it."""
    shares = np.bincount(image.ravel(), minlength=256) / image.size
    limit = 1.08 * shares[1:255].max() or 1.0
    ax.stairs(shares, np.arange(257) - 0.5, fill=True, color="0.25")
    for level, offset, side in ((0, 6, "left"), (255, -6, "right")):
        if shares[level] > limit:
            ax.annotate(f"level {level}: {shares[level]:.1%}", (level, limit), xytext=(offset, -2), size=8,
                        textcoords="offset points", ha=side, va="top")
    ax.set(xlim=(-2, 257), ylim=(0, limit), xlabel="grey level", ylabel="share of pixels",
           xticks=[0, 64, 128, 192, 255])
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return ax


def image_and_histogram_rows(images: Mapping[str, np.ndarray]) -> Figure:
    """A row an image, by title: the image, and its grey-level histogram (Fig. 4)."""
    figure, axes = plt.subplots(len(images), 2, figsize=(8, 2.1 * len(images)), squeeze=False, width_ratios=(1, 1.7))
    for row, (title, image) in zip(axes, images.items(), strict=True):
        show_image(image, row[0])
        row[0].set_ylabel(title, size=10)
        histogram(image, row[1])
        row[1].yaxis.label.set_size(10)
    for ax in axes[:-1, 1]:
        ax.set(xlabel="", xticklabels=[])
    return figure


def mean_images(images: pd.DataFrame, pixels: np.ndarray, task: Task = PNEUMONIA) -> Figure:
    """The average image of train and of test, and their difference, a row a class; without a test split only the
    average of train. ``images`` has the columns ``split`` and ``label``; ``pixels`` are theirs, uint8 (n, height,
    width)."""
    parts = {(split, label): ((images["split"] == split) & (images["label"] == label)).to_numpy()
             for split in SPLIT_STYLES for label in task.classes}
    means = {part: pixels[chosen].mean(axis=0, dtype=np.float64) for part, chosen in parts.items() if chosen.any()}
    shifts = {label: means["test", label] - means["train", label] for label in task.classes
              if {("train", label), ("test", label)} <= means.keys()}
    columns = 3 if shifts else 1
    figure, axes = plt.subplots(len(task.classes), columns, figsize=(2.8 * columns, 2.75 * len(task.classes)),
                                squeeze=False)
    for row, label in zip(axes, task.classes, strict=True):
        for ax, split in zip(row, SPLIT_STYLES, strict=False):
            if (split, label) in means:
                show_image(means[split, label], ax, f"{label}, mean of {split}")
    if shifts:
        largest = max(float(np.abs(shift).max()) for shift in shifts.values())
        for ax, (label, shift) in zip(axes[:, 2], shifts.items(), strict=False):
            show_image(shift, ax, f"{label}, test - train")
            ax.images[0].set(cmap="RdBu_r", clim=(-largest, largest))
        figure.colorbar(axes[0, 2].images[0], ax=axes[:, 2], label="difference [grey levels]", shrink=0.8)
    return figure


def framed_averages(averages: Mapping[str, np.ndarray], alignments: Mapping[str, "Alignment | None"]) -> Figure:
    """Average images, float (size, size) by name, side by side. The frame in the first one is drawn in the others where
    registration to it, ``alignments`` by name, finds it again (None where it did not converge), so that a chest that
    stands taller in its image has a taller frame."""
    figure, axes = plt.subplots(1, len(averages), figsize=(2.6 * len(averages), 3.2))
    for ax, (name, average) in zip(axes, averages.items(), strict=True):
        found = alignments.get(name)
        show_image(np.rint(average).astype(np.uint8), ax, name)
        if name in alignments and found is None:
            continue
        height, width, down, aside = (found.height, found.width, found.down, found.aside) if found else (1, 1, 0, 0)
        size = len(average)
        tall, wide = FRAME * height * size, FRAME * width * size
        left, top = (0.5 + aside) * size - wide / 2, (0.5 + down) * size - tall / 2
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, edgecolor=PATCH_COLOUR, linewidth=1.8))
        if found:
            ax.set_xlabel(f"{height:.2f} times as tall,\n{width:.2f} times as wide", size=TITLE_SIZE)
    return figure


def _for_display(image: np.ndarray) -> np.ndarray:
    """An image no larger than a figure can show: quicker to draw, and averaged rather than sampled."""
    scale = LONGEST_SHOWN / max(image.shape)
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _corners(image: np.ndarray, box: Box) -> tuple[int, int, int, int]:
    """Top, bottom, left, right in pixels, ends excluded."""
    height, width = image.shape
    left, top = round(box[0] * width), round(box[1] * height)
    return top, top + max(1, round(box[3] * height)), left, left + max(1, round(box[2] * width))
