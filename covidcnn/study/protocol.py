"""The protocol: which trials may be scored on the published test set, and by which rules choices are made.

``protocol.yaml`` of a report folder is committed before the first of its test scores is computed. An arm is a sweep
(``covidcnn.trials.spec``); one with ``selected_from`` takes its variants from the outcome of another arm, chosen on
validation by that arm's rule and written into ``selections.yaml`` beside the protocol.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic.dataclasses
import yaml

from covidcnn.errors import UserError, named
from covidcnn.models.options import Checked
from covidcnn.paths import REPORTS, replacing
from covidcnn.perturbations import CHOSEN_UNDER
from covidcnn.task import PNEUMONIA, Task, task_named
from covidcnn.training.result import SHIFTED_LOSS
from covidcnn.trials.spec import Sweep, parse_sweep, variants_of
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import TrialResult
from covidcnn.yaml_files import read_yaml

PROTOCOL, STORE = "protocol.yaml", "store"
"""Of a report folder: the file of its rules, and the folder of its trials."""
PILOT_EPOCHS = 2
_OUTCOMES = ("mean loss", "losses", "selected")
"""Columns of a selection beside the settings that were tried."""
_FREE_PARTS = ("arms", "budget in hours", "notes")
"""Of the file: arms are looked at one by one; what computing costs, and what came to pass later, are no rules."""


@pydantic.dataclasses.dataclass(frozen=True)
class Arm(Checked):
    """One question of the protocol."""

    question: str
    sweep: dict[str, Any]
    """As the YAML file has it."""
    select: str = ""
    """For an arm whose outcome another one takes: the setting that groups its variants, within each of which the
    best is chosen; 'all' for one choice among all; empty for arms that choose nothing."""
    selected_from: str = ""
    exploratory: bool = False
    """Added after the first test score of its study."""

    @property
    def pinned(self) -> list[Any]:
        """All that may not change once test scores are known: what the arm does, but for its precision, which the
        protocol may change for a whole arm before it begins."""
        recipe = {name: value for name, value in self.sweep.get("recipe", {}).items() if name != "precision"}
        return [self.sweep | {"recipe": recipe}, self.select, self.selected_from]


@dataclass(frozen=True)
class Protocol:
    """The arms of a protocol file, and the data that they are about."""

    path: Path
    data: str
    """Content hash of the images."""
    arms: dict[str, Arm]
    rules: dict[str, Any]
    """All other parts of the file that are to stay as they are once test scores are known."""
    task: Task = PNEUMONIA
    """The classes to tell apart."""
    enough_seeds: int | None = None
    """With how many of its first seeds an arm counts as complete, each with all its trials; None: with all seeds."""

    def arm(self, name: str) -> Arm:
        """The arm of that name; UserError if there is none."""
        if name not in self.arms:
            raise UserError(f"{self.path}: no arm '{name}'; choose one of {', '.join(self.arms)}")
        return self.arms[name]

    def sweep(self, name: str) -> Sweep:
        """The sweep of an arm; UserError if there is no such arm, or the choice that it takes up has not been made."""
        arm = self.arm(name)
        if not arm.selected_from:
            return parse_sweep(arm.sweep)
        chosen = self.selections().get(arm.selected_from)
        if not chosen:
            raise UserError(f"{self.path}: arm '{name}' takes what '{arm.selected_from}' selects; run that arm, then "
                            f"covidcnn evidence select {arm.selected_from}")
        return parse_sweep(arm.sweep | {"variants": [
            {setting: value for setting, value in variant.items() if setting not in arm.sweep.get("recipe", {})}
            for variant in chosen["variants"]]})

    def trials(self, name: str) -> list[Trial]:
        """The trials of an arm; UserError as ``sweep``."""
        return self.sweep(name).trials(self.data, self.task)

    def known_trials(self) -> dict[str, list[Trial] | None]:
        """The trials of each arm; None where they are not known, because what they take up is not selected yet."""
        chosen = self.selections()
        return {name: self.trials(name) if arm.selected_from in chosen or not arm.selected_from else None
                for name, arm in self.arms.items()}

    @property
    def store(self) -> Path:
        """The folder of its trials, beside it."""
        return self.path.with_name(STORE)

    @property
    def selections_path(self) -> Path:
        """Where what was selected is kept, beside the protocol."""
        return self.path.with_name("selections.yaml")

    def selections(self) -> dict[str, Any]:
        """What was selected so far, by arm."""
        path = self.selections_path
        return (read_yaml(path) or {}) if path.is_file() else {}

    def require_selections(self) -> None:
        """Raise a UserError unless every choice is made, as it is to be before the first test image is scored."""
        for name, arm in self.arms.items():
            if arm.select and name not in self.selections():
                raise UserError(f"{self.path}: no test image is scored before '{name}' has selected; run that arm, "
                                f"then covidcnn evidence select {name}")


def studies() -> dict[str, Path]:
    """The protocols of reports/ by the name of their folder."""
    return {path.parent.name: path for path in sorted(REPORTS.glob(f"*/{PROTOCOL}"))}


def read_study(name: str) -> Protocol:
    """The protocol of a study, by its folder in reports/; UserError if there is none of that name."""
    return read_protocol(named(studies(), name, "study"))


def whole_seeds(trials: Sequence[Trial], finished: Collection[str], enough: int | None) -> list[int]:
    """The seeds of an arm that is complete: all, or the first ones of which all trials are finished (their keys in
    ``finished``), if these are ``enough``, as in ``Protocol.enough_seeds``, or all that an arm with fewer has; none if
    it is not."""
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    whole = list(itertools.takewhile(
        lambda seed: all(trial.key in finished for trial in trials if trial.seed == seed), seeds))
    return whole if len(whole) >= min(enough or len(seeds), len(seeds)) else []


def read_protocol(path: Path) -> Protocol:
    """Read a protocol; UserError if there is none, or a part of it is wrong."""
    value = read_yaml(path)
    try:
        arms = {name: Arm(**arm) for name, arm in value["arms"].items()}
        rules = {name: part for name, part in value.items() if name not in _FREE_PARTS}
        protocol = Protocol(path, value["data"], arms, rules,
                            task_named(value.get("task", str(PNEUMONIA))), value.get("enough seeds"))
        sweeps = {name: parse_sweep(arm.sweep) for name, arm in arms.items()}
    except (KeyError, TypeError, AttributeError, UserError) as error:
        raise UserError(f"{path}: no protocol ({' '.join(str(error).split())}); mend it") from error
    for name, arm in arms.items():
        if sweeps[name].score_test and len(sweeps[name].seeds) < 2:
            raise UserError(f"{path}: arm '{name}' has one seed, which gives no interval; give it two or more")
        if arm.selected_from:
            protocol.arm(arm.selected_from)
        if arm.select not in ("", "all") and not all(arm.select in one for one in variants_of(arm.sweep)):
            raise UserError(f"{path}: arm '{name}' selects by '{arm.select}', which not all of its variants set; give "
                            "one that they do, or 'all'")
    return protocol


def pilot(sweep: Sweep) -> Sweep:
    """One seed, two epochs, validation only: what an arm will cost."""
    recipes = tuple(dict.fromkeys(replace(recipe, epochs=PILOT_EPOCHS) for recipe in sweep.recipes))
    return Sweep(recipes, sweep.seeds[:1], score_test=False)


def selection_loss(result: TrialResult) -> float:
    """What a selection makes small: the loss on validation (under simulated shift, where the recipe chooses its
    epoch so) of the chosen epoch; infinite if the training diverged."""
    if result.diverged:
        return float("inf")
    column = SHIFTED_LOSS if result.trial.recipe.choose_by in CHOSEN_UNDER else "val_loss"
    return float(result.history.loc[result.best_epoch, column])


def selection_table(protocol: Protocol, name: str, store: TrialStore) -> pd.DataFrame:
    """All variants of an arm with their mean loss over the tuning seeds, and which are selected; UserError if the arm
    selects nothing, scores test images, or has unfinished trials, or if every variant diverged."""
    arm = protocol.arm(name)
    if not arm.select:
        raise UserError(f"{protocol.path}: arm '{name}' selects nothing")
    sweep = protocol.sweep(name)
    if sweep.score_test:
        raise UserError(f"{protocol.path}: arm '{name}' scores test images; a choice is made on validation alone")
    rows = []
    for variant, recipe in zip(variants_of(arm.sweep), sweep.recipes, strict=True):
        trials = Sweep((recipe,), sweep.seeds).trials(protocol.data, protocol.task)
        missing = sum(not store.is_finished(trial) for trial in trials)
        if missing:
            raise UserError(f"{store.folder}: {missing} trials of arm '{name}' are not finished; run it first")
        losses = [selection_loss(store.read(trial.key)) for trial in trials]
        rows.append(variant | {"mean loss": float(np.mean(losses)), "losses": losses})
    # As objects: where variants differ in their settings, whole numbers would become floats beside what is missing.
    table = pd.DataFrame(rows, dtype=object).astype({"mean loss": float})
    # A variant of which a training diverged has no finite mean loss.
    by_group = table["mean loss"].groupby(table[arm.select] if arm.select != "all" else np.zeros(len(table)))
    if not np.isfinite(by_group.min()).all():
        raise UserError(f"{store.folder}: arm '{name}' has nothing to select, because trainings of every variant "
                        "diverged; give it other variants")
    # Of equals the first in the protocol.
    return table.assign(selected=table.index.isin(by_group.idxmin()))


def selected_variants(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The settings of those that ``selection_table`` marks as selected."""
    return [{setting: value for setting, value in row.items() if setting not in _OUTCOMES}
            for row in _records(table) if row["selected"]]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A dictionary a row, without the settings that a variant lacks."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items() if value is not None} for row in rows]


def write_selection(protocol: Protocol, name: str, store: TrialStore) -> pd.DataFrame:
    """Select, and enter the outcome in ``selections.yaml``; UserError as ``selection_table``, or if the choice was made
    before and is another."""
    table = selection_table(protocol, name, store)
    entry = {"variants": selected_variants(table), "considered": _records(table)}
    earlier = protocol.selections()
    if earlier.get(name, entry)["variants"] != entry["variants"]:
        raise UserError(f"{protocol.selections_path}: '{name}' was selected before, and otherwise")
    with replacing(protocol.selections_path) as temporary:
        temporary.write_text("# Written by: covidcnn evidence select. Chosen on validation alone.\n"
                             + yaml.safe_dump(earlier | {name: entry}, sort_keys=False), encoding="utf-8")
    return table
