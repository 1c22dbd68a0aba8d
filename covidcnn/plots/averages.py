"""Figures of average images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from covidcnn.plots.images import PATCH_COLOUR, SPLIT_STYLES, TITLE_SIZE, show_image
from covidcnn.task import PNEUMONIA, Task

if TYPE_CHECKING:
    from covidcnn.imaging.registration import Alignment

FRAME = 0.7
"""Side of the frame that is drawn in an average image, as a share of the image's."""


def mean_images(images: pd.DataFrame, pixels: np.ndarray, task: Task = PNEUMONIA) -> Figure:
    """The average image of train and of test, and their difference, a row a class.

    Args:
        images: ``split`` and ``label``; without a test split only the average of train is drawn.
        pixels: uint8 (n, height, width), in the order of ``images``.
        task: whose classes are drawn.
    """
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
    """Average images side by side. The frame in the first one is drawn in the others where registration finds it again,
    so that a chest that stands taller in its image has a taller frame.

    Args:
        averages: by name, float (size, size), grey levels; the first is the reference.
        alignments: of the others to the first, by name; None where registration did not converge.
    """
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
