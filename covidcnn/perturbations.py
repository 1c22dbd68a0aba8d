"""Changes that are made to images before they are scored, to see what a model makes of them; never in training."""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from covidcnn.augment import change_intensity, crop, flip, warp
from covidcnn.imaging.transforms import invert

SIMULATED_SHIFTS: dict[str, dict[str, Any]] = {
    "contrast 0.7": {"contrast": 0.7}, "contrast 1.3": {"contrast": 1.3},
    "brightness -0.1": {"brightness": -0.1}, "brightness +0.1": {"brightness": 0.1},
    "gamma 0.7": {"gamma": 0.7}, "gamma 1.4": {"gamma": 1.4},
}
"""Arguments of ``change_intensity`` that make of validation images what another hospital day might send."""

_FACTORS = (0.85, 0.9, 0.95, 1.05, 1.1, 1.15)
STRETCHES: dict[str, dict[str, Any]] = {
    f"{name} {factor:.2f}": dict.fromkeys(axes, 1 / factor)
    for name, axes in {"height": ["height"], "width": ["width"], "size": ["height", "width"]}.items()
    for factor in _FACTORS}
"""Arguments of ``warp`` that make a chest look as many times as tall, as wide, or as large."""

CROPS = {f"cropped height {factor:.2f}": 1 / factor for factor in _FACTORS if factor > 1}
"""A control: shares of the height that stay, as the stretch of that factor leaves them, and nothing is stretched."""

LUNGS_BLACK, REST_BLACK = "central lungs black", "all but the central lungs black"
"""What is blacked out: where the lungs of a centred chest lie, or everything else."""


def central_lungs(height: int, width: int) -> np.ndarray:
    """Where the lungs of a centred chest lie, roughly, with heart and spine between them: bool (height, width), an
    ellipse in the middle, 0.76 of the height and of the width."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows + 0.5) / height - 0.5) ** 2 + ((columns + 0.5) / width - 0.5) ** 2 <= 0.38**2


def _noisy(image: np.ndarray, deviation: float) -> np.ndarray:
    # The same noise for every image: what is compared differs in nothing else.
    noise = np.random.default_rng(0).normal(0, deviation, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


def _lettered(image: np.ndarray) -> np.ndarray:
    """With an L in the upper right corner, as radiographers burn it in."""
    height, width = image.shape
    return cv2.putText(image.copy(), "L", (round(0.86 * width), round(0.14 * height)), cv2.FONT_HERSHEY_SIMPLEX,
                       height / 220, 255, max(1, height // 64), cv2.LINE_AA)


def _blackened(image: np.ndarray, inside: bool) -> np.ndarray:
    return np.where(central_lungs(*image.shape) == inside, 0, image).astype(np.uint8)


MISHAPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotated 5 degrees": lambda image: warp(image, angle=5), "rotated 15 degrees": lambda image: warp(image, angle=15),
    "cropped to 0.85": lambda image: warp(image, height=0.85, width=0.85),
    "noise 10": partial(_noisy, deviation=10), "noise 25": partial(_noisy, deviation=25),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), len(image) / 100),
    "JPEG of quality 10": partial(_compressed, quality=10), "inverted": invert,
    "a letter": _lettered, LUNGS_BLACK: partial(_blackened, inside=True), REST_BLACK: partial(_blackened, inside=False)}
"""What happens to radiographs on their way (noise in grey levels, the blur a hundredth of the height), and two
questions of where a model looks: functions of an image, uint8 (height, width)."""

PERTURBATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{name: partial(change_intensity, **change) for name, change in SIMULATED_SHIFTS.items()},
    **{name: partial(warp, **change) for name, change in STRETCHES.items()},
    **{name: partial(crop, height=share, width=1.0) for name, share in CROPS.items()}, "mirrored": flip, **MISHAPS}
"""All of them by name, functions of an image, uint8 (height, width)."""

CHOSEN_UNDER = {
    "shifted validation": tuple(SIMULATED_SHIFTS),
    "perturbed validation": ("contrast 0.7", "contrast 1.3", "height 0.90", "height 1.10", "width 0.90", "width 1.10")}
"""By a recipe's ``choose_by``, under what validation images are scored to choose the epoch: grey levels alone, or grey
levels and geometry. As far to one side as to the other, so that none is tuned to what sets the test images apart."""


def perturbed(image: np.ndarray, name: str) -> np.ndarray:
    """An image, uint8 (height, width), changed as one of ``PERTURBATIONS`` says."""
    return PERTURBATIONS[name](image)
