"""The fifth study: what are labels from a teacher worth? Tables and figure of what is finished of it.

The rules stand in ``reports/teacher/protocol.yaml``.
"""

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from covidcnn.evaluation.metrics import Estimate, confusion
from covidcnn.evaluation.scores import unperturbed
from covidcnn.evaluation.statistics import over_seeds, ratio
from covidcnn.evaluation.weighted_metrics import METRICS, THRESHOLD
from covidcnn.paper.model_tables import measured
from covidcnn.paper.recipe_arms import Contrast
from covidcnn.paper.recipe_contrasts import contrast_table
from covidcnn.paper.tables import store_tables
from covidcnn.plots.comparisons import by_labels
from covidcnn.plots.results import calibration, confusion_matrix
from covidcnn.plots.style import legend_below
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.pages import Named, Tables
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.recipe import UNLABELLED

SELECTION, TEACHER, STUDENT, ALL, RIDGE = "1-which-labels", "2-teachers", "3-students", "4-all-labels", "5-ridge"
PRIMARY_SHARE = 0.1
_NAMES = {TEACHER: "known labels (teacher)", STUDENT: "known and a teacher's (student)", ALL: "all labels",
          RIDGE: "ridge, known labels"}
_AUC = METRICS["AUC"]
_INFORMED = "Zoom was first tried by test scores: what was trained with it is informed by the test set."

Learners = dict[tuple[str, float], tuple[ArmResults, Condition]]
"""By arm and share of known labels."""


def learners_of(evidence: Evidence) -> Learners:
    """The conditions of all finished arms."""
    return {(name, one.recipe.label_share): (arm, one) for name, arm in evidence.arms.items() for one in arm.conditions}


def teacher_tables(evidence: Evidence) -> Tables:
    """Every table of the fifth study that its finished arms allow."""
    tables, learners = store_tables(evidence), learners_of(evidence)
    if learners:
        tables["results"] = (result_table(learners), (
            "Test images, by share of the training labels that are known: means over seeds, each with a draw of its "
            f"own, with 95 % intervals over seeds and patients; thresholds from validation. {_INFORMED}"))
    if found := teacher_contrasts(learners):
        tables["contrasts"] = (contrast_table(found), (
            "AUC on test: a student - its teacher (primary at a share of 10 %), and - ridge regression on the same "
            f"labels, paired by seed; p by Holm over the secondary ones that are finished. {_INFORMED}"))
    if (gaps := gap_table(learners)) is not None:
        tables["gap"] = (gaps, (
            "By how much AUC all labels are better than the teacher (the gap), with its 95 % interval over seeds and "
            "patients, and the share of it that the student closes, with Fieller's; empty where there may be no gap. "
            f"{_INFORMED}"))
    if TEACHER in evidence.arms and (confidence := chosen_confidence(evidence)):
        tables["labels"] = (label_table(evidence.arms[TEACHER], confidence), (
            f"Training images without a label: how many a teacher labels from a confidence of {confidence:g} on, and "
            "how many of these rightly; means over seeds with 95 % intervals over seeds."))
    return tables


def chosen_confidence(evidence: Evidence) -> float | None:
    """From which confidence on a student learns a teacher's labels, if it is chosen."""
    chosen = evidence.selections.get(SELECTION)
    return float(chosen["variants"][0]["min_confidence"]) if chosen else None


def result_table(learners: Learners) -> pd.DataFrame:
    """A row a learner and share: ``measured``."""
    return pd.DataFrame([
        {"learns from": _NAMES[name], "share of labels": share, "seeds": len(one.seeds)}
        | measured(one.test_scores, one.thresholds, arm.images, arm.draws)
        for (name, share), (arm, one) in learners.items()])


def teacher_contrasts(learners: Learners) -> list[Contrast]:
    """The primary contrast, then those of one family, of what is finished."""
    return sorted((Contrast(
        "a teacher's labels", "primary" if (share, other) == (PRIMARY_SHARE, TEACHER) else "secondary", "all",
        f"{share:.0%} of labels: student - {'teacher' if other == TEACHER else 'ridge'}", "AUC",
        arm.difference(student, learners[other, share][1], _AUC))
        for (name, share), (arm, student) in learners.items() if name == STUDENT
        for other in (TEACHER, RIDGE) if (other, share) in learners), key=lambda contrast: contrast.rank)


def gap_table(learners: Learners) -> pd.DataFrame | None:
    """A row a share: ``gap`` and ``closed`` with their intervals; None before teachers, students and all labels are
    finished."""
    if not {STUDENT, TEACHER, ALL} <= {name for name, _ in learners}:
        return None
    (every, whole), rows = learners[ALL, 1.0], []
    for (name, share), (_, student) in learners.items():
        if name == STUDENT:
            of_student, of_teacher, of_all = (one.test_scores for one in (
                student, learners[TEACHER, share][1], whole))
            gap = [(1.0, of_all), (-1.0, of_teacher)]
            whole_gap = every.contrast(gap, _AUC)
            closed = (ratio([(1, of_student), (-1, of_teacher)], gap, every.images, _AUC, every.draws)
                      if whole_gap.low > 0 else Estimate(np.nan, np.nan, np.nan, "Fieller"))
            rows.append({"share of labels": share, "gap": whole_gap.mean, "gap, low": whole_gap.low,
                         "gap, high": whole_gap.high, "closed": closed.value, "closed, low": closed.low,
                         "closed, high": closed.high, "seeds": len(student.seeds)})
    return pd.DataFrame(rows)


def automatic_labels(scores: pd.DataFrame, min_confidence: float, task: Task = PNEUMONIA) -> dict[str, float]:
    """How right a teacher's labels are, from its scores of images whose true label it did not know: the share that it
    ``labelled``, of these the share ``right``, and of those that are of a class; and the calibration error of all."""
    labels, values = task.encode(scores["label"]), scores["score"].to_numpy(float)
    sure = np.maximum(values, 1 - values) >= min_confidence
    # As a series, whose mean of nothing is NaN without a warning.
    right = pd.Series((values >= THRESHOLD) == labels)
    found = {"labelled": sure.mean(), "right": right[sure].mean()} | {
        f"right, {name}": right[sure & (labels == place)].mean() for place, name in enumerate(task.classes)}
    return {name: float(value) for name, value in found.items()} | {
        "calibration error": float(METRICS["calibration error"](labels, values, np.ones(len(values))))}


def _automatic_labels_by_kind(scores: pd.DataFrame, min_confidence: float) -> dict[str, float]:
    """``automatic_labels``, and how many of each subtype are labelled and, of kinds of pneumonia, how many rightly."""
    found = automatic_labels(scores, min_confidence)
    for kind, own in scores[scores["subtype"] != ""].groupby("subtype"):
        of_kind = automatic_labels(own, min_confidence)
        found[f"labelled, {kind}"] = of_kind["labelled"]
        if kind != "normal":
            found[f"right, {kind}"] = of_kind["right"]
    return found


def label_table(arm: ArmResults, min_confidence: float) -> pd.DataFrame:
    """A row a share and measure of ``automatic_labels``, some also by subtype; none where a seed gives no number, or a
    training diverged."""
    rows = []
    for one in [condition for condition in arm.conditions if not condition.diverged]:
        by_seed = pd.DataFrame([_automatic_labels_by_kind(unperturbed(result.scores, UNLABELLED), min_confidence)
                                for result in one.results])
        for measure, values in by_seed.dropna(axis=1).items():
            found = over_seeds(values.to_numpy())
            rows.append({"share of labels": one.recipe.label_share, "measure": measure, "mean": found.mean,
                         "low": found.low, "high": found.high, "seeds": found.seeds})
    return pd.DataFrame(rows)


def teacher_figures(evidence: Evidence) -> Iterator[Named]:
    """The figures of the fifth study, once teachers are finished."""
    if TEACHER in evidence.arms:
        figure, ax = plt.subplots(figsize=(7, 4.2))
        by_labels(_auc_by_learner(result_table(learners_of(evidence))), "AUC on test", ax)
        yield ("labels", legend_below(figure, 2), (
            "AUC on test by the share of training labels that are known: means over seeds and 95 % intervals over "
            f"seeds and patients. {_INFORMED}"))
        if confidence := chosen_confidence(evidence):
            yield _automatic_figure(evidence.arms[TEACHER].condition(label_share=PRIMARY_SHARE), confidence)


def _automatic_figure(teachers: Condition, confidence: float) -> Named:
    seed, scores = teachers.seeds[0], unperturbed(teachers.results[0].scores, UNLABELLED)
    used = scores[np.maximum(scores["score"], 1 - scores["score"]) >= confidence]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    confusion_matrix(confusion(used), f"{len(used)} of {len(scores)} images get a label", left)
    calibration(scores, right)
    return "automatic", figure, (
        f"A teacher with {PRIMARY_SHARE:.0%} of the labels, seed {seed}: its labels from a confidence of "
        f"{confidence:g} on against the true ones (left), and the calibration of all its scores (right). Training "
        f"images whose label it did not know. {_INFORMED}")


def _auc_by_learner(results: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    return {str(name): own.set_index("share of labels")[["AUC", "AUC, low", "AUC, high"]].set_axis(
        ["mean", "low", "high"], axis=1) for name, own in results.groupby("learns from", sort=False)}
