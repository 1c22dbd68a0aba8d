"""Figures of the evidence, each a function of what the store holds. None shows an image."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covidcnn.evaluation.metrics import confusion
from covidcnn.evaluation.statistics import Untestable
from covidcnn.evaluation.weighted_metrics import Metric, accuracy, specificity
from covidcnn.paper import reported, tables
from covidcnn.paper.baseline_scores import BASELINE, RIDGE
from covidcnn.paper.claims import PUBLISHED
from covidcnn.paper.findings import nadam_and_rivals, nadam_differences, paper_lead
from covidcnn.paper.tables import OPTIMIZER_ARMS, compares_validations, setting_in_words
from covidcnn.plots import comparisons
from covidcnn.plots.style import legend_below
from covidcnn.study import verdicts
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.ledger import summary
from covidcnn.study.pages import Named

_VERDICT_COLOURS = {
    verdicts.REPRODUCED: "#009E73", verdicts.SUPPORTED: "#009E73", verdicts.COMPATIBLE: "#56B4E9",
    verdicts.OPEN: "#56B4E9", verdicts.NOT_REPRODUCED: "#D55E00", verdicts.REFUTED: "#D55E00",
    verdicts.CONTRADICTION: "#CC79A7", verdicts.CANNOT_BE_TESTED: "0.6", verdicts.AS_DESCRIBED: "0.75",
    verdicts.NOT_FINISHED: "0.85"}
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
    baseline = evidence.further.get(BASELINE)
    for name, arm in evidence.arms.items():
        if tables.predicts_at_own_threshold(arm):
            yield _recipe(arm)
            continue
        yield (f"{arm.name}-accuracy", accuracy_figure(arm, baseline),
               f"{arm.title}: test accuracy of every seed, and the 95 % prediction interval for a new run"
               + ("." if baseline is None else "; dashed, a linear model."))
        # Validation results of a training that diverged are not known.
        with suppress(Untestable):
            yield (f"{arm.name}-validation-and-test", validation_figure(arm),
                   f"{arm.title}: {_compared(arm)[0]} on validation images and on test images, at threshold 0.5.")
        if name in OPTIMIZER_ARMS:
            yield _nadam(arm)
            yield _ranks(arm)


def _verdicts(claims: pd.DataFrame) -> Named:
    counts = summary(claims)["claims"]
    figure, ax = plt.subplots(figsize=(6.5, 0.42 * len(counts) + 0.9))
    comparisons.verdict_counts(counts.to_dict(), _VERDICT_COLOURS, ax)
    trained = int((claims.loc[claims["verdict"] == verdicts.REPRODUCED, "arms"] != "").sum())
    return "verdicts", figure, (f"The {len(claims)} claims of the paper by verdict. Of those reproduced {trained} "
                                "rest on trainings; the others are counts, shares and sums.")


def conditions_by_name(arm: ArmResults) -> dict[str, Condition]:
    """The arm's conditions by what sets them apart, in one line for figures. Where three settings or more differ, only
    what differs from the first condition is said."""
    first = arm.conditions[0].settings
    if not first:
        return {condition.recipe.optimizer: condition for condition in arm.conditions}
    nothing = "nothing done" if len(first) < 3 else "as assumed"
    return {", ".join(filter(None, (_phrase(name, value) for name, value in one.settings.items()
                                    if len(first) < 3 or value != first[name]))) or nothing: one
            for one in arm.conditions}


def _phrase(name: str, value: Any) -> str:
    if name in ("optimizer", "training_draw"):
        return setting_in_words(name, value)
    return _PHRASES.get((name, value), f"{name.replace('_', ' ')} {setting_in_words(name, value)}")


def accuracy_figure(arm: ArmResults, baseline: pd.DataFrame | None = None) -> Figure:
    """Test accuracy at 0.5 of every seed, and the prediction interval for a new run, a row a condition; of scores of
    simple models, those of ridge on test become a dashed line."""
    values = {label: condition.values(accuracy) for label, condition in conditions_by_name(arm).items()}
    published = reported.OPTIMIZER_TABLE["test accuracy"].to_dict() if arm.name == PUBLISHED else None
    if compares_validations(arm):
        # By which images the paper chose its epoch it does not say: its model may belong to any row.
        published = dict.fromkeys(values, reported.FINAL_METRICS["accuracy"])
    simple = None if baseline is None else ("ridge on 16 × 16 pixels", confusion(
        baseline[(baseline["model"] == RIDGE) & (baseline["split"] == "test")]).accuracy)
    return seeds_figure(values, "accuracy on test, threshold 0.5", published, simple)


def seeds_figure(values: Mapping[str, np.ndarray], quantity: str, paper: Mapping[str, float] | None = None,
                 baseline: tuple[str, float] | None = None, columns: int = 3, height: float | None = None) -> Figure:
    """A figure of ``values_by_condition`` with the legend below it in some columns; its height grows with the rows."""
    figure, ax = plt.subplots(figsize=(7.5, height or 0.45 * len(values) + 1.9))
    comparisons.values_by_condition(values, quantity, paper, ax, baseline)
    return legend_below(figure, columns)


def validation_figure(arm: ArmResults) -> Figure:
    """Validation and test results at 0.5, a row a condition: specificity; of validation designs, which differ in the
    class shares of their images, accuracy at those of test. Untestable if a training diverged."""
    (quantity, metric), labelled = _compared(arm), conditions_by_name(arm)
    return splits_figure(labelled, f"{quantity}, threshold 0.5", metric, (7.5, 0.45 * len(labelled) + 1.6))


def splits_figure(conditions: Mapping[str, Condition], quantity: str, metric: Metric, size: tuple[float, float]
                  ) -> Figure:
    """A metric on validation and on test, a row a condition; Untestable if a training diverged."""
    figure, ax = plt.subplots(figsize=size)
    comparisons.validation_and_test({name: one.validation_values(metric) for name, one in conditions.items()},
                                    {name: one.values(metric) for name, one in conditions.items()}, quantity, ax)
    return legend_below(figure, 2)


def _compared(arm: ArmResults) -> tuple[str, Metric]:
    if compares_validations(arm):
        return "accuracy at the class shares of test", arm.accuracy_at_shares
    return "specificity", specificity


def _nadam(arm: ArmResults) -> Named:
    found, (nadam, rivals) = nadam_differences(arm, "accuracy"), nadam_and_rivals(arm)
    # The paper tuned nothing, so that its leads belong beside those of learning rates as they come.
    published = {f"Nadam - {rival}": paper_lead(rival) for rival in found} if arm.name == PUBLISHED else None
    pairs = {f"Nadam - {name}": tables.new_pair(nadam.values(accuracy), rival.values(accuracy))[0]
             for name, rival in rivals.items()}
    figure, ax = plt.subplots(figsize=(7, 3.2))
    comparisons.differences({f"Nadam - {rival}": difference for rival, difference in found.items()}, published,
                            "test accuracy", ax, pairs)
    return (f"{arm.name}-nadam", legend_below(figure, 2), (
        f"{arm.title}: Nadam - each rival, mean over seeds, with intervals over seeds and test patients that are not "
        "corrected for five comparisons, and the 95 % prediction interval for a new pair of runs of one seed"
        + ("; beside them the paper's one pair." if published else ".")))


def _ranks(arm: ArmResults) -> Named:
    figure, ax = plt.subplots(figsize=(6.5, 3.4))
    comparisons.rank_probabilities(tables.rank_table(arm).set_index("optimizer").rename(
        columns=lambda name: name.removeprefix("rank ")), ax)
    return (f"{arm.name}-ranks", figure, f"{arm.title}: the probability of each rank, as far as seeds and patients "
            "allow; blank: below 0.005.")


def _recipe(arm: ArmResults) -> Named:
    (condition,) = arm.conditions
    values = {f"{name}, threshold {rule}": condition.values(metric, at_validation_threshold=moved)
              for rule, moved in (("from validation", True), ("0.5", False))
              for name, metric in (("accuracy", accuracy), ("specificity", specificity))}
    published = {name: reported.FINAL_METRICS[name.split(",")[0]] for name in values}
    return (f"{arm.name}-accuracy", seeds_figure(values, "on test", published, columns=4, height=3.4),
            f"{arm.title}: the recipe chosen on validation under simulated shift, every seed, beside the paper's final "
            "model.")
