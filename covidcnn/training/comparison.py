"""Several recipes over several seeds: the same seeds for all, every result in tidy tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.evaluation.metrics import counts_of, cross_entropy
from covidcnn.evaluation.statistics import over_seeds
from covidcnn.evaluation.weighted_metrics import METRICS, macro_auc
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.recipe import Recipe


@dataclass(frozen=True)
class Comparison:
    """Tidy results of every (recipe, seed)."""

    results: pd.DataFrame
    """A row a recipe, seed and split (validation, test, unlabelled): accuracy, sensitivity, specificity, loss and AUC
    at threshold 0.5, and the ``best epoch``, chosen on validation."""
    histories: pd.DataFrame
    """A row a recipe, seed and epoch."""
    scores: pd.DataFrame
    """A row a recipe, seed and image."""


def compare(train: Callable[[Recipe, int], Any], recipes: Mapping[str, Recipe], seeds: Sequence[int],
            by: str = "recipe") -> Comparison:
    """Train every recipe with every seed: fresh model, same initial weights for a seed, fresh optimizer.

    Args:
        train: gives a ``Training``, or a stored trial's ``TrialResult``, for example ``Run.trial``.
        recipes: by the name they have in the tables' column ``by``.
        seeds: the same for all recipes, so that differences can be paired.
    """
    results, histories, scores = [], [], []
    for name, recipe in recipes.items():
        for seed in seeds:
            training = train(recipe, seed)
            which = {by: name, "seed": seed}
            histories.append(training.history.reset_index().assign(**which))
            scores.append(training.scores.assign(**which))
            results += [which | {"split": split, "best epoch": training.best_epoch} | figures
                        for split, figures in summaries(training.scores, training.task).items()]
    return Comparison(pd.DataFrame(results), pd.concat(histories, ignore_index=True),
                      pd.concat(scores, ignore_index=True))


def summaries(scores: pd.DataFrame, task: Task = PNEUMONIA) -> dict[str, dict[str, float]]:
    """``summary`` of each split of a training; perturbed images are no results of their own."""
    as_they_are = scores[scores["perturbation"] == ""]
    return {str(split): summary(own, task=task) for split, own in as_they_are.groupby("split")}


def summary(scores: pd.DataFrame, task: Task = PNEUMONIA) -> dict[str, float]:
    """The figures of one row of a comparison; those of two classes at threshold 0.5; of more the AUC is the mean of
    each class's against the rest."""
    labels, values = task.encode(scores["label"]), scores[task.score_columns].to_numpy(float)
    if not task.is_binary:
        counts = counts_of(scores, task)
        return {"accuracy": float(counts.trace() / counts.sum()), "loss": cross_entropy(labels, values),
                "AUC": float(macro_auc(labels, values))}
    return {name: float(METRICS[name](labels, values[:, 0], np.ones(len(labels))))
            for name in ("accuracy", "sensitivity", "specificity", "loss", "AUC")}


def gap_table(results: pd.DataFrame, measure: str = "specificity") -> pd.DataFrame:
    """A measure on validation and on test, from the results of a comparison by 'recipe': means over seeds, and the gap
    between them with its 95 % interval over seeds, which leaves other test patients out. Of one seed there is none."""
    rows = {}
    for recipe, trainings in results.groupby("recipe", sort=False):
        by_seed = trainings.pivot(index="seed", columns="split", values=measure)
        gaps = (by_seed["validation"] - by_seed["test"]).to_numpy()
        low, high = ((found := over_seeds(gaps)).low, found.high) if len(gaps) > 1 else (np.nan, np.nan)
        rows[recipe] = {
            f"{measure}, validation": by_seed["validation"].mean(), f"{measure}, test": by_seed["test"].mean(),
            "gap": gaps.mean(), "low": low, "high": high, "seeds": len(gaps)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("recipe")


def median_and_range(values: pd.Series) -> str:
    """'median (lowest to highest)' over seeds, to three decimals."""
    return f"{values.median():.3f} ({values.min():.3f} to {values.max():.3f})"
