"""Matching groups of images by a measure."""

import numpy as np
import pandas as pd
import pytest
from matching import matched_pairs


def test_nearest_of_all_and_not_nearest_one_by_one():
    # Taking 1.0's nearest, 1.1, would leave 1.2 without a partner within 0.15.
    first = pd.DataFrame({"aspect": [1.0, 1.2]}, index=["a", "b"])
    second = pd.DataFrame({"aspect": [1.1, 0.9, 3.0]}, index=["x", "y", "z"])
    pairs = matched_pairs(first, second, {"aspect": 0.15})
    assert set(zip(pairs["first"], pairs["second"], strict=True)) == {("a", "y"), ("b", "x")}
    assert pairs["distance"].to_list() == pytest.approx([0.1 / 0.15, 0.1 / 0.15])


def test_far_ones_stay_alone():
    pairs = matched_pairs(pd.DataFrame({"area": [1.0, 9.0]}), pd.DataFrame({"area": [1.2, 5.0]}), {"area": 0.5})
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 0]]


def test_gap_is_kept():
    first, second = pd.DataFrame({"aspect": [1.0, 1.1]}), pd.DataFrame({"aspect": [1.3, 1.4, 1.0, 1.1]})
    pairs = matched_pairs(first, second, {"aspect": 0.01}, {"aspect": 0.3})
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_matched_groups_cannot_be_told_apart():
    generator = np.random.default_rng(0)
    first = pd.DataFrame({"aspect": generator.normal(0.2, 0.1, 200), "area": generator.normal(1, 1, 200)})
    second = pd.DataFrame({"aspect": generator.normal(0.4, 0.15, 600), "area": generator.normal(0, 1, 600)})
    pairs = matched_pairs(first, second, {"aspect": 0.05, "area": 0.5})
    assert len(pairs) > 100
    assert pairs["first"].is_unique
    assert pairs["second"].is_unique
    matched = second.loc[pairs["second"]].mean() - first.loc[pairs["first"]].mean()
    assert abs(matched["aspect"]) < 0.02
    assert abs(matched["area"]) < 0.2
