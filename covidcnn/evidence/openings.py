"""When the published test set may be opened for the trial store of a protocol, and what has opened it.

Beside the protocol lie two files. ``frozen.json`` keeps rules, arms and selections, as digests, as they were just
before the first test film was scored. ``openings.csv`` has a line for everything that scored them; lines are only ever
added.
"""

import csv
import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from covidcnn.errors import UserError
from covidcnn.evidence.protocol import PROTOCOL, Protocol, read_protocol, selected_variants, selection_table
from covidcnn.paths import write_json
from covidcnn.provenance import CHANGED, git_commit
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import Trial

OPENINGS, FROZEN = "openings.csv", "frozen.json"
_COLUMNS = ("time", "scored", "arm", "precision")
_HERE = Path(__file__).parent


def open_store(folder: Path) -> TrialStore:
    """A store; beside a protocol it computes no test score that the protocol does not allow, and logs each.

    Raises:
        UserError: the protocol cannot be read.
    """
    store = TrialStore(folder)
    # Of a link, or of '.', where it leads.
    path = folder.resolve().parent / PROTOCOL.name
    if not path.is_file():
        return store
    protocol = read_protocol(path)
    return TrialStore(folder, partial(permit_trial, protocol, store), partial(log_trial, protocol))


def permit_trial(protocol: Protocol, store: TrialStore, trial: Trial) -> None:
    """Refuse a trial that would score test films and stands in no arm, too early, or in another precision than the
    trials of its arm before it. The first that is allowed freezes the protocol.

    Raises:
        UserError: it is refused.
    """
    if not trial.score_test:
        return
    arm = _arm_of(protocol, trial)
    permit(protocol, store)
    scored = set(openings(protocol)["scored"])
    for other in ("float32", "bfloat16"):
        if other != trial.recipe.precision and scored & _keys(protocol, arm, other):
            raise UserError(f"{protocol.path}: arm '{arm}' was begun in {other}; bring its precision back, one arm has "
                            "one")


def permit(protocol: Protocol, store: TrialStore) -> None:
    """Make sure that every choice is made, that the protocol is as it was at the first opening, and that the code is
    that of a commit, before test films are scored.

    Raises:
        UserError: one of these does not hold.
    """
    protocol.require_selections()
    if git_commit(protocol.path, protocol.selections_path).endswith(CHANGED):
        raise UserError(f"{protocol.path}: no test film is scored before the code, the protocol and "
                        f"{protocol.selections_path.name} are committed; commit them, or take the changes back")
    if read_protocol(protocol.path) != protocol:
        raise UserError(f"{protocol.path}: changed since this process began; begin again")
    require_as_frozen(protocol, store)
    if not protocol.path.with_name(FROZEN).is_file():
        freeze(protocol, store)
        # Another process may have been faster, with other rules.
        require_as_frozen(protocol, store)


def require_as_frozen(protocol: Protocol, store: TrialStore) -> None:
    """Make sure that rules, arms and selections are as they were when the first test film was scored, and that every
    test score of the store was entered.

    Raises:
        UserError: they are not, or one of the two files is gone.
    """
    frozen_path, log = (protocol.path.with_name(name) for name in (FROZEN, OPENINGS))
    _require_entered(protocol, store)
    if not frozen_path.is_file():
        if len(openings(protocol)):
            raise UserError(f"{frozen_path}: gone, though test films were scored; bring it back as it was")
        return
    if not log.is_file():
        raise UserError(f"{log}: gone, though the protocol is frozen; bring it back as it was")
    frozen = json.loads(frozen_path.read_text(encoding="utf-8"))
    for part, now, path in (("rules", protocol.rules, protocol.path),
                            ("selections", protocol.selections(), protocol.selections_path)):
        if frozen[part] != _digest(now):
            raise UserError(f"{path}: {part} changed after the first test score; bring them back as they were"
                            + ("; what is to be added stands under 'notes'" if part == "rules" else ""))
    arms = _arms(protocol)
    for name in {**frozen["arms"], **arms}:
        if name not in frozen["arms"]:
            raise UserError(f"{protocol.path}: arm '{name}' was added after the first test score; mark it "
                            "'exploratory: true'")
        if frozen["arms"][name] != arms.get(name):
            raise UserError(f"{protocol.path}: arm '{name}' was changed or taken away after the first test score; "
                            "bring it back as it was, and add what is new as an arm of its own with 'exploratory: "
                            "true'")


def log_trial(protocol: Protocol, trial: Trial) -> None:
    """Enter that a trial has scored the published test films.

    Raises:
        UserError: nothing can be written there.
    """
    if trial.score_test:
        log_opening(protocol, trial.key, _arm_of(protocol, trial), trial.recipe.precision)


def log_opening(protocol: Protocol, scored: str, arm: str, precision: str = "") -> None:
    """Enter what has scored the published test films: the key of a trial, or a model's name.

    Raises:
        UserError: nothing can be written there.
    """
    path = protocol.path.with_name(OPENINGS)
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(
                [datetime.now(UTC).isoformat("T", "seconds"), scored, arm, precision])
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room, or give it back its rights"
                        ) from error


def openings(protocol: Protocol) -> pd.DataFrame:
    """Everything that has scored the published test films, that which is no longer in the store too: ``time``,
    ``scored``, ``arm``, ``precision``.

    Raises:
        UserError: the file is damaged.
    """
    path = protocol.path.with_name(OPENINGS)
    if not path.is_file():
        return pd.DataFrame(columns=list(_COLUMNS))
    try:
        return pd.read_csv(path, keep_default_na=False, dtype=str)[list(_COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no list of openings ({error}); bring it back as it was") from error


def _arm_of(protocol: Protocol, trial: Trial) -> str:
    protocol.require_selections()
    for name in protocol.arms:
        if trial.key in {allowed.key for allowed in protocol.sweep(name).trials(protocol.data)}:
            return name
    raise UserError(f"{protocol.path}: no arm has this trial (seed {trial.seed}, {trial.recipe.optimizer}, "
                    f"{trial.recipe.images.size} px), so its test films are not scored; add an arm with "
                    "'exploratory: true', or leave score_test out")


def _keys(protocol: Protocol, arm: str, precision: str) -> set[str]:
    """The keys of an arm's trials if they were of this precision."""
    return {replace(trial, recipe=replace(trial.recipe, precision=precision)).key
            for trial in protocol.sweep(arm).trials(protocol.data)}


def _require_entered(protocol: Protocol, store: TrialStore) -> None:
    """Make sure that every test score of the store was entered. An arm that waits for a selection cannot have any.

    Raises:
        UserError: one was not.
    """
    chosen = protocol.selections()
    scored = {trial.key for name, arm in protocol.arms.items() if arm.selected_from in chosen or not arm.selected_from
              for trial in protocol.sweep(name).trials(protocol.data)
              if trial.score_test and store.is_finished(trial) and store.has_scores(trial)}
    missing = scored - set(openings(protocol)["scored"])
    if missing:
        raise UserError(f"{protocol.path.with_name(OPENINGS)}: trial {min(missing)} of the store has test scores and "
                        "is not in the list; bring the list back as it was, or take the trial out of the store")


def freeze(protocol: Protocol, store: TrialStore) -> None:
    """Write the two files, once it is sure that the selections are what the trials of the store select.

    Raises:
        UserError: they are not.
    """
    for name, entry in protocol.selections().items():
        if selected_variants(selection_table(protocol, name, store)) != entry["variants"]:
            raise UserError(f"{protocol.selections_path}: '{name}' is not what its trials select; "
                            f"remove the entry, then covidcnn evidence select {name}")
    # The list first: another process that finds it empty and nothing frozen does the same once more.
    with suppress(FileExistsError), protocol.path.with_name(OPENINGS).open("x", encoding="utf-8") as file:
        file.write(",".join(_COLUMNS) + "\n")
    # Of two processes the first one's word stands.
    lock = store.folder / "unfinished" / "frozen.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not protocol.path.with_name(FROZEN).is_file():
            write_json(protocol.path.with_name(FROZEN), {
                "rules": _digest(protocol.rules), "selections": _digest(protocol.selections()),
                "arms": _arms(protocol), "commit": git_commit(), "verdict code": verdict_code()})


def verdict_code() -> dict[str, str]:
    """SHA-256 of each file that turns scores into verdicts: a mistake in them may be mended after the first test score,
    but not without a word. Tables and figures show results and decide nothing."""
    files = [*sorted(set(_HERE.glob("*.py")) - {_HERE / name for name in ("figures.py", "tables.py", "write.py")}),
             *(_HERE.parent / name for name in ("evaluation/metrics.py", "evaluation/threshold.py", "paper.py"))]
    return {file.relative_to(_HERE.parent).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def changed_verdict_code(protocol: Protocol) -> list[str]:
    """The files of ``verdict_code`` that are others than when the first test film was scored, by name."""
    path = protocol.path.with_name(FROZEN)
    if not path.is_file():
        return []
    frozen, now = json.loads(path.read_text(encoding="utf-8"))["verdict code"], verdict_code()
    return sorted(name for name in {**frozen, **now} if frozen.get(name) != now.get(name))


def _arms(protocol: Protocol) -> dict[str, str]:
    """A digest of each arm that is not exploratory. Keys of its trials change with what a name in a recipe stands for.
    """
    return {name: _digest([*arm.pinned, sorted(_keys(protocol, name, "float32"))])
            for name, arm in protocol.arms.items() if not arm.exploratory}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
