"""Where to call PNEUMONIA."""

import numpy as np
import pandas as pd
import pytest

from covidcnn.evaluation.metrics import confusion
from covidcnn.evaluation.threshold import RULES, fix_threshold


def make_scores(normal, pneumonia):
    return pd.DataFrame({"label": ["NORMAL"] * len(normal) + ["PNEUMONIA"] * len(pneumonia),
                         "score": [*normal, *pneumonia]})


VALIDATION = make_scores([0.1, 0.2, 0.6], [0.4, 0.7, 0.9, 0.95])


def test_paper_rule_is_one_half_whatever_the_images():
    assert fix_threshold(VALIDATION) == fix_threshold(VALIDATION, "0.5") == 0.5


def test_youden_is_the_middle_below_the_best_score():
    # At 0.7: sensitivity 3/4, specificity 1; at 0.4: 1 and 2/3. The best lies between 0.6 and 0.7.
    assert fix_threshold(VALIDATION, "youden") == pytest.approx(0.65)


@pytest.mark.parametrize(("target", "expected"), [(1.0, 0.3), (0.95, 0.3), (0.75, 0.65), (0.5, 0.8), (0.25, 0.925)])
def test_target_sensitivity_is_reached_at_the_highest_specificity(target, expected):
    threshold = fix_threshold(VALIDATION, "sensitivity", target)
    assert threshold == pytest.approx(expected)
    assert confusion(VALIDATION, threshold).sensitivity >= target


def test_target_sensitivity_is_reached_on_tied_scores():
    generator = np.random.default_rng(0)
    scores = make_scores(generator.integers(0, 8, 50) / 10, generator.integers(3, 11, 50) / 10)
    for target in (0.5, 0.9, 0.95, 1.0):
        threshold = fix_threshold(scores, "sensitivity", target)
        assert confusion(scores, threshold).sensitivity >= target
        # Any higher threshold that changes a call misses the target.
        above = scores["score"][scores["score"] > threshold].min()
        assert confusion(scores, above + 1e-9).sensitivity < target


def test_youden_has_the_highest_sum_of_all_thresholds():
    generator = np.random.default_rng(1)
    scores = make_scores(generator.beta(2, 4, 60), generator.beta(4, 2, 60))

    def youden(threshold):
        matrix = confusion(scores, threshold)
        return matrix.sensitivity + matrix.specificity

    assert youden(fix_threshold(scores, "youden")) == pytest.approx(max(map(youden, scores["score"])))


def test_threshold_lies_above_zero_when_everything_must_be_found():
    assert fix_threshold(make_scores([0.5, 0.6], [0.2, 0.9]), "sensitivity", 1.0) == pytest.approx(0.1)


def test_scores_no_better_than_chance_give_a_threshold_within_the_range():
    assert 0 <= fix_threshold(make_scores([0.8, 0.9], [0.1, 0.2]), "youden") <= 1


def test_unknown_rule_is_refused_with_the_known_ones(refused):
    with refused("'f1'", *RULES):
        fix_threshold(VALIDATION, "f1")
