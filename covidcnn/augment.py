"""Augmentation and balancing: for training only.

The paper (Data and image pre-processing) uses Keras's ImageDataGenerator 'to flip and shift the images
randomly' and gives no ranges; here they are parameters. The intensity augmentation is not the paper's:
it imitates what separates the published test set from train, exposure and contrast.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from covidcnn.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random changes; zero and False change nothing."""

    horizontal_flip: bool = False
    """Mirror every second image, left for right."""
    width_shift: float = 0.0
    """Largest shift to a side, as a share of the width."""
    height_shift: float = 0.0
    """Largest shift up or down, as a share of the height."""
    contrast: float = 0.0
    """Largest relative change of contrast about the middle grey: 0.3 means factors 0.7 to 1.3."""
    brightness: float = 0.0
    """Largest shift of all grey levels, as a share of 255."""
    gamma: float = 0.0
    """Largest change of the logarithm (base e) of gamma."""

    @property
    def changes_geometry(self) -> bool:
        return self.horizontal_flip or self.width_shift > 0 or self.height_shift > 0

    @property
    def changes_intensity(self) -> bool:
        return self.contrast > 0 or self.brightness > 0 or self.gamma > 0


AUGMENTATIONS = {
    "none": Augmentation(),
    "paper": Augmentation(horizontal_flip=True, width_shift=0.1, height_shift=0.1),
    "intensity": Augmentation(contrast=0.4, brightness=0.15, gamma=0.4),
    "paper and intensity": Augmentation(horizontal_flip=True, width_shift=0.1, height_shift=0.1,
                                        contrast=0.4, brightness=0.15, gamma=0.4),
    "paper and strong intensity": Augmentation(horizontal_flip=True, width_shift=0.1, height_shift=0.1,
                                               contrast=0.6, brightness=0.25, gamma=0.8),
}

SIMULATED_SHIFTS = {
    "contrast 0.7": {"contrast": 0.7}, "contrast 1.3": {"contrast": 1.3},
    "brightness -0.1": {"brightness": -0.1}, "brightness +0.1": {"brightness": 0.1},
    "gamma 0.7": {"gamma": 0.7}, "gamma 1.4": {"gamma": 1.4},
}
"""Arguments of ``change_intensity`` that make of validation films what another hospital day might send."""

BALANCING = ("none", "class-weight", "oversample")
"""'class-weight' weighs the loss by inverse class share, 'oversample' repeats films of the rarer class."""


def augmentation_named(name: str) -> Augmentation:
    """The augmentation of that name.

    Raises:
        UserError: there is no such augmentation.
    """
    if name not in AUGMENTATIONS:
        raise UserError(f"unknown augmentation '{name}'; choose one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]


def shift(image: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """Shift with linear interpolation, edges repeated, as ImageDataGenerator does by default.

    In Keras 3 the same shift is ``apply_transform(image, {'tx': columns, 'ty': rows})``; ImageDataGenerator
    draws ``tx`` from its *height* range, so that it exchanges the two ranges. Where they are equal, as in the
    recipe 'paper', the distribution is the same.

    Args:
        image: uint8 (height, width).
        rows: pixels; the result at row r is the image at row r + ``rows``.
        columns: likewise for columns.
    """
    height, width = image.shape
    above, aside = math.ceil(abs(rows)), math.ceil(abs(columns))
    # A fifth of the time of warpAffine, which can also turn and scale. The edge is repeated beforehand, because
    # getRectSubPix repeats the wrong pixel in the upper right corner.
    padded = cv2.copyMakeBorder(image, above, above, aside, aside, cv2.BORDER_REPLICATE)
    centre = ((width - 1) / 2 + aside + columns, (height - 1) / 2 + above + rows)
    return cv2.getRectSubPix(padded, (width, height), centre)


def flip(image: np.ndarray) -> np.ndarray:
    """Mirror left for right. The heart changes sides: anatomically a rare condition, but harmless here."""
    return cv2.flip(image, 1)


def change_intensity(image: np.ndarray, contrast: float = 1.0, brightness: float = 0.0,
                     gamma: float = 1.0) -> np.ndarray:
    """Gamma, then contrast about middle grey, then brightness; clipped to 0..255.

    Args:
        image: uint8 array.
        contrast: factor on the distance from middle grey; 1 changes nothing.
        brightness: added, as a share of 255.
        gamma: exponent on grey levels in [0, 1]; 1 changes nothing, above 1 darkens.
    """
    levels = np.linspace(0, 1, 256) ** gamma
    levels = (levels - 0.5) * contrast + 0.5 + brightness
    return cv2.LUT(image, np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8))


def augment_image(image: np.ndarray, augmentation: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """One random version of a uint8 (height, width) image; the image itself is untouched.

    The same six random numbers are drawn whatever the augmentation, so that switching one change off
    leaves the others as they were.
    """
    mirrored, rows, columns, contrast, brightness, gamma = generator.uniform(-1, 1, 6)
    if augmentation.changes_geometry:
        height, width = image.shape
        image = shift(image, rows * augmentation.height_shift * height, columns * augmentation.width_shift * width)
        if augmentation.horizontal_flip and mirrored < 0:
            image = flip(image)
    if augmentation.changes_intensity:
        image = change_intensity(image, 1 + contrast * augmentation.contrast,
                                 brightness * augmentation.brightness, np.exp(gamma * augmentation.gamma))
    return image


def class_weights(labels: np.ndarray) -> dict[int, float]:
    """Weights that give both classes the same sum: n / (2 n_class), as scikit-learn's 'balanced'."""
    counts = np.bincount(labels, minlength=2)
    return {label: len(labels) / (2 * int(count)) for label, count in enumerate(counts)}


def oversampled(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Row numbers of all films, and of the rarer class's films again, at random, until both are equal."""
    counts = np.bincount(labels, minlength=2)
    rarer = int(np.argmin(counts))
    rows = np.flatnonzero(labels == rarer)
    surplus = int(counts.max() - counts.min())
    # Whole repetitions first: no film is drawn a third time before each was drawn twice.
    extra = np.concatenate([generator.permutation(rows) for _ in range(surplus // len(rows) + 1)])
    return np.concatenate([np.arange(len(labels)), extra[:surplus]])
