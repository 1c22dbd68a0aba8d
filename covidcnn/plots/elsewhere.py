"""Figures of networks on images unlike those that they learnt from: accuracy lost, thresholds set anew."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcnn.plots.style import BASELINE, HERE, VALIDATION, label_rows, legend_below, rows_from_above

_LOOKS = ((HERE, "o"), (VALIDATION, "s"), (BASELINE, "D"))


def accuracy_lost(lost: Mapping[str, pd.DataFrame], quantity: str, ax: Axes) -> Axes:
    """The accuracy that up to three networks lose, with its interval, a row a perturbation, the worst in their mean
    above: by network a table indexed by perturbation with ``lost``, ``lost, low`` and ``lost, high``; ``quantity`` is
    the axis label."""
    mean = pd.concat(lost)["lost"].groupby(level=-1).mean()
    rows = rows_from_above(mean.sort_values(ascending=False).index)
    ax.axvline(0, color="0.6", lw=1)
    offsets = np.linspace(0.25, -0.25, len(lost)) if len(lost) > 1 else [0]
    for (name, table), (colour, marker), offset in zip(lost.items(), _LOOKS, offsets, strict=False):
        reach = [table["lost"] - table["lost, low"], table["lost, high"] - table["lost"]]
        ax.errorbar(table["lost"], table.index.map(rows) + offset, xerr=reach, fmt=marker, color=colour, ms=5,
                    capsize=3, label=name)
    return label_rows(ax, rows, quantity)


def lost_by_network(lost: pd.DataFrame) -> Figure:
    """The accuracy that each network loses by each perturbation: of a table with ``network``, ``perturbation``,
    ``lost``, ``lost, low`` and ``lost, high``, means over seeds and their intervals."""
    figure, ax = plt.subplots(figsize=(7.5, 7.5))
    by_network = lost.set_index("perturbation").groupby("network", sort=False)
    accuracy_lost(dict(iter(by_network)), "accuracy lost on test images (mean over seeds, 95 % interval)", ax)
    return legend_below(figure, 3)


def better_by_place(local: pd.DataFrame) -> Figure:
    """In which share of draws a threshold set anew is better, by the number of local images, for up to three networks,
    down to the lowest seed; a panel a place: of a table with ``network``, ``place``, ``images``, ``better`` and
    ``better, lowest``."""
    places = local[local["images"] > 0].set_index("images").groupby("place", sort=False)
    figure, axes = plt.subplots(1, len(places), figsize=(7.5, 3.6), sharey=True)
    for ax, (place, of_place) in zip(axes, places, strict=True):
        ax.axhline(0.95, color="0.6", lw=1, ls="--", label="enough: 0.95")
        for (name, own), (colour, marker) in zip(of_place.groupby("network", sort=False), _LOOKS, strict=False):
            ax.plot(own.index, own["better"], f"{marker}-", color=colour, label=name)
            ax.fill_between(own.index, own["better, lowest"], own["better"], color=colour, alpha=0.15, lw=0)
        ax.set(xlabel="local images", ylim=(-0.02, 1.03), title=f"images of {place}")
    axes[0].set_ylabel("share of draws in which\nthe new threshold is better")
    return legend_below(figure, 4)
