"""Matching two groups of images one to one, so that a measure can no longer tell them apart."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment


def matched_pairs(first: pd.DataFrame, second: pd.DataFrame, calipers: Mapping[str, float],
                  gaps: Mapping[str, float] | None = None) -> pd.DataFrame:
    """As many pairs as the calipers allow, and of those the nearest in all: optimal matching without replacement.

    Args:
        first, second: a row an image, with the columns that ``calipers`` names.
        calipers: of each measure the largest distance within a pair; of several, the distances as shares of their
            calipers are added as squares, and the sum is at most 1.
        gaps: what a measure of ``second`` is to have beyond that of ``first``; 0 where it is not named.

    Returns:
        A row a pair, nearest first: ``first`` and ``second`` are labels of the two indexes, ``distance`` in calipers.
    """
    measures = list(calipers)
    moved = second[measures] - pd.Series(gaps or {}, dtype=float).reindex(measures, fill_value=0.0)
    scale = np.array([calipers[name] for name in measures])
    distance = np.linalg.norm((first[measures].to_numpy()[:, np.newaxis] - moved.to_numpy()) / scale, axis=-1)
    # One pair too far apart costs more than all others together, so that no near one is given up for it.
    far = float(min(distance.shape)) + 1
    rows, columns = linear_sum_assignment(np.where(distance <= 1, distance, far))
    pairs = pd.DataFrame({"first": first.index[rows], "second": second.index[columns],
                          "distance": distance[rows, columns]})
    return pairs[pairs["distance"] <= 1].sort_values("distance", kind="stable", ignore_index=True)
