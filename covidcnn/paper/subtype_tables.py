"""The fourth study: are bacterial and viral pneumonia told apart? Tables and figure of what is finished of it.

The rules stand in ``reports/subtype/protocol.yaml``: the most probable of three classes is predicted.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from covidcnn.evaluation.statistics import mean_over_seeds
from covidcnn.evaluation.weighted_metrics import METRICS, Metric, accuracy_of_classes, against_rest, macro_auc
from covidcnn.paper.figures import splits_figure
from covidcnn.paper.model_tables import INFORMED, Models, models_of
from covidcnn.paper.recipe_arms import Contrast
from covidcnn.paper.recipe_contrasts import contrast_table
from covidcnn.paper.tables import store_tables
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.pages import Named, Tables
from covidcnn.task import SUBTYPE

AIM: dict[str, tuple[float, Metric]] = {"accuracy": (0.92, accuracy_of_classes), "macro AUC": (0.975, macro_auc)}
"""Of the protocol."""
_WORDS = f"means over seeds with 95 % intervals over seeds and patients. {INFORMED}"


def subtype_tables(evidence: Evidence) -> Tables:
    """Every table of the fourth study that its finished arms allow."""
    tables, models = store_tables(evidence), models_of(evidence.arms.values())
    if models:
        tables["results"] = (result_table(models), f"Three classes, test images, and the aim of the protocol: {_WORDS}")
        tables["classes"] = (class_table(models), f"Each class against the other two, test images: {_WORDS}")
        tables["confusion"] = (confusion_table(models), (
            f"Of the test images of a class, how many are predicted which: {_WORDS} An interval of one point says that "
            "nothing varied, not that nothing could."))
        tables["errors"] = (error_table(models), (
            "Wrong predictions on test images: how many images a seed, in the mean, how many by every seed alike, and "
            f"the mean score of the wrong class. {INFORMED}"))
    if models and (found := subtype_contrasts(models)):
        tables["contrasts"] = (contrast_table(found), (
            "Macro AUC: one model - the other (primary), and of each model test - validation, which below 0 is a loss; "
            f"p by Holm over the latter that are finished. {INFORMED}"))
    return tables


def _mean(arm: ArmResults, condition: Condition, metric: Metric) -> dict[str, float]:
    found = mean_over_seeds(condition.test_scores, arm.images, metric, arm.draws)
    return {"mean": found.mean, "low": found.low, "high": found.high, "seeds": found.seeds}


def result_table(models: Models) -> pd.DataFrame:
    """A row a model and measure, beside the aim."""
    return pd.DataFrame([
        {"model": name, "measure": measure} | found | {"aim": aim, "reached": found["mean"] >= aim}
        for name, (arm, one) in models.items() for measure, (aim, metric) in AIM.items()
        for found in [_mean(arm, one, metric)]])


def class_table(models: Models) -> pd.DataFrame:
    """A row a model, class and measure."""
    return pd.DataFrame([
        {"model": name, "class": of, "measure": measure} | _mean(
            arm, one, against_rest(place, METRICS[measure], of_predictions))
        for name, (arm, one) in models.items() for place, of in enumerate(SUBTYPE.classes)
        for measure, of_predictions in (("sensitivity", True), ("specificity", True), ("AUC", False))])


def confusion_table(models: Models) -> pd.DataFrame:
    """A row a model, class and prediction: images, mean over seeds, and their share of the class, ``mean`` with its
    interval."""
    return pd.DataFrame([
        {"model": name, "class": of, "predicted": predicted,
         "images": found["mean"] * (arm.images["positive"] == row).sum()} | found
        for name, (arm, one) in models.items() for row, of in enumerate(SUBTYPE.classes)
        for column, predicted in enumerate(SUBTYPE.classes) for found in [_mean(arm, one, _share(row, column))]])


def error_table(models: Models) -> pd.DataFrame:
    """A row a model, class and wrong prediction."""
    rows = []
    for name, (arm, one) in models.items():
        labels, scores = arm.images["positive"].to_numpy(), one.test_scores
        for row, column in itertools.permutations(range(len(SUBTYPE.classes)), 2):
            wrong = (labels == row) & (scores.argmax(axis=2) == column)
            rows.append({"model": name, "class": SUBTYPE.classes[row], "predicted": SUBTYPE.classes[column],
                         "of images": (labels == row).sum(), "a seed": wrong.sum(axis=1).mean(),
                         "by every seed": wrong.all(axis=0).sum(),
                         "score": scores[wrong, column].mean() if wrong.any() else np.nan, "seeds": len(one.seeds)})
    return pd.DataFrame(rows)


def _share(row: int, column: int) -> Metric:
    """The share of the images of a class that are predicted to be of another."""
    return lambda labels, scores, weights: METRICS["sensitivity"](
        (labels == row).astype(int), (scores.argmax(axis=1) == column).astype(float), weights)


def subtype_contrasts(models: Models) -> list[Contrast]:
    """The primary contrast once both models are finished, and of each that is the shift."""
    (first, (_, one)), *second = models.items()
    found = [Contrast("which model", "primary", "all", f"{name} - {first}", "macro AUC",
                      of.difference(other, one, macro_auc)) for name, (of, other) in second]
    return found + [Contrast("shift", "secondary", "all", f"{name}: test - validation", "macro AUC", arm.contrast(
        [(1, one.test_scores)], macro_auc, -one.validation_values(macro_auc), one.validation_error(macro_auc)))
        for name, (arm, one) in models.items() if not one.diverged]


def subtype_figures(evidence: Evidence) -> Iterator[Named]:
    """The figure of the fourth study, once a model is finished."""
    models = {name: one for name, (_, one) in models_of(evidence.arms.values()).items() if not one.diverged}
    if models:
        yield ("shift", splits_figure(models, "macro AUC", macro_auc, (7, 0.6 * len(models) + 1.4)), (
            f"Macro AUC of three classes on validation and on test: every seed, and the medians. {INFORMED}"))
