"""What is on an image besides the child: side marker, electrodes and the border of collimation.

None of it depends on the class.
"""

import cv2
import numpy as np

from covidcnn.data.phantom.view import View

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX)


def add_markings(grey: np.ndarray, view: View, rng: np.random.Generator) -> None:
    """Draw letters, and sometimes electrodes and their leads, on ``grey``, float32 0..1, in place."""
    if rng.random() < 0.18:
        _electrodes(grey, view, rng)
    letters = view.blank()
    if rng.random() < 0.85:
        _side_marker(letters, rng)
    if rng.random() < 0.2:
        text = str(rng.choice(["AP", "SUPINE", "AP SUPINE", "PORTABLE"]))
        scale = view.width / 512 * rng.uniform(0.3, 0.5)
        corner = int(rng.uniform(0.72, 0.82) * view.width), int(rng.uniform(0.92, 0.97) * view.height)
        cv2.putText(letters, text, corner, _FONTS[0], scale, 230, 1, cv2.LINE_AA)
    np.maximum(grey, letters.astype(np.float32) / 255, out=grey)


def _side_marker(letters: np.ndarray, rng: np.random.Generator) -> None:
    height, width = letters.shape
    letter = "L" if rng.random() < 0.15 else "R"
    # The letter stands on the patient's own side: R on the image left.
    column = rng.uniform(0.02, 0.12) if letter == "R" else rng.uniform(0.86, 0.94)
    corner = int(column * width), int(rng.uniform(0.08, 0.35) * height)
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    size = width / 512 * rng.uniform(0.55, 1.0)
    cv2.putText(letters, letter, corner, font, size, 255, 1 + (rng.random() < 0.5), cv2.LINE_AA)


def _electrodes(grey: np.ndarray, view: View, rng: np.random.Generator) -> None:
    canvas = view.blank()
    for _ in range(int(rng.integers(1, 4))):
        spot = np.array([rng.choice([-1, 1]) * rng.uniform(0.45, 0.95), rng.uniform(0.2, 1.3)])
        way_out = spot + np.array([[0, 0], [0.1, -0.35], [0.35, -0.6], [0.3, -1.6]]) * (np.sign(spot[0]), 1)
        view.stroke(canvas, [way_out], 0.010, 0.5)
        column, row = np.round(view.to_pixels(spot[None])[0]).astype(int)
        cv2.circle(canvas, (int(column), int(row)), view.pixels(0.035), 200, -1, cv2.LINE_AA)
        cv2.circle(canvas, (int(column), int(row)), view.pixels(0.014), 255, -1, cv2.LINE_AA)
    grey += canvas.astype(np.float32) * np.float32(0.4 / 255)


def collimate(grey: np.ndarray, rng: np.random.Generator) -> None:
    """Black borders of random width on some sides of the image, in place."""
    height, width = grey.shape
    top, bottom, left, right = (
        int(rng.uniform(0.005, 0.035) * width) if rng.random() < 0.4 else 0 for _ in range(4))
    black = rng.uniform(0, 0.03)
    grey[:top] = black
    grey[height - bottom:] = black
    grey[:, :left] = black
    grey[:, width - right:] = black
