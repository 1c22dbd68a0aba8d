"""The protocol's verdict rules on values whose verdict is known."""

import numpy as np
import pytest

from covidcnn.evidence.statistics import Difference, over_seeds
from covidcnn.evidence.verdicts import (
    COMPATIBLE,
    NOT_REPRODUCED,
    OPEN,
    REFUTED,
    REPRODUCED,
    SUPPORTED,
    direction,
    one_run,
    superiority,
)

VALUES = np.array([0.85, 0.86, 0.87, 0.88, 0.89])
"""Median 0.87; a new run lies within 0.048 of it."""


@pytest.mark.parametrize(("claimed", "verdict"), [
    (0.87, REPRODUCED), (0.89, REPRODUCED), (0.85, REPRODUCED), (0.8901, COMPATIBLE), (0.91, COMPATIBLE),
    (0.93, NOT_REPRODUCED), (0.8, NOT_REPRODUCED)])
def test_one_run_is_near_inside_or_outside(claimed, verdict):
    finding = one_run(claimed, VALUES, 0.0)
    assert finding.verdict == verdict
    assert (finding.value, finding.seeds) == (0.87, 5)
    assert finding.low == pytest.approx(0.87 - 2.776 * np.std(VALUES, ddof=1) * np.sqrt(1.2), abs=1e-4)


def test_near_is_not_enough_outside_the_interval():
    values = np.array([0.870, 0.8701, 0.8702])
    assert one_run(0.885, values, 0.0).verdict == NOT_REPRODUCED
    # Other test patients would have given other values.
    assert one_run(0.885, values, 0.02).verdict == REPRODUCED


def test_interval_stays_within_what_can_be():
    finding = one_run(0.99, np.array([0.9, 0.99, 0.95]), 0.0)
    assert finding.high == 1
    assert one_run(0.1, np.array([0.2, 1.4]), 0.0, (0, np.inf)).low == 0


def difference(mean, reach, p_value):
    return Difference(mean, mean - reach, mean + reach, p_value, 5, 0.01, 0.0)


@pytest.mark.parametrize(("mean", "reach", "p_value", "claimed", "verdict"), [
    (0.03, 0.01, 0.001, np.inf, SUPPORTED), (0.03, 0.01, 0.001, 0.5, SUPPORTED),
    (0.03, 0.05, 0.2, np.inf, OPEN), (-0.03, 0.05, 0.2, np.inf, OPEN),
    (-0.03, 0.01, 0.001, np.inf, REFUTED), (0.0, 0.02, 0.9, 0.05, REFUTED), (0.0, 0.02, 0.9, 0.01, OPEN)])
def test_direction(mean, reach, p_value, claimed, verdict):
    assert direction(difference(mean, reach, p_value), claimed).verdict == verdict


def test_best_must_beat_every_rival():
    clear, unclear, lost = difference(0.03, 0.01, 1e-4), difference(0.01, 0.05, 0.5), difference(-0.03, 0.01, 1e-4)
    claimed = dict.fromkeys(("Adam", "SGD"), 0.02)
    assert superiority({"Adam": clear, "SGD": clear}, claimed).verdict == SUPPORTED
    assert superiority({"Adam": clear, "SGD": unclear}, claimed).verdict == OPEN
    assert superiority({"Adam": unclear, "SGD": lost}, claimed).verdict == REFUTED


def test_family_is_corrected():
    """p = 0.03 is significant alone, and not as one of two by Holm."""
    border = difference(0.03, 0.02, 0.03)
    claimed = dict.fromkeys(("Adam", "SGD"), 0.01)
    assert superiority({"Adam": border}, claimed).verdict == SUPPORTED
    finding = superiority({"Adam": border, "SGD": border}, claimed)
    assert finding.verdict == OPEN
    assert "p = 0.060" in finding.ours


def test_the_hardest_rival_gives_the_interval():
    finding = superiority({"Adam": difference(0.05, 0.01, 1e-5), "SGD": difference(0.03, 0.01, 1e-5)},
                          {"Adam": 0.01, "SGD": 0.01})
    assert (finding.value, finding.low) == pytest.approx((0.03, 0.02))
    assert "p < 0.001" in finding.ours


def test_equal_values_decide_nothing():
    assert direction(over_seeds(np.zeros(4))).verdict == OPEN
