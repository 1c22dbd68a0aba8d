"""What the threshold explorer moves its slider over: the scores that notebooks saved, by training, split and class."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from covidcnn.evaluation.scores import epoch_columns, is_score, score_columns
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.task import PNEUMONIA, Task

_REST = "rest"


def explorer_choices(folder: Path, saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One choice a training, in the order of the files; of more than two classes one for each class against the rest.

    Args:
        folder: the report's.
        saved: what ``Run.save_scores`` entered: name, file, caption, threshold, classes.

    Returns:
        For each choice ``set`` (the name of its file), ``name``, ``classes`` (negative and positive), ``range`` (what
        the slider spans), ``marks`` (thresholds that no test image chose) and ``splits``: by split, the scores of
        ``negative`` and ``positive`` images in ascending order.
    """
    choices = []
    for entry in saved:
        scores = pd.read_csv(folder / entry["file"], keep_default_na=False)
        if "perturbation" in scores:
            # The images as they are.
            scores = scores[scores["perturbation"] == ""]
        own = list(filter(is_score, scores.columns))
        of_images = {*score_columns(own), *epoch_columns(scores.columns)}
        settings = [column for column in scores.columns if column not in of_images]
        groups = scores.groupby(settings, sort=False) if settings else [((), scores)]
        # Older records are of the paper's.
        of_all = Task(entry.get("classes", PNEUMONIA.classes))
        for values, group in groups:
            name = ", ".join(f"{setting} {value}" for setting, value in zip(settings, values, strict=True))
            for task, images in _of_two_classes(group, of_all):
                against = "" if of_all.is_binary else f"{task.positive} against the rest"
                choices.append({
                    "set": entry["name"], "name": ", ".join(filter(None, [name, against])) or "all images",
                    "classes": task.classes, "range": _span(images["score"]),
                    "marks": _marks(images, entry["threshold"], task), "splits": _by_split_and_class(images, task)})
    return choices


def _of_two_classes(scores: pd.DataFrame, task: Task) -> list[tuple[Task, pd.DataFrame]]:
    if task.is_binary:
        return [(task, scores)]
    return [(Task((_REST, name)), scores.assign(score=scores[column], label=scores["label"].where(
        scores["label"] == name, _REST))) for name, column in zip(task.classes, task.score_columns, strict=True)]


def _by_split_and_class(scores: pd.DataFrame, task: Task) -> dict[str, dict[str, list[float]]]:
    return {str(split): {name: sorted(own.loc[own["label"] == label, "score"])
                         for name, label in zip(("negative", "positive"), task.classes, strict=True)}
            for split, own in scores.groupby("split", sort=False)}


def _span(scores: pd.Series) -> tuple[float, float]:
    """0 to 1 for probabilities, whole numbers around anything else."""
    if scores.between(0, 1).all():
        return 0, 1
    return math.floor(scores.min()), math.floor(scores.max()) + 1


def _marks(scores: pd.DataFrame, fixed: float, task: Task) -> list[dict[str, Any]]:
    marks: list[dict[str, Any]] = [{"name": "fixed beforehand", "threshold": fixed}]
    validation = scores[scores["split"] == "validation"]
    if validation["label"].nunique() == len(task.classes):
        marks.append({"name": "Youden's, from validation images",
                      "threshold": fix_threshold(validation, "youden", task=task)})
    return marks
