"""The third study: how far do other models get on the paper's task? Tables and figure of what is finished of it.

The rules stand in ``reports/models/protocol.yaml``; what is compared has its threshold from validation. Arms may be
lacking: there is a row for each model that is finished.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from covidcnn.evaluation.combining import averaged_over, fit_temperature, tempered
from covidcnn.evaluation.scores import unperturbed
from covidcnn.evaluation.statistics import mean_over_seeds
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.evaluation.weighted_metrics import METRICS, Metric, accuracy, specificity
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.efficientnet_lite0 import EfficientNetLite0
from covidcnn.models.registry import name_of, untrained
from covidcnn.paper.recipe_arms import ZOOM, Contrast
from covidcnn.paper.recipe_contrasts import contrast_table
from covidcnn.paper.tables import store_tables
from covidcnn.paths import PROJECT
from covidcnn.perturbations import CHOSEN_UNDER
from covidcnn.plots.comparisons import values_by_condition
from covidcnn.plots.style import legend_below
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.pages import Named, Tables
from covidcnn.trials.store import seconds_of
from covidcnn.yaml_files import read_yaml

AIM = {"accuracy": 0.960, "specificity": 0.92, "AUC": 0.993, "calibration error": 0.05}
"""Of the protocol; an error is to be no larger."""
INFORMED = ("Zoom, and the recipe of EfficientNet-Lite0, were first tried by test scores: what was trained with them "
            "is informed by the test set.")
BENCHMARK = PROJECT / "benchmarks/results/edge.json"
_NAMES = {"paper": "the paper's network", "five-block": "five-block network", "residual": "residual network",
          "lite0": "EfficientNet-Lite0", "logistic": "logistic regression", "svm": "support vector machine",
          "forest": "random forest", "ridge": "ridge"}
PAPER_WITH_ZOOM, LITE0_NAME = "the paper's network with zoom", _NAMES["lite0"]
_SEEN = {"pixels": "pixels", "hog": "HOG", "lite0": "Lite0's features"}

Models = dict[str, tuple[ArmResults, Condition]]
"""By the name of the model, in the order of the protocol: a condition, and the arm that it stands in."""


def published_results() -> pd.DataFrame:
    """What others report on the same test images, a row a model: ``model``, ``px``, ``accuracy``, ``AUC``, of both the
    ``SD`` over seeds, ``specificity``, ``protocol``; from ``published_results.yaml``."""
    table = pd.DataFrame(read_yaml(Path(__file__).with_name("published_results.yaml")))
    return table[["model", "px", "accuracy", "accuracy, SD", "AUC", "AUC, SD", "specificity", "protocol"]]


def models_of(arms: Iterable[ArmResults]) -> Models:
    """The models of finished arms."""
    return {_name(one): (arm, one) for arm in arms for one in arm.conditions}


def _name(condition: Condition) -> str:
    options = condition.recipe.model
    if isinstance(options, ClassicalModel):
        return f"{_NAMES[name_of(options)]}, {_SEEN[options.features]} at {options.side} px"
    zoomed = name_of(options) == "paper" and condition.recipe.augmentation == ZOOM
    return _NAMES[name_of(options)] + " with zoom" * zoomed


def model_tables(evidence: Evidence) -> Tables:
    """Every table of the third study that its finished arms allow."""
    tables, models = store_tables(evidence), models_of(evidence.arms.values())
    if models:
        results = result_table(models)
        tables["results"] = (results, (
            "Test images, threshold from validation: means over seeds with 95 % intervals over seeds and patients (of "
            "models in which nothing is random, over patients); px is the side of what the model sees. Calibration "
            "error is over ten bins of the score; that of a support vector machine is of the logistic function of its "
            "margin, which is no probability. Minutes of a training, median, say no more than an order of size: the "
            "processors are those in the list of trials, small networks ran two at a time on a core each. Milliseconds "
            f"an image, where measured, as a LiteRT file in float32 on one core. {INFORMED}"))
        tables["aim"] = (aim_table(results), (
            "The aim of the protocol and the mean over seeds of each model, with its 95 % interval over seeds and "
            f"patients. {INFORMED}"))
        tables["descriptive"] = (descriptive_table(models), (
            "Descriptive: at a threshold from validation images as they are, where the results pool them with changed "
            "ones; with test-time augmentation, the mean over small changes of the image; with temperature scaling on "
            f"validation; and the ensemble of the seeds, whose interval is over patients alone. {INFORMED}"))
        tables["published"] = (published_results(), (
            "What others report on the same test images, and how; SD is the standard deviation over seeds."))
    if found := model_contrasts(models):
        tables["contrasts"] = (contrast_table(found), (
            "Each model - the paper's network with zoom, accuracy at thresholds from validation, paired by seed: 95 % "
            "intervals over seeds and patients. The primary contrast stands alone; p of the others by Holm over those "
            "that are finished. Models differ in size, weights and recipe, too: a difference is that of the whole. "
            f"{INFORMED}"))
    return tables


def measured(scores: np.ndarray, thresholds: np.ndarray, images: pd.DataFrame, draws: np.ndarray) -> dict[str, float]:
    """Means over seeds of what the aim names, with ``low`` and ``high`` of each, and accuracy at 0.5: accuracy and
    specificity at each seed's threshold, float (seeds,); scores are float (seeds, images)."""
    predicted = (scores >= thresholds[:, np.newaxis]).astype(float)
    row: dict[str, float] = {}
    for name, metric, of in (("accuracy", accuracy, predicted), ("specificity", specificity, predicted),
                             ("AUC", METRICS["AUC"], scores),
                             ("calibration error", METRICS["calibration error"], scores)):
        found = mean_over_seeds(of, images, metric, draws)
        row |= {name: found.mean, f"{name}, low": found.low, f"{name}, high": found.high}
    return row | {"accuracy at 0.5": mean_over_seeds(scores, images, accuracy, draws).mean}


def result_table(models: Models) -> pd.DataFrame:
    """A row a model: ``measured``, and what it costs."""
    return pd.DataFrame([
        {"model": name, "px": pixels_seen(one), "seeds": len(one.seeds)}
        | measured(one.test_scores, one.thresholds, arm.images, arm.draws) | _costs(one) | {"diverged": one.diverged}
        for name, (arm, one) in models.items()])


def pixels_seen(condition: Condition) -> int:
    """The side of the image that the model sees: models of scikit-learn make it smaller still."""
    options = condition.recipe.model
    return options.side if isinstance(options, ClassicalModel) else condition.recipe.images.size


def _costs(condition: Condition) -> dict[str, Any]:
    """Millions of parameters and of multiply-adds of a network, minutes of a training, milliseconds an image where the
    benchmark has them."""
    from covidcnn.models.inspect import multiply_adds

    options, px = condition.recipe.model, condition.recipe.images.size
    minutes = np.median([seconds_of(result.facts) for result in condition.results]) / 60
    row: dict[str, Any] = {"million parameters": np.nan, "million multiply-adds": np.nan, "ms an image": np.nan,
                           "minutes": float(f"{minutes:.2g}")}
    for one in json.loads(BENCHMARK.read_text(encoding="utf-8")).values() if BENCHMARK.is_file() else ():
        if (one["model"]["model"], one["image size"]) == (name_of(options), px):
            row["ms an image"] = one["float32"]["1 core"]["ms an image"]
    if isinstance(options, ClassicalModel) and options.features == "lite0":
        # Logistic regression on its averages has as many numbers as its last layer.
        px, options = options.side, EfficientNetLite0()
    if not isinstance(options, ClassicalModel):
        network = untrained(options).build(condition.results[0].task, px, 0)
        row |= {"million parameters": network.count_params() / 1e6,
                "million multiply-adds": multiply_adds(network) / 1e6}
    return row


def aim_table(results: pd.DataFrame) -> pd.DataFrame:
    """Of ``result_table``: a row a model and measure, and whether the mean reaches the aim."""
    return pd.DataFrame([
        {"model": row["model"], "measure": name, "aim": aim, "mean": row[name], "low": row[f"{name}, low"],
         "high": row[f"{name}, high"], "seeds": row["seeds"],
         "reached": bool(row[name] <= aim if "error" in name else row[name] >= aim)}
        for _, row in results.iterrows() for name, aim in AIM.items()])


def descriptive_table(models: Models) -> pd.DataFrame:
    """A row a model and way to make more of its stored scores: ``measured``; none of a model that has diverged."""
    return pd.DataFrame([
        {"model": name, "scores": words, "seeds": len(one.seeds)}
        | measured(scores, thresholds, arm.images, arm.draws)
        for name, (arm, one) in models.items() if not one.diverged for words, scores, thresholds in _combined(one)])


def _combined(condition: Condition) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """In words, test scores, float (seeds or 1, images), and thresholds; these, and temperatures, are of validation."""
    changes, labels = condition.recipe.perturbations, condition.validation_images["positive"].to_numpy()
    if condition.recipe.choose_by in CHOSEN_UNDER:
        yield "threshold from unchanged validation", condition.test_scores, np.array(
            [fix_threshold(unperturbed(result.scores, "validation"), "youden") for result in condition.results])
    if changes:
        means = [averaged_over(result.scores, changes) for result in condition.results]
        of_test = [one[one["split"] == "test"].set_index("path").loc[condition.images["path"], "score"]
                   for one in means]
        # Validation images under what the epoch is chosen under are scored under no further change.
        yield f"test-time augmentation, {len(changes)} changes", np.array(of_test), np.array(
            [fix_threshold(one[one["split"] == "validation"], "youden") for one in means])
    temperatures = [fit_temperature(labels, row) for row in condition.scores_of("validation")]
    scores, thresholds = ([tempered(row, one) for row, one in zip(rows, temperatures, strict=True)]
                          for rows in (condition.test_scores, condition.thresholds))
    yield "temperature scaling", np.array(scores), np.array(thresholds)
    if condition.has_chance:
        pooled = pd.concat(map(condition.threshold_images, condition.results))
        mean = pooled.groupby(["perturbation", "path", "label"], as_index=False)["score"].mean()
        yield "ensemble of the seeds", condition.test_scores.mean(axis=0, keepdims=True), np.array(
            [fix_threshold(mean, "youden")])


def model_contrasts(models: Models, metric: Metric = accuracy, measure: str = "accuracy, threshold from validation",
                    at_validation_threshold: bool = True) -> list[Contrast]:
    """EfficientNet-Lite0 - the paper's network with zoom, the primary contrast, then each other model - it, one family,
    of the models that are finished; none before the paper's network is."""
    if PAPER_WITH_ZOOM not in models:
        return []
    _, network = models[PAPER_WITH_ZOOM]
    return sorted((Contrast("which model", "primary" if name == LITE0_NAME else "secondary", "all",
                            f"{name} - {PAPER_WITH_ZOOM}", measure,
                            arm.difference(one, network, metric, at_validation_threshold))
                   for name, (arm, one) in models.items() if one is not network), key=lambda found: found.rank)


def model_figures(evidence: Evidence) -> Iterator[Named]:
    """The figure of the third study, once a model is finished."""
    models = models_of(evidence.arms.values())
    if models:
        names = {name: name if " px" in name else f"{name}, {pixels_seen(one)} px" for name, (_, one) in models.items()}
        # Where nothing is random, one value stands for all.
        values = {names[name]: one.values(accuracy, None, True)[:None if one.has_chance else 1]
                  for name, (_, one) in models.items()}
        means = {names[name]: mean_over_seeds(one.predictions(), arm.images, accuracy, arm.draws)
                 for name, (arm, one) in models.items()}
        theirs = {f"{row['model']}, {row['px']} px": row["accuracy"] for _, row in published_results().iterrows()}
        figure, ax = plt.subplots(figsize=(7.5, 0.36 * len([*values, *theirs]) + 1.9))
        values_by_condition(values, "accuracy on test (this project: threshold from validation)", theirs, ax,
                            source="published, by its own protocol", means=means)
        yield ("models", legend_below(figure, 2), (
            "Test accuracy at thresholds from validation: every seed, the mean with its 95 % interval over seeds and "
            "patients (where nothing is random, over patients), and the 95 % prediction interval for a new run, above "
            f"what others report on the same images. {INFORMED}"))
