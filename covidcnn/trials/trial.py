"""A trial: one training as a plain value, with a key that says everything that its result depends on."""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

from covidcnn.augment import AUGMENTATIONS
from covidcnn.errors import UserError
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.registry import DEFAULT_MODEL, name_of
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.optimizers import default_learning_rate
from covidcnn.training.precision import resolve_precision
from covidcnn.training.recipe import Recipe, recipe_of, recipe_of_teacher, settings_of
from covidcnn.training.schedules import SCHEDULES

RECIPE_VERSION = 1
"""Raised by hand whenever training code, or a default of ``Recipe``, changes results."""


@dataclass(frozen=True)
class Trial:
    """One training: made by ``pin_trial``, which leaves nothing to the machine or to a default."""

    data: str
    """Content hash of the images."""
    recipe: Recipe
    seed: int
    score_test: bool = False
    """Whether test images are scored: when the training is finished, and after every epoch where the recipe says so.
    Never in tuning."""
    version: int = RECIPE_VERSION
    task: Task = PNEUMONIA
    """The classes to tell apart."""

    def __post_init__(self) -> None:
        if self.recipe.precision == "auto" or self.recipe.learning_rate is None:
            raise ValueError("a trial has its precision and its learning rate pinned; make it with pin_trial")

    @property
    def teachers(self) -> list["Trial"]:
        """Of a student, the trials any of which would be its teacher's training."""
        if self.recipe.teacher == "none":
            return []
        return [replace(self, recipe=recipe_of_teacher(self.recipe), score_test=score_test)
                for score_test in (True, False)]

    @property
    def key(self) -> str:
        """Twenty hexadecimal digits, the same for equal trials and for no others.

        Fields of the recipe that have their default are left out, so that a field added later, which does nothing at
        its default, leaves the keys of finished trials alone.
        """
        recipe = _changed(self.recipe) | {"images": _changed(self.recipe.images)} | _changed(self.recipe.model)
        if (model := name_of(self.recipe.model)) != DEFAULT_MODEL:
            recipe["model"] = model
        value = {"data": self.data, "seed": self.seed, "score_test": self.score_test, "version": self.version,
                 "recipe": recipe,
                 # By value and not by name: other ranges are another trial.
                 "augmentation": _changed(AUGMENTATIONS[self.recipe.augmentation])}
        if self.task != PNEUMONIA:
            value["task"] = asdict(self.task)
        if schedule := asdict(SCHEDULES[self.recipe.schedule]):
            value["schedule"] = schedule
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: every field, defaults too."""
        settings = settings_of(self.recipe)
        if settings["model"] == DEFAULT_MODEL:
            # As in older files, which know of no other.
            del settings["model"]
        images = {name: settings.pop(name) for name in asdict(self.recipe.images)}
        return asdict(self) | {"recipe": settings | {"images": images},
                               "augmentation": asdict(AUGMENTATIONS[self.recipe.augmentation]),
                               "schedule": asdict(SCHEDULES[self.recipe.schedule])}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Trial":
        """The trial that ``to_dict`` wrote; a KeyError, TypeError or UserError if it is none."""
        settings = value["recipe"] | value["recipe"]["images"]
        del settings["images"]
        # Older files know of no other task.
        task = Task(**value["task"]) if "task" in value else PNEUMONIA
        return cls(value["data"], recipe_of(settings), value["seed"], value["score_test"], value["version"], task)


def pin_trial(data: str, recipe: Recipe, seed: int, score_test: bool = False, task: Task = PNEUMONIA) -> Trial:
    """The trial of a recipe, with precision and learning rate pinned: 'auto' and Keras's default may be something else
    elsewhere.

    Raises:
        UserError: the recipe scores test images after every epoch, and the trial is not to score any.
    """
    if "test" in recipe.score_every_epoch and not score_test:
        raise UserError("score_every_epoch names test, but score_test is not true; leave it out, or score test images")
    if isinstance(recipe.model, ClassicalModel):
        # What does nothing makes no trial of its own.
        recipe = replace(recipe, epochs=1, precision="float32", learning_rate=None)
    return Trial(data, replace(recipe, precision=resolve_precision(recipe.precision),
                               learning_rate=recipe.learning_rate or default_learning_rate(recipe.optimizer)),
                 int(seed), score_test, task=task)


def _changed(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, nested ones left out."""
    return {field.name: getattr(value, field.name) for field in fields(value)
            if field.default_factory is MISSING and getattr(value, field.name) != field.default}
