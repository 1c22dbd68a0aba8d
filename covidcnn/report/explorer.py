"""What the threshold explorer moves its slider over: the scores that notebooks saved, by training, split and class."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from covidcnn.evaluation.scores import TEXTS, epoch_columns, score_columns
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.task import PNEUMONIA, Task


def explorer_choices(folder: Path, saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One choice a training, in the order of the files.

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
        scores = pd.read_csv(folder / entry["file"], dtype=TEXTS, keep_default_na=False)
        if "perturbation" in scores:
            # The images as they are.
            scores = scores[scores["perturbation"] == ""]
        of_images = {*score_columns(), *epoch_columns(scores.columns)}
        settings = [column for column in scores.columns if column not in of_images]
        # Older records name no classes: theirs are the paper's.
        task = Task(entry.get("classes", PNEUMONIA.classes))
        for values, of_training in scores.groupby(settings, sort=False) if settings else [((), scores)]:
            name = ", ".join(f"{setting} {value}" for setting, value in zip(settings, values, strict=True))
            splits = {str(split): {kind: sorted(own.loc[own["label"] == label, "score"])
                                   for kind, label in zip(("negative", "positive"), task.classes, strict=True)}
                      for split, own in of_training.groupby("split", sort=False)}
            choices.append({"set": entry["name"], "name": name or "all images", "classes": task.classes,
                            "range": _span(of_training["score"]),
                            "marks": _marks(of_training, entry["threshold"], task), "splits": splits})
    return choices


def _span(scores: pd.Series) -> tuple[float, float]:
    """0 to 1 for probabilities, whole numbers around anything else."""
    if scores.between(0, 1).all():
        return 0, 1
    return math.floor(scores.min()), math.floor(scores.max()) + 1


def _marks(scores: pd.DataFrame, fixed: float, task: Task) -> list[dict[str, Any]]:
    marks: list[dict[str, Any]] = [{"name": "fixed beforehand", "threshold": fixed}]
    validation = scores[scores["split"] == "validation"]
    if validation["label"].nunique() == 2:
        marks.append({"name": "Youden's, from validation images",
                      "threshold": fix_threshold(validation, "youden", task=task)})
    return marks
