"""What is held against claims on causes: false alarms, over-fitting, fluctuation, generalisation.

The rules stand in ``reports/paper/protocol.yaml`` under 'verdicts'. Where v is a measure on validation films and t the
same on test films, v - t is what is lost between them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from covidcnn.evaluation.metrics import binary_labels
from covidcnn.evidence.findings import augmented_or_not
from covidcnn.evidence.measures import Metric, sensitivity, specificity
from covidcnn.evidence.results import ArmResults, Evidence, Treatment
from covidcnn.evidence.statistics import Difference, contrast, over_seeds
from covidcnn.evidence.verdicts import NEAR, OPEN, REFUTED, SUPPORTED, Finding, direction

_SETTLING_EPOCHS = 2
"""Of a training, in which accuracy rises whatever it is measured on."""


def many_false_alarms(arm: str, evidence: Evidence) -> Finding:
    """Share of NORMAL test films called PNEUMONIA less the share of PNEUMONIA called NORMAL, nothing processed."""
    def excess(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return sensitivity(labels, scores, weights) - specificity(labels, scores, weights)

    results = evidence.arms[arm]
    plain = results.treatment(balance="none", augmentation="none")
    return direction(contrast([(1, plain.test_scores)], results.films, excess, results.draws))


def imbalance(arm: str, settings: Mapping[str, Any], evidence: Evidence) -> Finding:
    """Is imbalance the cause of the false alarms? Two predictions, of which both must hold.

    Validation has at least half of test's share of false alarms: (1 - v) - (1 - t) / 2 at threshold 0.5. And class
    weights bring back at least half of the specificity that is lost: (b - t) - (v - t) / 2, each training at its own
    threshold from validation, where a shift of all scores alike, which is what weights do first, cancels.
    """
    results = evidence.arms[arm]
    plain, balanced = (results.treatment(**settings, balance=balance) for balance in ("none", "class-weight"))
    lost = contrast([(-1, plain.test_scores)], results.films, specificity, results.draws,
                    fixed=plain.validation_values(specificity), fixed_error=plain.validation_error(specificity))
    on_both = contrast([(0.5, plain.test_scores)], results.films, specificity, results.draws,
                       fixed=0.5 - plain.validation_values(specificity),
                       fixed_error=plain.validation_error(specificity))
    cured = contrast([(1, balanced.scores(True)), (-0.5, plain.scores(True))], results.films, specificity,
                     results.draws, fixed=-0.5 * plain.validation_values(specificity, True),
                     fixed_error=0.5 * plain.validation_error(specificity, True))
    verdicts = {direction(on_both).verdict, direction(cured).verdict}
    verdict = (OPEN if lost.low <= 0 else REFUTED if REFUTED in verdicts else OPEN if OPEN in verdicts else SUPPORTED)
    return Finding(verdict, f"specificity on validation less on test {_shown(lost)}; validation has half of test's "
                            f"false alarms: {_shown(on_both)}; class weights bring back half: {_shown(cured)}",
                   cured.mean, cured.low, cured.high, cured.seeds)


def equal_shares(arm: str, evidence: Evidence) -> Finding:
    """Do training sets of equal size with as many NORMAL as PNEUMONIA films lose less than half of what those with 26 %
    lose between validation and test? (v - t at 26 %) / 2 - (v - t at 50 %), at thresholds from validation."""
    results = evidence.arms[arm]
    few, equal = (_with_share(results, share) for share in (0.26, 0.5))
    found = contrast([(-0.5, few.scores(True)), (1, equal.scores(True))], results.films, specificity, results.draws,
                     fixed=0.5 * few.validation_values(specificity, True) - equal.validation_values(specificity, True),
                     fixed_error=np.hypot(0.5 * few.validation_error(specificity, True),
                                          equal.validation_error(specificity, True)))
    lost = [treatment.validation_values(specificity, True).mean()
            - treatment.values(specificity, at_validation_threshold=True).mean() for treatment in (few, equal)]
    return Finding(direction(found).verdict, f"lost between validation and test {lost[0]:.3f} at 26 %, {lost[1]:.3f} "
                                             f"at 50 % NORMAL; half of the first less the second {_shown(found)}",
                   found.mean, found.low, found.high, found.seeds)


def augmentation_over_fitting(arm: str, evidence: Evidence) -> Finding:
    """How far validation loss has risen again: without the paper's augmentation less with it."""
    with_it, without = augmented_or_not(evidence.arms[arm])
    return direction(over_seeds(_rises(without) - _rises(with_it)))


def dropout_over_fitting(arm: str, evidence: Evidence) -> Finding:
    """How far validation loss has risen again: without dropout less with it."""
    results = evidence.arms[arm]
    return direction(over_seeds(_rises(results.treatment(dropout=0.0)) - _rises(results.treatments[0])))


def imbalance_over_fitting(arm: str, evidence: Evidence) -> Finding:
    """How far validation loss has risen again: without balancing less with class weights."""
    plain, balanced = (evidence.arms[arm].treatment(augmentation="none", balance=balance)
                       for balance in ("none", "class-weight"))
    return direction(over_seeds(_rises(plain) - _rises(balanced)))


def training_converges(arm: str, evidence: Evidence) -> Finding:
    """With Nadam: training loss of the first epoch less the last's, and accuracy of the last less the first's."""
    histories = evidence.arms[arm].treatment(optimizer="Nadam").histories
    falls, rises = (over_seeds(np.array([sign * (history[name].iloc[-1] - history[name].iloc[0])
                                         for history in histories])) for name, sign in (("loss", -1), ("accuracy", 1)))
    verdicts = {direction(falls).verdict, direction(rises).verdict}
    verdict = REFUTED if REFUTED in verdicts else OPEN if OPEN in verdicts else SUPPORTED
    return Finding(verdict, f"loss falls by {_shown(falls)}, accuracy rises by {_shown(rises)}", falls.mean, falls.low,
                   falls.high, falls.seeds)


def small_validation_fluctuates(arm: str, evidence: Evidence) -> Finding:
    """How far validation accuracy jumps between epochs: on the published 16 films less on those cut by patient."""
    small, large = (evidence.arms[arm].treatment(validation=design) for design in ("published", "patient"))
    return direction(over_seeds(_jumps(small) - _jumps(large)))


def generalises(arm: str, evidence: Evidence) -> Finding:
    """Accuracy on validation less accuracy on test, with Nadam: is less than two points lost?

    Validation is weighted to the class shares of test, so that another mix of classes is no loss.
    """
    results = evidence.arms[arm]
    nadam = results.treatment(optimizer="Nadam")
    share = binary_labels(results.films).mean()

    def at_test_shares(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return (share * sensitivity(labels, scores, weights) + (1 - share) * specificity(labels, scores, weights))

    metric: Metric = at_test_shares
    kept = contrast([(1, nadam.test_scores)], results.films, metric, results.draws,
                    fixed=NEAR - nadam.validation_values(metric), fixed_error=nadam.validation_error(metric))
    lost, low, high = NEAR - kept.mean, NEAR - kept.high, NEAR - kept.low
    return Finding(direction(kept).verdict, f"{lost:.4f} ({low:.4f} to {high:.4f}) lower on test", lost, low, high,
                   kept.seeds)


def _shown(difference: Difference) -> str:
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def _with_share(arm: ArmResults, share: float) -> Treatment:
    return next(treatment for treatment in arm.treatments if treatment.settings["training_draw"][1] == share)


def _rises(treatment: Treatment) -> np.ndarray:
    """Validation loss of the last epoch less the lowest of all, by seed."""
    return np.array([history["val_loss"].iloc[-1] - history["val_loss"].min() for history in treatment.histories])


def _jumps(treatment: Treatment) -> np.ndarray:
    """Mean change of validation accuracy from epoch to epoch, once training has settled, by seed."""
    return np.array([history["val_accuracy"].iloc[_SETTLING_EPOCHS:].diff().abs().mean()
                     for history in treatment.histories])
