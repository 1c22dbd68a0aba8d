"""The verdicts that ``reports/paper/protocol.yaml`` lays down, as code."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from covidcnn.evaluation.metrics import CONFIDENCE
from covidcnn.evidence.statistics import Difference, holm, prediction_interval

REPRODUCED, COMPATIBLE, NOT_REPRODUCED = "reproduced", "compatible", "not reproduced"
SUPPORTED, REFUTED, OPEN = "supported", "refuted", "open"
CONTRADICTION, CANNOT_BE_TESTED = "contradicts itself", "cannot be tested"
NOT_FINISHED = "not finished"
"""Its trainings are not all in the store: no verdict yet, and none of the protocol's."""

VERDICTS = (REPRODUCED, COMPATIBLE, NOT_REPRODUCED, SUPPORTED, REFUTED, OPEN, CONTRADICTION, CANNOT_BE_TESTED,
            NOT_FINISHED)
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


def one_run(claimed: float, values: np.ndarray, patient_error: float, bounds: tuple[float, float] = (0, 1)) -> Finding:
    """The verdict on a value that the paper gives from one run.

    Args:
        claimed: the paper's.
        values: float (seeds,), ours.
        patient_error: standard error from the choice of test patients.
        bounds: between which the quantity lies whatever a normal approximation says.
    """
    low, high = np.clip(prediction_interval(values, patient_error), *bounds)
    median = float(np.median(values))
    inside = low <= claimed <= high
    # Rounded, so that a difference of exactly two points in decimals counts as two points.
    near = round(abs(claimed - median), 9) <= NEAR
    verdict = (REPRODUCED if near else COMPATIBLE) if inside else NOT_REPRODUCED
    return Finding(verdict, f"median {median:.4f} ({values.min():.4f} to {values.max():.4f}); a new run {low:.4f} to "
                            f"{high:.4f}", median, float(low), float(high), len(values))


def superiority(differences: Mapping[str, Difference], claimed: Mapping[str, float]) -> Finding:
    """The verdict on 'better than each of these': supported if every difference is, refuted if any is.

    Args:
        differences: by rival; positive where the claim holds. They are one family for Holm's correction.
        claimed: the size of each difference in the paper, positive.
    """
    corrected = holm({rival: difference.p_value for rival, difference in differences.items()})
    verdicts = {rival: _direction(difference, corrected[rival], claimed[rival])
                for rival, difference in differences.items()}
    found = set(verdicts.values())
    verdict = REFUTED if REFUTED in found else OPEN if OPEN in found else SUPPORTED
    # The rival that decides: the one that is hardest to beat.
    rival = min(differences, key=lambda name: differences[name].low)
    listed = "; ".join(f"{name} {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}), "
                       f"{_p(corrected[name])}" for name, difference in differences.items())
    hardest = differences[rival]
    return Finding(verdict, listed, hardest.mean, hardest.low, hardest.high, hardest.seeds)


def direction(difference: Difference, claimed: float = np.inf) -> Finding:
    """The verdict on one difference that the paper says is positive.

    Args:
        difference: positive where the claim holds.
        claimed: its size in the paper; infinite where none is given, so that only its sign can be refuted.
    """
    return Finding(_direction(difference, difference.p_value, claimed),
                   f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})", difference.mean,
                   difference.low, difference.high, difference.seeds)


def _direction(difference: Difference, p_value: float, claimed: float) -> str:
    if difference.mean > 0 and p_value < 1 - CONFIDENCE:
        return SUPPORTED
    if difference.high < 0 or (np.isfinite(claimed) and difference.high < claimed):
        return REFUTED
    return OPEN


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
