"""What the films looked like that a model was trained on, and whether others look like them.

A network answers for any picture. Whether its answer can mean anything depends on how like the picture is to what
it saw; these few measures find the coarse differences (another hospital's detector, a photo, an icon), not all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.imaging.files import COLOUR_MODES

MEASURES = {
    "mean grey": "of the film as the model sees it, 0 to 255",
    "contrast": "standard deviation of these greys",
    "aspect ratio": "width by height of the file",
    "shorter side": "of the file, in pixels",
}
OUTSIDE = 0.005
"""Share of the training films that lies below, and that lies above, each measure's usual range."""


@dataclass(frozen=True)
class Appearance:
    """How the training films looked."""

    films: int
    ranges: dict[str, tuple[float, float]]
    """Of each measure the range that holds all training films but 0.5 % at each end."""
    colour_share: float
    """Share of the files that are stored in colour, 0 to 1."""

    @classmethod
    def from_json(cls, value: Any) -> "Appearance":
        """What a model file holds.

        Raises:
            ValueError: it is something else.
        """
        ranges = {}
        for name in MEASURES:
            low, high = map(float, value["ranges"][name])
            ranges[name] = (low, high)
        appearance = cls(int(value["films"]), ranges, float(value["colour_share"]))
        if not (0 <= appearance.colour_share <= 1 and all(low <= high for low, high in ranges.values())):
            raise ValueError("appearance out of range")
        return appearance


def measure(films: pd.DataFrame, images: np.ndarray) -> pd.DataFrame:
    """The measures of each film.

    Args:
        films: columns ``width``, ``height`` (pixels of the file) and ``mode`` (Pillow's).
        images: uint8 (len(films), size, size), the films as the model sees them.

    Returns:
        The columns of ``MEASURES`` and ``in colour`` (bool), with the index of ``films``.
    """
    # One at a time: the images may be mapped from disk, and be more than the memory holds.
    greys = np.array([(image.mean(), image.std()) for image in images], float).reshape(-1, 2)
    return pd.DataFrame({
        "mean grey": greys[:, 0], "contrast": greys[:, 1],
        "aspect ratio": (films["width"] / films["height"]).to_numpy(float),
        "shorter side": films[["width", "height"]].min(axis=1).to_numpy(float),
        "in colour": films["mode"].isin(COLOUR_MODES).to_numpy(),
    }, index=films.index)


def describe(measures: pd.DataFrame) -> Appearance:
    """The appearance of the films that were measured, of which there is at least one."""
    ends = measures[list(MEASURES)].quantile([OUTSIDE, 1 - OUTSIDE])
    return Appearance(len(measures), {name: (float(ends[name].iloc[0]), float(ends[name].iloc[1]))
                                      for name in MEASURES}, float(measures["in colour"].mean()))


def outside(measures: pd.DataFrame, training: Appearance) -> pd.DataFrame:
    """Which films lie outside the range of the training films, measure by measure.

    Returns:
        bool, the columns of ``MEASURES`` and ``in colour``; the last is true where hardly a training film was stored
        as this one is, in colour or not.
    """
    found = {name: (measures[name] < low) | (measures[name] > high) for name, (low, high) in training.ranges.items()}
    found["in colour"] = measures["in colour"].map(
        {True: training.colour_share < OUTSIDE, False: 1 - training.colour_share < OUTSIDE}).astype(bool)
    return pd.DataFrame(found, index=measures.index)


def differences(measures: pd.DataFrame, training: Appearance | None, size: int) -> list[list[str]]:
    """For each film what makes it unlike the training films, in words.

    Args:
        measures: as :func:`measure` gives them.
        training: None where the model file does not say; then only the size is looked at.
        size: side of the model's input.
    """
    flags = outside(measures, training) if training else pd.DataFrame(index=measures.index)
    lines: list[list[str]] = []
    for place, (_, film) in enumerate(measures.iterrows()):
        own = []
        small = film["shorter side"] < size
        if small:
            own.append(f"shorter side {film['shorter side']:.0f} px, smaller than the model's input of {size} px")
        for name, (low, high) in training.ranges.items() if training else ():
            if flags[name].iloc[place] and not (small and name == "shorter side"):
                own.append(f"{name} {film[name]:.4g}, training films {low:.4g} to {high:.4g}")
        if training and flags["in colour"].iloc[place]:
            kind = ("grey", "colour")[bool(film["in colour"])]
            own.append(f"stored in {kind}, unlike the training films")
        lines.append(own)
    return lines


def compare(measures: pd.DataFrame, training: Appearance) -> dict[str, Any]:
    """How far a set of films is from the training films: for ``evaluate``, ready for JSON.

    Returns:
        For each measure the training films' range and the share of these films outside it (0.01 is expected of
        films of the same kind), the share in colour here and there, and the share that is outside in any way.
    """
    flags = outside(measures, training)
    return {
        "training films": training.films,
        "measures": {name: {"low": low, "high": high, "median here": float(measures[name].median()),
                            "share outside": float(flags[name].mean())}
                     for name, (low, high) in training.ranges.items()},
        "in colour": {"training": training.colour_share, "here": float(measures["in colour"].mean())},
        "share outside in any": float(flags.any(axis=1).mean()),
    }
