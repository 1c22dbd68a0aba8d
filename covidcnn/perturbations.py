"""Changes that are made to images before they are scored, to see what a model makes of them; never in training."""

from typing import Any

import numpy as np

from covidcnn.augment import change_intensity, crop, flip, warp

SIMULATED_SHIFTS = {
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

MIRRORED = "mirrored"
"""Left for right."""

PERTURBATIONS = (*SIMULATED_SHIFTS, *STRETCHES, *CROPS, MIRRORED)

CHOSEN_UNDER = {
    "shifted validation": tuple(SIMULATED_SHIFTS),
    "perturbed validation": ("contrast 0.7", "contrast 1.3", "height 0.90", "height 1.10", "width 0.90", "width 1.10")}
"""By a recipe's ``choose_by``, under what validation images are scored to choose the epoch: grey levels alone, or grey
levels and geometry. As far to one side as to the other, so that none is tuned to what sets the test images apart."""


def perturbed(image: np.ndarray, name: str) -> np.ndarray:
    """An image, uint8 (height, width), changed as one of ``PERTURBATIONS`` says."""
    if name in SIMULATED_SHIFTS:
        return change_intensity(image, **SIMULATED_SHIFTS[name])
    if name == MIRRORED:
        return flip(image)
    return warp(image, **STRETCHES[name]) if name in STRETCHES else crop(image, CROPS[name], 1.0)
