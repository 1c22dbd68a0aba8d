"""The paper's claims: what ``claims.yaml`` says, with the functions that judge it.

What decides about a claim was fixed in ``reports/paper/protocol.yaml``; how it is computed stands in ``findings`` and
``causes``.
"""

from itertools import chain
from pathlib import Path
from typing import Any

from covidcnn.paper import causes, findings, reported
from covidcnn.study.claims import Claim, Settings, read_claims

PUBLISHED = "1-as-published"

_RULES = (findings.image_count, findings.counts, findings.shares, findings.layer_total, findings.described,
          findings.f1_follows, findings.one_matrix, findings.value_of_one_run, findings.better, findings.nadam_is_best,
          findings.tuned_nadam_is_best, findings.nadam_lead, findings.nadam_converges_faster,
          findings.beats_the_baseline, causes.many_false_alarms, causes.imbalance, causes.imbalance_beyond_threshold,
          causes.prevents_over_fitting, causes.training_converges, causes.small_validation_fluctuates,
          causes.generalises)


def _of_optimizers(quantity: str) -> list[dict[str, Any]]:
    return [{"name": f"{optimizer.lower()}-{quantity}", "statement": f"test {quantity} with {optimizer}",
             "value": f"{value:g}", "settings": {"optimizer": optimizer},
             "with": {"optimizer": optimizer, "quantity": quantity}}
            for optimizer, value in reported.OPTIMIZER_TABLE[f"test {quantity}"].items()]


def _of_final_model(*metrics: str) -> list[dict[str, Any]]:
    return [{"name": f"final-{metric}", "statement": f"{metric} of the final model",
             "value": f"{value}" if metric == "f1" else f"{100 * value:.2f} %",
             "measure": f"test {metric} at 0.5, with Nadam", "with": {"optimizer": "Nadam", "quantity": metric}}
            for metric in metrics for value in [reported.FINAL_METRICS[metric]]]


_FAMILIES = {
    "accuracy by optimizer": _of_optimizers("accuracy"), "loss by optimizer": _of_optimizers("loss"),
    "accuracy of the final model": _of_final_model("accuracy"), "F1 of the final model": _of_final_model("f1"),
    "other metrics of the final model": _of_final_model("sensitivity", "precision", "specificity"),
    "rivals of Nadam": [
        {"name": f"lead-over-{rival.lower()}", "statement": f"Nadam's lead over {rival}, in test accuracy",
         "value": f"{findings.paper_lead(rival):+.4f}", "with": {"rival": rival},
         "measure": f"test accuracy at 0.5: Nadam - {rival}, both of one seed"}
        for rival in reported.OPTIMIZER_TABLE.index if rival != "Nadam"]}
"""What the claims of a family do not have in common; their numbers stand in ``reported`` alone."""

SECTIONS: dict[str, tuple[Claim, ...]] = read_claims(
    Path(__file__).with_name("claims.yaml"), {rule.__name__.replace("_", " "): rule for rule in _RULES}, _FAMILIES)
CLAIMS: tuple[Claim, ...] = tuple(chain.from_iterable(SECTIONS.values()))


def weights(augmentation: str) -> tuple[Settings, Settings]:
    """What ``causes.imbalance`` compares: trainings without balancing, and with class weights."""
    unbalanced, balanced = ({"augmentation": augmentation, "balance": balance} for balance in ("none", "class-weight"))
    return unbalanced, balanced
