"""The protocol's verdict rules on values whose verdict is known."""

import numpy as np
import pytest

from covidcnn.evaluation.statistics import Difference, Untestable, over_seeds
from covidcnn.study.verdicts import (
    COMPATIBLE,
    NOT_REPRODUCED,
    OPEN,
    REFUTED,
    REPRODUCED,
    SUPPORTED,
    all_hold,
    direction,
    one_run,
    size,
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


def test_interval_of_a_loss_is_that_of_its_logarithm():
    values = np.array([0.2, 0.4, 0.8])
    finding = one_run(0.3, values, logarithmic=True)
    reach = 4.3027 * np.log(2) * np.sqrt(4 / 3)
    assert (finding.low, finding.high) == pytest.approx((0.4 * np.exp(-reach), 0.4 * np.exp(reach)), rel=1e-4)
    assert finding.verdict == COMPATIBLE


@pytest.mark.parametrize(("values", "logarithmic", "said"), [
    ([0.85, 0.86, 0.87, 0.88, 0.89], False, False), ([0.8, 0.84, 0.87, 0.9, 0.94], False, True),
    ([0.86, 0.87, 0.88], True, False), ([0.5, 0.87, 1.5], True, True)])
def test_interval_that_excludes_little_is_said_to(values, logarithmic, said):
    assert ("excludes little" in one_run(0.87, np.array(values), logarithmic).ours) == said


def test_value_that_is_no_number_is_not_tested():
    for call in (lambda values: one_run(0.9, values), lambda values: direction(over_seeds(values))):
        with pytest.raises(Untestable, match="1 of 3 trainings give no number"):
            call(np.array([0.9, np.nan, 0.8]))


def difference(mean, reach, p_value):
    return Difference(mean, mean - reach, mean + reach, p_value, 5, 0.01, 0.0)


@pytest.mark.parametrize(("mean", "reach", "p_value", "verdict"), [
    (0.03, 0.01, 0.001, SUPPORTED), (0.03, 0.05, 0.2, OPEN), (-0.03, 0.05, 0.2, OPEN), (-0.03, 0.01, 0.001, REFUTED)])
def test_direction(mean, reach, p_value, verdict):
    assert direction(difference(mean, reach, p_value)).verdict == verdict


@pytest.mark.parametrize(("claimed", "verdict"), [(-0.06, OPEN), (0.1, OPEN), (-0.07, REFUTED), (0.13, REFUTED)])
def test_size_of_a_lead_is_refuted_where_no_new_pair_would_lie_and_never_proven(claimed, verdict):
    """Mean 0.03, deviation 0.02, three seeds: a new pair lies within 4.30 * 0.02 * sqrt(4 / 3) of the mean."""
    finding = size(np.array([0.01, 0.03, 0.05]), claimed)
    assert finding.verdict == verdict
    assert (finding.value, finding.high - 0.03) == pytest.approx((0.03, 4.3027 * 0.02 * np.sqrt(4 / 3)), abs=1e-5)


def test_best_must_beat_every_rival():
    clear, unclear, lost = difference(0.03, 0.01, 1e-4), difference(0.01, 0.05, 0.5), difference(-0.03, 0.01, 1e-4)
    assert all_hold({"Adam": clear, "SGD": clear}).verdict == SUPPORTED
    assert all_hold({"Adam": clear, "SGD": unclear}).verdict == OPEN
    assert all_hold({"Adam": unclear, "SGD": lost}).verdict == REFUTED


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, REFUTED)])
def test_family_is_corrected_in_both_directions(sign, verdict):
    """p = 0.03 is significant alone, and not as one of two by Holm."""
    border = difference(sign * 0.03, 0.02, 0.03)
    assert all_hold({"Adam": border}).verdict == verdict
    finding = all_hold({"Adam": border, "SGD": border})
    assert finding.verdict == OPEN
    assert "p = 0.060" in finding.ours


def test_small_true_lead_is_supported_whatever_the_paper_claims():
    """An order is judged by its sign: half of the claimed lead is a lead."""
    assert all_hold({"Adadelta": difference(0.05, 0.01, 1e-5)}).verdict == SUPPORTED


@pytest.mark.parametrize(("others", "value"), [
    # Where all hold or some are open, the least sure one; else the surest of those that go the other way.
    ({"SGD": (0.03, 1e-4)}, 0.03), ({"SGD": (-0.01, 0.4)}, -0.01), ({"SGD": (-0.03, 1e-4), "AdaGrad": (0, 0.9)}, -0.03),
    ({"SGD": (-0.03, 1e-3), "AdaGrad": (-0.02, 1e-6)}, -0.02)])
def test_the_comparison_that_decides_gives_the_interval(others, value):
    clear = difference(0.05, 0.01, 1e-5)
    finding = all_hold({"Adam": clear, **{name: difference(mean, 0.01, p) for name, (mean, p) in others.items()}})
    assert (finding.value, finding.low) == pytest.approx((value, value - 0.01))
    assert "p < 0.001" in finding.ours


def test_equal_values_decide_nothing():
    assert direction(over_seeds(np.zeros(4))).verdict == OPEN
