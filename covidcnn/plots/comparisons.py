"""Figures of many trainings: every seed as a point, what validation promised beside what test kept, differences."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from covidcnn.plots.style import BASELINE, HERE, PAPER, VALIDATION

if TYPE_CHECKING:
    from covidcnn.evaluation.statistics import Difference


def values_by_condition(values: Mapping[str, np.ndarray], intervals: Mapping[str, tuple[float, float]],
                        quantity: str, paper: Mapping[str, float] | None = None, ax: Axes | None = None,
                        baseline: tuple[str, float] | None = None) -> Axes:
    """Each seed's value, their median and where one new run would lie, a row a condition, the first above.

    Args:
        values: by condition, float (seeds,).
        intervals: by condition, the 95 % prediction interval.
        quantity: the axis label.
        paper: the paper's value of a condition, where it gives one.
        baseline: name and value of a simple model, a dashed line through all rows.
    """
    ax = ax or plt.gca()
    rows = _rows(list(values))
    if baseline is not None:
        ax.axvline(baseline[1], ls="--", lw=1.2, color=BASELINE, label=baseline[0])
    for name, row in rows.items():
        ax.plot(intervals[name], [row, row], color=HERE, lw=7, alpha=0.2, solid_capstyle="butt",
                label="one new run, 95 %" if row == 0 else None)
        ax.plot(values[name], row + 0.15 * _equals_before(values[name]), "o", color=HERE, alpha=0.7, ms=5,
                label="here, a point a seed" if row == 0 else None)
        ax.plot(np.median(values[name]), row, "|", ms=18, mew=2, color=HERE)
    # In the legend as high as a line of text.
    ax.plot([], [], "|", ms=10, mew=2, color=HERE, label="here, median")
    for name, value in (paper or {}).items():
        ax.plot(value, rows[name], "D", color=PAPER, mfc="white", ms=7,
                label="paper, one run" if name == next(iter(paper or {})) else None)
    return _finish(ax, rows, quantity)


def validation_and_test(promised: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray], quantity: str,
                      ax: Axes | None = None) -> Axes:
    """A quantity on validation and on test images, a row a condition: each seed, joined medians.

    Args:
        promised: by condition, float (seeds,), on validation.
        kept: likewise on test.
        quantity: the axis label.
    """
    ax = ax or plt.gca()
    rows = _rows(list(promised))
    for name, row in rows.items():
        medians = np.median(kept[name]), np.median(promised[name])
        ax.plot(medians, [row, row], "-", color="0.6", lw=2, zorder=1)
        for values, colour, marker, offset, label in ((promised[name], VALIDATION, "s", 0.2, "validation"),
                                                      (kept[name], HERE, "o", -0.2, "test")):
            equals = _equals_before(values)
            away = np.sign(offset) * min(0.07, 0.2 / max(1, equals.max())) * equals
            ax.plot(values, row + offset + away, marker, color=colour, alpha=0.45, ms=4)
            # A little apart, so that equal medians do not hide one another.
            ax.plot(np.median(values), row + np.sign(offset) * 0.06, marker, color=colour, ms=8, mec="white",
                    label=f"{label}, median (small: seeds)" if row == 0 else None)
    return _finish(ax, rows, quantity)


def differences(found: Mapping[str, "Difference"], claimed: Mapping[str, float] | None = None,
                quantity: str = "accuracy", ax: Axes | None = None,
                new_pairs: Mapping[str, tuple[float, float]] | None = None) -> Axes:
    """Mean differences with their 95 % intervals, a row each; the dotted line is no difference.

    Args:
        found: by name.
        claimed: the paper's difference, where it gives one.
        quantity: what differs.
        new_pairs: where the difference of one new pair of runs would lie, which is what a claimed one compares with.
    """
    ax = ax or plt.gca()
    rows = _rows(list(found))
    ax.axvline(0, ls=":", color="0.5")
    for name, interval in (new_pairs or {}).items():
        ax.plot(interval, [rows[name]] * 2, color=HERE, lw=7, alpha=0.2, solid_capstyle="butt",
                label="a new pair of runs, 95 %" if rows[name] == 0 else None)
    for name, row in rows.items():
        one = found[name]
        ax.errorbar(one.mean, row, xerr=[[one.mean - one.low], [one.high - one.mean]], fmt="o", color=HERE, capsize=4,
                    label="here, mean with 95 % interval" if row == 0 else None)
    for name, value in (claimed or {}).items():
        ax.plot(value, rows[name], "D", color=PAPER, mfc="white", ms=7,
                label="paper, one pair of runs" if name == next(iter(claimed or {})) else None)
    return _finish(ax, rows, f"difference in {quantity}")


def rank_probabilities(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The probability of each rank: a row a condition, a column a rank.

    Args:
        table: in 0..1, indexed by condition.
    """
    ax = ax or plt.gca()
    text = table.map(lambda share: f"{share:.2f}" if share >= 0.005 else "")
    sns.heatmap(table, annot=text, fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False, linewidths=1, linecolor="white",
                ax=ax)
    ax.set(xlabel="rank by mean test accuracy", ylabel="")
    ax.tick_params(length=0)
    return ax


def by_share(shares: Sequence[float], promised: np.ndarray, kept: np.ndarray, quantity: str, ax: Axes | None = None
             ) -> Axes:
    """A quantity over the share of NORMAL images in training, on validation and on test: each seed, joined medians.

    Args:
        shares: of NORMAL in training, in 0..1, ascending.
        promised: float (shares, seeds), on validation.
        kept: likewise on test.
        quantity: the axis label.
    """
    ax = ax or plt.gca()
    percent = 100 * np.asarray(shares)
    for values, colour, marker, style, offset, label in ((promised, VALIDATION, "s", "--", -0.4, "validation"),
                                                         (kept, HERE, "o", "-", 0.4, "test")):
        ax.plot(np.repeat(percent + offset, values.shape[1]), values.ravel(), marker, color=colour, alpha=0.45, ms=4)
        ax.plot(percent + offset, np.median(values, axis=1), style, marker=marker, color=colour, ms=8, mec="white",
                label=f"{label}, median (small: seeds)")
    ax.set(xlabel="NORMAL images in training [%]", ylabel=quantity, xticks=percent)
    ax.grid(axis="y", color="0.9")
    return ax


def moved_calls(moves: Mapping[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Where a threshold from validation moves each training's calls, from those at 0.5, in the plane of the ROC curve.

    Args:
        moves: for 'validation' and 'test', float (seeds, 2, 2): at 0.5 and at the other threshold, each as
            (sensitivity, specificity).
    """
    ax = ax or plt.gca()
    for (name, of_seeds), colour, marker in zip(moves.items(), (VALIDATION, HERE), ("s", "o"), strict=True):
        for seed, ((from_sensitivity, from_specificity), (sensitivity, specificity)) in enumerate(of_seeds):
            ax.plot([1 - from_specificity, 1 - specificity], [from_sensitivity, sensitivity], color=colour, lw=1,
                    alpha=0.6)
            ax.plot(1 - from_specificity, from_sensitivity, marker, color=colour, mfc="white", ms=6,
                    label=f"{name}, at 0.5" if seed == 0 else None)
            ax.plot(1 - specificity, sensitivity, marker, color=colour, ms=6,
                    label=f"{name}, at the threshold from validation" if seed == 0 else None)
    ax.set(xlabel="1 - specificity", ylabel="sensitivity")
    ax.grid(color="0.9")
    return ax


def verdict_counts(counts: Mapping[str, int], colours: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """How many claims have which verdict, a bar each, in the order given."""
    ax = ax or plt.gca()
    rows = _rows(list(counts))
    ax.barh(list(rows.values()), list(counts.values()), color=[colours[name] for name in counts], height=0.7)
    for name, row in rows.items():
        ax.text(counts[name] + 0.3, row, str(counts[name]), va="center")
    ax.set(yticks=list(rows.values()), yticklabels=list(rows), xlabel="claims of the paper",
           xlim=(0, 1.12 * max(counts.values())), ylim=(-0.6, len(rows) - 0.4))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def _equals_before(values: np.ndarray) -> np.ndarray:
    """How many equal values each has before it: equal points are drawn beside one another, or they would look like one.
    """
    return pd.Series(values).groupby(values).cumcount().to_numpy()


def _rows(names: Sequence[str]) -> dict[str, int]:
    return {name: len(names) - 1 - place for place, name in enumerate(names)}


def _finish(ax: Axes, rows: Mapping[str, int], label: str) -> Axes:
    ax.set(yticks=list(rows.values()), yticklabels=list(rows), xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    ax.grid(axis="x", color="0.9")
    return ax


def two_recipes(values: Mapping[str, Mapping[str, np.ndarray]],
                intervals: Mapping[str, Mapping[str, tuple[float, float]]], paper: Mapping[str, float], quantity: str,
                ax: Axes | None = None) -> Axes:
    """Each seed's value under two recipes, one above the other, and where one new run would lie; a row a condition.

    Args:
        values: by recipe and condition, float (seeds,); of two recipes.
        intervals: likewise, the 95 % prediction interval.
        paper: the paper's value by condition.
        quantity: the axis label.
    """
    ax = ax or plt.gca()
    rows = _rows(list(paper))
    for (recipe, of_recipe), (colour, marker, offset) in zip(
            values.items(), ((HERE, "o", 0.18), (VALIDATION, "s", -0.18)), strict=True):
        for name, seeds in of_recipe.items():
            row, first = rows[name] + offset, rows[name] == 0
            ax.plot(intervals[recipe][name], [row, row], color=colour, lw=6, alpha=0.2, solid_capstyle="butt",
                    label=f"{recipe}: one new run, 95 %" if first else None)
            ax.plot(seeds, row + 0.08 * _equals_before(seeds), marker, color=colour, alpha=0.7, ms=4.5,
                    label=f"{recipe}: a point a seed" if first else None)
    for name, value in paper.items():
        ax.plot(value, rows[name], "D", color=PAPER, mfc="white", ms=7,
                label="paper, one run" if name == next(iter(paper)) else None)
    return _finish(ax, rows, quantity)


def by_stretch(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Specificity over the factor by which images are stretched in height, on validation and test images; crosses and
    pluses where they are stretched in width, or in both.

    Args:
        table: from ``covidcnn.paper.recipe_contrasts.stretch_table``.
    """
    ax = ax or plt.gca()
    parts = table["perturbation"].str.extract(r"^(height|width|size) ([\d.]+)$")
    named = table.assign(axis=parts[0], factor=parts[1].astype(float))
    for (split, colour, marker) in (("validation", VALIDATION, "s"), ("test", HERE, "o")):
        own = named[named["split"] == split]
        height = pd.concat([own[own["axis"] == "height"], own[own["perturbation"] == "none"].assign(factor=1.0)])
        height = height.sort_values("factor")
        middle = 1 - height["false alarms"]
        ax.errorbar(height["factor"], middle, yerr=[height["high"] - height["false alarms"],
                                                    height["false alarms"] - height["low"]],
                    fmt=f"{marker}-", color=colour, capsize=3, ms=5, label=f"{split}, stretched in height")
        for axis, cross in (("width", "x"), ("size", "+")):
            others = own[own["axis"] == axis]
            ax.plot(others["factor"], 1 - others["false alarms"], cross, color=colour, ms=8, mew=1.8,
                    label=f"{split}, in {'width' if axis == 'width' else 'both'}")
    ax.axvline(1, ls=":", color="0.5")
    ax.set(xlabel="times as tall", ylabel="specificity, threshold 0.5", ylim=(-0.03, 1.03))
    ax.grid(color="0.9")
    return ax
