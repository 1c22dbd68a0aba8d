"""One look for all figures: legible at a column's width, colours that colour-blind readers tell apart."""

from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcnn.paths import replacing
from covidcnn.task import Task

# Okabe and Ito's palette, made to be told apart with any common kind of colour blindness.
NEGATIVE, POSITIVE = "#0072B2", "#D55E00"
_CLASSES = (NEGATIVE, POSITIVE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
TRAINING, VALIDATION = "#009E73", "#CC79A7"
HERE, PAPER, BASELINE = "#0072B2", "#000000", "#D55E00"


def class_colours(task: Task) -> dict[str, str]:
    """A colour for each class, in the order of the task's; beyond eight classes they come round again."""
    return dict(zip(task.classes, cycle(_CLASSES), strict=False))


def rows_from_above(names: Iterable[str]) -> dict[str, int]:
    """A row for each name, the first one highest."""
    listed = list(names)
    return dict(zip(listed, range(len(listed) - 1, -1, -1), strict=True))


def label_rows(ax: Axes, rows: Mapping[str, int], label: str) -> Axes:
    """Name the rows, and the quantity along them."""
    ax.set(yticks=list(rows.values()), yticklabels=list(rows), xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    ax.grid(axis="x", color="0.9")
    return ax


def legend_below(figure: Figure, columns: int) -> Figure:
    """Set the legend of the first axes below the figure."""
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns,
                  fontsize="small")
    return figure


def apply_style() -> None:
    """Set matplotlib's defaults for the process. Draws nothing, touches no random state."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    plt.rcParams |= {
        "figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight",
        "figure.constrained_layout.use": True, "figure.figsize": (7.0, 4.0),
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": "medium", "axes.labelsize": "medium",
        "legend.frameon": False, "image.cmap": "gray",
        # Text stays text in SVG: it can be searched, and read aloud.
        "svg.fonttype": "none", "svg.hashsalt": "covidcnn",
    }


def save_picture(figure: Figure, folder: Path, name: str) -> None:
    """Save a figure as ``NAME.png`` and ``NAME.svg``; the same figure gives the same files. UserError if they cannot be
    written."""
    for ending, varying in (("png", "Software"), ("svg", "Date")):
        with replacing(folder / f"{name}.{ending}") as temporary:
            figure.savefig(temporary, format=ending, metadata={varying: None})
