"""Several recipes over several seeds: tidy tables, with a stand-in for training."""

from types import SimpleNamespace

import pandas as pd
import pytest

from covidcnn.task import PNEUMONIA
from covidcnn.training.comparison import compare, gap_table, median_and_range, summary
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


def test_gap_is_the_mean_over_seeds_with_the_interval_of_students_t():
    results = pd.DataFrame([
        {"recipe": recipe, "seed": seed, "split": split, "specificity": value}
        for recipe, values in {"b": [(0.9, 0.5), (1.0, 0.4), (0.8, 0.5)], "a": [(0.7, 0.8)]}.items()
        for seed, both in enumerate(values) for split, value in zip(("validation", "test"), both, strict=True)])
    table = gap_table(results)
    assert table.index.tolist() == ["b", "a"]
    # By hand: gaps 0.4, 0.6, 0.3 with standard deviation 0.1528; t with two degrees of freedom is 4.3027.
    reach = 4.3027 * 0.152753 / 3**0.5
    assert table.loc["b"].tolist() == pytest.approx(
        [0.9, 1.4 / 3, 1.3 / 3, 1.3 / 3 - reach, 1.3 / 3 + reach, 3], rel=1e-4)
    assert table.loc["a", ["gap", "seeds"]].tolist() == pytest.approx([-0.1, 1])
    assert table.loc["a", ["low", "high"]].isna().all()


def test_median_and_range():
    assert median_and_range(pd.Series([0.3, 0.1, 0.2])) == "0.200 (0.100 to 0.300)"
    assert median_and_range(pd.Series([0.5])) == pytest.approx("0.500 (0.500 to 0.500)")
