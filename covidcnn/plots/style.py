"""One look for all figures: legible at a column's width, colours that colour-blind readers tell apart."""

from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
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


def apply_style() -> None:
    """Set matplotlib's defaults for the process. Draws nothing, touches no random state."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    plt.rcParams |= {
        "figure.dpi": 100,
        "savefig.dpi": 150,
        "savefig.bbox": "tight",
        "figure.constrained_layout.use": True,
        "figure.figsize": (7.0, 4.0),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "axes.labelsize": "medium",
        "legend.frameon": False,
        "image.cmap": "gray",
        # Text stays text in SVG: it can be searched, and read aloud.
        "svg.fonttype": "none",
        "svg.hashsalt": "covidcnn",
    }


def save_picture(figure: Figure, folder: Path, name: str) -> None:
    """Save a figure as ``NAME.png`` and ``NAME.svg``; the same figure gives the same files.

    Raises:
        UserError: they cannot be written.
    """
    for ending in ("png", "svg"):
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        with replacing(folder / f"{name}.{ending}") as temporary:
            figure.savefig(temporary, format=ending, metadata=metadata)
