"""Figures of many trainings: every seed as a point, validation beside test results, differences.

Values are float (seeds,) by condition, a row each, the first above.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covidcnn.evaluation.statistics import new_run
from covidcnn.plots.style import BASELINE, HERE, PAPER, TRAINING, VALIDATION, label_rows, rows_from_above

if TYPE_CHECKING:
    from covidcnn.evaluation.statistics import Difference

Values = Mapping[str, np.ndarray]
_LEARNERS = ((HERE, "o"), (VALIDATION, "s"), (TRAINING, "D"), (BASELINE, "^"))


def values_by_condition(values: Values, quantity: str, paper: Mapping[str, float] | None = None,
                        ax: Axes | None = None, baseline: tuple[str, float] | None = None,
                        intervals: bool = True, source: str = "paper, one run",
                        means: "Mapping[str, Difference] | None" = None) -> Axes:
    """Each seed's value and their median, and unless left out the 95 % prediction intervals for a new run, of shares in
    0..1; beside them the paper's value of a condition, where it gives one, or another ``source``'s, which may have rows
    of its own below a line, and the name and value of a simple model as a dashed line. With ``means`` these stand, with
    their intervals, in the place of medians. ``quantity``, here and below, is the axis label."""
    ax = ax or plt.gca()
    rows = rows_from_above(dict.fromkeys([*values, *(paper or {})]))
    if baseline is not None:
        ax.axvline(baseline[1], ls="--", lw=1.2, color=BASELINE, label=baseline[0])
    new_runs = [name for name in values if intervals and len(values[name]) > 1]
    for name in values:
        row, first = rows[name], name == next(iter(values))
        if name in new_runs:
            _bar(ax, new_run(values[name]), row, "one new run, 95 %" if name == new_runs[0] else None)
        equals = _equals_before(values[name])
        ax.plot(values[name], row + min(0.15, 0.45 / max(1, equals.max())) * equals, "o", color=HERE, alpha=0.7, ms=5,
                label="this project, one training per point" if first else None)
        if means is None:
            ax.plot(np.median(values[name]), row, "|", ms=18, mew=2, color=HERE)
    if means is None:
        # In the legend as high as a line of text.
        ax.plot([], [], "|", ms=10, mew=2, color=HERE, label="this project, median")
    else:
        middle, low, high = np.array([[one.mean, one.low, one.high] for one in means.values()]).T
        ax.errorbar(middle, np.array([rows[name] for name in means]) - 0.3, xerr=[middle - low, high - middle], fmt="|",
                    color="black", lw=1, capsize=2, label="this project, mean and its 95 % interval")
    below = [row for name, row in rows.items() if name not in values]
    if below:
        ax.axhline(max(below) + 0.5, color="0.6", lw=0.8)
    _diamonds(ax, paper, rows, source)
    return label_rows(ax, rows, quantity)


def two_recipes(values: Mapping[str, Values], paper: Mapping[str, float], quantity: str, ax: Axes) -> Axes:
    """Each seed's value, shares in 0..1, under two recipes, one above the other, with the 95 % prediction intervals for
    a new run, and the paper's value by condition."""
    rows = rows_from_above(paper)
    for (recipe, of_recipe), (colour, marker, offset) in zip(
            values.items(), ((HERE, "o", 0.18), (VALIDATION, "s", -0.18)), strict=True):
        for name, seeds in of_recipe.items():
            row, first = rows[name] + offset, rows[name] == 0
            _bar(ax, new_run(seeds), row, f"{recipe}: one new run, 95 %" if first else None, colour, 6)
            ax.plot(seeds, row + 0.08 * _equals_before(seeds), marker, color=colour, alpha=0.7, ms=4.5,
                    label=f"{recipe}: one training per point" if first else None)
    _diamonds(ax, paper, rows, "paper, one run")
    return label_rows(ax, rows, quantity)


def validation_and_test(validation: Values, test: Values, quantity: str, ax: Axes) -> Axes:
    """A quantity on validation and on test images: each seed, joined medians."""
    rows = rows_from_above(validation)
    for name, row in rows.items():
        ax.plot([np.median(test[name]), np.median(validation[name])], [row, row], "-", color="0.6", lw=2, zorder=1)
        for values, colour, marker, side, label in ((validation[name], VALIDATION, "s", 1, "validation"),
                                                    (test[name], HERE, "o", -1, "test")):
            equals = _equals_before(values)
            away = 0.2 + min(0.07, 0.2 / max(1, equals.max())) * equals
            ax.plot(values, row + side * away, marker, color=colour, alpha=0.45, ms=4)
            # A little apart, so that equal medians do not hide one another.
            ax.plot(np.median(values), row + side * 0.06, marker, color=colour, ms=8, mec="white",
                    label=f"{label}, median (small: seeds)" if row == 0 else None)
    return label_rows(ax, rows, quantity)


def differences(found: Mapping[str, "Difference"], claimed: Mapping[str, float] | None, quantity: str, ax: Axes,
                new_pairs: Mapping[str, tuple[float, float]] | None = None) -> Axes:
    """Mean differences by name with their 95 % intervals; the dotted line is no difference. Where the paper claims a
    difference, the prediction interval for a new pair of runs is what it compares with."""
    rows = rows_from_above(found)
    ax.axvline(0, ls=":", color="0.5")
    for name, interval in (new_pairs or {}).items():
        _bar(ax, interval, rows[name], "a new pair of runs, 95 %" if rows[name] == 0 else None)
    means, lows, highs = np.array([[one.mean, one.low, one.high] for one in found.values()]).T
    ax.errorbar(means, list(rows.values()), xerr=[means - lows, highs - means], fmt="o", color=HERE, capsize=4,
                label="this project, mean with 95 % interval")
    _diamonds(ax, claimed, rows, "paper, one pair of runs")
    return label_rows(ax, rows, f"difference in {quantity}")


def rank_probabilities(table: pd.DataFrame, ax: Axes) -> Axes:
    """The probability of each rank, in 0..1: a row a condition, a column a rank."""
    text = table.map(lambda share: f"{share:.2f}" if share >= 0.005 else "")
    sns.heatmap(table, annot=text, fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False, linewidths=1, linecolor="white",
                ax=ax)
    ax.set(xlabel="rank by mean test accuracy", ylabel="")
    ax.tick_params(length=0)
    return ax


def by_share(shares: Sequence[float], validation: np.ndarray, test: np.ndarray, quantity: str, ax: Axes) -> Axes:
    """A quantity, float (shares, seeds), over the share of NORMAL images in training, in 0..1 and ascending, on
    validation and on test: each seed, joined medians."""
    percent = 100 * np.asarray(shares)
    for values, colour, marker, style, offset, label in ((validation, VALIDATION, "s", "--", -0.4, "validation"),
                                                         (test, HERE, "o", "-", 0.4, "test")):
        ax.plot(np.repeat(percent + offset, values.shape[1]), values.ravel(), marker, color=colour, alpha=0.45, ms=4)
        ax.plot(percent + offset, np.median(values, axis=1), style, marker=marker, color=colour, ms=8, mec="white",
                label=f"{label}, median (small: seeds)")
    ax.set(xlabel="NORMAL images in training [%]", ylabel=quantity, xticks=percent)
    ax.grid(axis="y", color="0.9")
    return ax


def by_labels(found: Mapping[str, pd.DataFrame], quantity: str, ax: Axes) -> Axes:
    """A quantity by the share of labels that are known, a line a learner: means (``mean``) with an interval (``low``,
    ``high``), a row a share. A learner of one share, all labels, is drawn across as a dashed line, too."""
    shares = sorted({share for own in found.values() for share in own.index})
    places = {share: place for place, share in enumerate(shares)}
    several = [name for name, own in found.items() if len(own) > 1]
    for number, (name, own) in enumerate(found.items()):
        colour, marker = _LEARNERS[number % len(_LEARNERS)]
        # Intervals of several learners stand beside each other.
        beside = 0.09 * (several.index(name) - (len(several) - 1) / 2) if name in several else 0
        at = np.array([places[share] for share in own.index]) + beside
        ax.errorbar(at, own["mean"], [own["mean"] - own["low"], own["high"] - own["mean"]], fmt=f"{marker}-",
                    color=colour, capsize=4, label=name)
        if name not in several and several:
            ax.axhline(own["mean"].iloc[0], color=colour, ls="--", lw=1)
    ax.set(xticks=list(places.values()), xticklabels=[f"{share:.0%}" for share in places],
           xlabel="share of the training labels that are known", ylabel=quantity)
    ax.grid(axis="y", color="0.9")
    return ax


def moved_predictions(moves: Values, ax: Axes) -> Axes:
    """Where a threshold from validation moves each training's predictions, from those at 0.5, in the plane of the ROC
    curve: for 'validation' and 'test', float (seeds, 2 thresholds, sensitivity and specificity)."""
    for (name, of_seeds), colour, marker in zip(moves.items(), (VALIDATION, HERE), ("s", "o"), strict=True):
        for seed, rates in enumerate(of_seeds):
            false_alarms, sensitivities = 1 - rates[:, 1], rates[:, 0]
            ax.plot(false_alarms, sensitivities, color=colour, lw=1, alpha=0.6)
            for place, face, words in ((0, "white", "0.5"), (1, colour, "the threshold from validation")):
                ax.plot(false_alarms[place], sensitivities[place], marker, color=colour, mfc=face, ms=6,
                        label=f"{name}, at {words}" if seed == 0 else None)
    ax.set(xlabel="1 - specificity", ylabel="sensitivity")
    ax.grid(color="0.9")
    return ax


def verdict_counts(counts: Mapping[str, int], colours: Mapping[str, str], ax: Axes) -> Axes:
    """How many claims have which verdict, a bar each, in the order given."""
    rows = rows_from_above(counts)
    bars = ax.barh(list(rows.values()), list(counts.values()), color=[colours[name] for name in counts], height=0.7)
    ax.bar_label(bars, padding=3)
    label_rows(ax, rows, "claims of the paper").grid(False)
    ax.set_xlim(0, 1.12 * max(counts.values()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def by_epoch(paths: Mapping[tuple[str, str], np.ndarray], quantity: str) -> Figure:
    """A quantity after each epoch, float (seeds, epochs) by the names of a row and of a column of axes: a line a seed,
    of its own shade, the last epoch marked."""
    rows, columns = ([*dict.fromkeys(names)] for names in zip(*paths, strict=True))
    figure, axes = plt.subplots(len(rows), len(columns), figsize=(2.7 * len(columns), 2.3 * len(rows)), sharex=True,
                                sharey=True, squeeze=False)
    for (row, column), of_seeds in paths.items():
        ax, epochs = axes[rows.index(row), columns.index(column)], np.arange(1, of_seeds.shape[1] + 1)
        for values, colour in zip(of_seeds, sns.color_palette("viridis", len(of_seeds)), strict=True):
            ax.plot(epochs, values, "o-", color=colour, lw=1.3, ms=4, markevery=[-1])
        ax.set_title(f"{row},\n{column}", fontsize="small")
        ax.grid(axis="y", color="0.9")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plt.setp(axes[-1], xlabel="epoch")
    plt.setp(axes[:, 0], ylabel=quantity)
    return figure


def by_stretch(table: pd.DataFrame, ax: Axes) -> Axes:
    """Specificity over the factor by which images are stretched in height, on validation and test images; beside it
    crosses where they are stretched in width, diamonds in both alike, stars where they are cropped as a stretch does it
    and not stretched; of ``covidcnn.paper.recipe_probes.stretch_table``."""
    parts = table["perturbation"].str.extract(r"^(height|width|size|cropped height) ([\d.]+)$")
    named = table.assign(axis=parts[0], factor=parts[1].astype(float), specificity=1 - table["false alarms"])
    plain = named["perturbation"] == "none"
    named.loc[plain, ["axis", "factor"]] = ["height", 1.0]
    for split, colour, marker in (("validation", VALIDATION, "s"), ("test", HERE, "o")):
        own = named[named["split"] == split]
        for axis, words, form, beside in (
                ("height", "stretched in height", f"{marker}-", 0), ("width", "in width", "x", 0.008),
                ("size", "in both alike", "d", 0.016), ("cropped height", "only cropped", "*", 0.024)):
            kind = own[own["axis"] == axis].sort_values("factor")
            if kind.empty:
                continue
            # Of equal seeds rounding may leave less than nothing.
            reach = np.maximum(0, [kind["high"] - kind["false alarms"], kind["false alarms"] - kind["low"]])
            ax.errorbar(kind["factor"] + beside, kind["specificity"], reach, fmt=form, color=colour,
                        mfc="white" if beside else colour, ms=7 if beside else 5, mew=1.5, lw=1.5, elinewidth=1,
                        capsize=3, label=f"{split}, {words}")
    ax.axvline(1, ls=":", color="0.5")
    ax.set(xlabel="factor of the stretch (1: unchanged)", ylabel="specificity, threshold 0.5", ylim=(-0.03, 1.03))
    ax.grid(color="0.9")
    return ax


def _equals_before(values: np.ndarray) -> np.ndarray:
    """How many equal values each has before it: equal points are drawn beside one another, or they would look like one.
    """
    return pd.Series(values).groupby(values).cumcount().to_numpy()


def _bar(ax: Axes, interval: Sequence[float] | np.ndarray, row: float, label: str | None, colour: str = HERE,
         width: float = 7) -> None:
    ax.plot(interval, [row, row], color=colour, lw=width, alpha=0.2, solid_capstyle="butt", label=label)


def _diamonds(ax: Axes, paper: Mapping[str, float] | None, rows: Mapping[str, int], label: str) -> None:
    for place, (name, value) in enumerate((paper or {}).items()):
        ax.plot(value, rows[name], "D", color=PAPER, mfc="white", ms=7, label=label if place == 0 else None)
