"""The paper profile's evidence as notebooks show it: results on the published films, whatever films they run on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.evaluation.metrics import confusion
from covidcnn.evidence.measures import MEASURES, sensitivity, specificity
from covidcnn.evidence.openings import open_store
from covidcnn.evidence.protocol import PROTOCOL, STORE, read_protocol
from covidcnn.evidence.results import ArmResults, Evidence, Treatment, read_evidence
from covidcnn.evidence.tables import treatments_by_name


def paper_evidence() -> Evidence:
    """What the store of ``reports/paper`` holds.

    Raises:
        DataError: a result is damaged.
        UserError: the protocol is not what it was when the first test film was scored.
    """
    return read_evidence(read_protocol(PROTOCOL), open_store(STORE))


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


def auc_table(arm: ArmResults) -> pd.DataFrame:
    """A row a treatment, medians over seeds: AUC on validation and on test, and the threshold that validation sets."""
    auc = MEASURES["AUC"]
    return pd.DataFrame([{
        "treatment": name, "AUC, validation": np.median(one.validation_values(auc)), "AUC, test": np.median(
            one.values(auc)), "threshold from validation": np.median(one.thresholds)}
        for name, one in treatments_by_name(arm).items()]).set_index("treatment")


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
        {"films": split, "specificity": matrix.specificity, "sensitivity": matrix.sensitivity}
        for result, threshold in zip(treatment.results, treatment.thresholds, strict=True)
        for split, films in result.scores.groupby("split", sort=False) for matrix in [confusion(films, threshold)]])
    by_films = rates.groupby("films", sort=False)
    return pd.DataFrame({"specificity, median": by_films["specificity"].median(),
                         "lowest": by_films["specificity"].min(), "highest": by_films["specificity"].max(),
                         "sensitivity, median": by_films["sensitivity"].median()})
