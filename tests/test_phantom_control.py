"""The phantom images are a positive control: the planted gap is there, balancing leaves most of it, zoom does not."""

from dataclasses import replace

import pytest

from covidcnn.config import PROFILES
from covidcnn.data.dataset import open_dataset
from covidcnn.data.phantom import DEFAULT_COUNTS, write_phantom
from covidcnn.training.comparison import compare, gap_table
from covidcnn.training.fit import train
from covidcnn.training.precision import resolve_precision
from covidcnn.training.recipe import profile_recipe

SEEDS = range(5)
"""Of one or two, processors differ by as much as the planted gap is large."""
TREATMENTS = {"no processing": {}, "class weights": {"balance": "class-weight"},
              "zoom": {"augmentation": "paper and zoom"}}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Of a data seed on which nothing was tuned."""
    folder = tmp_path_factory.mktemp("images") / "phantom"
    write_phantom(folder, DEFAULT_COUNTS, seed=2)
    return open_dataset(folder)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_balancing_leaves_most_of_the_planted_gap_and_zoom_closes_most_of_it(images, precision):
    if precision == "bfloat16" and resolve_precision("auto") != precision:
        pytest.skip("this processor is slower in bfloat16 than in float32, or has to imitate it")
    recipes = {name: replace(profile_recipe(PROFILES["quick"], **changes), precision=precision)
               for name, changes in TREATMENTS.items()}
    table = gap_table(compare(lambda recipe, seed: train(images, recipe, seed), recipes, SEEDS).results)
    assert (table["specificity, validation"] > 0.9).all()
    gap = table["gap"]
    assert gap["no processing"] > 0.3
    assert gap["class weights"] > 0.67 * gap["no processing"]
    assert gap["zoom"] < 0.5 * gap["no processing"]
    assert gap["class weights"] - gap["zoom"] > 0.1
