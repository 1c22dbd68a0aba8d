"""What the images looked like that a model was trained on, and whether others look like them.

A network answers for any picture. These few measures find the coarse differences to what it was trained on (another
hospital's detector, a photo, an icon), not all. What the model sees of an image, its greys and that it was squeezed or
enlarged, is told image by image; what only its file has, size and colour, once for all images.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.errors import few
from covidcnn.imaging.files import COLOUR_MODES

MEASURES = {"mean grey": "of the image as the model sees it, 0 to 255", "contrast": "standard deviation of these greys",
            "aspect ratio": "width by height of the file", "shorter side": "of the file, in pixels"}
OUTSIDE = 0.005
"""Share of the training images that lies below, and that lies above, each measure's usual range."""


@dataclass(frozen=True)
class Appearance:
    """How the training images looked."""

    images: int
    ranges: dict[str, tuple[float, float]]
    """Of each measure the range that holds all training images but 0.5 % at each end."""
    colour_share: float
    """Share of the files that are stored in colour, 0 to 1."""

    @property
    def telling(self) -> dict[str, tuple[float, float]]:
        """The ranges that tell something. Where all training images have one size, those of the file are left out: then
        it is the size of a copy, at 224 px for example, and says nothing of what was copied."""
        of_file = ("aspect ratio", "shorter side")
        one_size = all(self.ranges[name][0] == self.ranges[name][1] for name in of_file)
        return {name: ends for name, ends in self.ranges.items() if not (one_size and name in of_file)}

    @classmethod
    def from_json(cls, value: Any) -> "Appearance":
        """What a model file holds; a ValueError if it is something else."""
        ranges = {name: (float(low), float(high)) for name in MEASURES for low, high in [value["ranges"][name]]}
        # Older model files say films.
        appearance = cls(int(value.get("images", value.get("films", 0))), ranges, float(value["colour_share"]))
        if not (0 <= appearance.colour_share <= 1 and all(low <= high for low, high in ranges.values())):
            raise ValueError("appearance out of range")
        return appearance


def measure(images: pd.DataFrame, pixels: np.ndarray) -> pd.DataFrame:
    """The columns of ``MEASURES`` and ``in colour`` (bool) of each image.

    Args:
        images: columns ``width``, ``height`` (pixels of the file) and ``mode`` (Pillow's).
        pixels: uint8 (len(images), size, size), the images as the model sees them.
    """
    # One at a time: the images may be mapped from disk, and be more than the memory holds.
    greys = np.array([(image.mean(), image.std()) for image in pixels], float).reshape(-1, 2)
    return pd.DataFrame({
        "mean grey": greys[:, 0], "contrast": greys[:, 1],
        "aspect ratio": (images["width"] / images["height"]).to_numpy(float),
        "shorter side": images[["width", "height"]].min(axis=1).to_numpy(float),
        "in colour": images["mode"].isin(COLOUR_MODES).to_numpy(),
    }, index=images.index)


def describe(measures: pd.DataFrame) -> Appearance:
    """The appearance of the images that were measured, of which there is at least one."""
    ends = measures[list(MEASURES)].quantile([OUTSIDE, 1 - OUTSIDE])
    ranges = {name: (float(ends[name].iloc[0]), float(ends[name].iloc[1])) for name in MEASURES}
    return Appearance(len(measures), ranges, float(measures["in colour"].mean()))


def outside(measures: pd.DataFrame, training: Appearance) -> pd.DataFrame:
    """Which images lie outside the range of the training images: bool, columns as in ``Appearance.telling`` and ``in
    colour``. The last is true where an image is stored in colour and hardly a training image was; the other way round
    it says nothing, for grey is what the model sees."""
    found = {name: (measures[name] < low) | (measures[name] > high) for name, (low, high) in training.telling.items()}
    found["in colour"] = measures["in colour"] & (training.colour_share < OUTSIDE)
    return pd.DataFrame(found, index=measures.index)


def differences(measures: pd.DataFrame, training: Appearance | None, size: int) -> list[list[str]]:
    """For each image what makes it unlike the training images in the model's eyes, in words; its size alone where the
    model file does not describe them. ``size`` is the side of the model's input."""
    lines: list[list[str]] = []
    for _, row in measures.iterrows():
        own = []
        if row["shorter side"] < size:
            own.append(f"shorter side {row['shorter side']:.0f} px, smaller than the model's input of {size} px")
        for name, (low, high) in training.telling.items() if training else ():
            if name != "shorter side" and not low <= row[name] <= high:
                own.append(f"{name} {row[name]:.4g}, training images {low:.4g} to {high:.4g}")
        lines.append(own)
    return lines


def of_files(measures: pd.DataFrame, training: Appearance) -> list[str]:
    """In what the files, which the model does not see, are unlike those of the training images: a line for all of them,
    which are named by the index of ``measures``."""
    flags = outside(measures, training)
    low, high = training.ranges["shorter side"]
    lines = {"shorter side": f"have a shorter side outside {low:.0f} to {high:.0f} px, that of the training images",
             "in colour": "are stored in colour, unlike the training images"}
    return [f"{flags[name].sum():,} of {len(flags):,} files {words}: {few(flags.index[flags[name]].tolist())}"
            for name, words in lines.items() if name in flags and flags[name].any()]


def compare(measures: pd.DataFrame, training: Appearance) -> dict[str, Any]:
    """How far a set of images is from the training images, ready for JSON: of each telling measure the training images'
    range and the share of these images outside it (of images of the same kind 0.01 is expected), the share in colour
    here and there, and the share that is outside in any way."""
    flags = outside(measures, training)
    return {
        "training images": training.images,
        "measures": {name: {"low": low, "high": high, "median here": float(measures[name].median()),
                            "share outside": float(flags[name].mean())}
                     for name, (low, high) in training.telling.items()},
        "in colour": {"training": training.colour_share, "here": float(measures["in colour"].mean())},
        "share outside in any": float(flags.any(axis=1).mean()),
    }
