"""Where a model looks: what its score loses when a part of the image is covered, over a whole set of images.

Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks. Unlike a heat map of gradients it needs
no network, and it is in units of the score.
"""

from collections.abc import Sequence

import numpy as np

from covidcnn.augment import warp
from covidcnn.imaging.registration import Alignment
from covidcnn.models.predictor import Predictor
from covidcnn.perturbations import central_lungs


def occlusion(predictor: Predictor, pixels: np.ndarray, cells: int = 8) -> np.ndarray:
    """How much the score of the positive class falls when a cell of the image is covered with the image's mean grey:
    float (n, cells, cells), negative where it rises.

    Args:
        predictor: of two classes.
        pixels: uint8 (n, size, size), as the model sees the images.
        cells: a side is cut into so many; at most size.
    """
    n, size, _ = pixels.shape
    before, edges = predictor(pixels)[:, 1], np.linspace(0, size, cells + 1).round().astype(int)
    means = np.rint(pixels.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    falls = np.empty((n, cells, cells))
    for row in range(cells):
        # A row of cells in one call, for a call costs a network as much as some hundred small images.
        covered = np.repeat(pixels[np.newaxis], cells, axis=0)
        for column in range(cells):
            covered[column, :, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = means
        scores = predictor(covered.reshape(cells * n, size, size))[:, 1]
        falls[:, row] = before[:, np.newaxis] - scores.reshape(cells, n).T
    return falls


def mean_map(maps: np.ndarray, alignments: Sequence[Alignment | None]) -> np.ndarray:
    """The mean of maps, float (n, side, side), each laid onto the image to which its own was aligned, by height, width
    and place; those of images that could not be aligned are left out. float (side, side), NaN where none could."""
    side = maps.shape[1]
    if not any(alignments):
        return np.full(maps.shape[1:], np.nan)
    return np.mean([warp(one.astype(np.float32), height=found.height, width=found.width, rows=found.down * side,
                         columns=found.aside * side)
                    for one, found in zip(maps, alignments, strict=True) if found], axis=0)


def inside_lungs(maps: np.ndarray) -> np.ndarray:
    """The share of each map's weight, in absolute value, that lies where the lungs of a centred chest are: float (n,)
    of maps float (n, rows, columns); NaN of a map that is 0 throughout."""
    weights = np.abs(maps)
    total = weights.sum(axis=(1, 2))
    inside = (weights * central_lungs(*maps.shape[1:])).sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)
