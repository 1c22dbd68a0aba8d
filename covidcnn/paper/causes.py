"""What is held against claims on causes: false alarms, over-fitting, fluctuation, generalisation.

The rules stand in ``reports/paper/protocol.yaml`` under 'verdicts'. Where v is a measure on validation images and t the
same on test images, v - t is what is lost between them.
"""

from dataclasses import replace

import numpy as np

from covidcnn.evaluation.statistics import Difference, Untestable, over_seeds
from covidcnn.evaluation.weighted_metrics import specificity
from covidcnn.paper import reported
from covidcnn.study.claims import Settings
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.verdicts import NEAR, OPEN, REFUTED, SUPPORTED, Finding, all_hold, direction, shown

_SETTLING_EPOCHS = 2
"""Of a training, in which accuracy rises whatever it is measured on."""
_COMPARED_EPOCHS = 3
"""Of the end and of the middle of a training: validation loss has spikes, so that one epoch decides nothing."""


def many_false_alarms(arm: str, evidence: Evidence) -> Finding:
    """Share of NORMAL test images predicted PNEUMONIA, nothing processed - that of the paper's final model, 29 of 234.
    """
    results = evidence.arms[arm]
    plain = results.condition(balance="none", augmentation="none")
    (final,) = reported.matrices_that_fit()
    return direction(results.contrast([(-1, plain.test_scores)], specificity, final.specificity))


def imbalance(arm: str, unbalanced: Settings, balanced: Settings, evidence: Evidence) -> Finding:
    """Is imbalance the cause of the false alarms, at threshold 0.5, the paper's?

    Let v and t be the specificity without balancing on validation and on test, and b that on test with balancing. Then
    three things are predicted. Balancing ends at least half of the false alarms on test, (b - t) - (1 - t) / 2. It does
    so without as many misses, so that accuracy rises. And validation, as imbalanced as training, has at least half of
    test's share of them, (1 - v) - (1 - t) / 2.

    At 0.5, because a moved boundary is just what imbalance is expected to make; at a threshold from validation it
    cancels. Refuted only if balancing surely ends less than half. A shift of the test set alone, which balancing may
    hide by moving the boundary the other way, fails the last prediction; so does imbalance that does harm only
    together with a shift. The two cannot be told apart, and the verdict is 'open'.
    """
    results = evidence.arms[arm]
    without, with_it = results.condition(**unbalanced), results.condition(**balanced)
    false_alarms = results.contrast([(-1, without.test_scores)], specificity, 1)
    on_both = results.contrast([(0.5, without.test_scores)], specificity, 0.5 - without.validation_values(specificity),
                               without.validation_error(specificity))
    ended = results.contrast([(1, with_it.test_scores), (-0.5, without.test_scores)], specificity, -0.5)
    gained = results.difference(with_it, without)
    verdicts = [direction(prediction).verdict for prediction in (ended, gained, on_both)]
    verdict = REFUTED if verdicts[0] == REFUTED else SUPPORTED if set(verdicts) == {SUPPORTED} else OPEN
    found = replace(direction(ended), verdict=verdict, ours=(
        f"balancing ends half of them {shown(ended)}; accuracy gained by it {shown(gained)}; validation has half of "
        f"them {shown(on_both)}"))
    return _unless_nothing(false_alarms, "false alarms on test", found)


def imbalance_beyond_threshold(arm: str, unbalanced: Settings, balanced: Settings, evidence: Evidence) -> Finding:
    """As ``imbalance``, where each training predicts at its own threshold from validation: half of the specificity that
    is lost without balancing - what is lost with it, (v - t) / 2 - (w - b), w with balancing on validation."""
    results = evidence.arms[arm]
    without, with_it = results.condition(**unbalanced), results.condition(**balanced)
    v, w = (condition.validation_values(specificity, True) for condition in (without, with_it))
    error_of_v, error_of_w = (condition.validation_error(specificity, True) for condition in (without, with_it))
    lost = results.contrast([(-1, without.predictions())], specificity, v, error_of_v)
    found = direction(results.contrast([(-0.5, without.predictions()), (1, with_it.predictions())], specificity,
                                       0.5 * v - w, float(np.hypot(0.5 * error_of_v, error_of_w))))
    return _unless_nothing(lost, "lost between validation and test", replace(
        found, ours=f"half of it - what is lost with balancing {found.ours}"))


def _unless_nothing(explained: Difference, what: str, found: Finding) -> Finding:
    """What is not surely there has no cause."""
    return replace(found, verdict=found.verdict if explained.low > 0 else OPEN,
                   ours=f"{what} {shown(explained)}; {found.ours}")


def prevents_over_fitting(arm: str, without: Settings, with_it: Settings, evidence: Evidence) -> Finding:
    """How much more validation loss rises without something than with it; without settings: the arm's first condition.
    Supported only where it rises at all without: a loss that merely falls more slowly is no over-fitting."""
    results = evidence.arms[arm]
    rises, others = (_rises(results.condition(**settings) if settings else results.conditions[0])
                     for settings in (without, with_it))
    rising, found = over_seeds(rises), direction(over_seeds(rises - others))
    verdict = OPEN if found.verdict == SUPPORTED and rising.low <= 0 else found.verdict
    return replace(found, verdict=verdict, ours=f"{found.ours}; without it the loss rises by {shown(rising)}")


def _rises(condition: Condition) -> np.ndarray:
    """By seed, the mean logarithm of validation loss over the last three epochs - that over the three in the middle:
    float (seeds,), above 0 where it rises again. Of fixed epochs, because 'the last - the lowest' grows with noise.
    Untestable if a training never did better than predicting the larger class: it learnt nothing to over-fit."""
    positive = condition.validation_images["positive"].mean()
    stuck = sum(history["val_accuracy"].max() <= max(positive, 1 - positive) + 1e-6 for history in condition.histories)
    if stuck:
        raise Untestable(f"{stuck} of {len(condition.seeds)} trainings never predict more validation images correctly "
                         "than their larger class has")
    logarithms = [np.log(history["val_loss"].to_numpy()) for history in condition.histories]
    middle = (len(logarithms[0]) - _COMPARED_EPOCHS) // 2
    return np.array([losses[-_COMPARED_EPOCHS:].mean() - losses[middle:middle + _COMPARED_EPOCHS].mean()
                     for losses in logarithms])


def training_converges(arm: str, evidence: Evidence) -> Finding:
    """With Nadam: training loss of the first epoch - the last's, and accuracy of the last - the first's."""
    histories = evidence.arms[arm].condition(optimizer="Nadam").histories
    return all_hold({words: over_seeds(np.array([sign * (history[name].iloc[-1] - history[name].iloc[0])
                                                 for history in histories]))
                     for words, name, sign in (("loss falls by", "loss", -1), ("accuracy rises by", "accuracy", 1))})


def small_validation_fluctuates(arm: str, evidence: Evidence, settling: int = _SETTLING_EPOCHS) -> Finding:
    """How far balanced validation accuracy jumps between epochs: half of that on the published 16 images - that on
    those of a patient-level split. If small size is why it fluctuates, a larger set ends at least half of it."""
    small, large = (_jumps(evidence.arms[arm].condition(validation=design), settling)
                    for design in ("published", "patient"))
    return direction(over_seeds(small / 2 - large))


def _jumps(condition: Condition, settling: int) -> np.ndarray:
    """Mean change of balanced validation accuracy from epoch to epoch, after the settling epochs, by seed. Balanced,
    because of the 16 published images half are NORMAL and of the others a quarter."""
    positive = condition.validation_images["positive"].mean()
    jumps = []
    for history in condition.histories:
        settled = history.iloc[settling:]
        specificities = (settled["val_accuracy"] - positive * settled["val_sensitivity"]) / (1 - positive)
        jumps.append(((settled["val_sensitivity"] + specificities) / 2).diff().abs().mean())
    return np.array(jumps)


def generalises(arm: str, evidence: Evidence) -> Finding:
    """Accuracy on test - accuracy on validation, with Nadam: are less than two percentage points lost?"""
    results = evidence.arms[arm]
    nadam = results.condition(optimizer="Nadam")
    gain = gain_on_test(results, nadam)
    verdict = direction(gain_on_test(results, nadam, allowed=NEAR)).verdict
    return replace(direction(gain), verdict=verdict, ours=f"test - validation {shown(gain)}")


def gain_on_test(results: ArmResults, condition: Condition, allowed: float = 0.0) -> Difference:
    """Accuracy on test - that on validation, both weighted to the class shares of test, so that another mix of classes
    is no loss; ``allowed``, what may be lost, is added."""
    metric = results.accuracy_at_shares
    return results.contrast([(1, condition.test_scores)], metric, allowed - condition.validation_values(metric),
                            condition.validation_error(metric))
