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
    size,
    superiority,
)

VALUES = np.array([0.85, 0.86, 0.87, 0.88, 0.89])
"""Median 0.87; a new run lies within 0.048 of it."""


@pytest.mark.parametrize(("claimed", "verdict"), [
    (0.87, REPRODUCED), (0.89, REPRODUCED), (0.85, REPRODUCED), (0.8901, COMPATIBLE), (0.91, COMPATIBLE),
    (0.93, NOT_REPRODUCED), (0.8, NOT_REPRODUCED)])
def test_one_run_is_near_inside_or_outside(claimed, verdict):
    finding = one_run(claimed, VALUES)
    assert finding.verdict == verdict
    assert (finding.value, finding.seeds) == (0.87, 5)
    assert finding.low == pytest.approx(0.87 - 2.776 * np.std(VALUES, ddof=1) * np.sqrt(1.2), abs=1e-4)


def test_near_is_not_enough_outside_the_interval():
    values = np.array([0.870, 0.8701, 0.8702])
    assert one_run(0.885, values).verdict == NOT_REPRODUCED


def test_interval_stays_within_what_can_be():
    finding = one_run(0.99, np.array([0.9, 0.99, 0.95]))
    assert finding.high == 1
    assert one_run(0.1, np.array([0.2, 1.4]), (0, np.inf)).low == 0


def difference(mean, reach, p_value):
    return Difference(mean, mean - reach, mean + reach, p_value, 5, 0.01, 0.0)


@pytest.mark.parametrize(("mean", "reach", "p_value", "verdict"), [
    (0.03, 0.01, 0.001, SUPPORTED), (0.03, 0.05, 0.2, OPEN), (-0.03, 0.05, 0.2, OPEN), (-0.03, 0.01, 0.001, REFUTED)])
def test_direction(mean, reach, p_value, verdict):
    assert direction(difference(mean, reach, p_value)).verdict == verdict


@pytest.mark.parametrize(("claimed", "verdict"), [(0.02, OPEN), (0.04, OPEN), (0.019, REFUTED), (0.15, REFUTED)])
def test_size_of_a_lead_is_refuted_outside_the_interval_and_never_proven(claimed, verdict):
    assert size(difference(0.03, 0.01, 0.001), claimed).verdict == verdict


def test_best_must_beat_every_rival():
    clear, unclear, lost = difference(0.03, 0.01, 1e-4), difference(0.01, 0.05, 0.5), difference(-0.03, 0.01, 1e-4)
    assert superiority({"Adam": clear, "SGD": clear}).verdict == SUPPORTED
    assert superiority({"Adam": clear, "SGD": unclear}).verdict == OPEN
    assert superiority({"Adam": unclear, "SGD": lost}).verdict == REFUTED


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, REFUTED)])
def test_family_is_corrected_in_both_directions(sign, verdict):
    """p = 0.03 is significant alone, and not as one of two by Holm."""
    border = difference(sign * 0.03, 0.02, 0.03)
    assert superiority({"Adam": border}).verdict == verdict
    finding = superiority({"Adam": border, "SGD": border})
    assert finding.verdict == OPEN
    assert "p = 0.060" in finding.ours


def test_small_true_lead_is_supported_whatever_the_paper_claims():
    """An order is judged by its sign: half of the claimed lead is a lead."""
    assert superiority({"Adadelta": difference(0.05, 0.01, 1e-5)}).verdict == SUPPORTED


def test_the_hardest_rival_gives_the_interval():
    finding = superiority({"Adam": difference(0.05, 0.01, 1e-5), "SGD": difference(0.03, 0.01, 1e-5)})
    assert (finding.value, finding.low) == pytest.approx((0.03, 0.02))
    assert "p < 0.001" in finding.ours


def test_equal_values_decide_nothing():
    assert direction(over_seeds(np.zeros(4))).verdict == OPEN
