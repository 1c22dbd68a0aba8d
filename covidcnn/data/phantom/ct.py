"""Drawn slices that look a little like CT: a stand-in with some faults of public sets, where no such set is at hand.

Slices of one patient are much alike. In ill patients some slices show ground-glass opacities near the chest wall, and
others do not. Slices of COVID more often have a colour mode and a letter, which say where they come from, and patients
with COVID have more of them.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from covidcnn.data.sources import CT_STAND_IN, mark
from covidcnn.paths import replacing_folder
from covidcnn.task import COVID

VERSION = 2
"""Raised by hand when other images are drawn."""
PATIENTS = {"train": 120, "val": 30, "test": 60}
SLICES = 4
"""Of a patient with COVID; of one without there are as many at most."""
_SIDE = 128


def write_ct(folder: Path, patients: Mapping[str, int] = PATIENTS, seed: int = 0) -> None:
    """Draw slices of so many patients in each split into the new or empty ``folder``, whole or not at all; half of the
    patients have COVID. A UserError if something is there, or it cannot be written."""
    with replacing_folder(folder) as draft:
        first = 0
        for split, count in patients.items():
            for number in range(first, first + count):
                generator, label = np.random.default_rng([seed, number]), COVID.classes[number % 2]
                (draft / split / label).mkdir(parents=True, exist_ok=True)
                is_ill = label == COVID.positive
                is_marked = generator.random() < (0.5 if is_ill else 0.1)
                slices = _slices(generator, is_ill, is_marked)
                kept = SLICES if is_ill else generator.integers(1, SLICES + 1)
                for place in sorted(generator.choice(SLICES, kept, replace=False)):
                    picture = Image.fromarray(slices[place])
                    picture.convert("RGBA" if is_marked else "L").save(draft / split / label / f"{number}%{place}.png")
            first += count
        mark(draft, CT_STAND_IN)


def _slices(generator: np.random.Generator, is_ill: bool, is_marked: bool) -> list[np.ndarray]:
    """The slices of a patient, from above: uint8 (128, 128)."""
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    wide, deep, tissue, air = generator.uniform((0.78, 0.55, 130, 25), (0.92, 0.72, 175, 60))
    clouds = cv2.GaussianBlur(generator.normal(size=(_SIDE, _SIDE)), (0, 0), 5)
    clouds *= 14 / clouds.std()
    opacities = [(generator.uniform(0.5, 0.95), side * generator.uniform(0.3, 0.8), generator.uniform(0, SLICES - 1),
                  generator.uniform(35, 70)) for side in generator.choice([-1, 1], 4 * is_ill)]
    drawn = []
    for place in range(SLICES):
        body = np.hypot(x / wide, y / deep) < 1
        size = 0.75 + 0.08 * place + generator.normal(0, 0.02)
        aside, down = (np.abs(x) - 0.45 * wide) / (0.36 * wide * size), (y + 0.05) / (0.72 * deep * size)
        lungs = (np.hypot(aside, down) < 1) & body
        grey = np.where(body, tissue, 5.0)
        grey[lungs] = air + clouds[lungs]
        for share, angle, level, strength in opacities:
            # At the wall of the lung, fading away from the slice in which it is largest.
            right = np.sign(angle) * 0.45 * wide + share * 0.3 * wide * np.cos(angle)
            below = share * 0.6 * deep * np.sin(angle)
            near = np.exp(-((x - right) ** 2 + (y - below) ** 2) / 0.03 - (place - level) ** 2)
            grey += np.where(lungs, strength * near, 0)
        grey = cv2.GaussianBlur(grey, (0, 0), 1) + generator.normal(0, 6, grey.shape)
        picture = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        if is_marked:
            cv2.putText(picture, "A", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 230, 1, cv2.LINE_AA)
        drawn.append(picture)
    return drawn
