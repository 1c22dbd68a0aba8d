"""Comparing trainings over seeds, on one set of test patients.

Two sources of chance stand side by side: another seed would train another model, and other children of the same kind
would be other test images. McNemar's test knows only the second, the spread over seeds only the first; an interval for
'this optimizer is better' needs both. ``tests/test_statistics.py`` simulates its coverage.

In all functions ``images`` is a table with ``patient`` and ``positive`` (1 or 0) of each image, and ``draws`` comes
from ``patient_draws``. Shapes name what is counted along an axis: (seeds, images) has a row a seed and a column an
image.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from covidcnn.evaluation.metrics import CONFIDENCE, Estimate, draw_patients
from covidcnn.evaluation.weighted_metrics import Metric, accuracy

Terms = Sequence[tuple[float, np.ndarray]]
"""A factor and the scores, float (seeds, images), of each condition."""


class Untestable(Exception):
    """A training did not leave what a finding needs; the message says what is missing."""


@dataclass(frozen=True)
class Difference:
    """A mean difference between two conditions over the same seeds."""

    mean: float
    low: float
    high: float
    p_value: float
    """Two-sided, of no difference."""
    seeds: int
    seed_deviation: float
    """Standard deviation of the difference between seeds."""
    patient_error: float
    """Standard error from the choice of test patients."""


def patient_draws(images: pd.DataFrame, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each image is drawn when patients are, float (samples, images); the same for all that is compared."""
    return draw_patients(images["patient"], images["positive"].to_numpy(), samples, seed, at_once=samples)


def paired_difference(first: np.ndarray, second: np.ndarray, images: pd.DataFrame, metric: Metric = accuracy,
                      draws: np.ndarray | None = None) -> Difference:
    """The mean of ``metric(first) - metric(second)`` over seeds, with its interval.

    The variance is that of the mean over seeds plus that of a bootstrap over test patients; the interval takes the
    quantiles of t with seeds - 1 degrees of freedom, which is wide where seeds are few; below two a ValueError.

    Args:
        first, second: float (seeds, images), scores of two conditions, of the same seeds and images.
        metric: what is compared.
    """
    return contrast([(1, first), (-1, second)], images, metric, draws)


def contrast(terms: Terms, images: pd.DataFrame, metric: Metric = accuracy,
             draws: np.ndarray | None = None, fixed: np.ndarray | float = 0.0, fixed_error: float = 0.0) -> Difference:
    """A weighted sum of several conditions' metrics, paired by seed; otherwise like ``paired_difference``.

    Args:
        terms: a factor and the scores, float (seeds, images), of each condition.
        fixed: float (seeds,), added for each seed: what was measured on other images.
        fixed_error: standard error of its mean from the choice of those images' patients.
    """
    per_seed = by_seed(terms, images, metric) + fixed
    return over_seeds(per_seed, float(np.hypot(patient_error(terms, images, metric, draws), fixed_error)))


def ratio(numerator: Terms, denominator: Terms, images: pd.DataFrame, metric: Metric = accuracy,
          draws: np.ndarray | None = None) -> Estimate:
    """The mean of one weighted sum of metrics over that of another, with Fieller's 95 % interval over seeds and
    patients: all ratios r for which numerator - r denominator may be 0.

    Raises:
        ValueError: fewer than two seeds.
        Untestable: the denominator may be 0, so that the ratio may be anything; or a metric is no number.
    """
    draws = patient_draws(images) if draws is None else draws
    over, under = (by_seed(terms, images, metric) for terms in (numerator, denominator))
    _require_numbers(np.concatenate([over, under]))
    if len(over) < 2:
        raise ValueError("a ratio over seeds needs at least two of them")
    drawn = [by_seed(terms, images, metric, draws).mean(axis=0) for terms in (numerator, denominator)]
    seeds, quantile = len(over), stats.t.ppf((1 + CONFIDENCE) / 2, len(over) - 1)
    (over_error, shared), (_, under_error) = quantile**2 * (np.cov(over, under) / seeds + np.cov(*drawn))
    square = under.mean() ** 2 - under_error
    if square <= 0:
        raise Untestable("the difference that it is a share of may be 0")
    middle = over.mean() * under.mean() - shared
    # Of terms in proportion rounding may leave less than nothing.
    reach = np.sqrt(max(middle**2 - square * (over.mean() ** 2 - over_error), 0))
    return Estimate(float(over.mean() / under.mean()), float((middle - reach) / square),
                    float((middle + reach) / square), "Fieller")


def by_seed(terms: Terms, images: pd.DataFrame, metric: Metric, weights: np.ndarray | None = None) -> np.ndarray:
    """A weighted sum of several conditions' metrics: float (seeds,), or (seeds, samples) with weights of samples; None
    counts every image once."""
    labels, weights = images["positive"].to_numpy(), np.ones(len(images)) if weights is None else weights
    return np.sum([factor * np.array([metric(labels, row, weights) for row in scores]) for factor, scores in terms],
                  axis=0)


def patient_error(terms: Terms, images: pd.DataFrame, metric: Metric = accuracy, draws: np.ndarray | None = None
                  ) -> float:
    """Standard error of a weighted sum of metrics, averaged over seeds, from the choice of test patients."""
    draws = patient_draws(images) if draws is None else draws
    return float(np.std(by_seed(terms, images, metric, draws).mean(axis=0), ddof=1))


def mean_over_seeds(scores: np.ndarray, images: pd.DataFrame, metric: Metric = accuracy, draws: np.ndarray | None = None
                    ) -> Difference:
    """The mean of a metric in 0..1 over seeds with its interval over seeds and patients, which ends there too; scores
    are float (seeds, images). Of one seed, or where all give the same scores, patients alone are left to chance: the
    quantile is that of a normal distribution. There is no p."""
    error, values = patient_error([(1, scores)], images, metric, draws), by_seed([(1, scores)], images, metric)
    mean, reach = float(values.mean()), float(stats.norm.ppf((1 + CONFIDENCE) / 2) * error)
    found = (Difference(mean, mean - reach, mean + reach, np.nan, len(scores), 0.0, error)
             if np.allclose(scores, scores[0]) else over_seeds(values, error))
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0), p_value=np.nan)


def over_seeds(differences: np.ndarray, patient_error: float = 0.0) -> Difference:
    """The mean of a difference that was measured once a seed, float (seeds,), with its interval; the error is that of
    their mean from the choice of test patients, 0 where no test image has a part.

    Raises:
        ValueError: fewer than two seeds.
        Untestable: a difference is no number.
    """
    _require_numbers(differences)
    seeds = len(differences)
    if seeds < 2:
        raise ValueError("a difference over seeds needs at least two of them")
    seed_deviation = float(np.std(differences, ddof=1))
    mean, error = float(np.mean(differences)), np.hypot(seed_deviation / np.sqrt(seeds), patient_error)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1) * error
    # Without any spread nothing is left to chance: two conditions are equal, or surely not.
    p_value = float(2 * stats.t.sf(abs(mean) / error, seeds - 1)) if error > 0 else float(mean == 0)
    return Difference(mean, float(mean - reach), float(mean + reach), p_value, seeds, seed_deviation, patient_error)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's correction over a declared family of comparisons: float (n,), in their order, n at least 1."""
    # Each call of multipletests collects garbage, which beside TensorFlow takes up to a second. What is frozen is left
    # out of that.
    gc.freeze()
    try:
        return np.asarray(multipletests(p_values, method="holm")[1])
    finally:
        gc.unfreeze()


def prediction_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % prediction interval for a new run of the same condition on the same test images, from float (n,), one value
    a seed, n at least 2. Untestable: a value is no number."""
    _require_numbers(values)
    n = len(values)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / n)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def new_run(values: np.ndarray) -> tuple[float, float]:
    """The 95 % prediction interval for a share of images, such as accuracy, of a new run on the same images, from
    those of each seed; all are in 0..1."""
    low, high = np.clip(prediction_interval(values), 0, 1)
    return float(low), float(high)


def _require_numbers(values: np.ndarray) -> None:
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise Untestable(f"{missing} of {len(values)} trainings give no number")


def rank_probabilities(values: pd.DataFrame, by_draw: np.ndarray | None = None, samples: int = 10_000, seed: int = 0
                       ) -> pd.DataFrame:
    """The probability of each rank of the true mean, as far as seeds and test patients leave it open.

    A Bayesian bootstrap over seeds is too narrow where they are few: its deviations are widened to the variance of a
    mean, and by chi-squared to the tails of t. Deviations of a bootstrap over patients are added.

    Args:
        values: a row a seed, a column a condition; more is better.
        by_draw: float (draws, conditions), the means over seeds in each draw of ``patient_draws``; None leaves the
            choice of test patients out.

    Returns:
        A row a condition, a column a rank from 1 (best); rows add up to 1.
    """
    generator, n = np.random.default_rng(seed), len(values)
    centre = values.to_numpy(float).mean(axis=0)
    # Weights of a Dirichlet distribution; whole seeds are weighted, so that what is paired stays paired.
    deviations = generator.dirichlet(np.ones(n), samples) @ values.to_numpy(float) - centre
    widened = np.sqrt((n + 1) / generator.chisquare(n - 1, (samples, 1)))
    means = centre + deviations * widened
    if by_draw is not None:
        means += (by_draw - by_draw.mean(axis=0))[generator.integers(0, len(by_draw), samples)]
    # Ties, of conditions that diverged for example, are broken by lot and not by who stands first.
    ranks = np.lexsort((generator.random(means.shape), -means)).argsort(axis=1) + 1
    shares = {rank: (ranks == rank).mean(axis=0) for rank in range(1, means.shape[1] + 1)}
    return pd.DataFrame(shares, index=values.columns)


def minimum_detectable_difference(difference: Difference) -> float:
    """The smallest true difference that a comparison like this one finds in four of five cases, uncorrected for others;
    0 if it has neither a deviation between seeds nor an error from patients."""
    deviation = np.hypot(difference.seed_deviation, np.sqrt(difference.seeds) * difference.patient_error)
    effect = TTestPower().solve_power(nobs=difference.seeds, alpha=1 - CONFIDENCE, power=0.8)
    return float(effect * deviation)


def mcnemar_pair(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """McNemar's exact test on the scores, float (images,), of one pair of models, at 0.5, with labels int (images,), 1
    or 0: a description of the pair (``only first right``, ``only second right``, ``p_value``), and no test of their
    trainings."""
    one, other = ((scores >= 0.5) == labels for scores in (first, second))
    table = [[int((one & other).sum()), int((one & ~other).sum())],
             [int((~one & other).sum()), int((~one & ~other).sum())]]
    return {"only first right": table[0][1], "only second right": table[1][0],
            "p_value": float(mcnemar(table, exact=True).pvalue)}
