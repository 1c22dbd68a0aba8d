"""The protocol: which trials may be scored on the published test set, and by which rules choices are made.

``reports/paper/protocol.yaml`` is written and committed before the first of its test scores is computed. An arm is a
sweep (see ``covidcnn.trials.sweep``); an arm with ``selected_from`` takes its variants from the outcome of another
arm, chosen on validation by that arm's rule and kept in ``selections.yaml`` beside the protocol.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from covidcnn.errors import UserError
from covidcnn.paths import REPORTS, replacing, write_json
from covidcnn.training.result import SHIFTED_LOSS
from covidcnn.trials.store import TrialResult, TrialStore
from covidcnn.trials.sweep import Sweep, parse_sweep, settings_of
from covidcnn.trials.trial import Trial
from covidcnn.yaml_files import read_yaml

PROTOCOL = REPORTS / "paper" / "protocol.yaml"
STORE = PROTOCOL.with_name("store")
"""The paper profile's trials; every report folder has a store of this name."""
PILOT_EPOCHS = 2
OPENINGS, FROZEN = "openings.csv", "frozen.json"
"""Beside the protocol: when which trial scored the test films, and the arms as they were before the first did."""


@dataclass(frozen=True)
class Arm:
    """One question of the protocol."""

    name: str
    question: str
    value: dict[str, Any]
    """Of the sweep, as the YAML file has it."""
    select: str
    """For an arm whose outcome another one takes: the setting that groups its variants, within each of which the
    best is chosen; 'all' for one choice among all; empty for arms that choose nothing."""
    selected_from: str
    exploratory: bool
    """Added after test scores were known."""

    @property
    def digest(self) -> str:
        """SHA-256 of what the arm does; its precision, which the protocol may change for a whole arm, left out."""
        recipe = {name: value for name, value in self.value.get("recipe", {}).items() if name != "precision"}
        return _digest([self.value | {"recipe": recipe}, self.select, self.selected_from])


@dataclass(frozen=True)
class Protocol:
    """The arms of a protocol file, and the data that they are about."""

    path: Path
    data: str
    """Content hash of the films."""
    arms: dict[str, Arm]
    has_floor: bool = False
    """Whether the floor (``covidcnn.evidence.floor``), which is no sweep, may be scored on test films."""

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            UserError: there is none.
        """
        if name not in self.arms:
            raise UserError(f"{self.path}: no arm '{name}'; choose one of {', '.join(self.arms)}")
        return self.arms[name]

    def sweep(self, name: str) -> Sweep:
        """The sweep of an arm.

        Raises:
            UserError: there is no such arm, or the choice that it takes up has not been made.
        """
        arm = self.arm(name)
        if not arm.selected_from:
            return parse_sweep(arm.value)
        chosen = self.selections().get(arm.selected_from)
        if not chosen:
            raise UserError(f"{self.path}: arm '{name}' takes what '{arm.selected_from}' selects; run that arm, then "
                            f"covidcnn evidence select {arm.selected_from}")
        return parse_sweep(arm.value | {"variants": [
            {setting: value for setting, value in variant.items() if setting not in arm.value.get("recipe", {})}
            for variant in chosen["variants"]]})

    def selections(self) -> dict[str, Any]:
        """What was selected so far, by arm."""
        path = self.path.with_name("selections.yaml")
        return (read_yaml(path) or {}) if path.is_file() else {}

    def require(self, trial: Trial) -> None:
        """Refuse a trial that would score test films and stands in no arm, or too early.

        Raises:
            UserError: it does.
        """
        if not trial.score_test:
            return
        self.require_selections()
        for name, arm in self.arms.items():
            if trial.key in {allowed.key for allowed in self.sweep(name).trials(self.data)}:
                if self._frozen_arms().get(name) != arm.digest and not arm.exploratory:
                    raise UserError(f"{self.path}: arm '{name}' was added or changed after the first test score; mark "
                                    "it 'exploratory: true', or leave it as it was")
                return
        raise UserError(f"{self.path}: no arm has this trial (seed {trial.seed}, {trial.recipe.optimizer}, "
                        f"{trial.recipe.images.size} px), so its test films are not scored; add an arm with "
                        "'exploratory: true', or leave score_test out")

    def log_opening(self, trial: Trial) -> None:
        """Enter in ``openings.csv`` that a trial has scored the published test films; lines are only ever added.

        Raises:
            UserError: nothing can be written there.
        """
        if trial.score_test:
            path = self.path.with_name(OPENINGS)
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{datetime.now(UTC).isoformat('T', 'seconds')},{trial.key}\n")
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror}); make room, or give it back its rights"
                                ) from error

    def openings(self) -> int:
        """How often trials have scored the published test films, those that are no longer in the store too."""
        path = self.path.with_name(OPENINGS)
        return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0

    def _frozen_arms(self) -> dict[str, str]:
        """The arms as they were when the first test film was about to be scored, by name: written down then."""
        path = self.path.with_name(FROZEN)
        if not path.is_file():
            write_json(path, {"arms": {name: arm.digest for name, arm in self.arms.items() if not arm.exploratory},
                              "selections": _digest(self.selections())})
        frozen = json.loads(path.read_text(encoding="utf-8"))
        if frozen["selections"] != _digest(self.selections()):
            raise UserError(f"{self.path.with_name('selections.yaml')}: changed after the first test score; bring it "
                            "back as it was")
        return frozen["arms"]

    def require_selections(self) -> None:
        """Make sure that every choice is made before the first test film is scored.

        Raises:
            UserError: an arm has not selected yet.
        """
        for name, arm in self.arms.items():
            if arm.select and name not in self.selections():
                raise UserError(f"{self.path}: no test film is scored before '{name}' has selected; run that arm, then "
                                f"covidcnn evidence select {name}")


def read_protocol(path: Path) -> Protocol:
    """Read a protocol.

    Raises:
        UserError: there is none, or a part of it is wrong.
    """
    value = read_yaml(path)
    try:
        arms = {name: Arm(name, arm["question"], arm["sweep"], arm.get("select", ""), arm.get("selected_from", ""),
                          bool(arm.get("exploratory", False)))
                for name, arm in value["arms"].items()}
        protocol = Protocol(path, value["data"], arms, "floor" in value)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no protocol ({' '.join(str(error).split())}); mend it") from error
    for arm in arms.values():
        parse_sweep(arm.value)
        if arm.selected_from:
            protocol.arm(arm.selected_from)
    return protocol


def open_store(folder: Path) -> TrialStore:
    """A store; beside a protocol it computes no test score that the protocol does not name.

    Raises:
        UserError: the protocol cannot be read.
    """
    path = folder.parent / PROTOCOL.name
    if not path.is_file():
        return TrialStore(folder)
    protocol = read_protocol(path)
    return TrialStore(folder, protocol.require, protocol.log_opening)


def pilot(sweep: Sweep) -> Sweep:
    """One seed, two epochs, validation only: what an arm will cost."""
    recipes = tuple(dict.fromkeys(replace(recipe, epochs=PILOT_EPOCHS) for recipe in sweep.recipes))
    return Sweep(recipes, sweep.seeds[:1], score_test=False)


def selection_loss(result: TrialResult) -> float:
    """What a selection makes small: the loss on validation (under simulated shift, where the recipe chooses its
    epoch so) of the epoch that was kept; infinite if the training diverged."""
    if result.diverged:
        return float("inf")
    column = SHIFTED_LOSS if result.trial.recipe.choose_by == "shifted validation" else "val_loss"
    return float(result.history.loc[result.best_epoch, column])


def selection_table(protocol: Protocol, name: str, store: TrialStore) -> pd.DataFrame:
    """All variants of an arm with their mean loss over the tuning seeds, and which are selected.

    Raises:
        UserError: the arm selects nothing, scores test films, or has unfinished trials.
    """
    arm = protocol.arm(name)
    if not arm.select:
        raise UserError(f"{protocol.path}: arm '{name}' selects nothing")
    sweep = protocol.sweep(name)
    if sweep.score_test:
        raise UserError(f"{protocol.path}: arm '{name}' scores test films; a choice is made on validation alone")
    rows = []
    for variant, recipe in zip(settings_of(arm.value), sweep.recipes, strict=True):
        trials = Sweep((recipe,), sweep.seeds).trials(protocol.data)
        missing = sum(not store.is_finished(trial) for trial in trials)
        if missing:
            raise UserError(f"{store.folder}: {missing} trials of arm '{name}' are not finished; run it first")
        losses = [selection_loss(store.read(trial.key)) for trial in trials]
        rows.append(variant | {"mean loss": float(np.mean(losses)), "losses": losses})
    table = pd.DataFrame(rows)
    groups = table.groupby(arm.select, sort=False)["mean loss"] if arm.select != "all" else None
    best = groups.transform("min") if groups is not None else table["mean loss"].min()
    return table.assign(selected=table["mean loss"] == best)


def write_selection(protocol: Protocol, name: str, store: TrialStore) -> pd.DataFrame:
    """Select, and enter the outcome in ``selections.yaml``.

    Raises:
        UserError: as ``selection_table``, or the choice was made before and is another.
    """
    table = selection_table(protocol, name, store)
    settings = [column for column in table.columns if column not in ("mean loss", "losses", "selected")]
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    entry = {
        "variants": [{setting: row[setting] for setting in settings if row[setting] is not None}
                     for row in records if row["selected"]],
        "considered": [{column: row[column] for column in table.columns if row[column] is not None} for row in records],
    }
    earlier = protocol.selections()
    if earlier.get(name, entry)["variants"] != entry["variants"]:
        raise UserError(f"{protocol.path.with_name('selections.yaml')}: '{name}' was selected before, and otherwise")
    with replacing(protocol.path.with_name("selections.yaml")) as temporary:
        temporary.write_text("# Written by: covidcnn evidence select. Chosen on validation alone.\n"
                             + yaml.safe_dump(earlier | {name: entry}, sort_keys=False), encoding="utf-8")
    return table


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
