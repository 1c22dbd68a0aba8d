"""What the YAML file of a sweep asks for: a grid of trials.

    seeds: [0, 1, 2]          # every setting with each of them
    score_test: false         # whether test images are scored; false for tuning
    recipe:                   # what all trials share: fields of Recipe and of ImageSettings
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
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.registry import DEFAULT_MODEL, model_named
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.recipe import Recipe, fields_of
from covidcnn.trials.trial import Trial, pin_trial
from covidcnn.yaml_files import NUMBER, parse_yaml, read_yaml

_RECIPE, _SEEDS, _FLAG = TypeAdapter(Recipe), TypeAdapter(list[int]), TypeAdapter(bool)

_MOST_RECIPES = 10_000
"""A year of trainings and more; a mistyped grid soon asks for billions."""


@dataclass(frozen=True)
class Sweep:
    """What a YAML file asks for."""

    recipes: tuple[Recipe, ...]
    seeds: tuple[int, ...]
    score_test: bool = False

    def trials(self, data: str, task: Task = PNEUMONIA) -> list[Trial]:
        """All trials on the images of a content hash, seed by seed: what is compared is complete early."""
        trials = [pin_trial(data, recipe, seed, self.score_test, task)
                  for seed in self.seeds for recipe in self.recipes]
        return list({trial.key: trial for trial in trials}.values())


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's YAML file.

    Raises:
        UserError: there is no such file, it is no YAML, or a name or value in it is wrong; the line says which.
    """
    value = read_yaml(path)
    try:
        return parse_sweep(value)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_sweep(value: Any) -> Sweep:
    """The sweep that a YAML file's value describes.

    Raises:
        UserError: a name or value is wrong.
    """
    _require(isinstance(value, dict), "a sweep has the parts seeds, recipe, grid")
    _require_known(value, ("seeds", "score_test", "recipe", "grid", "variants"), "part")
    shared, grid, variants = value.get("recipe", {}), value.get("grid", {}), value.get("variants", [{}])
    _require(isinstance(shared, dict), "recipe: give names and values")
    _require(isinstance(grid, dict) and all(isinstance(values, list) and values for values in grid.values()),
             "grid: give each name a list of values")
    _require(isinstance(variants, list) and bool(variants) and all(isinstance(variant, dict) for variant in variants),
             "variants: give a list of names and values")
    combinations = math.prod(map(len, grid.values())) * len(variants)
    _require(combinations <= _MOST_RECIPES,
             f"grid: {combinations:,} combinations; a sweep has at most {_MOST_RECIPES:,}, so give fewer values")
    for name in grid:
        _require(all(name not in others for others in (shared, *variants)), f"'{name}' is given twice")
    recipes = [checked_recipe(shared | settings) for settings in variants_of(value)]
    _require("seeds" in value, "seeds: give a list, for example [0, 1, 2]")
    seeds = _checked(_SEEDS, value["seeds"], "seeds")
    _require(bool(seeds) and min(seeds) >= 0 and max(seeds) < 2**32, "seeds: give at least one, from 0 to 4294967295")
    return Sweep(tuple(recipes), tuple(seeds), _checked(_FLAG, value.get("score_test", False), "score_test"))


def variants_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings in which the recipes of a sweep differ, in their order: each variant with each combination of
    the grid."""
    grid = value.get("grid", {})
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return [variant | combination
            for variant, combination in itertools.product(value.get("variants", [{}]), combinations)]


def settings_from(entries: Sequence[str]) -> dict[str, Any]:
    """Settings given as NAME=VALUE, values as in YAML.

    Raises:
        UserError: one is not of this form.
    """
    found = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        _require(bool(equals and name), f"--option {entry}: give NAME=VALUE, for example dropout=0.3")
        found[name] = parse_yaml(text, f"--option {entry}")
    return found


def checked_recipe(values: dict[str, Any]) -> Recipe:
    """The recipe with these settings, by their names in ``Recipe``, ``ImageSettings`` and the options of its model.

    Raises:
        UserError: a name or value is wrong; the line says which.
    """
    model = values.get("model", DEFAULT_MODEL)
    options = model_named(model if isinstance(model, str) else str(model))
    _require_known(values, ("model", *fields_of(Recipe), *fields_of(ImageSettings), *fields_of(options)), "setting")
    _require("epochs" in values, "recipe: give epochs")
    parts = {kind: {name: values[name] for name in fields_of(kind) if name in values}
             for kind in (Recipe, ImageSettings, options)}
    # The options by themselves, so that an error names its setting.
    chosen = asdict(_checked(TypeAdapter(options), parts[options], ""))
    return _checked(_RECIPE, parts[Recipe] | {"images": parts[ImageSettings], "model": chosen | {"model": model}}, "")


def _checked(adapter: TypeAdapter, value: Any, name: str) -> Any:
    """The value in its type; nothing is converted but whole numbers to floats and lists to tuples."""
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        # Errors of settings name them, the other adapters' only the place in the list.
        place = ", ".join(map(str, (name, *first["loc"]) if name else first["loc"]))
        given = first["input"]
        remedy = ("; write true or false" if first["type"] == "bool_type" else "; write it without quotes"
                  if isinstance(given, str) and NUMBER.fullmatch(given) else "")
        raise UserError(f"{place or name}: {first['msg']}, not {given!r}{remedy}") from error
    except TypeError as error:
        raise UserError(f"{name}: {error}; give numbers, text and lists of them") from error


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def _require_known(value: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    for name in value:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            raise UserError(f"unknown {what} '{name}'; "
                            + (f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"))
