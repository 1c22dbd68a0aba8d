"""Whether a model holds on images unlike those that it learnt from: perturbed ones, and a threshold set anew on a few
local ones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from covidcnn.errors import UserError
from covidcnn.evaluation.metrics import confusion, draw_patients, over_draws
from covidcnn.evaluation.scores import score_table
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.evaluation.weighted_metrics import METRICS, accuracy
from covidcnn.models.predictor import Predictor
from covidcnn.perturbations import PERTURBATIONS
from covidcnn.task import PNEUMONIA, Task


def perturbation_table(predictor: Predictor, pixels: np.ndarray, images: pd.DataFrame, threshold: float,
                       names: Sequence[str] = tuple(PERTURBATIONS), samples: int = 1000) -> pd.DataFrame:
    """What becomes of a model's predictions under perturbations, the worst first, below the images as they are.

    Args:
        predictor: of two classes.
        pixels: uint8 (n, size, size), as the model sees the ``images``, a table with a row each.
        threshold: from which score on the positive class is predicted.
        names: of ``PERTURBATIONS``.
        samples: of the bootstrap over patients.

    Returns:
        Indexed by perturbation ('as they are' first): ``accuracy``, ``sensitivity``, ``specificity``, ``AUC``,
        ``lost`` (accuracy, against the images as they are) with its 95 % interval over patients ``lost, low`` and
        ``lost, high``, and ``changed``, the share of predictions that are others.
    """
    task, rows, before = predictor.task, {}, np.empty(0)
    labels = task.encode(images["label"])
    draws = draw_patients(images["patient"], labels, samples, seed=0, at_once=samples)
    for name in ("", *names):
        scores = score_table(images, predictor(pixels, perturbation=name), task)
        predicted = (scores["score"] >= threshold).to_numpy(float)
        before, matrix = predicted if not name else before, confusion(scores, threshold, task)
        lost = accuracy(labels, before, draws) - accuracy(labels, predicted, draws)
        low, high = over_draws(lost, draws)
        rows[name or "as they are"] = {
            "accuracy": matrix.accuracy, "sensitivity": matrix.sensitivity, "specificity": matrix.specificity,
            "AUC": float(METRICS["AUC"](labels, scores["score"].to_numpy(), np.ones(len(labels)))),
            "lost": float((before == labels).mean()) - matrix.accuracy, "lost, low": low, "lost, high": high,
            "changed": float((before != predicted).mean())}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("perturbation")
    return pd.concat([table[:1], table[1:].sort_values("lost", ascending=False, kind="stable")])


def local_thresholds(scores: pd.DataFrame, threshold: float, counts: Sequence[int], draws: int = 200, seed: int = 0,
                     task: Task = PNEUMONIA) -> pd.DataFrame:
    """What a threshold is worth that is set anew on a few local images (Youden's), judged on the others.

    Args:
        scores: of the local images, as ``score_table``.
        threshold: the model's own, for a draw that lacks a class too.
        counts: how many images are drawn, whole patients at random until there are at least so many.
        draws: how often; one that leaves no image of a class to judge by is not counted.
        task: of two classes.

    Returns:
        Indexed by ``images``, 0 first: medians over the draws, and the range of 95 % of them, of ``threshold``,
        ``accuracy``, ``sensitivity`` and ``specificity`` on the images that were not drawn; ``drawn``, the mean number
        of images that were; and ``better``, the share of draws in which the mean of sensitivity and specificity there
        is higher than with the model's own threshold.

    Raises:
        UserError: no draw of so many images leaves both classes to judge by.
    """
    generator = np.random.default_rng(seed)
    patients, sizes, rows = scores["patient"].to_numpy(), scores["patient"].value_counts(sort=False), []
    for count in (0, *counts):
        for _ in range(draws if count else 1):
            order = generator.permutation(sizes.index.to_numpy())
            total = sizes[order].cumsum()
            drawn = np.isin(patients, order[: int(np.searchsorted(total, count)) + 1]) if count else np.zeros(
                len(patients), bool)
            local, others = scores[drawn], scores[~drawn]
            if others["label"].nunique() < 2:
                continue
            own = fix_threshold(local, "youden", task=task) if local["label"].nunique() == 2 else threshold
            with_own, with_models = confusion(others, own, task), confusion(others, threshold, task)
            gained = [one.sensitivity + one.specificity for one in (with_own, with_models)]
            rows.append({"images": count, "threshold": own, "accuracy": with_own.accuracy,
                         "sensitivity": with_own.sensitivity, "specificity": with_own.specificity,
                         "drawn": drawn.sum(), "better": gained[0] > gained[1]})
        if not rows or rows[-1]["images"] != count:
            raise UserError(f"{count} images: whole patients with so many leave no image of a class to judge by; take "
                            "fewer")
    found = pd.DataFrame(rows).groupby("images")
    table = found[["drawn", "better"]].mean()
    for name in ("threshold", "accuracy", "sensitivity", "specificity"):
        low, middle, high = (found[name].quantile(share) for share in (0.025, 0.5, 0.975))
        table = table.assign(**{name: middle, f"{name}, low": low, f"{name}, high": high})
    return table[[*table.columns[2:], "drawn", "better"]]
