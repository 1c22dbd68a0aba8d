"""The paper profile's evidence as notebooks show it: results on the published images, whatever images they run on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from covidcnn.evaluation.metrics import CONFIDENCE, confusion
from covidcnn.evaluation.weighted_metrics import METRICS, accuracy, accuracy_of_any_threshold, sensitivity, specificity
from covidcnn.study.conditions import ArmResults, Condition, Evidence


def finished_arm(evidence: Evidence, name: str) -> ArmResults | None:
    """An arm of the evidence; None, and a line that says why, if trainings are missing or left no validation scores."""
    if name not in evidence.arms:
        trials, finished = evidence.progress.loc[name]
        of = "" if np.isnan(trials) else f" of {trials:.0f}"
        print(f"Arm {name}: {finished:.0f}{of} trainings are finished; what belongs here waits for the others.")
        return None
    arm = evidence.arms[name]
    diverged = sum(condition.diverged for condition in arm.conditions)
    if diverged:
        print(f"Arm {name}: {diverged} trainings diverged and left no validation scores; nothing is shown here.")
        return None
    return arm


def auc_table(conditions: Mapping[str, Condition]) -> pd.DataFrame:
    """What a threshold can do, a row a condition, over seeds: the median AUC on validation and on test; the threshold
    that validation sets, and accuracy on test with it; and what no threshold exceeds on test, median and highest."""
    auc = METRICS["AUC"]
    return pd.DataFrame.from_dict({name: {
        "AUC, validation": np.median(one.validation_values(auc)), "AUC, test": np.median(one.values(auc)),
        "threshold from validation": np.median(one.thresholds),
        "accuracy, test": np.median(one.values(accuracy, at_validation_threshold=True)),
        "of any threshold": np.median(one.values(accuracy_of_any_threshold)),
        "highest seed": one.values(accuracy_of_any_threshold).max()}
        for name, one in conditions.items()}, orient="index").rename_axis("condition")


def difference_table(pairs: Mapping[str, tuple[Condition, Condition]], arm: ArmResults) -> pd.DataFrame:
    """The first condition of each pair - the second, on the arm's test images, paired by seed: the mean with its 95 %
    interval over seeds and patients; a row a pair and ``measure``, indexed by ``conditions``."""
    measures = (("accuracy, 0.5", accuracy, False), ("specificity, 0.5", specificity, False),
                ("accuracy, threshold from validation", accuracy, True),
                ("specificity, threshold from validation", specificity, True),
                ("accuracy, best threshold on test", accuracy_of_any_threshold, False), ("AUC", METRICS["AUC"], False))
    return pd.DataFrame([
        {"conditions": name, "measure": measure, "mean difference": found.mean, "low": found.low, "high": found.high,
         "seeds": found.seeds} for name, (first, second) in pairs.items() for measure, metric, moved in measures
        for found in [arm.difference(first, second, metric, moved)]]).set_index("conditions")


def new_seeds_table(new: Condition, others: Mapping[str, Condition]) -> pd.DataFrame:
    """Test accuracy at 0.5 of trainings with new seeds - that of others, whose seeds are not the same, so that nothing
    is paired: the difference of the means with its 95 % interval over seeds, and p, of two samples whose variances may
    differ (Welch's). Indexed by ``compared with``."""
    rows = []
    for name, other in others.items():
        first, second = new.values(accuracy), other.values(accuracy)
        test = stats.ttest_ind(first, second, equal_var=False)
        interval = test.confidence_interval(CONFIDENCE)
        rows.append({"compared with": name, "mean difference": first.mean() - second.mean(), "low": interval.low,
                     "high": interval.high, "p": test.pvalue, "new seeds": len(first), "their seeds": len(second)})
    return pd.DataFrame(rows).set_index("compared with")


def twin_table(arms: Mapping[int, ArmResults], twins: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The same conditions (``twins``: their settings by name) in arms by size of the images in pixels: medians over
    seeds of specificity and sensitivity at 0.5."""
    return pd.DataFrame([
        {"condition": name, "px": size, "seeds": len(one.seeds)} | {
            f"{quantity}, {split}": np.median(values(metric))
            for split, values in (("validation", one.validation_values), ("test", one.values))
            for quantity, metric in (("specificity", specificity), ("sensitivity", sensitivity))}
        for name, settings in twins.items() for size, arm in arms.items()
        for one in [arm.condition(**settings)]]).set_index("condition")


def moved_rates(condition: Condition) -> dict[str, np.ndarray]:
    """Sensitivity and specificity of each seed at 0.5 and at its own threshold from validation, on 'validation' and
    'test': float (seeds, 2 thresholds, 2 rates)."""
    return {split: np.array([[values(metric, at_validation_threshold=moved) for metric in (sensitivity, specificity)]
                            for moved in (False, True)]).transpose(2, 0, 1)
            for split, values in (("validation", condition.validation_values), ("test", condition.values))}


def rates_by_images(condition: Condition) -> pd.DataFrame:
    """Specificity and sensitivity at each training's own threshold from validation, on all images that it scored: a row
    for validation, for each changed copy of it, and for test; the median over seeds, and of specificity the range."""
    rates = pd.DataFrame([
        {"images": ", ".join(filter(None, which)), "specificity": matrix.specificity, "sensitivity": matrix.sensitivity}
        for result, threshold in zip(condition.results, condition.thresholds, strict=True)
        for which, scores in result.scores.groupby(["split", "perturbation"], sort=False)
        for matrix in [confusion(scores, threshold)]])
    return rates.groupby("images", sort=False).agg(**{
        "specificity, median": ("specificity", "median"), "lowest": ("specificity", "min"),
        "highest": ("specificity", "max"), "sensitivity, median": ("sensitivity", "median")})
