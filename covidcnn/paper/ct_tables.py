"""The sixth study: what do two networks reach on a public set of CT slices? Tables and figure of what is finished.

The rules stand in ``reports/ct/protocol.yaml``. No slice is stored or shown. What single numbers of a file or slice
tell stands in ``measures.csv`` beside it, which ``measures.py`` there makes.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from covidcnn.evaluation.statistics import mean_over_seeds
from covidcnn.evaluation.weighted_metrics import METRICS, sensitivity
from covidcnn.paper.figures import splits_figure
from covidcnn.paper.model_tables import Models, measured, model_contrasts, models_of, pixels_seen
from covidcnn.paper.recipe_contrasts import contrast_table
from covidcnn.paper.tables import store_tables
from covidcnn.paths import REPORTS
from covidcnn.perturbations import LUNGS_BLACK, REST_BLACK
from covidcnn.study.conditions import ArmResults, Evidence, judged_by_patient
from covidcnn.study.pages import Named, Tables
from covidcnn.task import COVID

SINGLE_MEASURES = REPORTS / "ct/measures.csv"
_AUC = METRICS["AUC"]
_OVER = ("means over seeds with 95 % intervals over seeds and patients (of ridge, in which nothing is random, over "
         "patients)")


def ct_tables(evidence: Evidence) -> Tables:
    """Every table of the sixth study that its finished arms allow."""
    tables, models = store_tables(evidence), models_of(evidence.arms.values())
    tables["measures"] = (pd.read_csv(SINGLE_MEASURES), (
        "COVID-CT, training slices: how well a single number of a file or a slice tells the class, as AUC with its "
        "95 % interval over patients."))
    if models:
        tables["results"] = (result_table(evidence), (
            f"COVID-CT, test of the official split, thresholds from validation: {_OVER}; by slice, and by patient from "
            "the mean of the scores, as the protocol has it, and from the highest, which was added when test scores "
            "were known."))
        tables["counts"] = (slice_counts(next(iter(evidence.arms.values()))), (
            "COVID-CT, patients of the official test split: slices a patient, the mean of each class, and how well "
            "their number alone tells the class, as AUC with its 95 % interval over patients. The highest of more "
            "scores is higher by chance. Added when test scores were known."))
        tables["blacked"] = (blacked_table(models), (
            f"COVID-CT, AUC on test slices as they are and with a part blacked out: {_OVER}. No model has learnt from "
            "such slices, so a low AUC may come from that."))
    if found := model_contrasts(models, _AUC, "AUC", at_validation_threshold=False):
        tables["contrasts"] = (contrast_table(found), (
            "COVID-CT, AUC on test, each model - the paper's network with zoom, paired by seed: 95 % intervals over "
            "seeds and patients. The primary contrast stands alone; p of the others by Holm over those that are "
            "finished."))
    return tables


def result_table(evidence: Evidence) -> pd.DataFrame:
    """Three rows a model, of slices, and of patients by the mean and by the highest score: ``measured``, and
    sensitivity."""
    rows, slices = [], evidence.arms.values()
    patients = {f"patients, {words}": [judged_by_patient(arm, how) for arm in slices]
                for words, how in (("mean", "mean"), ("highest", "max"))}
    for judged, arms in ({"slices": slices} | patients).items():
        for name, (arm, one) in models_of(arms).items():
            found = mean_over_seeds(one.predictions(), arm.images, sensitivity, arm.draws)
            rows.append({"model": name, "px": pixels_seen(one), "judged": judged, "n": len(arm.images),
                         "seeds": len(one.seeds)} | measured(one.test_scores, one.thresholds, arm.images, arm.draws)
                        | {"sensitivity": found.mean, "sensitivity, low": found.low, "sensitivity, high": found.high})
    return pd.DataFrame(rows).sort_values("model", kind="stable", ignore_index=True)


def slice_counts(arm: ArmResults) -> pd.DataFrame:
    """One row: the mean number of slices of a patient of each class on test, and the AUC of that number."""
    patients = judged_by_patient(arm)
    counts = arm.images.groupby("patient").size().reindex(patients.images["patient"]).to_numpy(float)
    labels = patients.images["positive"].to_numpy()
    low, high = np.percentile(_AUC(labels, counts, patients.draws), [2.5, 97.5])
    means = {f"slices a patient, {name}": counts[labels == place].mean() for place, name in enumerate(COVID.classes)}
    return pd.DataFrame([{"of": "test", "patients": len(labels)} | means | {
        "AUC": float(_AUC(labels, counts, np.ones(len(labels)))), "low": low, "high": high}])


def blacked_table(models: Models) -> pd.DataFrame:
    """A row a model and part that is blacked out: the AUC on test."""
    return pd.DataFrame([
        {"model": name, "slices": words or "as they are", "AUC": found.mean, "low": found.low, "high": found.high,
         "seeds": found.seeds} for name, (arm, one) in models.items() for words in ("", LUNGS_BLACK, REST_BLACK)
        for found in [mean_over_seeds(one.scores_of("test", words), arm.images, _AUC, arm.draws)]])


def ct_figures(evidence: Evidence) -> Iterator[Named]:
    """The figure of the sixth study, once a model is finished."""
    models = {name: one for name, (_, one) in models_of(evidence.arms.values()).items() if not one.diverged}
    if models:
        yield ("slices", splits_figure(models, "AUC", _AUC, (7, 0.6 * len(models) + 1.4)), (
            "COVID-CT: AUC on validation and on test slices of the official split, every seed, and the medians."))
