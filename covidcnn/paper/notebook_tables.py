"""The paper profile's evidence as notebooks show it: results on the published films, whatever films they run on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from covidcnn.evaluation.measures import MEASURES, accuracy, accuracy_of_any_threshold, sensitivity, specificity
from covidcnn.evaluation.metrics import CONFIDENCE, confusion
from covidcnn.evaluation.statistics import paired_difference
from covidcnn.study.conditions import ArmResults, Evidence, Treatment


def finished_arm(evidence: Evidence, name: str) -> ArmResults | None:
    """An arm of the evidence; None, and a line that says why, if trainings are missing or left no validation scores."""
    if name not in evidence.arms:
        trials, finished = evidence.progress.loc[name]
        of = "" if np.isnan(trials) else f" of {trials:.0f}"
        print(f"Arm {name}: {finished:.0f}{of} trainings are finished; what belongs here waits for the others.")
        return None
    arm = evidence.arms[name]
    diverged = sum(bool(result.diverged) for treatment in arm.treatments for result in treatment.results)
    if diverged:
        print(f"Arm {name}: {diverged} trainings diverged and left no validation scores; nothing is shown here.")
        return None
    return arm


def auc_table(treatments: Mapping[str, Treatment]) -> pd.DataFrame:
    """What a threshold can do, a row a treatment, over seeds: the median AUC on validation and on test; the threshold
    that validation sets, and accuracy on test with it; and what no threshold exceeds on test, median and highest."""
    auc, rows = MEASURES["AUC"], {}
    for name, one in treatments.items():
        bounds = one.values(accuracy_of_any_threshold)
        rows[name] = {
            "AUC, validation": np.median(one.validation_values(auc)), "AUC, test": np.median(one.values(auc)),
            "threshold from validation": np.median(one.thresholds),
            "accuracy, test": np.median(one.values(accuracy, at_validation_threshold=True)),
            "of any threshold": np.median(bounds), "highest seed": bounds.max()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("treatment")


def difference_table(pairs: Mapping[str, tuple[Treatment, Treatment]], arm: ArmResults) -> pd.DataFrame:
    """The first treatment of each pair less the second, on test films, paired by seed: the mean with its 95 % interval
    over seeds and patients; a row a pair and ``measure``, indexed by ``treatments``.

    Args:
        pairs: by name; with the same seeds.
        arm: whose test films all of them scored.
    """
    rows = []
    for name, (first, second) in pairs.items():
        for measure, metric, moved in (
                ("accuracy, 0.5", accuracy, False), ("specificity, 0.5", specificity, False),
                ("accuracy, threshold from validation", accuracy, True),
                ("specificity, threshold from validation", specificity, True),
                ("accuracy, best threshold on test", accuracy_of_any_threshold, False),
                ("AUC", MEASURES["AUC"], False)):
            found = paired_difference(first.scores(moved), second.scores(moved), arm.films, metric, arm.draws)
            rows.append({"treatments": name, "measure": measure, "mean difference": found.mean, "low": found.low,
                         "high": found.high, "seeds": found.seeds})
    return pd.DataFrame(rows).set_index("treatments")


def new_seeds_table(new: Treatment, others: Mapping[str, Treatment]) -> pd.DataFrame:
    """Test accuracy at 0.5 of trainings with new seeds less that of others, whose seeds are not the same, so that
    nothing is paired: the difference of the means with its 95 % interval over seeds, and p, of two samples whose
    variances may differ (Welch's). Indexed by ``less``.

    Args:
        new: the trainings with new seeds.
        others: by name.
    """
    rows = []
    for name, other in others.items():
        first, second = new.values(accuracy), other.values(accuracy)
        test = stats.ttest_ind(first, second, equal_var=False)
        interval = test.confidence_interval(CONFIDENCE)
        rows.append({"less": name, "mean difference": first.mean() - second.mean(), "low": interval.low,
                     "high": interval.high, "p": test.pvalue, "new seeds": len(first), "their seeds": len(second)})
    return pd.DataFrame(rows).set_index("less")


def twin_table(arms: Mapping[int, ArmResults], twins: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The same treatments at several sizes: medians over seeds of specificity and sensitivity at 0.5.

    Args:
        arms: by size of the films in pixels.
        twins: settings of treatments that each arm has, by the treatment's name.
    """
    return pd.DataFrame([
        {"treatment": name, "px": size, "seeds": len(one.seeds)} | {
            f"{quantity}, {films}": np.median(values(metric))
            for films, values in (("validation", one.validation_values), ("test", one.values))
            for quantity, metric in (("specificity", specificity), ("sensitivity", sensitivity))}
        for name, settings in twins.items() for size, arm in arms.items()
        for one in [arm.treatment(**settings)]]).set_index("treatment")


def moved_rates(treatment: Treatment) -> dict[str, np.ndarray]:
    """Sensitivity and specificity of each seed at 0.5 and at its own threshold from validation, on 'validation' and
    'test': float (seeds, 2 thresholds, 2 rates)."""
    return {films: np.array([[values(metric, at_validation_threshold=moved) for metric in (sensitivity, specificity)]
                             for moved in (False, True)]).transpose(2, 0, 1)
            for films, values in (("validation", treatment.validation_values), ("test", treatment.values))}


def rates_by_films(treatment: Treatment) -> pd.DataFrame:
    """Specificity and sensitivity at each training's own threshold from validation, on all films that it scored: a row
    for validation, for each changed copy of it, and for test; the median over seeds, and of specificity the range."""
    rates = pd.DataFrame([
        {"films": ", ".join(filter(None, which)), "specificity": matrix.specificity, "sensitivity": matrix.sensitivity}
        for result, threshold in zip(treatment.results, treatment.thresholds, strict=True)
        for which, films in result.scores.groupby(["split", "perturbation"], sort=False)
        for matrix in [confusion(films, threshold)]])
    by_films = rates.groupby("films", sort=False)
    return pd.DataFrame({"specificity, median": by_films["specificity"].median(),
                         "lowest": by_films["specificity"].min(), "highest": by_films["specificity"].max(),
                         "sensitivity, median": by_films["sensitivity"].median()})
