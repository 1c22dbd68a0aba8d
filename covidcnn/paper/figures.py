"""Figures of the evidence, each a function of what the store holds. None shows an image."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from covidcnn.evaluation.measures import Metric, accuracy, accuracy_at, specificity
from covidcnn.evaluation.metrics import confusion
from covidcnn.evaluation.statistics import Untestable
from covidcnn.paper import reported
from covidcnn.paper.findings import nadam_differences, paper_lead
from covidcnn.paper.tables import (
    AS_PUBLISHED,
    OPTIMIZER_ARMS,
    called_at_own_threshold,
    compares_validations,
    new_pair,
    new_run,
    rank_table,
    setting_in_words,
)
from covidcnn.plots.comparisons import (
    differences,
    rank_probabilities,
    validation_and_test,
    values_by_condition,
    verdict_counts,
)
from covidcnn.study.baseline import RIDGE
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.ledger import summary
from covidcnn.study.pages import Named
from covidcnn.study.verdicts import (
    AS_DESCRIBED,
    CANNOT_BE_TESTED,
    COMPATIBLE,
    CONTRADICTION,
    NOT_FINISHED,
    NOT_REPRODUCED,
    OPEN,
    REFUTED,
    REPRODUCED,
    SUPPORTED,
)

_VERDICT_COLOURS = {REPRODUCED: "#009E73", SUPPORTED: "#009E73", COMPATIBLE: "#56B4E9", OPEN: "#56B4E9",
                    NOT_REPRODUCED: "#D55E00", REFUTED: "#D55E00", CONTRADICTION: "#CC79A7", CANNOT_BE_TESTED: "0.6",
                    AS_DESCRIBED: "0.75", NOT_FINISHED: "0.85"}

_PHRASES = {
    ("preprocess", "plain"): "plain", ("preprocess", "equalize"): "equalised", ("preprocess", "invert"): "inverted",
    ("preprocess", "invert-equalize"): "inverted, equalised",
    ("augmentation", "none"): "", ("augmentation", "paper"): "flips and shifts",
    ("augmentation", "intensity"): "grey levels varied",
    ("augmentation", "paper and intensity"): "flips, shifts, grey levels varied",
    ("balance", "none"): "", ("balance", "class-weight"): "class weights", ("balance", "oversample"): "oversampling",
    ("validation", "published"): "16 published images", ("validation", "image"): "by image",
    ("validation", "patient"): "by patient", ("validation", "block"): "by block",
    ("batch_norm", False): "without batch normalisation", ("dropout", 0.0): "without dropout",
    # As many as there are: a name for trainings that are run once more.
    ("max_training_images", None): "arm 1's Nadam", ("max_training_images", 5216): "on another processor",
}
"""How figures name a setting; empty: nothing is done."""



def evidence_figures(evidence: Evidence, claims: pd.DataFrame) -> Iterator[Named]:
    """Every figure that the finished arms and the claims ledger allow, one after the other."""
    yield _verdicts(claims)
    for name, arm in evidence.arms.items():
        if called_at_own_threshold(arm):
            yield _recipe(arm)
            continue
        yield _accuracy(arm, evidence.baseline)
        # What validation promised is not known of a training that diverged.
        with suppress(Untestable):
            yield _validation_and_test(arm)
        if name in OPTIMIZER_ARMS:
            yield _nadam(arm)
            yield _ranks(arm)


def _verdicts(claims: pd.DataFrame) -> Named:
    counts = summary(claims)["claims"]
    figure, ax = plt.subplots(figsize=(6.5, 0.42 * len(counts) + 0.9))
    verdict_counts(counts.to_dict(), _VERDICT_COLOURS, ax)
    trained = int((claims.loc[claims["verdict"] == REPRODUCED, "arms"] != "").sum())
    return "verdicts", figure, (f"The {len(claims)} claims of the paper by verdict. Of those reproduced {trained} "
                                "rest on trainings; the others are counts, shares and sums.")


def conditions_by_name(arm: ArmResults) -> dict[str, Condition]:
    """The arm's conditions by what sets them apart, in one line for figures. Where three settings or more differ, only
    what differs from the first condition is said."""
    first = arm.conditions[0].settings
    if not first:
        return {condition.recipe.optimizer: condition for condition in arm.conditions}
    changes = [{name: value for name, value in condition.settings.items() if len(first) < 3 or value != first[name]}
               for condition in arm.conditions]
    nothing = "nothing done" if len(first) < 3 else "as assumed"
    named = [", ".join(filter(None, (_phrase(*change) for change in one.items()))) or nothing for one in changes]
    return dict(zip(named, arm.conditions, strict=True))


def _phrase(name: str, value: Any) -> str:
    if name in ("optimizer", "training_draw"):
        return setting_in_words(name, value)
    return _PHRASES.get((name, value), f"{name.replace('_', ' ')} {setting_in_words(name, value)}")


def accuracy_figure(arm: ArmResults, baseline: pd.DataFrame | None = None) -> Figure:
    """Test accuracy at 0.5 of every seed, and where one new run would lie, a row a condition.

    Args:
        arm: a finished arm.
        baseline: scores of simple models; ridge on test becomes a dashed line.
    """
    values = {label: condition.values(accuracy) for label, condition in conditions_by_name(arm).items()}
    published = reported.OPTIMIZER_TABLE["test accuracy"].to_dict() if arm.name == AS_PUBLISHED else None
    if compares_validations(arm):
        # By which images the paper chose its epoch it does not say: its model may belong to any row.
        published = dict.fromkeys(values, reported.FINAL_METRICS["accuracy"])
    simple = None if baseline is None else ("ridge on 16 × 16 pixels", confusion(
        baseline[(baseline["model"] == RIDGE) & (baseline["split"] == "test")]).accuracy)
    figure, ax = plt.subplots(figsize=(7.5, 0.45 * len(values) + 1.9))
    values_by_condition(values, {label: new_run(seeds) for label, seeds in values.items()},
                        "accuracy on test, threshold 0.5", published, ax, simple)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _accuracy(arm: ArmResults, baseline: pd.DataFrame | None) -> Named:
    caption = f"{arm.title}: test accuracy of every seed, and where one new run would lie with 95 % probability"
    return f"{arm.name}-accuracy", accuracy_figure(arm, baseline), caption + (
        "." if baseline is None else "; dashed, a linear model.")


def validation_figure(arm: ArmResults) -> Figure:
    """What validation promised and what test kept at 0.5, a row a condition: specificity; of validation designs, which
    differ in the class shares of their images, accuracy at those of test.

    Raises:
        Untestable: a training diverged and left no validation scores.
    """
    quantity, metric = _promised(arm)
    labelled = conditions_by_name(arm)
    figure, ax = plt.subplots(figsize=(7.5, 0.45 * len(labelled) + 1.6))
    validation_and_test({label: condition.validation_values(metric) for label, condition in labelled.items()},
                      {label: condition.values(metric) for label, condition in labelled.items()},
                      f"{quantity}, threshold 0.5", ax)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    return figure


def _promised(arm: ArmResults) -> tuple[str, Metric]:
    if compares_validations(arm):
        return "accuracy at the class shares of test", accuracy_at(arm.images["positive"].mean())
    return "specificity", specificity


def _validation_and_test(arm: ArmResults) -> Named:
    return (f"{arm.name}-validation-and-test", validation_figure(arm), (
        f"{arm.title}: {_promised(arm)[0]} on validation images and on test images, at threshold 0.5."))


def _nadam(arm: ArmResults) -> Named:
    found = nadam_differences(arm, "accuracy")
    figure, ax = plt.subplots(figsize=(7, 3.2))
    # The paper tuned nothing, so that its leads belong beside those of learning rates as they come.
    published = {f"Nadam - {rival}": paper_lead(rival) for rival in found} if arm.name == AS_PUBLISHED else None
    nadam = arm.condition(optimizer="Nadam").values(accuracy)
    pairs = {f"Nadam - {rival}": new_pair(nadam, arm.condition(optimizer=rival).values(accuracy))[0] for rival in found}
    differences({f"Nadam - {rival}": difference for rival, difference in found.items()}, published, "test accuracy", ax,
                pairs)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    return (f"{arm.name}-nadam", figure, f"{arm.title}: Nadam less each rival, mean over seeds, with intervals over "
                                         "seeds and test patients that are not corrected for five comparisons, and "
                                         "where a new pair of runs of one seed would lie" + (
                                             "; beside them the paper's one pair." if published else "."))


def _ranks(arm: ArmResults) -> Named:
    table = rank_table(arm).set_index("optimizer")
    figure, ax = plt.subplots(figsize=(6.5, 3.4))
    rank_probabilities(table.rename(columns=lambda name: name.removeprefix("rank ")), ax)
    return (f"{arm.name}-ranks", figure, f"{arm.title}: the probability of each rank, as far as seeds and patients "
            "allow; blank: below 0.005.")


def _recipe(arm: ArmResults) -> Named:
    (condition,) = arm.conditions
    values, intervals = {}, {}
    for name, metric, moved in (("accuracy, threshold from validation", accuracy, True),
                                ("specificity, threshold from validation", specificity, True),
                                ("accuracy, threshold 0.5", accuracy, False),
                                ("specificity, threshold 0.5", specificity, False)):
        values[name] = condition.values(metric, at_validation_threshold=moved)
        intervals[name] = new_run(values[name])
    published = {name: reported.FINAL_METRICS[name.split(",")[0]] for name in values}
    figure, ax = plt.subplots(figsize=(7.5, 3.4))
    values_by_condition(values, intervals, "on test", published, ax)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return (f"{arm.name}-accuracy", figure, f"{arm.title}: the recipe chosen on validation under simulated shift, "
                                            "every seed, beside the paper's final model.")
