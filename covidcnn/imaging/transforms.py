"""Resizing and grey-level transforms: pure functions over uint8 arrays (height, width).

The paper (Data and image pre-processing) resizes with cv2 to 224 x 224 and shows histogram equalisation, greyscale
inversion and both together (its Fig. 3 and 4).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from covidcnn.errors import DataError
from covidcnn.imaging.files import SMALLEST_SIDE

INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA,
                  "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
COARSE_SIDE = 16
LARGEST_INPUT = 4096
"""Pixels a side. Larger than any image is scored at; beyond it a damaged model file would ask for all memory."""


def resize(image: np.ndarray, size: int, interpolation: str = "area", pad: bool = False) -> np.ndarray:
    """Resize to a square of ``size`` pixels a side with cv2, as the paper does (Fig. 3): a new array.

    The paper names only ``resize()``. Its default, 'linear', looks at four pixels and skips the rest when an image of
    2,000 px becomes one of 64; 'area' averages them all, so it is the default here. To enlarge an image 'area'
    repeats pixels, as 'nearest' does: take 'linear' for sets of small images. ``pad`` keeps the aspect ratio and fills
    the rest with black, instead of stretching.
    """
    method = INTERPOLATIONS[interpolation]
    if not pad:
        return cv2.resize(image, (size, size), interpolation=method)
    height, width = image.shape
    scale = size / max(height, width)
    inner = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=method)
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    return cv2.copyMakeBorder(inner, top, size - inner.shape[0] - top, left, size - inner.shape[1] - left,
                              cv2.BORDER_CONSTANT)


def equalize(image: np.ndarray) -> np.ndarray:
    """Histogram equalisation (Fig. 4): spread the grey levels so that all are used about equally."""
    return cv2.equalizeHist(image)


def invert(image: np.ndarray) -> np.ndarray:
    """Greyscale inversion (Fig. 4): black becomes white, ``255 - image``."""
    return cv2.bitwise_not(image)


def invert_equalize(image: np.ndarray) -> np.ndarray:
    """Inversion, then histogram equalisation (Fig. 4, last row)."""
    return equalize(invert(image))


def clahe(image: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation, in 8 x 8 regions (not in the paper)."""
    return cv2.createCLAHE(2.0, (8, 8)).apply(image)


def plain(image: np.ndarray) -> np.ndarray:
    """No grey-level transform: a copy."""
    return image.copy()


PREPROCESSING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": plain, "equalize": equalize, "invert": invert, "invert-equalize": invert_equalize, "clahe": clahe}
"""Grey-level transforms by name; each leaves its input untouched."""


@dataclass(frozen=True)
class ImageSettings:
    """How an image becomes the model's input: resized, then transformed (the paper does not give the order)."""

    size: int = 224
    preprocess: str = "plain"
    interpolation: str = "area"
    pad: bool = False

    def __post_init__(self) -> None:
        for what, name, known in (("preprocessing", self.preprocess, PREPROCESSING),
                                  ("interpolation", self.interpolation, INTERPOLATIONS)):
            if name not in known:
                raise DataError(f"unknown {what} '{name}'; choose one of {', '.join(known)}")
        if not SMALLEST_SIDE <= self.size <= LARGEST_INPUT:
            raise DataError(f"image size {self.size}: choose at least {SMALLEST_SIDE} and at most {LARGEST_INPUT}")

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """uint8 (height, width) to uint8 (size, size), ready for the model but for the division by 255."""
        return PREPROCESSING[self.preprocess](resize(image, self.size, self.interpolation, self.pad))


def coarse_pixels(images: Iterable[np.ndarray], side: int = COARSE_SIDE) -> np.ndarray:
    """Images shrunk to ``side`` pixels a side, until no rib is left: float32 (n, side * side), 0 to 1."""
    small = [resize(np.asarray(image), side) for image in images]
    return np.stack(small).reshape(len(small), -1).astype(np.float32) / 255
