"""The verdicts that ``reports/paper/protocol.yaml`` lays down, as code."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from covidcnn.evaluation.metrics import CONFIDENCE
from covidcnn.evaluation.statistics import Difference, holm, new_run, prediction_interval

REPRODUCED, COMPATIBLE, NOT_REPRODUCED = "reproduced", "compatible", "not reproduced"
SUPPORTED, REFUTED, OPEN = "supported", "refuted", "open"
CONTRADICTION, CANNOT_BE_TESTED = "contradicts itself", "cannot be tested"
AS_DESCRIBED, NOT_FINISHED = "built as described", "not finished"
MEANINGS = {
    REPRODUCED: "the paper's value lies in the 95 % prediction interval for a new run, and within 2 percentage points "
                "(of a loss, 0.02) of our median; of a count or share: equal to the digits printed",
    COMPATIBLE: "it lies in that interval",
    NOT_REPRODUCED: "it lies outside",
    SUPPORTED: "the difference that the paper claims is there, with p < 0.05; of a cause, all else that follows "
               "from it, too",
    REFUTED: "a difference the other way is there, with p < 0.05; of a cause: balancing surely ends less than half; of "
             "generalisation: surely more than 2 percentage points are lost; of a lead: it lies outside the 95 % "
             "prediction interval for a new pair of runs",
    OPEN: "neither",
    CONTRADICTION: "the paper's own text or tables, or the published files, deny it",
    CANNOT_BE_TESTED: "for the reason given",
    AS_DESCRIBED: "no finding: the paper describes its network so, and so it is built",
    NOT_FINISHED: "its trainings are not all in the store",
}
"""In short, of each verdict; the rules stand in the protocol."""

NEAR = 0.02
"""'Within two percentage points of our median'; for a loss, the same number."""
_WIDE, _WIDE_FACTOR = 0.1, 2.0
"""A prediction interval wider than ten percentage points, of a loss from one value to more than twice it, excludes
little."""


@dataclass(frozen=True)
class Finding:
    """What is held against a claim."""

    verdict: str
    """One of ``MEANINGS``."""
    ours: str
    """In words and numbers, for people to read."""
    value: float = np.nan
    """The median over seeds, or the mean difference; of several differences the one that decides."""
    low: float = np.nan
    high: float = np.nan
    """Of its 95 % interval; for a value of the paper the prediction interval for one new run."""
    seeds: int = 0
    says_little: bool = False
    """A prediction interval that holds the paper's value, and so wide that it would hold most others too."""


def one_run(claimed: float, values: np.ndarray, logarithmic: bool = False) -> Finding:
    """The verdict on a value that the paper gives from one run, on the same test images as ours.

    Ours are float (seeds,): shares in 0..1, or greater than 0 if ``logarithmic``, where the interval is that of the
    logarithms, as suits a loss, which has no upper bound. Untestable if one is no number.
    """
    low, high = np.exp(prediction_interval(np.log(values))) if logarithmic else new_run(values)
    median = float(np.median(values))
    inside = low <= claimed <= high
    # Rounded, so that a difference of exactly two percentage points in decimals counts as two.
    near = round(abs(claimed - median), 9) <= NEAR
    verdict = (REPRODUCED if near else COMPATIBLE) if inside else NOT_REPRODUCED
    says_little = bool(inside and (high > _WIDE_FACTOR * low if logarithmic else high - low > _WIDE))
    warning = "; so wide an interval excludes little" if says_little else ""
    return Finding(verdict, f"median {median:.4f} ({values.min():.4f} to {values.max():.4f}); a new run {low:.4f} to "
                            f"{high:.4f}{warning}", median, float(low), float(high), len(values), says_little)


def all_hold(predictions: Mapping[str, Difference]) -> Finding:
    """The verdict on a claim that predicts several differences, each positive where it holds, such as 'better than each
    of these': supported if each is there, refuted if any goes the other way, else open. They are one family for Holm's
    correction, in both directions. The value and interval are those of the difference that decides: of those that go
    the other way the surest, else the one that is least sure to be there."""
    corrected = dict(zip(predictions, holm([difference.p_value for difference in predictions.values()]), strict=True))
    found = {name: sign_verdict(difference, corrected[name]) for name, difference in predictions.items()}
    against = [predictions[name] for name, verdict in found.items() if verdict == REFUTED]
    if against:
        verdict, decides = REFUTED, min(against, key=lambda difference: difference.p_value)
    else:
        verdict = OPEN if OPEN in found.values() else SUPPORTED
        decides = max(predictions.values(), key=lambda difference: difference.p_value)
    p_values = {name: "p < 0.001" if value < 0.001 else f"p = {value:.3f}" for name, value in corrected.items()}
    listed = "; ".join(f"{name} {shown(difference)}, {p_values[name]}" for name, difference in predictions.items())
    return Finding(verdict, listed, decides.mean, decides.low, decides.high, decides.seeds)


def direction(difference: Difference) -> Finding:
    """The verdict on one difference that the paper says is positive: only its sign decides."""
    return Finding(sign_verdict(difference, difference.p_value), shown(difference), difference.mean, difference.low,
                   difference.high, difference.seeds)


def size(differences: np.ndarray, claimed: float) -> Finding:
    """The verdict on the size of a difference that the paper claims from one pair of runs, on the same test images as
    ours, float (seeds,): refuted outside the prediction interval for a new pair, else open, for one pair proves no
    size. Untestable if a difference is no number."""
    (low, high), mean = prediction_interval(differences), float(np.mean(differences))
    return Finding(OPEN if low <= claimed <= high else REFUTED,
                   f"mean {mean:+.4f}; a new pair of runs {low:+.4f} to {high:+.4f}", mean, low, high, len(differences))


def shown(difference: Difference) -> str:
    """A difference and its interval, for people to read."""
    return f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def sign_verdict(difference: Difference, p_value: float) -> str:
    """Whether a difference is surely above 0 (supported) or below (refuted), by a p that may be corrected."""
    return OPEN if p_value >= 1 - CONFIDENCE else SUPPORTED if difference.mean > 0 else REFUTED
