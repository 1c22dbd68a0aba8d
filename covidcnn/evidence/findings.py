"""What is held against each kind of claim: counts and layers, values over seeds, differences between treatments.

Every function that tests on trials takes the evidence last, and is called only when the arms it needs are finished.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from covidcnn import paper
from covidcnn.data.facts import COUNTS
from covidcnn.evidence.floor import RIDGE
from covidcnn.evidence.measures import MEASURES, Metric, accuracy, loss, sensitivity, specificity
from covidcnn.evidence.results import ArmResults, Evidence, Treatment
from covidcnn.evidence.statistics import (
    Difference,
    contrast,
    over_seeds,
    paired_difference,
    patient_error,
)
from covidcnn.evidence.verdicts import (
    CONTRADICTION,
    NEAR,
    NOT_REPRODUCED,
    REPRODUCED,
    Finding,
    direction,
    one_run,
    superiority,
)

if TYPE_CHECKING:
    from covidcnn.backend import keras

# ---------------------------------------------------------------- the paper, the files, the network


def image_count(_: Evidence) -> Finding:
    """How many images the published set has."""
    total = sum(COUNTS.values())
    return Finding(REPRODUCED if total == paper.IMAGES_IN_TEXT else CONTRADICTION, f"{total:,} in the published set")


def counts(split: str, claimed: Mapping[str, int], _: Evidence) -> Finding:
    """Films of each class in a split of the published set."""
    found = _class_counts(split)
    return _equal(found == dict(claimed), ", ".join(map(str, found.values())))


def shares(split: str, claimed: tuple[float, float], _: Evidence) -> Finding:
    """Shares of the classes in a split of the published set, in percent to one decimal as the paper gives them."""
    found = _class_counts(split)
    rounded = tuple(round(100 * count / sum(found.values()), 1) for count in found.values())
    return _equal(rounded == claimed, ", ".join(f"{share} %" for share in rounded))


def layer_total(_: Evidence) -> Finding:
    """What the paper's own list of layers adds up to."""
    total = sum(paper.LAYER_LIST.values())
    return Finding(REPRODUCED if total == paper.LAYERS_IN_TEXT else CONTRADICTION,
                   f"its own list adds up to {total}, without input and Flatten")


def layer_list(_: Evidence) -> Finding:
    """Layers of each kind in the network as it is built here."""
    kinds = [type(layer).__name__ for layer in _network().layers]
    found = {kind: kinds.count(kind) for kind in paper.LAYER_LIST}
    return _equal(found == paper.LAYER_LIST, ", ".join(map(str, found.values())))


def input_shape(_: Evidence) -> Finding:
    """The shape of what the network as it is built here takes."""
    shape = _network().input_shape[1:]
    return _equal(shape == (224, 224, 1), str(shape))


def first_layer(_: Evidence) -> Finding:
    """The kernels of the first convolution as it is built here."""
    first = next(layer for layer in _network().layers if type(layer).__name__ == "Conv2D")
    height, width = first.kernel_size
    return _equal((first.filters, height, width) == (32, 3, 3),
                  f"{first.filters} x {height} x {width}, {first.count_params()} parameters")


def f1_follows(_: Evidence) -> Finding:
    """F1 from the paper's precision and recall by Eq. 10."""
    precision, recall = paper.FINAL_METRICS["precision"], paper.FINAL_METRICS["sensitivity"]
    f1 = 2 * precision * recall / (precision + recall)
    return _equal(round(f1, 4) == paper.FINAL_METRICS["f1"], f"{f1:.4f}")


def one_matrix(_: Evidence) -> Finding:
    """How many matrices of 234 and 390 films agree with all five metrics."""
    fitting = paper.matrices_that_fit()
    text = "; ".join(f"TN {one.true_negatives}, FP {one.false_positives}, FN {one.false_negatives}, "
                     f"TP {one.true_positives}" for one in fitting)
    return Finding(REPRODUCED if len(fitting) == 1 else CONTRADICTION, f"{len(fitting)} fits: {text}")


def _class_counts(split: str) -> dict[str, int]:
    normal = COUNTS[split, "normal"]
    return {"NORMAL": normal, "PNEUMONIA": COUNTS[split, "bacteria"] + COUNTS[split, "virus"]}


def _equal(equal: bool, ours: str) -> Finding:
    return Finding(REPRODUCED if equal else NOT_REPRODUCED, ours)


@cache
def _network() -> "keras.Model":
    from covidcnn.models.paper_cnn import paper_cnn

    return paper_cnn()


# ---------------------------------------------------------------- values of one run


def optimizer_value(arm: str, optimizer: str, quantity: str, evidence: Evidence) -> Finding:
    """A row of the paper's optimizer table against our runs: ``quantity`` is 'accuracy' or 'loss'."""
    claimed = float(paper.OPTIMIZER_TABLE.loc[optimizer, f"test {quantity}"])
    return _value(claimed, evidence.arms[arm], {"optimizer": optimizer}, quantity)


def final_value(arm: str, metric: str, evidence: Evidence) -> Finding:
    """A metric of the paper's final model against our runs with Nadam."""
    return _value(paper.FINAL_METRICS[metric], evidence.arms[arm], {"optimizer": "Nadam"}, metric)


def _value(claimed: float, arm: ArmResults, settings: Mapping[str, Any], name: str) -> Finding:
    treatment, metric = arm.treatment(**settings), MEASURES[name]
    error = patient_error(treatment.test_scores, arm.films, metric, arm.draws)
    return one_run(claimed, treatment.values(metric), error, (0, np.inf) if name == "loss" else (0, 1))


# ---------------------------------------------------------------- one better than another


def nadam_differences(arm: ArmResults, quantity: str) -> dict[str, Difference]:
    """Nadam against each other optimizer of an arm, by rival; positive where Nadam is better.

    Args:
        arm: of optimizers.
        quantity: 'accuracy' or 'loss'.
    """
    metric, sign = (accuracy, 1) if quantity == "accuracy" else (loss, -1)
    nadam = arm.treatment(optimizer="Nadam")
    return {rival.recipe.optimizer: contrast([(sign, nadam.test_scores), (-sign, rival.test_scores)], arm.films, metric,
                                             arm.draws)
            for rival in arm.treatments if rival is not nadam}


def nadam_is_best(arm: str, quantity: str, evidence: Evidence) -> Finding:
    """Nadam against the other five, by test accuracy or test loss."""
    table = paper.OPTIMIZER_TABLE[f"test {quantity}"]
    differences = nadam_differences(evidence.arms[arm], quantity)
    return superiority(differences, {rival: abs(float(table["Nadam"] - table[rival])) for rival in differences})


def higher_loss(arm: str, first: str, second: str, evidence: Evidence) -> Finding:
    """Whether one optimizer's test loss is above another's."""
    results, table = evidence.arms[arm], paper.OPTIMIZER_TABLE["test loss"]
    difference = _between(results, {"optimizer": first}, {"optimizer": second}, loss)
    return direction(difference, float(table[first] - table[second]))


def preprocessing(arm: str, variant: str, evidence: Evidence) -> Finding:
    """Test accuracy with a grey-level transform against that of plain films."""
    return direction(_between(evidence.arms[arm], {"preprocess": variant}, {"preprocess": "plain"}, accuracy))


def augmentation_specificity(arm: str, evidence: Evidence) -> Finding:
    """Test specificity with the paper's augmentation against that without, no balancing in both."""
    return direction(_between(evidence.arms[arm], *_AUGMENTED, specificity))


def augmentation_accuracy(arm: str, evidence: Evidence) -> Finding:
    """Test accuracy with the paper's augmentation against that without, no balancing in both."""
    return direction(_between(evidence.arms[arm], *_AUGMENTED, accuracy))


def balanced_share(arm: str, evidence: Evidence) -> Finding:
    """Test specificity after training on the most NORMAL films against that after the fewest, sets of equal size."""
    results = evidence.arms[arm]
    draws = sorted(treatment.settings["training_draw"] for treatment in results.treatments)
    return direction(_between(results, {"training_draw": draws[-1]}, {"training_draw": draws[0]}, specificity))


def beats_the_floor(arm: str, evidence: Evidence) -> Finding:
    """Test accuracy with Nadam against that of a ridge classifier on 16 x 16 pixels."""
    results = evidence.arms[arm]
    nadam = results.treatment(optimizer="Nadam").test_scores
    floor = pd.DataFrame(evidence.floor)
    scores = floor[(floor["model"] == RIDGE) & (floor["split"] == "test")].set_index("path")["score"]
    ridge = scores.loc[results.films["path"]].to_numpy(float)
    return direction(paired_difference(nadam, np.tile(ridge, (len(nadam), 1)), results.films, accuracy, results.draws))


_AUGMENTED: tuple[dict[str, Any], dict[str, Any]] = ({"balance": "none", "augmentation": "paper"},
                                                     {"balance": "none", "augmentation": "none"})


def _between(arm: ArmResults, first: Mapping[str, Any], second: Mapping[str, Any], metric: Metric) -> Difference:
    return paired_difference(arm.treatment(**first).test_scores, arm.treatment(**second).test_scores, arm.films, metric,
                             arm.draws)


# ---------------------------------------------------------------- causes


def many_false_alarms(arm: str, evidence: Evidence) -> Finding:
    """Share of NORMAL test films called PNEUMONIA less the share of PNEUMONIA called NORMAL, nothing processed."""
    def excess(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return sensitivity(labels, scores, weights) - specificity(labels, scores, weights)

    results = evidence.arms[arm]
    plain = results.treatment(balance="none", augmentation="none")
    return direction(contrast([(1, plain.test_scores)], results.films, excess, results.draws))


def imbalance(arm: str, settings: Mapping[str, Any], evidence: Evidence) -> Finding:
    """Does balancing bring back at least half of the specificity that is lost between validation and test?

    Each seed has specificity v on validation and t on test without balancing, and b on test with class weights. The
    difference tested is (b - t) - (v - t) / 2. Validation films are not drawn anew in the bootstrap.
    """
    results = evidence.arms[arm]
    plain, balanced = (results.treatment(**settings, balance=balance) for balance in ("none", "class-weight"))
    held_out = plain.validation_values(specificity)
    lost = held_out.mean() - plain.values(specificity).mean()
    effect = paired_difference(balanced.test_scores, plain.test_scores, results.films, specificity, results.draws)
    beyond_half = contrast([(1, balanced.test_scores), (-0.5, plain.test_scores)], results.films, specificity,
                           results.draws, fixed=-0.5 * held_out)
    found = direction(beyond_half)
    return Finding(found.verdict, f"specificity {held_out.mean():.3f} on validation, {lost:.3f} less on test; class "
                                  f"weights give {effect.mean:+.3f} ({effect.low:+.3f} to {effect.high:+.3f}) on test",
                   effect.mean, effect.low, effect.high, effect.seeds)


def augmentation_gap(arm: str, evidence: Evidence) -> Finding:
    """Loss on validation less loss in training, last epoch: without augmentation less with it."""
    with_it, without = (evidence.arms[arm].treatment(**settings) for settings in _AUGMENTED)
    return direction(over_seeds(_gaps(without) - _gaps(with_it)))


def dropout_gap(arm: str, evidence: Evidence) -> Finding:
    """Loss on validation less loss in training, last epoch: without dropout less with it."""
    results = evidence.arms[arm]
    without = results.treatment(dropout=0.0)
    with_it = next(treatment for treatment in results.treatments
                   if treatment.settings | {"dropout": 0.0} == without.settings and treatment is not without)
    return direction(over_seeds(_gaps(without) - _gaps(with_it)))


def training_converges(arm: str, evidence: Evidence) -> Finding:
    """Training loss of the first epoch less that of the last, with Nadam."""
    histories = evidence.arms[arm].treatment(optimizer="Nadam").histories
    return direction(over_seeds(np.array([history["loss"].iloc[0] - history["loss"].iloc[-1]
                                          for history in histories])))


def small_validation_fluctuates(arm: str, evidence: Evidence) -> Finding:
    """How far validation accuracy jumps between epochs: on the published 16 films less on those cut by patient."""
    small, large = (evidence.arms[arm].treatment(validation=design) for design in ("published", "patient"))
    return direction(over_seeds(_jumps(small) - _jumps(large)))


def generalises(arm: str, evidence: Evidence) -> Finding:
    """Accuracy on validation less accuracy on test, with Nadam: does the model keep it, to within two points?"""
    results = evidence.arms[arm]
    nadam = results.treatment(optimizer="Nadam")
    kept = contrast([(1, nadam.test_scores)], results.films, accuracy, results.draws,
                    fixed=NEAR - nadam.validation_values(accuracy))
    lost, low, high = NEAR - kept.mean, NEAR - kept.high, NEAR - kept.low
    return Finding(direction(kept).verdict, f"{lost:.4f} ({low:.4f} to {high:.4f}) lower on test", lost, low, high,
                   kept.seeds)


def _gaps(treatment: Treatment) -> np.ndarray:
    last = [history.iloc[-1] for history in treatment.histories]
    return np.array([row["val_loss"] - row["loss"] for row in last])


def _jumps(treatment: Treatment) -> np.ndarray:
    return np.array([history["val_accuracy"].diff().abs().mean() for history in treatment.histories])
