"""Several recipes over several seeds: tidy tables, with a stand-in for training."""

from types import SimpleNamespace

import pandas as pd
import pytest

from covidcnn.task import PNEUMONIA
from covidcnn.training.comparison import compare, median_and_range, summary
from covidcnn.training.recipe import Recipe
from covidcnn.training.result import Training

SCORES = pd.DataFrame({
    "split": ["validation"] * 2 + ["test"] * 4, "path": list("abcdef"),
    "label": ["NORMAL", "PNEUMONIA", "NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA"],
    "score": [0.1, 0.9, 0.2, 0.7, 0.8, 0.4], "subtype": "x", "patient": list("abcdef"),
    "perturbation": ""})
HISTORY = pd.DataFrame({"loss": [1.0, 0.5], "val_loss": [0.9, 0.8]}, index=pd.Index([1, 2], name="epoch"))


def test_every_recipe_is_trained_with_every_seed():
    asked = []

    def train(recipe, seed):
        asked.append((recipe.optimizer, seed))
        return Training(SimpleNamespace(task=PNEUMONIA), HISTORY, SCORES, False)

    comparison = compare(train, {"a": Recipe(1), "b": Recipe(1, optimizer="sgd")}, [3, 4], by="optimizer")
    assert asked == [("Nadam", 3), ("Nadam", 4), ("SGD", 3), ("SGD", 4)]
    assert len(comparison.results) == 2 * 2 * 2
    assert len(comparison.histories) == 2 * 2 * 2
    assert len(comparison.scores) == 2 * 2 * 6
    row = comparison.results.query("optimizer == 'b' and seed == 4 and split == 'test'").iloc[0]
    assert (row["accuracy"], row["specificity"], row["sensitivity"], row["best epoch"]) == (0.5, 0.5, 0.5, 2)


def test_summary_of_known_scores():
    values = summary(SCORES[SCORES["split"] == "test"])
    assert values["accuracy"] == 0.5
    assert values["AUC"] == 0.75


def test_median_and_range():
    assert median_and_range(pd.Series([0.3, 0.1, 0.2])) == "0.200 (0.100 to 0.300)"
    assert median_and_range(pd.Series([0.5])) == pytest.approx("0.500 (0.500 to 0.500)")
