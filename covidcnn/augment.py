"""Augmentation and balancing: for training only.

The paper (Data and image pre-processing) uses Keras's ImageDataGenerator 'to flip and shift the images randomly' and
gives no ranges; here they are parameters. Rotation and zoom are those of a public notebook on the same data set that
many have copied. The intensity augmentation is ours: it imitates what separates the published test set from train,
exposure and contrast.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np


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
    rotation: float = 0.0
    """Largest angle to either side, in degrees."""
    height_zoom: float = 0.0
    """Largest relative change of the height of the field of view: 0.2 shows 0.8 to 1.2 of it."""
    width_zoom: float = 0.0
    """Likewise of its width, drawn by itself, as ImageDataGenerator does."""
    zooms_alike: bool = False
    """Whether both axes take what is drawn for the height."""
    crops_only: bool = False
    """A control for zoom: what it pushes out of the image is filled, and nothing is stretched."""

    @property
    def warps(self) -> bool:
        """Whether more than flips and shifts change the geometry."""
        return self.rotation > 0 or self.height_zoom > 0 or self.width_zoom > 0

    @property
    def changes_intensity(self) -> bool:
        return self.contrast > 0 or self.brightness > 0 or self.gamma > 0


_PAPER = Augmentation(horizontal_flip=True, width_shift=0.1, height_shift=0.1)

AUGMENTATIONS = {
    "none": Augmentation(),
    "paper": _PAPER,
    "intensity": Augmentation(contrast=0.4, brightness=0.15, gamma=0.4),
    "paper and intensity": replace(_PAPER, contrast=0.4, brightness=0.15, gamma=0.4),
    "paper and strong intensity": replace(_PAPER, contrast=0.6, brightness=0.25, gamma=0.8),
    # 'Pneumonia Detection using CNN (92.6 % Accuracy)', madz2000 on Kaggle, 2020, as its copies describe it.
    "public recipe": replace(_PAPER, rotation=30.0, height_zoom=0.2, width_zoom=0.2),
    "geometry and intensity": replace(_PAPER, rotation=10.0, height_zoom=0.2, width_zoom=0.2, contrast=0.4,
                                      brightness=0.15, gamma=0.4),
    "paper and rotation": replace(_PAPER, rotation=30.0),
    "paper and height zoom": replace(_PAPER, height_zoom=0.2),
    "paper and width zoom": replace(_PAPER, width_zoom=0.2),
    "paper and zoom": replace(_PAPER, height_zoom=0.2, width_zoom=0.2),
    "paper and zoom alike": replace(_PAPER, height_zoom=0.2, zooms_alike=True),
    "paper and crop": replace(_PAPER, height_zoom=0.2, width_zoom=0.2, crops_only=True),
}
"""By name. Those that begin with 'paper and' add to the paper's flips and shifts one thing each."""

BALANCING = ("none", "class-weight", "oversample")
"""'class-weight' weighs the loss by inverse class share, 'oversample' repeats images of the rarer classes."""


def shift(image: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """Shift an image, uint8 (height, width), with linear interpolation and edges repeated, as ImageDataGenerator does.

    The result at row r is the image at row r + ``rows`` (pixels), likewise for columns. In Keras 3 the same is
    ``apply_transform(image, {'tx': columns, 'ty': rows})``; ImageDataGenerator draws ``tx`` from its *height* range.
    """
    height, width = image.shape
    above, aside = math.ceil(abs(rows)), math.ceil(abs(columns))
    # A fifth of the time of warpAffine, which can also turn and scale. The edge is repeated beforehand, because
    # getRectSubPix repeats the wrong pixel in the upper right corner.
    padded = cv2.copyMakeBorder(image, above, above, aside, aside, cv2.BORDER_REPLICATE)
    centre = ((width - 1) / 2 + aside + columns, (height - 1) / 2 + above + rows)
    return cv2.getRectSubPix(padded, (width, height), centre)


def warp(image: np.ndarray, *, rows: float = 0.0, columns: float = 0.0, angle: float = 0.0, height: float = 1.0,
         width: float = 1.0, mirrored: bool = False, out: np.ndarray | None = None) -> np.ndarray:
    """Zoom, shift, rotate and mirror about the centre in one step, linearly interpolated: ImageDataGenerator's
    ``apply_transform(image, {'theta': angle, 'tx': columns, 'ty': rows, 'zx': width, 'zy': height, 'flip_horizontal':
    mirrored})``.

    Args:
        image: uint8 or float32 (height, width).
        rows, columns: pixels, as in ``shift``.
        angle: degrees, against the clock.
        height, width: of the field of view, as a share of the image's: below 1 what is seen looks larger.
        mirrored: left for right, at last.
        out: of the image's shape: receives the result.
    """
    bottom, right = image.shape[0] - 1, image.shape[1] - 1
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # The result shows at (x, y) what lies at (a x + b y + c, d x + e y + f). In plain numbers: of small images
    # arithmetic on small arrays would take longer than the warp itself.
    a, b, d, e = cosine * width, -sine * height, sine * width, cosine * height
    aside, down = cosine * columns - sine * rows, sine * columns + cosine * rows
    c, f = aside + (right - a * right - b * bottom) / 2, down + (bottom - d * right - e * bottom) / 2
    # Padded beforehand as far as the corners reach: warpAffine takes twice as long over what lies beyond the edge.
    across, along = (abs(a) * right + abs(b) * bottom - right) / 2, (abs(d) * right + abs(e) * bottom - bottom) / 2
    above, below, before, after = (max(math.ceil(reach), 0) + 1 for reach in (along - down, along + down,
                                                                             across - aside, across + aside))
    if mirrored:
        a, d, c, f = -a, -d, c + a * right, f + d * right
    padded = cv2.copyMakeBorder(image, above, below, before, after, cv2.BORDER_REPLICATE)
    return cv2.warpAffine(padded, np.array([[a, b, c + before], [d, e, f + above]]), image.shape[::-1], out,
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


def crop(image: np.ndarray, height: float, width: float) -> np.ndarray:
    """Keep the field of view of a zoom (see ``warp``) without its stretch: outside it the edge is repeated."""
    above, aside = (round(max(1 - share, 0) * side / 2)
                    for share, side in zip((height, width), image.shape, strict=True))
    kept = image[above : image.shape[0] - above, aside : image.shape[1] - aside]
    return cv2.copyMakeBorder(kept, above, above, aside, aside, cv2.BORDER_REPLICATE | cv2.BORDER_ISOLATED)


def flip(image: np.ndarray) -> np.ndarray:
    """Mirror left for right. The heart changes sides: anatomically a rare condition, but harmless here."""
    return cv2.flip(image, 1)


def change_intensity(image: np.ndarray, contrast: float = 1.0, brightness: float = 0.0,
                     gamma: float = 1.0) -> np.ndarray:
    """Gamma (an exponent on grey levels 0..1), then contrast (a factor about middle grey), then brightness (added, as
    a share of 255), of a uint8 array; clipped to 0..255."""
    levels = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5 + brightness
    return cv2.LUT(image, np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8))


def augment_images(images: Sequence[np.ndarray], augmentation: Augmentation, generator: np.random.Generator
                   ) -> np.ndarray:
    """One random version of each image, uint8 (height, width) to uint8 (n, height, width). All images are of one size;
    they themselves stay as they are.

    Six random numbers are drawn for each image whatever the augmentation, and three more, from a child of the
    generator, where it warps, so that switching one change on or off leaves the others as they were.
    """
    draws, further = generator.uniform(-1, 1, (len(images), 6)), np.zeros((len(images), 3))
    if augmentation.warps:
        further = generator.spawn(1)[0].uniform(-1, 1, further.shape)
    versions = np.empty((len(images), *images[0].shape), np.uint8)
    for image, own, version in zip(images, np.hstack([draws, further]).tolist(), versions, strict=True):
        version[:] = _augmented(image, augmentation, version, *own)
    return versions


def augment_image(image: np.ndarray, augmentation: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """One random version of one image: see ``augment_images``."""
    return augment_images([image], augmentation, generator)[0]


def _augmented(image: np.ndarray, augmentation: Augmentation, out: np.ndarray, flipped: float, rows: float,
               columns: float, contrast: float, brightness: float, gamma: float, angle: float, height: float,
               width: float) -> np.ndarray:
    """The version that belongs to random numbers in -1..1, in ``out`` if that saves a copy."""
    mirrored = augmentation.horizontal_flip and flipped < 0
    # In this order, that of earlier versions: another one differs in the last bit.
    rows = rows * augmentation.height_shift * image.shape[0]
    columns = columns * augmentation.width_shift * image.shape[1]
    if augmentation.warps:
        height = 1 + height * augmentation.height_zoom
        width = height if augmentation.zooms_alike else 1 + width * augmentation.width_zoom
        view = {} if augmentation.crops_only else {"height": height, "width": width}
        image = warp(image, rows=rows, columns=columns, angle=angle * augmentation.rotation, mirrored=mirrored,
                     out=out, **view)
        if augmentation.crops_only:
            image = crop(image, height, width)
    else:
        if rows or columns:
            image = shift(image, rows, columns)
        if mirrored:
            image = flip(image)
    if augmentation.changes_intensity:
        image = change_intensity(image, 1 + contrast * augmentation.contrast,
                                 brightness * augmentation.brightness, np.exp(gamma * augmentation.gamma))
    return image


def class_weights(labels: np.ndarray) -> dict[int, float]:
    """Weights that give every class the same sum: n / (classes n_class), as scikit-learn's 'balanced'."""
    counts = np.bincount(labels)
    return {label: len(labels) / (len(counts) * int(count)) for label, count in enumerate(counts)}


def oversampled(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Row numbers of all images, and of the rarer classes' images again, at random, until all are equal."""
    counts = np.bincount(labels)
    drawn = [np.arange(len(labels))]
    for label, count in enumerate(counts):
        if surplus := int(counts.max() - count):
            rows = np.flatnonzero(labels == label)
            # Whole repetitions first: no image is drawn a third time before each was drawn twice.
            extra = np.concatenate([generator.permutation(rows) for _ in range(surplus // len(rows) + 1)])
            drawn.append(extra[:surplus])
    return np.concatenate(drawn)
