"""The verdicts that ``reports/paper/protocol.yaml`` lays down, as code."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from covidcnn.evaluation.metrics import CONFIDENCE
from covidcnn.evidence.statistics import Difference, holm, prediction_interval

REPRODUCED, COMPATIBLE, NOT_REPRODUCED = "reproduced", "compatible", "not reproduced"
SUPPORTED, REFUTED, OPEN = "supported", "refuted", "open"
CONTRADICTION, CANNOT_BE_TESTED = "contradicts itself", "cannot be tested"
AS_DESCRIBED = "built as described"
"""No finding: the paper describes its network so, and so it is built here."""
NOT_FINISHED = "not finished"
"""Its trainings are not all in the store: no verdict yet, and none of the protocol's."""

VERDICTS = (REPRODUCED, COMPATIBLE, NOT_REPRODUCED, SUPPORTED, REFUTED, OPEN, CONTRADICTION, CANNOT_BE_TESTED,
            AS_DESCRIBED, NOT_FINISHED)
NEAR = 0.02
"""'Within two points of our median'; for a loss, which has no points, the same number."""


@dataclass(frozen=True)
class Finding:
    """What is held against a claim."""

    verdict: str
    """One of ``VERDICTS``."""
    ours: str
    """In words and numbers, for people to read."""
    value: float = np.nan
    """The median over seeds, or the mean difference."""
    low: float = np.nan
    high: float = np.nan
    """Of the 95 % interval; for a value of the paper the prediction interval for one new run."""
    seeds: int = 0


def one_run(claimed: float, values: np.ndarray, bounds: tuple[float, float] = (0, 1)) -> Finding:
    """The verdict on a value that the paper gives from one run, on the same test films as ours.

    Args:
        claimed: the paper's.
        values: float (seeds,), ours.
        bounds: between which the quantity lies whatever a normal approximation says.
    """
    low, high = np.clip(prediction_interval(values), *bounds)
    median = float(np.median(values))
    inside = low <= claimed <= high
    # Rounded, so that a difference of exactly two points in decimals counts as two points.
    near = round(abs(claimed - median), 9) <= NEAR
    verdict = (REPRODUCED if near else COMPATIBLE) if inside else NOT_REPRODUCED
    return Finding(verdict, f"median {median:.4f} ({values.min():.4f} to {values.max():.4f}); a new run {low:.4f} to "
                            f"{high:.4f}", median, float(low), float(high), len(values))


def superiority(differences: Mapping[str, Difference]) -> Finding:
    """The verdict on 'better than each of these': supported if it is, refuted if any of them is better.

    Args:
        differences: by rival; positive where the claim holds. They are one family for Holm's correction.
    """
    corrected = holm({rival: difference.p_value for rival, difference in differences.items()})
    found = {_direction(difference, corrected[rival]) for rival, difference in differences.items()}
    verdict = REFUTED if REFUTED in found else OPEN if OPEN in found else SUPPORTED
    # The rival that decides: the one that is hardest to beat.
    hardest = min(differences.values(), key=lambda difference: difference.low)
    listed = "; ".join(f"{name} {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}), "
                       f"{_p(corrected[name])}" for name, difference in differences.items())
    return Finding(verdict, listed, hardest.mean, hardest.low, hardest.high, hardest.seeds)


def direction(difference: Difference) -> Finding:
    """The verdict on one difference that the paper says is positive: only its sign decides."""
    return _of(difference, _direction(difference, difference.p_value))


def size(difference: Difference, claimed: float) -> Finding:
    """The verdict on the size of a difference that the paper gives from one pair of runs.

    Args:
        difference: ours.
        claimed: the paper's: refuted if our interval leaves it out, else open, for one pair proves no size.
    """
    return _of(difference, OPEN if difference.low <= claimed <= difference.high else REFUTED)


def _of(difference: Difference, verdict: str) -> Finding:
    return Finding(verdict, f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})",
                   difference.mean, difference.low, difference.high, difference.seeds)


def _direction(difference: Difference, p_value: float) -> str:
    if p_value >= 1 - CONFIDENCE:
        return OPEN
    return SUPPORTED if difference.mean > 0 else REFUTED


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
