"""Tables of the evidence: a row a condition, a comparison, a trial. Each is a function of what the store holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from covidcnn.data.facts import TEST_COPIES
from covidcnn.evaluation import statistics
from covidcnn.evaluation.metrics import CONFIDENCE, confusion
from covidcnn.evaluation.statistics import Difference, Untestable, holm, mcnemar_pair, new_run, prediction_interval
from covidcnn.evaluation.weighted_metrics import METRICS, PROPORTIONS, Metric, accuracy, sensitivity, specificity
from covidcnn.paper import reported
from covidcnn.paper.baseline_scores import BASELINE, SIZES
from covidcnn.paper.causes import gain_on_test
from covidcnn.paper.claims import PUBLISHED
from covidcnn.paper.findings import nadam_and_rivals, nadam_differences, optimizers_at_the_edge, paper_lead
from covidcnn.paper.recipe_arms import SIX_OPTIMIZERS
from covidcnn.study.conditions import ArmResults, Condition, Evidence, arm_title
from covidcnn.study.pages import Tables, manifest_table
from covidcnn.task import PNEUMONIA

OPTIMIZER_ARMS = (PUBLISHED, "2b-fair")


def evidence_tables(evidence: Evidence) -> Tables:
    """Every table that the finished arms allow, and the list of all trials."""
    tables: Tables = {}
    for arm in evidence.arms.values():
        tables |= _arm_tables(arm)
    if (scores := evidence.further.get(BASELINE)) is not None:
        tables[BASELINE] = (simple_model_table(scores), "Simple models on 16 x 16 pixels; no seeds.")
    if (sizes := evidence.further.get(SIZES)) is not None:
        tables[SIZES] = (sizes, "What a property of the file alone tells of training images at their original sizes; "
                                "AUC with a 95 % interval by patient.")
    return tables | store_tables(evidence)


def store_tables(evidence: Evidence) -> Tables:
    """What every study has: what was chosen on validation, and the list of all trials."""
    tables: Tables = {
        name: (selection_losses(selection), f"{arm_title(name, name in evidence.exploratory)}, validation only: mean "
               "loss over tuning seeds of every setting that was tried, and what was chosen.")
        for name, selection in evidence.selections.items()}
    if evidence.finished:
        tables["trials"] = (manifest_table(evidence), "Every finished trial, a row an arm that it stands in.")
    return tables


def _arm_tables(arm: ArmResults) -> Tables:
    thresholds = ("each training's own from validation (Youden's)", "0.5")
    primary, other = thresholds if predicts_at_own_threshold(arm) else thresholds[::-1]
    remark = (" 5216 training images are all there are: the same trainings, on another kind of processor."
              if "max_training_images" in arm.conditions[0].settings else "")
    tables = {arm.name: (arm_table(arm), (
        f"{arm.title}, test images, threshold {primary}: accuracy over seeds with the 95 % prediction interval for a "
        "new run on the same images, and on the 618 distinct images; then medians over seeds, at this threshold and "
        f"the other ({other}). Loss, AUC and calibration error know no threshold.{remark}"))}
    if len(arm.conditions) > 1:
        first = ", ".join(" ".join(pair) for pair in settings_in_words(arm.conditions[0]).items())
        tables[f"{arm.name}-against-first"] = (comparison_table(arm), (
            f"{arm.title}: each condition - the first ({first}), on test at threshold 0.5, paired by seed, "
            "with 95 % intervals over seeds and test patients; 'detectable' is the smallest difference found in four "
            f"of five cases, p uncorrected.{remark}"))
    if predicts_at_own_threshold(arm):
        aim = aim_table(arm)
        said = ("Both medians reach it", "One of the two medians reaches it", "Neither median reaches it")
        tables[f"{arm.name}-aim"] = (aim, (
            f"{arm.title}: the paper's accuracy and specificity as the aim, at thresholds from validation, and the "
            f"95 % prediction interval for a new run. {said[int((~aim['reached']).sum())]}. The recipe was chosen at "
            "64 px."))
    if compares_validations(arm):
        tables[f"{arm.name}-promises"] = (validation_table(arm), (
            f"{arm.title}: accuracy on validation, weighted to the class shares of test, accuracy on test, and their "
            "difference, over seeds, with its 95 % interval over seeds and patients of both."))
    if arm.name in (*OPTIMIZER_ARMS, *SIX_OPTIMIZERS.values()):
        tables[f"{arm.name}-ranks"] = (rank_table(arm), (
            f"{arm.title}: probability of each rank by mean test accuracy, as far as seeds and patients allow."))
        tables[f"{arm.name}-nadam"] = (nadam_table(arm), (
            f"{arm.title}: Nadam - each rival, by test accuracy, paired by seed; p by Holm over the five. Then the "
            "paper's pair of runs, and the 95 % prediction interval for a new pair of ours, both of one seed or each "
            "of its own: which the paper's were is not known."))
        tables[f"{arm.name}-pairs"] = (pair_table(arm), (
            f"{arm.title}: Nadam and each rival as single pairs of models, seed by seed: images that only one of them "
            "predicts correctly, and McNemar's exact p. It describes the pair; it is no test of the optimizers, and is "
            "not pooled."))
    return tables


def arm_table(arm: ArmResults) -> pd.DataFrame:
    """A row a condition: its settings, then what its trainings reach on test images."""
    return pd.DataFrame([settings_in_words(condition) | _reached(arm, condition) for condition in arm.conditions])


def _reached(arm: ArmResults, condition: Condition) -> dict[str, Any]:
    primary = predicts_at_own_threshold(arm)

    def median(metric: Metric, chosen: np.ndarray | None = None, moved: bool = primary) -> float:
        return float(np.median(condition.values(metric, chosen, moved)))

    values = condition.values(accuracy, at_validation_threshold=primary)
    found = spread(values)
    row: dict[str, Any] = {
        "seeds": len(values), "accuracy": found["median"], "lowest": found["lowest"], "highest": found["highest"],
        "mean": values.mean(), "standard deviation": values.std(ddof=1), "new run, low": found["new run, low"],
        "new run, high": found["new run, high"], "on distinct images": median(accuracy, distinct(arm))}
    row |= {name: median(metric) for name, metric in PROPORTIONS.items() if name != "accuracy"}
    row |= {f"sensitivity, {subtype}": median(sensitivity, arm.images["subtype"].eq(subtype).to_numpy())
            for subtype in ("bacteria", "virus")}
    row |= {f"{name}, other threshold": median(metric, None, not primary)
            for name, metric in (("accuracy", accuracy), ("specificity", specificity))}
    row |= {name: median(METRICS[name], None, False) for name in ("loss", "AUC", "calibration error")}
    held_out = {} if condition.diverged else {
        f"{name}, validation": np.median(condition.validation_values(metric, primary))
        for name, metric in (("specificity", specificity), ("accuracy at test's shares", arm.accuracy_at_shares))}
    return row | held_out | {"diverged": condition.diverged}


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, lowest and highest over seeds, and the 95 % prediction interval for a new run, of shares of images."""
    low, high = new_run(values)
    return {"median": float(np.median(values)), "lowest": values.min(), "highest": values.max(), "new run, low": low,
            "new run, high": high}


def aim_table(arm: ArmResults) -> pd.DataFrame:
    """What arm 7 aims at and what it reaches, at the threshold from validation: medians over seeds. The aim is the
    paper's in images, from the one confusion matrix that fits it: its 92.79 % are rounded up from 579 of 624."""
    (condition,), (theirs,) = arm.conditions, reported.matrices_that_fit()
    rows = []
    for name, metric, number in (("accuracy", accuracy, theirs.n), ("specificity", specificity, reported.TEST_NORMAL)):
        values, aim = condition.values(metric, at_validation_threshold=True), getattr(theirs, name)
        rows.append({"measure": name, "aim in images": f"{round(aim * number)} of {number}", "aim": aim}
                    | spread(values) | {"seeds": len(values), "reached": bool(np.median(values) >= aim)})
    return pd.DataFrame(rows)


def validation_table(arm: ArmResults) -> pd.DataFrame:
    """A row a condition: accuracy on validation, at the class shares of test, and on test."""
    metric = arm.accuracy_at_shares
    rows = []
    for condition in arm.conditions:
        row: dict[str, Any] = settings_in_words(condition)
        try:
            gain = gain_on_test(arm, condition)
            rows.append(row | {"images": len(condition.validation_images),
                               "on validation": condition.validation_values(metric).mean(),
                               "on test": condition.values(metric).mean(), "validation - test": -gain.mean,
                               "low": -gain.high, "high": -gain.low, "seeds": gain.seeds})
        except Untestable as error:
            rows.append(row | {"note": str(error)})
    return pd.DataFrame(rows)


def comparison_table(arm: ArmResults) -> pd.DataFrame:
    """Each condition - the first one of the arm: accuracy and specificity on test images."""
    first, *others = arm.conditions
    return pd.DataFrame([
        settings_in_words(other) | {"measure": name} | _difference(arm.difference(other, first, metric))
        for other in others for name, metric in (("accuracy", accuracy), ("specificity", specificity))])


def nadam_table(arm: ArmResults) -> pd.DataFrame:
    """Nadam - each other optimizer, by test accuracy: one family for Holm's correction."""
    differences = nadam_differences(arm, "accuracy")
    corrected = holm([difference.p_value for difference in differences.values()])
    nadam, rivals = nadam_and_rivals(arm)
    rows = []
    for (name, difference), p_value in zip(differences.items(), corrected, strict=True):
        of_one_seed, of_two = new_pair(nadam.values(accuracy), rivals[name].values(accuracy))
        on_distinct = nadam.values(accuracy, distinct(arm)) - rivals[name].values(accuracy, distinct(arm))
        rows.append({"rival": name} | _difference(difference) | {
            "p, Holm": p_value, "on distinct images": float(np.mean(on_distinct)), "paper": paper_lead(name),
            "new pair, one seed, low": of_one_seed[0], "new pair, one seed, high": of_one_seed[1],
            "new pair, two seeds, low": of_two[0], "new pair, two seeds, high": of_two[1]})
    return pd.DataFrame(rows)


def new_pair(first: np.ndarray, second: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """The 95 % prediction intervals for the difference of two new runs on the same images, from the runs of two
    conditions, float (seeds,), of the same seeds. The first is for new runs of one seed. The second is for new runs of
    two seeds, where what the seed does to both does not cancel: the variances of both runs are added, and that of the
    mean difference, which is paired. Degrees of freedom are the fewest that are possible, seeds - 1."""
    differences, seeds = first - second, len(first)
    variance = np.var(first, ddof=1) + np.var(second, ddof=1) + np.var(differences, ddof=1) / seeds
    centre, half = float(differences.mean()), float(stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1) * np.sqrt(variance))
    return prediction_interval(differences), (centre - half, centre + half)


def pair_table(arm: ArmResults) -> pd.DataFrame:
    """Nadam and each rival, a row a pair of models of the same seed."""
    (nadam, rivals), labels = nadam_and_rivals(arm), arm.images["positive"].to_numpy()
    return pd.DataFrame([
        {"rival": name, "seed": seed} | mcnemar_pair(one, other, labels) for name, rival in rivals.items()
        for seed, one, other in zip(nadam.seeds, nadam.test_scores, rival.test_scores, strict=True)
    ]).rename(columns={"only first right": "only Nadam right", "only second right": "only the rival right",
                       "p_value": "p of the pair"})


def selection_losses(selection: Mapping[str, Any]) -> pd.DataFrame:
    """Every setting that a selection considered, with its mean loss on validation; where learning rates were, also
    which of those that were selected lie at the edge of what was tried."""
    table = pd.DataFrame(selection["considered"]).drop(columns="losses")
    if {"optimizer", "learning_rate"} <= set(table):
        table["chosen at the edge"] = table["selected"] & table["optimizer"].isin(optimizers_at_the_edge(selection))
    return table.rename(columns=lambda name: name.replace("_", " "))


def _difference(difference: Difference) -> dict[str, float]:
    return {"seeds": difference.seeds, "mean difference": difference.mean, "low": difference.low,
            "high": difference.high, "p": difference.p_value,
            "detectable": statistics.minimum_detectable_difference(difference),
            "standard deviation over seeds": difference.seed_deviation,
            "standard error, patients": difference.patient_error}


def mean_by_draw(arm: ArmResults, condition: Condition) -> np.ndarray:
    """Test accuracy, mean over seeds, in each draw of the arm's test patients: float (draws,)."""
    return statistics.by_seed([(1, condition.test_scores)], arm.images, accuracy, arm.draws).mean(axis=0)


def rank_table(arm: ArmResults) -> pd.DataFrame:
    """The probability of each rank by mean test accuracy: a row an optimizer, a column a rank."""
    values = pd.DataFrame({condition.recipe.optimizer: condition.values(accuracy) for condition in arm.conditions})
    by_draw = np.stack([mean_by_draw(arm, condition) for condition in arm.conditions], axis=1)
    return statistics.rank_probabilities(values, by_draw).add_prefix("rank ").rename_axis("optimizer").reset_index()


def simple_model_table(scores: pd.DataFrame) -> pd.DataFrame:
    """The simple models in numbers, a row a model and split."""
    rows = []
    for (model, split), own in scores.groupby(["model", "split"], sort=False):
        matrix = confusion(own)
        labels, ones = PNEUMONIA.encode(own["label"]), np.ones(len(own))
        rows.append({"model": model, "images": len(own),
                     "scored on": "test" if split == "test" else "train, cross-validated by patient",
                     "accuracy": matrix.accuracy, "sensitivity": matrix.sensitivity, "specificity": matrix.specificity,
                     "AUC": float(METRICS["AUC"](labels, own["score"].to_numpy(float), ones))})
    return pd.DataFrame(rows)


def settings_in_words(condition: Condition) -> dict[str, str]:
    """What sets a condition apart within its arm, for people to read."""
    return {name.replace("_", " "): setting_in_words(name, value) for name, value in condition.settings.items()}


def setting_in_words(name: str, value: Any) -> str:
    """The value of a setting of a recipe, for people to read."""
    if name == "training_draw":
        return f"{value[0]:,} images, {100 * value[1]:.0f} % NORMAL"
    return "-".join(map(str, value)) if isinstance(value, tuple) else f"{value}"


def compares_validations(arm: ArmResults) -> bool:
    """Whether conditions differ in the images held back for validation, and so in the class shares of these."""
    return "validation" in arm.conditions[0].settings


def predicts_at_own_threshold(arm: ArmResults) -> bool:
    """As the protocol has it: in arm 7 a training predicts at its threshold from validation, elsewhere at 0.5."""
    return arm.name.startswith("7")


def distinct(arm: ArmResults) -> np.ndarray:
    """bool (test images,): without the surplus copies of identical files."""
    return ~arm.images["path"].map(lambda path: path.rsplit(".", 1)[0]).isin(TEST_COPIES).to_numpy()
