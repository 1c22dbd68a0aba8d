"""What is held against claims on causes: false alarms, over-fitting, fluctuation, generalisation.

The rules stand in ``reports/paper/protocol.yaml`` under 'verdicts'. Where v is a measure on validation images and t the
same on test images, v - t is what is lost between them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from covidcnn.evaluation.measures import Metric, accuracy, accuracy_at, specificity
from covidcnn.evaluation.statistics import Difference, Untestable, contrast, over_seeds, paired_difference
from covidcnn.paper import reported
from covidcnn.paper.findings import augmented_or_not
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.verdicts import NEAR, OPEN, REFUTED, SUPPORTED, Finding, all_hold, direction, shown

_SETTLING_EPOCHS = 2
"""Of a training, in which accuracy rises whatever it is measured on."""
_COMPARED_EPOCHS = 3
"""Of the end and of the middle of a training: validation loss has spikes, so that one epoch decides nothing."""

# ---------------------------------------------------------------- false alarms


def many_false_alarms(arm: str, evidence: Evidence) -> Finding:
    """Share of NORMAL test images called PNEUMONIA, nothing processed, less that of the paper's final model, 29 of 234.
    """
    results = evidence.arms[arm]
    plain = results.condition(balance="none", augmentation="none")
    (final,) = reported.matrices_that_fit()
    return direction(contrast([(-1, plain.test_scores)], results.images, specificity, results.draws,
                              np.full(len(plain.seeds), final.specificity)))


def imbalance(arm: str, settings: Mapping[str, Any], evidence: Evidence) -> Finding:
    """Is imbalance the cause of the false alarms? Trainings without balancing against those with class weights."""
    return _because_of_imbalance(evidence.arms[arm], *_weighted_or_not(evidence.arms[arm], settings))


def imbalance_beyond_threshold(arm: str, settings: Mapping[str, Any], evidence: Evidence) -> Finding:
    """As ``imbalance``, of what each training still loses at its own threshold from validation."""
    return _loses_less_than_half(evidence.arms[arm], *_weighted_or_not(evidence.arms[arm], settings))


def shares(arm: str, evidence: Evidence) -> Finding:
    """Is imbalance the cause of the false alarms? Training sets of equal size with 26 and with 50 % NORMAL."""
    return _because_of_imbalance(evidence.arms[arm], *_few_or_equal(evidence.arms[arm]))


def shares_beyond_threshold(arm: str, evidence: Evidence) -> Finding:
    """As ``shares``, of what each training still loses at its own threshold from validation."""
    return _loses_less_than_half(evidence.arms[arm], *_few_or_equal(evidence.arms[arm]))


def _because_of_imbalance(results: ArmResults, unbalanced: Condition, balanced: Condition) -> Finding:
    """At threshold 0.5, the paper's. Where v and t are the specificity of what is not balanced, b that with balancing:
    balancing ends at least half of the false alarms on test, (b - t) - (1 - t) / 2, without as many misses, so that
    accuracy rises; and validation, as imbalanced as training, has at least half of test's share of them,
    (1 - v) - (1 - t) / 2.

    At 0.5, because a moved boundary is just what imbalance is expected to make; at a threshold from validation it
    cancels. Refuted only if balancing surely ends less than half. A shift of the test set alone, which balancing may
    hide by moving the boundary the other way, fails the last prediction; so does imbalance that does harm only
    together with a shift. The two cannot be told apart, and the verdict is 'open'.
    """
    seeds = len(unbalanced.seeds)
    false_alarms = contrast([(-1, unbalanced.test_scores)], results.images, specificity, results.draws, np.ones(seeds))
    on_both = contrast([(0.5, unbalanced.test_scores)], results.images, specificity, results.draws,
                       0.5 - unbalanced.validation_values(specificity), unbalanced.validation_error(specificity))
    ended = contrast([(1, balanced.test_scores), (-0.5, unbalanced.test_scores)], results.images, specificity,
                     results.draws, np.full(seeds, -0.5))
    gained = paired_difference(balanced.test_scores, unbalanced.test_scores, results.images, accuracy, results.draws)
    verdicts = [direction(prediction).verdict for prediction in (ended, gained, on_both)]
    verdict = REFUTED if verdicts[0] == REFUTED else SUPPORTED if set(verdicts) == {SUPPORTED} else OPEN
    found = replace(direction(ended), verdict=verdict, ours=(
        f"balancing ends half of them {shown(ended)}; accuracy gained by it {shown(gained)}; validation has half of "
        f"them {shown(on_both)}"))
    return _unless_nothing(false_alarms, "false alarms on test", found)


def _loses_less_than_half(results: ArmResults, unbalanced: Condition, balanced: Condition) -> Finding:
    """Half of the specificity that is lost without balancing, less what is lost with it: (v - t) / 2 - (w - b), w and b
    with balancing on validation and test. Each training is called at its own threshold from validation."""
    v, w = (condition.validation_values(specificity, True) for condition in (unbalanced, balanced))
    error_of_v, error_of_w = (condition.validation_error(specificity, True) for condition in (unbalanced, balanced))
    without = contrast([(-1, unbalanced.scores(True))], results.images, specificity, results.draws, v, error_of_v)
    less = contrast([(-0.5, unbalanced.scores(True)), (1, balanced.scores(True))], results.images, specificity,
                    results.draws, 0.5 * v - w, float(np.hypot(0.5 * error_of_v, error_of_w)))
    found = direction(less)
    return _unless_nothing(without, "lost between validation and test", replace(
        found, ours=f"half of it less what is lost with balancing {found.ours}"))


def _unless_nothing(explained: Difference, what: str, found: Finding) -> Finding:
    """What is not surely there has no cause."""
    return replace(found, verdict=found.verdict if explained.low > 0 else OPEN,
                   ours=f"{what} {shown(explained)}; {found.ours}")


def _weighted_or_not(results: ArmResults, settings: Mapping[str, Any]) -> tuple[Condition, Condition]:
    plain, weighted = (results.condition(**settings, balance=balance) for balance in ("none", "class-weight"))
    return plain, weighted


def _few_or_equal(results: ArmResults) -> tuple[Condition, Condition]:
    few, equal = (next(condition for condition in results.conditions if condition.settings["training_draw"][1] == share)
                  for share in (0.26, 0.5))
    return few, equal


# ---------------------------------------------------------------- over-fitting, from the histories


def augmentation_over_fitting(arm: str, evidence: Evidence) -> Finding:
    """How far validation loss rises again: without the paper's augmentation less with it."""
    with_it, without = augmented_or_not(evidence.arms[arm])
    return _fewer_rises(without, with_it)


def dropout_over_fitting(arm: str, evidence: Evidence) -> Finding:
    """How far validation loss rises again: without dropout less with it."""
    results = evidence.arms[arm]
    return _fewer_rises(results.condition(dropout=0.0), results.conditions[0])


def imbalance_over_fitting(arm: str, evidence: Evidence) -> Finding:
    """How far validation loss rises again: without balancing less with class weights."""
    plain, balanced = _weighted_or_not(evidence.arms[arm], {"augmentation": "none"})
    return _fewer_rises(plain, balanced)


def _rises(condition: Condition) -> np.ndarray:
    """By seed, the mean logarithm of validation loss over the last three epochs less that over the three in the middle:
    float (seeds,), above 0 where it rises again.

    Of fixed epochs, because 'the last less the lowest' grows with mere noise.

    Raises:
        Untestable: a training never called validation images more rightly than their larger class does; what learnt
            nothing cannot over-fit.
    """
    positive = condition.validation_images["positive"].mean()
    stuck = sum(history["val_accuracy"].max() <= max(positive, 1 - positive) + 1e-6 for history in condition.histories)
    if stuck:
        raise Untestable(f"{stuck} of {len(condition.seeds)} trainings never call validation images more rightly than "
                         "their larger class does")
    logarithms = [np.log(history["val_loss"].to_numpy()) for history in condition.histories]
    middle = (len(logarithms[0]) - _COMPARED_EPOCHS) // 2
    return np.array([losses[-_COMPARED_EPOCHS:].mean() - losses[middle:middle + _COMPARED_EPOCHS].mean()
                     for losses in logarithms])


def _fewer_rises(without: Condition, with_it: Condition) -> Finding:
    """How much more validation loss rises without a condition. Supported only where it rises at all without: a loss
    that merely falls more slowly is no over-fitting."""
    rises = _rises(without)
    rising, found = over_seeds(rises), direction(over_seeds(rises - _rises(with_it)))
    verdict = OPEN if found.verdict == SUPPORTED and rising.low <= 0 else found.verdict
    return replace(found, verdict=verdict, ours=f"{found.ours}; without it the loss rises by {shown(rising)}")


# ---------------------------------------------------------------- the rest


def training_converges(arm: str, evidence: Evidence) -> Finding:
    """With Nadam: training loss of the first epoch less the last's, and accuracy of the last less the first's."""
    histories = evidence.arms[arm].condition(optimizer="Nadam").histories
    return all_hold({words: over_seeds(np.array([sign * (history[name].iloc[-1] - history[name].iloc[0])
                                                 for history in histories]))
                     for words, name, sign in (("loss falls by", "loss", -1), ("accuracy rises by", "accuracy", 1))})


def small_validation_fluctuates(arm: str, evidence: Evidence, settling: int = _SETTLING_EPOCHS) -> Finding:
    """How far balanced validation accuracy jumps between epochs: half of that on the published 16 images less that on
    those cut by patient. If small size is why it fluctuates, a larger set ends at least half of it."""
    small, large = (_jumps(evidence.arms[arm].condition(validation=design), settling)
                    for design in ("published", "patient"))
    return direction(over_seeds(small / 2 - large))


def _jumps(condition: Condition, settling: int) -> np.ndarray:
    """Mean change of balanced validation accuracy from epoch to epoch, after the settling epochs, by seed.

    Balanced, because of the 16 published images half are NORMAL and of the others a quarter.
    """
    positive = condition.validation_images["positive"].mean()
    jumps = []
    for history in condition.histories:
        settled = history.iloc[settling:]
        specificities = (settled["val_accuracy"] - positive * settled["val_sensitivity"]) / (1 - positive)
        jumps.append(((settled["val_sensitivity"] + specificities) / 2).diff().abs().mean())
    return np.array(jumps)


def generalises(arm: str, evidence: Evidence) -> Finding:
    """Accuracy on test less accuracy on validation, with Nadam: is less than two points lost?"""
    results = evidence.arms[arm]
    nadam = results.condition(optimizer="Nadam")
    kept = gain_on_test(results, nadam)
    verdict = direction(gain_on_test(results, nadam, allowed=NEAR)).verdict
    return replace(direction(kept), verdict=verdict, ours=f"on test less on validation {shown(kept)}")


def gain_on_test(results: ArmResults, condition: Condition, allowed: float = 0.0) -> Difference:
    """Accuracy on test less that on validation, weighted to the class shares of test, so that another mix of classes is
    no loss.

    Args:
        results: the condition's arm.
        condition: in question.
        allowed: what may be lost: it is added.
    """
    metric: Metric = accuracy_at(results.images["positive"].mean())
    return contrast([(1, condition.test_scores)], results.images, metric, results.draws,
                    allowed - condition.validation_values(metric), condition.validation_error(metric))
