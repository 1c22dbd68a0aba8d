"""What the threshold explorer moves its slider over: the scores that notebooks saved, by training, split and class."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from covidcnn.data.catalogue import LABELS
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.training.result import SCORE_COLUMNS, epoch_columns


def explorer_choices(folder: Path, saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One choice a training, in the order of the files.

    Args:
        folder: the report's.
        saved: what ``Run.save_scores`` entered: name, file, caption, threshold.

    Returns:
        For each choice ``set`` (the name of its file), ``name``, ``range`` (what the slider spans),
        ``marks`` (thresholds that no test film chose) and ``splits``: by split and class, the scores in
        ascending order.
    """
    choices = []
    for entry in saved:
        scores = pd.read_csv(folder / entry["file"], keep_default_na=False)
        if "perturbation" in scores:
            # The images as they are.
            scores = scores[scores["perturbation"] == ""]
        of_films = {*SCORE_COLUMNS, *epoch_columns(scores.columns)}
        settings = [column for column in scores.columns if column not in of_films]
        groups = scores.groupby(settings, sort=False) if settings else [((), scores)]
        for values, own in groups:
            name = ", ".join(f"{setting} {value}" for setting, value in zip(settings, values, strict=True))
            choices.append({"set": entry["name"], "name": name or "all films", "range": _span(own["score"]),
                            "marks": _marks(own, entry["threshold"]), "splits": _by_split_and_class(own)})
    return choices


def _by_split_and_class(scores: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    return {str(split): {label: sorted(own.loc[own["label"] == label, "score"]) for label in LABELS}
            for split, own in scores.groupby("split", sort=False)}


def _span(scores: pd.Series) -> tuple[float, float]:
    """0 to 1 for probabilities, whole numbers around anything else."""
    if scores.between(0, 1).all():
        return 0, 1
    return math.floor(scores.min()), math.floor(scores.max()) + 1


def _marks(scores: pd.DataFrame, fixed: float) -> list[dict[str, Any]]:
    marks: list[dict[str, Any]] = [{"name": "fixed beforehand", "threshold": fixed}]
    validation = scores[scores["split"] == "validation"]
    if validation["label"].nunique() == len(LABELS):
        marks.append({"name": "Youden's, from validation films", "threshold": fix_threshold(validation, "youden")})
    return marks
