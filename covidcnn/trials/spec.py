"""What the YAML file of a sweep asks for: a grid of trials.

    seeds: [0, 1, 2]          # every setting with each of them
    score_test: false         # whether test images are scored; false for tuning
    recipe:                   # what all trials share: fields of Recipe, of ImageSettings and of the model
      size: 64
      epochs: 6
    grid:                     # every combination of these
      optimizer: [Nadam, Adam]
      learning_rate: [0.001, 0.0003]
    variants:                 # and each of these instead of a grid, or times it
      - {augmentation: none}
      - {augmentation: paper, balance: class-weight}
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.options import Checked
from covidcnn.models.registry import DEFAULT_MODEL, model_named
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.recipe import Recipe, fields_of, recipe_of
from covidcnn.trials.trial import Trial, pin_trial
from covidcnn.yaml_files import parse_yaml, read_yaml

_MOST_RECIPES = 10_000
"""A year of trainings and more; a mistyped grid soon asks for billions."""


@dataclass(frozen=True)
class _File(Checked):
    """The parts of a YAML file."""

    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**32 - 1)]], Field(min_length=1)]
    score_test: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = field(default_factory=dict)
    variants: Annotated[list[dict[str, Any]], Field(min_length=1)] = field(default_factory=lambda: [{}])


@dataclass(frozen=True)
class Sweep:
    """What a YAML file asks for."""

    recipes: tuple[Recipe, ...]
    seeds: tuple[int, ...]
    score_test: bool = False

    def trials(self, data: str, task: Task = PNEUMONIA) -> list[Trial]:
        """All trials on the images of a content hash, seed by seed: what is compared is complete early."""
        return list(dict.fromkeys(pin_trial(data, recipe, seed, self.score_test, task)
                                  for seed in self.seeds for recipe in self.recipes))


def read_sweep(path: Path, **defaults: Any) -> Sweep:
    """Read a sweep's YAML file, with what its recipes are where it says nothing; a UserError if it cannot be read, or a
    name or value in it is wrong."""
    value = read_yaml(path)
    try:
        return parse_sweep(value, **defaults)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_sweep(value: Any, **defaults: Any) -> Sweep:
    """The sweep that a YAML file's value describes, ``defaults`` as above; a UserError if a name or value is wrong."""
    if not isinstance(value, dict):
        raise UserError("a sweep has the parts seeds, recipe, grid")
    _require_known(value, fields_of(_File), "part")
    file = _File(**value)
    combinations = math.prod(map(len, file.grid.values())) * len(file.variants)
    if combinations > _MOST_RECIPES:
        raise UserError(f"grid: {combinations:,} combinations; a sweep has at most {_MOST_RECIPES:,}, so give fewer "
                        "values")
    for name in file.grid:
        if any(name in others for others in (file.recipe, *file.variants)):
            raise UserError(f"'{name}' is given twice")
    recipes = [checked_recipe(defaults | file.recipe | settings) for settings in variants_of(value)]
    return Sweep(tuple(recipes), tuple(file.seeds), file.score_test)


def variants_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings in which the recipes of a sweep differ, in their order: each variant with each combination of
    the grid."""
    grid = value.get("grid", {})
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return [variant | combination
            for variant, combination in itertools.product(value.get("variants", [{}]), combinations)]


def settings_from(entries: Sequence[str]) -> dict[str, Any]:
    """Settings given as NAME=VALUE, values as in YAML; a UserError if one is not of this form."""
    found = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not (equals and name):
            raise UserError(f"--option {entry}: give NAME=VALUE, for example dropout=0.3")
        if name in found:
            raise UserError(f"--option {name}: given twice; leave one out")
        found[name] = parse_yaml(text, f"--option {entry}")
    return found


def checked_recipe(values: dict[str, Any]) -> Recipe:
    """The recipe with these settings, by their names in ``Recipe``, ``ImageSettings`` and the options of its model; a
    UserError if a name or value is wrong."""
    options = model_named(str(values.get("model", DEFAULT_MODEL)))
    _require_known(values, ("model", *fields_of(Recipe), *fields_of(ImageSettings), *fields_of(options)), "setting")
    if "epochs" not in values:
        raise UserError("recipe: give epochs")
    return recipe_of(values)


def _require_known(value: dict[str, Any], known: Sequence[str], what: str) -> None:
    for name in value:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            raise UserError(f"unknown {what} '{name}'; "
                            + (f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"))
