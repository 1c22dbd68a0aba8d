"""What is held against claims on numbers and rankings: counts and layers, values over seeds, one better than another.

Every function takes the evidence last, and is called only when the arms it needs are finished. ``causes`` has the
claims on why.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.data.facts import COUNTS
from covidcnn.evaluation.statistics import Difference, over_seeds
from covidcnn.evaluation.weighted_metrics import METRICS, accuracy, log_of_loss
from covidcnn.paper import reported
from covidcnn.paper.baseline_scores import BASELINE, RIDGE
from covidcnn.study import verdicts
from covidcnn.study.claims import Settings
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.verdicts import Finding


def image_count(claimed: str, _: Evidence) -> Finding:
    """How many images the published set has."""
    total = f"{sum(COUNTS.values()):,}"
    return _sums_up(total == claimed, f"{total} in the published set")


def counts(split: str, claimed: str, _: Evidence) -> Finding:
    """Images of each class in a split of the published set."""
    return _equal(claimed, ", ".join(map(str, _class_counts(split))))


def shares(split: str, claimed: str, _: Evidence) -> Finding:
    """Shares of the classes in a split of the published set, in percent to one decimal as the paper gives them."""
    found = _class_counts(split)
    return _equal(claimed, ", ".join(f"{100 * count / sum(found):.1f} %" for count in found))


def layer_total(claimed: str, _: Evidence) -> Finding:
    """What the paper's own list of layers adds up to."""
    total = str(sum(reported.LAYER_LIST.values()))
    return _sums_up(total == claimed, f"its own list adds up to {total}, without input and Flatten")


def described(layer: str, claimed: str, _: Evidence) -> Finding:
    """A part of the network as it is built here, which follows the paper's description; ValueError if it does not."""
    found = _built()[layer]
    if found != claimed:
        raise ValueError(f"{layer} is built as {found}, and described as {claimed}")
    return Finding(verdicts.AS_DESCRIBED, found)


def f1_follows(claimed: str, _: Evidence) -> Finding:
    """F1 from the paper's precision and recall by Eq. 10."""
    precision, recall = reported.FINAL_METRICS["precision"], reported.FINAL_METRICS["sensitivity"]
    return _equal(claimed, f"{2 * precision * recall / (precision + recall):.4f}")


def one_matrix(_: Evidence) -> Finding:
    """How many matrices of 234 and 390 images agree with all five metrics."""
    fitting = reported.matrices_that_fit()
    text = "; ".join(f"TN {one.true_negatives}, FP {one.false_positives}, FN {one.false_negatives}, "
                     f"TP {one.true_positives}" for one in fitting)
    return _sums_up(len(fitting) == 1, f"{len(fitting)} fits: {text}")


def _class_counts(split: str) -> tuple[int, int]:
    """Of NORMAL and of PNEUMONIA."""
    return COUNTS[split, "normal"], COUNTS[split, "bacteria"] + COUNTS[split, "virus"]


def _equal(claimed: str, ours: str) -> Finding:
    return Finding(verdicts.REPRODUCED if ours == claimed else verdicts.NOT_REPRODUCED, ours)


def _sums_up(equal: bool, ours: str) -> Finding:
    return Finding(verdicts.REPRODUCED if equal else verdicts.CONTRADICTION, ours)


@cache
def _built() -> dict[str, str]:
    """Parts of the network in words."""
    from covidcnn.models.paper_cnn import paper_cnn

    model = paper_cnn()
    by_kind = {kind: [layer for layer in model.layers if type(layer).__name__ == kind] for kind in reported.LAYER_LIST}
    first, pooling = by_kind["Conv2D"][0], by_kind["MaxPooling2D"][0]
    dense, output = by_kind["Dense"]
    return {"input": str(model.input_shape[1:]),
            "layers": ", ".join(str(len(layers)) for layers in by_kind.values()),
            "first convolution": " x ".join(map(str, (first.filters, *first.kernel_size))),
            "pooling": " x ".join(map(str, pooling.pool_size)),
            "dense": f"{dense.units}, {dense.activation.__name__}",
            "output": f"{output.units}, {output.activation.__name__}"}


def value_of_one_run(arm: str, claimed: str, optimizer: str, quantity: str, evidence: Evidence) -> Finding:
    """A value that the paper prints, a number or in percent, against our runs with an optimizer: a name in
    ``METRICS``."""
    value = float(claimed.removesuffix(" %")) / (100 if claimed.endswith(" %") else 1)
    condition, is_loss = evidence.arms[arm].condition(optimizer=optimizer), quantity == "loss"
    if is_loss:
        # The loss of a diverged training is none, and one would rule the mean of all.
        condition.require_all()
    return verdicts.one_run(value, condition.values(METRICS[quantity]), logarithmic=is_loss)


def better(arm: str, first: Settings, second: Settings, quantity: str, evidence: Evidence) -> Finding:
    """A quantity on test of one condition - that of another, a name in ``METRICS``; of 'loss' that of its logarithm.
    Without settings: the arm's first condition."""
    results = evidence.arms[arm]
    one, other = (results.condition(**settings) if settings else results.conditions[0] for settings in (first, second))
    if quantity == "loss":
        one.require_all()
        other.require_all()
    return verdicts.direction(results.difference(one, other, log_of_loss if quantity == "loss" else METRICS[quantity]))


def nadam_differences(arm: ArmResults, quantity: str) -> dict[str, Difference]:
    """Nadam against each other optimizer of an arm, by rival; positive where Nadam is better: by 'accuracy', or by the
    logarithm of 'loss' (Untestable if a training diverged)."""
    nadam, rivals = nadam_and_rivals(arm)
    if quantity == "accuracy":
        return {name: arm.difference(nadam, rival) for name, rival in rivals.items()}
    for condition in arm.conditions:
        condition.require_all()
    return {name: arm.difference(rival, nadam, log_of_loss) for name, rival in rivals.items()}


def nadam_is_best(arm: str, quantity: str, evidence: Evidence) -> Finding:
    """Nadam against the other five, by test accuracy or test loss."""
    return verdicts.all_hold(nadam_differences(evidence.arms[arm], quantity))


def tuned_nadam_is_best(arm: str, tuning: str, evidence: Evidence) -> Finding:
    """As ``nadam_is_best`` by test accuracy, with a word on learning rates that lie at the edge of those tried in the
    arm ``tuning``: beyond it there may be a better one."""
    finding = nadam_is_best(arm, "accuracy", evidence)
    edges = optimizers_at_the_edge(evidence.selections[tuning])
    said = f"; learning rate at the edge of those tried: {', '.join(edges)}" if edges else ""
    return replace(finding, ours=finding.ours + said)


def optimizers_at_the_edge(selection: Mapping[str, Any]) -> list[str]:
    """The optimizers whose selected learning rate is the lowest or highest that was tried."""
    tried = pd.DataFrame(selection["considered"])
    rates = tried.groupby("optimizer", sort=False)["learning_rate"]
    at_edge = (tried["learning_rate"] == rates.transform("min")) | (tried["learning_rate"] == rates.transform("max"))
    return tried.loc[tried["selected"] & at_edge, "optimizer"].tolist()


def nadam_lead(arm: str, rival: str, evidence: Evidence) -> Finding:
    """The size of Nadam's lead over one rival, by test accuracy."""
    nadam, rivals = nadam_and_rivals(evidence.arms[arm])
    return verdicts.size(nadam.values(accuracy) - rivals[rival].values(accuracy), paper_lead(rival))


def paper_lead(rival: str) -> float:
    """Nadam's lead over a rival in the paper, in test accuracy."""
    table = reported.OPTIMIZER_TABLE["test accuracy"]
    return round(float(table["Nadam"] - table[rival]), 4)


def nadam_converges_faster(arm: str, evidence: Evidence) -> Finding:
    """Training loss, mean over all epochs: that of each rival - that of Nadam."""
    nadam, rivals = nadam_and_rivals(evidence.arms[arm])
    return verdicts.all_hold({name: over_seeds(_mean_losses(rival) - _mean_losses(nadam))
                              for name, rival in rivals.items()})


def beats_the_baseline(arm: str, evidence: Evidence) -> Finding:
    """Test accuracy with Nadam against that of a ridge classifier on 16 x 16 pixels."""
    results, baseline = evidence.arms[arm], pd.DataFrame(evidence.further[BASELINE])
    nadam = results.condition(optimizer="Nadam").test_scores
    scores = baseline[(baseline["model"] == RIDGE) & (baseline["split"] == "test")].set_index("path")["score"]
    ridge = scores.loc[results.images["path"]].to_numpy(float)
    return verdicts.direction(results.contrast([(1, nadam), (-1, np.tile(ridge, (len(nadam), 1)))]))


def nadam_and_rivals(arm: ArmResults) -> tuple[Condition, dict[str, Condition]]:
    """The condition with Nadam, and the others by optimizer."""
    nadam = arm.condition(optimizer="Nadam")
    return nadam, {rival.recipe.optimizer: rival for rival in arm.conditions if rival is not nadam}


def _mean_losses(condition: Condition) -> np.ndarray:
    return np.array([history["loss"].mean() for history in condition.histories])
