"""Figures of what ``elsewhere.py`` scored."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from elsewhere_tables import ENOUGH, LITE0, PAPER, PLACES, RANDOM, TRAINED, ZOOM, Networks
from matplotlib.figure import Figure

from covidcnn.plots.style import BASELINE, HERE, VALIDATION, apply_style, label_rows, rows_from_above, save_picture

_LOOKS = ((PAPER, HERE, "o"), (ZOOM, VALIDATION, "s"), (LITE0, BASELINE, "D"))


def write_figures(networks: Networks, folder: Path, average: np.ndarray) -> None:
    """The figures, into ``figures/``."""
    apply_style()
    local = pd.read_csv(folder / "tables/local.csv")
    for name, figure in (("lost", lost_figure(pd.read_csv(folder / "tables/lost.csv"))),
                         ("local", local_figure(local)), ("where", where_figure(networks, average))):
        save_picture(figure, folder / "figures", name)
        plt.close(figure)


def lost_figure(lost: pd.DataFrame) -> Figure:
    """Accuracy lost by perturbation, for each network."""
    rows = rows_from_above(lost.groupby("perturbation")["lost"].mean().sort_values(ascending=False).index)
    figure, ax = plt.subplots(figsize=(7.5, 7.5))
    ax.axvline(0, color="0.6", lw=1)
    for (name, colour, marker), offset in zip(_LOOKS, (0.25, 0, -0.25), strict=True):
        own = lost[lost["network"] == name]
        if len(own):
            ax.errorbar(own["lost"], own["perturbation"].map(rows) + offset, fmt=marker, color=colour, ms=5, capsize=3,
                        xerr=[own["lost"] - own["low"], own["high"] - own["lost"]], label=name)
    label_rows(ax, rows, "accuracy lost on test images (mean over seeds, 95 % interval)")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    return figure


def local_figure(local: pd.DataFrame) -> Figure:
    """How often a threshold set anew is better, by the number of local images."""
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), sharey=True)
    for ax, place in zip(axes, PLACES, strict=True):
        ax.axhline(ENOUGH, color="0.6", lw=1, ls="--")
        for name, colour, marker in _LOOKS:
            own = local[(local["network"] == name) & (local["place"] == place) & (local["images"] > 0)]
            if len(own):
                ax.plot(own["images"], own["better"], f"{marker}-", color=colour, label=name)
                ax.fill_between(own["images"], own["better, lowest"], own["better"], color=colour, alpha=0.15, lw=0)
        ax.set(title=f"images of {place}", xlabel="local images", ylim=(0, 1.03))
    axes[0].set_ylabel("share of draws in which\nthe new threshold is better")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return figure


def where_figure(networks: Networks, average: np.ndarray) -> Figure:
    """Mean occlusion maps over the average image, of trained networks and of such with random weights."""
    figure, axes = plt.subplots(2, len(networks), figsize=(2.6 * len(networks), 5.4), squeeze=False)
    for column, (name, one) in zip(axes.T, networks.items(), strict=True):
        for ax, kind in zip(column, (TRAINED, RANDOM), strict=True):
            mean = np.mean([facts["maps"][kind] for facts in one.facts], axis=0)
            reach = np.abs(mean).max() or 1
            ax.imshow(average, cmap="gray", extent=(0, 1, 1, 0))
            colours = ax.imshow(mean, cmap="RdBu_r", alpha=0.55, vmin=-reach, vmax=reach, extent=(0, 1, 1, 0))
            ax.add_patch(plt.Circle((0.5, 0.5), 0.38, fill=False, color="black"))
            ax.set(xticks=[], yticks=[])
            figure.colorbar(colours, ax=ax, shrink=0.8, format="%.2g")
        column[0].set_title(name.replace(" with", "\nwith"), fontsize="small")
    for ax, words in zip(axes[:, 0], ("trained", "random weights"), strict=True):
        ax.set_ylabel(words)
    return figure
