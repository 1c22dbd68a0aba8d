"""Figures of results: confusion matrices, curves, optimizers side by side. Tables of scores have ``label`` and
``score``."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from covidcnn.evaluation.metrics import Confusion, Estimate, confusion, wilson
from covidcnn.plots.style import HERE, PAPER, TRAINING, VALIDATION, label_rows, rows_from_above
from covidcnn.task import PNEUMONIA, Task


def confusion_matrix(matrix: Confusion | pd.DataFrame, title: str, ax: Axes, task: Task = PNEUMONIA) -> Axes:
    """A confusion matrix, of more than two classes a table as ``Confusion.as_table`` makes it: images in each cell, and
    their share of the row's images (Fig. 5 and 11)."""
    table = matrix if isinstance(matrix, pd.DataFrame) else matrix.as_table(task)
    shares = table.div(table.sum(axis=1), axis=0)
    sns.heatmap(shares, annot=table.astype(str) + "\n" + shares.map("{:.1%}".format), fmt="", cmap="Blues", vmin=0,
                vmax=1, cbar=False, square=True, linewidths=1, linecolor="white", ax=ax)
    ax.set(title=title, xlabel="predicted", ylabel="image is")
    return ax


def roc(scores: pd.DataFrame, threshold: float, ax: Axes, name: str = "", task: Task = PNEUMONIA) -> Axes:
    """ROC curve with the operating point at the threshold."""
    labels = task.encode(scores["label"])
    RocCurveDisplay.from_predictions(labels, scores["score"], ax=ax, name=name or None, curve_kwargs={"color": HERE})
    positive = scores["score"] >= threshold
    ax.plot(positive[labels == 0].mean(), positive[labels == 1].mean(), "o", color=PAPER,
            label=f"threshold {threshold:.2f}")
    ax.plot([0, 1], [0, 1], ":", color="0.6", label="chance")
    ax.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC curve")
    ax.legend(loc="lower right")
    return ax


def precision_recall(scores: pd.DataFrame, ax: Axes, name: str = "", task: Task = PNEUMONIA) -> Axes:
    """Precision over sensitivity; the dotted line is the precision of predicting the positive class for every image."""
    labels = task.encode(scores["label"])
    PrecisionRecallDisplay.from_predictions(labels, scores["score"], ax=ax, name=name or None,
                                            curve_kwargs={"color": HERE})
    ax.axhline(labels.mean(), ls=":", color="0.6", label=f"all predicted {task.positive}")
    ax.set(xlabel="sensitivity (recall)", ylabel="precision", title="Precision-recall curve", ylim=(0, 1.03))
    ax.legend(loc="lower left")
    return ax


def calibration(scores: pd.DataFrame, ax: Axes, task: Task = PNEUMONIA) -> Axes:
    """Share of the positive class among images of similar score, with Wilson intervals; on the diagonal a score
    means what it says."""
    # Ten, as in expected_calibration_error: a bin holds its lower edge, and the last the 1 too.
    which = np.minimum((scores["score"] * 10).astype(int), 9)
    binned = scores.assign(label=task.encode(scores["label"])).groupby(which).agg(
        mean=("score", "mean"), positive=("label", "sum"), images=("label", "size"))
    share = binned["positive"] / binned["images"]
    intervals = [wilson(row.positive, row.images) for row in binned.itertuples()]
    errors = np.array([share - [one.low for one in intervals], [one.high for one in intervals] - share]).clip(0)
    ax.errorbar(binned["mean"], share, errors, fmt="o-", color=HERE, capsize=3, label="images, with 95 % interval")
    ax.plot([0, 1], [0, 1], ":", color="0.6", label="perfectly calibrated")
    for row, interval in zip(binned.itertuples(), intervals, strict=True):
        ax.annotate(str(row.images), (row.mean, interval.high), xytext=(0, 4), textcoords="offset points", ha="center",
                    size=8, color="0.35")
    ax.set(xlabel="score, mean of the bin", ylabel=f"share of {task.positive}", title="Calibration (images per bin)",
           xlim=(-0.03, 1.03), ylim=(-0.03, 1.12))
    return ax


def training_curves(histories: Mapping[int, pd.DataFrame], axes: np.ndarray) -> np.ndarray:
    """Accuracy and loss (an axes each) of training and validation over epochs, a thin line a seed (Fig. 12), of the
    tables of ``Training.history`` by seed."""
    for ax, quantity in zip(axes, ("accuracy", "loss"), strict=True):
        for column, colour, style, label in ((quantity, TRAINING, "-", "training"),
                                             (f"val_{quantity}", VALIDATION, "--", "validation")):
            for number, history in enumerate(histories.values()):
                ax.plot(history.index, history[column], style, color=colour, lw=1.2, marker=".",
                        label=label if number == 0 else None)
        epochs = max(history.index.max() for history in histories.values())
        ax.set(xlabel="epoch", ylabel=quantity, xticks=range(1, epochs + 1, max(1, epochs // 8)))
    # A validation loss of the first epochs may be a hundred times the last ones.
    axes[1].set_yscale("log")
    axes[1].legend()
    return axes


def losses_by_optimizer(histories: pd.DataFrame, axes: np.ndarray) -> np.ndarray:
    """Loss over epochs, an axes an optimizer: on validation each seed, and the mean in bold; in training the mean.
    Histories have ``optimizer``, ``seed``, ``epoch``, ``loss``, ``val_loss``."""
    for ax, (optimizer, group) in zip(axes.flat, histories.groupby("optimizer", sort=False), strict=True):
        by_seed = group.pivot(index="epoch", columns="seed", values="val_loss")
        lines = ax.plot(by_seed, color=VALIDATION, lw=1, alpha=0.7)
        lines[0].set_label("validation, a line a seed")
        means = group.groupby("epoch")[["loss", "val_loss"]].mean()
        ax.plot(means["val_loss"], color=PAPER, lw=2, label="validation, mean")
        ax.plot(means["loss"], "--", color=TRAINING, lw=2, label="training, mean")
        ax.set(title=optimizer, yscale="log")
        ax.xaxis.get_major_locator().set_params(integer=True)
    plt.setp(axes[-1], xlabel="epoch")
    plt.setp(axes[:, 0], ylabel="loss")
    return axes


def by_recipe(scores: pd.DataFrame, proportion: str, ax: Axes, task: Task = PNEUMONIA) -> Axes:
    """A proportion, a key of ``Confusion.proportions``, of every (recipe, seed) with its Wilson interval, a row a
    recipe; ``scores`` has the columns ``recipe`` and ``seed`` too."""
    rows, seeds = rows_from_above(scores["recipe"].unique()), sorted(scores["seed"].unique())
    for (recipe, seed), own in scores.groupby(["recipe", "seed"]):
        estimate = wilson(*confusion(own, task=task).proportions[proportion])
        row = rows[str(recipe)] + 0.7 * (seeds.index(seed) - (len(seeds) - 1) / 2) / len(seeds)
        ax.errorbar(estimate.value, row, xerr=[[max(0, estimate.value - estimate.low)],
                                               [max(0, estimate.high - estimate.value)]],
                    fmt="o", color=HERE, capsize=2, lw=1, ms=5)
    ax.set_xlim(-0.03, 1.03)
    return label_rows(ax, rows, proportion)


def nadam_steps(paths: Mapping[str, np.ndarray], start: list[float], ax: Axes) -> Axes:
    """Size of each step along the first parameter, a line an implementation."""
    for (name, path), (colour, style, width) in zip(
            paths.items(), (("#D55E00", "-", 2), (HERE, "-", 4), (PAPER, "--", 1.2)), strict=True):
        sizes = np.abs(np.diff(path[:, 0], prepend=start[0]))
        ax.plot(np.arange(1, len(sizes) + 1), 1000 * sizes, style, color=colour, lw=width, label=name)
    ax.set(xlabel="step", ylabel="step size / 0.001", ylim=(0, None))
    ax.legend()
    return ax


def estimates_beside_paper(here: Mapping[str, Estimate], paper: Mapping[str, Estimate], ax: Axes) -> Axes:
    """Metrics with their intervals, here and in the paper where it gives them, a row a metric."""
    rows = rows_from_above(name for name in here if name in paper or not paper)
    for estimates, colour, face, marker, offset, label in ((here, HERE, HERE, "o", 0.12, "here"),
                                                           (paper, PAPER, "none", "D", -0.12, "paper")):
        if estimates:
            values = np.array([[estimates[name].value, estimates[name].low, estimates[name].high] for name in rows])
            ax.errorbar(values[:, 0], offset + np.array(list(rows.values())), fmt=marker, color=colour, mfc=face,
                        xerr=np.abs(values[:, 1:] - values[:, :1]).T, capsize=3, label=f"{label}, 95 % interval")
    label_rows(ax, rows, "value").legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    return ax
