"""How a child lies in the image: from body coordinates to pixels, and strokes between the two."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np


@dataclass(frozen=True)
class View:
    """Geometry of one image on the grid on which it is drawn."""

    width: int
    height: int
    scale: float
    """Pixels per body unit."""
    centre: tuple[float, float]
    """Body coordinates in the middle of the image."""
    tilt: float
    """Rotation in the plane of the image, radians."""
    turn: float
    """Rotation of the chest about its long axis: shift of the heart, in body units, to the right of the image."""
    breath: float
    """Body units by which the diaphragm stands lower than at a middling breath."""
    arms: tuple[float, float]
    """Direction of the right and the left upper arm: -1 straight up, 0 sideways, 1 down."""

    @cached_property
    def body_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Body coordinates x and y of every pixel, float32 (height, width) each."""
        columns = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) / self.scale
        rows = ((np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2) / self.scale)[:, None]
        cosine, sine = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        return (cosine * columns + sine * rows + np.float32(self.centre[0]),
                cosine * rows - sine * columns + np.float32(self.centre[1]))

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Body coordinates, float (n, 2), to pixel columns and rows, float (n, 2)."""
        x, y = (np.asarray(points) - self.centre).T * self.scale
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        return np.stack([cosine * x - sine * y + (self.width - 1) / 2, sine * x + cosine * y + (self.height - 1) / 2],
                        axis=1)

    def pixels(self, length: float) -> int:
        """A length in body units as a whole number of pixels, 1 or more."""
        return max(round(length * self.scale), 1)

    def stroke(self, canvas: np.ndarray, lines: Sequence[np.ndarray], thickness: float, value: float) -> None:
        """Draw polylines on ``canvas``, uint8 (height, width), in place: ``lines`` and ``thickness`` in body units,
        ``value`` 0..1. A line thinner than a pixel is drawn fainter."""
        value *= min(thickness * self.scale, 1.0)
        bits = 4
        points = np.round(self.to_pixels(np.concatenate(lines)) * 2**bits).astype(np.int32)
        ends = np.cumsum([len(line) for line in lines])[:-1]
        cv2.polylines(canvas, np.split(points, ends), False, value * 255, self.pixels(thickness), cv2.LINE_AA, bits)

    def blank(self) -> np.ndarray:
        """An empty canvas to stroke on."""
        return np.zeros((self.height, self.width), np.uint8)


def soften(canvas: np.ndarray, pixels: float) -> np.ndarray:
    """A stroked canvas as float32 0..1, its edges blurred."""
    return cv2.GaussianBlur(canvas, (0, 0), pixels).astype(np.float32) / 255


def ramp(distance: np.ndarray, width: float) -> np.ndarray:
    """A soft step: 0 where ``distance`` is below -width / 2, 1 above width / 2."""
    step = distance * (1 / width)
    step += 0.5
    np.clip(step, 0, 1, out=step)
    # 3 step² - 2 step³, without a new array for each operation.
    bend = step * -2
    bend += 3
    step *= step
    step *= bend
    return step


def clouds(rng: np.random.Generator, view: View, wavelength: float) -> np.ndarray:
    """Smooth random field of about that wavelength in body units, float32, mean 0 and spread about 1."""
    cells = max(wavelength * view.scale / 2, 1.0)
    shape = int(view.height / cells) + 4, int(view.width / cells) + 4
    coarse = rng.standard_normal(shape, dtype=np.float32)
    size = round(shape[1] * cells), round(shape[0] * cells)
    # Interpolation lowers the spread.
    return 1.4 * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)[: view.height, : view.width]
