"""Figures of what ``elsewhere.py`` scored."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from elsewhere_read import Networks
from elsewhere_tables import GRAD_CAM, OCCLUSION, RANDOM
from matplotlib.figure import Figure

from covidcnn.data.sources import CHEST_XRAY
from covidcnn.plots.elsewhere import better_by_place, lost_by_network
from covidcnn.plots.style import apply_style, save_picture


def write_figures(networks: Networks, tables: Mapping[str, pd.DataFrame], folder: Path, average: np.ndarray) -> None:
    """The figures of all tables."""
    apply_style()
    for name, figure in (("lost", lost_by_network(tables["lost"])), ("local", better_by_place(tables["local"])),
                         ("where", where_figure(networks, average))):
        save_picture(figure, folder, name)
        plt.close(figure)


def where_figure(networks: Networks, average: np.ndarray) -> Figure:
    """Mean maps, with the average image in lines, of trained networks and of such with random weights."""
    kinds = {OCCLUSION: "occlusion:\nfall of the score", RANDOM + OCCLUSION: "occlusion,\nrandom weights",
             GRAD_CAM: "Grad-CAM:\n1 is an image's strongest", RANDOM + GRAD_CAM: "Grad-CAM,\nrandom weights"}
    places = [(np.arange(side) + 0.5) / side for side in average.shape[::-1]]
    figure, axes = plt.subplots(len(networks), 4, figsize=(10, 2.2 * len(networks) + 0.9), squeeze=False)
    for row, (name, one) in zip(axes, networks.items(), strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            mean = np.mean([facts["maps"][kind] for facts in one.facts], axis=0)
            reach = np.abs(mean).max() or 1
            scale = {"cmap": "RdBu_r", "vmin": -reach} if OCCLUSION in kind else {"cmap": "Reds", "vmin": 0}
            # Lines, and no image below: what a colour means says the bar alone.
            colours = ax.imshow(mean, vmax=reach, extent=(0, 1, 1, 0), **scale)
            ax.contour(*places, average, levels=6, colors="0.3", linewidths=0.6)
            ax.add_patch(plt.Circle((0.5, 0.5), 0.38, fill=False, color="black", lw=2))
            ax.set(xticks=[], yticks=[])
            figure.colorbar(colours, ax=ax, shrink=0.75, format="%.2g")
        row[0].set_ylabel(name.replace(" with", "\nwith"), fontsize="small")
    for ax, words in zip(axes[0], kinds.values(), strict=True):
        ax.set_title(words, fontsize="small")
    figure.supxlabel("circle: the middle of the frame, where lungs, heart and spine of a centred chest lie; each map "
                     f"has a scale of its own\nlines: average image, {CHEST_XRAY.credit}", fontsize="x-small")
    return figure
