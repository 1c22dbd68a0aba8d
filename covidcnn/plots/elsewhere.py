"""Figures of networks on images unlike those that they learnt from: accuracy lost, thresholds set anew."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from covidcnn.plots.style import BASELINE, HERE, VALIDATION, label_rows, rows_from_above

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


def better_thresholds(local: Mapping[str, pd.DataFrame], ax: Axes) -> Axes:
    """In which share of draws a threshold set anew is better, by the number of local images, for up to three networks,
    down to the lowest seed: by network a table indexed by ``images`` with ``better`` and ``better, lowest``."""
    ax.axhline(0.95, color="0.6", lw=1, ls="--")
    for (name, table), (colour, marker) in zip(local.items(), _LOOKS, strict=False):
        own = table[table.index > 0]
        ax.plot(own.index, own["better"], f"{marker}-", color=colour, label=name)
        ax.fill_between(own.index, own["better, lowest"], own["better"], color=colour, alpha=0.15, lw=0)
    ax.set(xlabel="local images", ylabel="share of draws in which\nthe new threshold is better", ylim=(-0.02, 1.03))
    return ax
