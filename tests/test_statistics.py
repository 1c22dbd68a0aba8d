"""Intervals for differences between conditions, held against simulations whose truth is known."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from covidcnn.evaluation.statistics import (
    Difference,
    contrast,
    holm,
    mcnemar_pair,
    minimum_detectable_difference,
    over_seeds,
    paired_difference,
    patient_draws,
    patient_error,
    prediction_interval,
    rank_probabilities,
)
from covidcnn.evaluation.weighted_metrics import accuracy, specificity

IMAGES, PATIENTS = 624, 428


def test_images(generator):
    """624 images of 428 patients; a patient's images are of one class and of like difficulty."""
    patient = np.concatenate([np.arange(PATIENTS), generator.integers(0, PATIENTS, IMAGES - PATIENTS)])
    positive = patient % 8 < 5
    images = pd.DataFrame({"patient": [f"p{number}" for number in patient],
                          "positive": positive.astype(int)})
    ease = 1.6 + 0.9 * generator.normal(size=PATIENTS)[patient] + 0.4 * generator.normal(size=IMAGES)
    return images, ease


test_images.__test__ = False


def models(generator, images, ease, seeds):
    """Scores of one optimizer's models: right where the image is easy enough for a model of this seed's quality. The
    spread between seeds gives accuracies with a standard deviation of about two points."""
    quality = generator.normal(0, 0.145, (seeds, 1))
    right = ease + quality + 0.5 * generator.normal(size=(seeds, IMAGES)) > 0
    positive = images["positive"].to_numpy() == 1
    return np.where(right == positive, 0.9, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10])
def test_interval_covers_the_truth_and_mcnemar_does_not(seeds):
    """Equal optimizers, a seed spread of two points, other test patients each time: no difference is the truth."""
    generator = np.random.default_rng(seeds)
    covered, rejected, spreads, replicates = 0, 0, [], 400
    for _ in range(replicates):
        images, ease = test_images(generator)
        first, second = (models(generator, images, ease, seeds) for _ in range(2))
        difference = paired_difference(first, second, images, draws=patient_draws(images, 100))
        covered += difference.low <= 0 <= difference.high
        labels = images["positive"].to_numpy()
        rejected += mcnemar_pair(first[0], second[0], labels)["p_value"] < 0.05
        spreads.append(np.std([accuracy(labels, one, np.ones(IMAGES)) for one in first], ddof=1))
    assert 0.017 < np.mean(spreads) < 0.023
    assert covered / replicates >= 0.93
    # An interval that covers always would say nothing.
    assert covered < replicates
    assert rejected / replicates > 0.3


def test_difference_that_is_there_is_found():
    generator = np.random.default_rng(0)
    images, ease = test_images(generator)
    difference = paired_difference(models(generator, images, ease + 1, 10), models(generator, images, ease, 10), images)
    assert difference.low > 0.02
    assert difference.p_value < 0.001
    assert difference.seeds == 10


def test_without_patient_variance_the_interval_is_that_of_a_paired_t_test():
    """Each image a patient, drawn once: the bootstrap adds nothing, and SciPy knows the rest."""
    images = pd.DataFrame({"patient": [f"p{n}" for n in range(100)], "positive": [0] * 40 + [1] * 60})
    generator = np.random.default_rng(1)
    first, second = generator.uniform(size=(2, 6, 100))
    difference = paired_difference(first, second, images, draws=np.ones((50, 100)))
    labels = np.repeat([0, 1], [40, 60])
    one, other = ([accuracy(labels, scores, np.ones(100)) for scores in group] for group in (first, second))
    expected = stats.ttest_rel(one, other)
    interval = expected.confidence_interval()
    assert difference.patient_error == 0
    assert difference.p_value == pytest.approx(expected.pvalue)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))


def test_conditions_that_agree_everywhere_differ_by_nothing():
    images, ease = test_images(np.random.default_rng(0))
    scores = models(np.random.default_rng(1), images, ease, 5)
    difference = paired_difference(scores, scores, images)
    assert (difference.mean, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_one_seed_is_refused():
    images, ease = test_images(np.random.default_rng(0))
    scores = models(np.random.default_rng(1), images, ease, 1)
    with pytest.raises(ValueError, match="at least two"):
        paired_difference(scores, scores, images)


def test_patients_are_drawn_whole_and_within_their_class():
    images, _ = test_images(np.random.default_rng(0))
    draws = patient_draws(images, 50)
    assert draws.shape == (50, IMAGES)
    of_patients = images.assign(drawn=draws[0]).groupby("patient")["drawn"].nunique()
    assert (of_patients == 1).all()
    for positive in (0, 1):
        first_images = images[images["positive"] == positive].drop_duplicates("patient").index
        assert (draws[:, first_images].sum(axis=1) == len(first_images)).all()
    np.testing.assert_array_equal(draws, patient_draws(images, 50))


def test_holm_is_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_prediction_interval_holds_the_next_run():
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(2000):
        values = generator.normal(0.9, 0.02, 6)
        low, high = prediction_interval(values[:5])
        held += low <= values[5] <= high
    assert 0.935 < held / 2000 < 0.965


def test_patient_error_is_that_of_a_proportion_where_each_image_is_a_patient():
    images = pd.DataFrame({"patient": [f"p{n}" for n in range(400)], "positive": [0] * 200 + [1] * 200})
    right = np.arange(400) % 10 != 0
    scores = np.where(right == (np.arange(400) >= 200), 0.9, 0.1)[np.newaxis]
    assert patient_error([(1, scores)], images, draws=patient_draws(images, 3000)) == pytest.approx(
        np.sqrt(0.9 * 0.1 / 400), rel=0.1)


def test_rank_probabilities_add_up_and_know_a_clear_winner():
    generator = np.random.default_rng(4)
    values = pd.DataFrame({"clear": generator.normal(0.95, 0.01, 10), "one": generator.normal(0.8, 0.02, 10)})
    values["other"] = values["one"] + generator.normal(0, 0.01, 10)
    ranks = rank_probabilities(values)
    assert ranks.loc["clear", 1] == 1
    np.testing.assert_allclose(ranks.sum(axis=1), 1)
    np.testing.assert_allclose(ranks.sum(axis=0), 1)
    for order in permutations(values.columns):
        pd.testing.assert_frame_equal(rank_probabilities(values[list(order)]).loc[ranks.index], ranks)


def test_equal_conditions_are_rarely_ranked_with_certainty():
    """A bootstrap over five seeds alone gives one of two equal conditions rank 1 with 97.5 % a fifth of the time."""
    generator = np.random.default_rng(8)
    sure = 0
    for _ in range(400):
        values = pd.DataFrame(generator.normal(0.9, 0.02, (5, 2)), columns=["one", "other"])
        sure += rank_probabilities(values, samples=1000)[1].max() > 0.975
    assert 0.02 < sure / 400 < 0.08


def test_other_patients_widen_the_ranks():
    generator = np.random.default_rng(9)
    values = pd.DataFrame(generator.normal(0.9, 0.001, (10, 2)) + [0.004, 0], columns=["first", "second"])
    assert rank_probabilities(values).loc["first", 1] > 0.999
    by_draw = generator.normal(0.9, 0.01, (500, 2))
    assert rank_probabilities(values, by_draw).loc["first", 1] < 0.9


@pytest.mark.slow
def test_minimum_detectable_difference_is_found_at_its_power():
    """With an error from patients that is drawn once for all seeds."""
    generator = np.random.default_rng(5)
    for seeds, error in ((10, 0.0), (10, 0.006)):
        detectable = minimum_detectable_difference(Difference(0, 0, 0, 1, seeds, 0.02, error))
        samples = generator.normal(detectable, 0.02, (4000, seeds)) + generator.normal(0, error, (4000, 1))
        found = np.mean([over_seeds(row, error).p_value < 0.05 for row in samples])
        assert found == pytest.approx(0.8, abs=0.06)
    # 'Three seeds detect only differences of three standard deviations.'
    assert 2.5 < minimum_detectable_difference(Difference(0, 0, 0, 1, 3, 1.0, 0.0)) < 3.5
    assert minimum_detectable_difference(Difference(0, 0, 0, 1, 3, 0.0, 0.0)) == 0


def test_mcnemar_counts_the_images_on_which_a_pair_disagrees():
    labels = np.array([0, 0, 1, 1, 1, 1])
    first, second = np.array([0.1, 0.1, 0.9, 0.9, 0.9, 0.1]), np.array([0.1, 0.9, 0.1, 0.1, 0.9, 0.9])
    assert mcnemar_pair(first, second, labels) == {
        "only first right": 3, "only second right": 1, "p_value": pytest.approx(stats.binomtest(1, 4).pvalue)}


def test_contrast_of_two_conditions_is_their_difference_and_a_fixed_part_moves_it():
    generator = np.random.default_rng(5)
    images, ease = test_images(generator)
    first, second = models(generator, images, ease + 1, 4), models(generator, images, ease, 4)
    draws = patient_draws(images, 50)
    difference = paired_difference(first, second, images, draws=draws)
    assert contrast([(1, first), (-1, second)], images, draws=draws) == difference
    moved = contrast([(1, first), (-1, second)], images, draws=draws, fixed=np.full(4, 0.25))
    assert moved.mean == pytest.approx(difference.mean + 0.25)
    assert moved.high - moved.low == pytest.approx(difference.high - difference.low)
    other_images = contrast([(1, first), (-1, second)], images, draws=draws, fixed_error=0.3)
    assert other_images.patient_error == pytest.approx(np.hypot(difference.patient_error, 0.3))
    half = contrast([(0.5, first)], images, specificity, draws)
    assert half.patient_error == pytest.approx(0.5 * patient_error([(1, first)], images, specificity, draws))


def test_interval_over_seeds_is_the_t_interval():
    values = np.array([0.01, 0.03, 0.02, 0.05])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    interval = over_seeds(values)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    with pytest.raises(ValueError, match="two"):
        over_seeds(values[:1])


def test_differences_without_spread_are_certain():
    assert over_seeds(np.zeros(3)).p_value == 1
    assert over_seeds(np.full(3, 0.25)).p_value == 0
