"""When the published test set may be scored for the trial store of a protocol, and the log of all that scored it.

Two files lie beside the protocol. ``frozen.json`` keeps digests of rules, arms and selections as they were before the
first test image was scored, and the commit of the code, whose tree was clean. ``openings.csv``, the test-set access
log, has a line for everything that scores test images, written before it does; lines are only added. Later code is
judged by what it gives: a test recomputes the ledger of a closed study.
"""

import csv
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from covidcnn.errors import UserError
from covidcnn.paths import locked, write_json
from covidcnn.provenance import CHANGED, git_commit
from covidcnn.study.protocol import PROTOCOL, Protocol, read_protocol, selected_variants, selection_table
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import Trial

ACCESS_LOG, FROZEN = "openings.csv", "frozen.json"
_COLUMNS = ["time", "scored", "arm", "precision"]


def open_store(folder: Path) -> TrialStore:
    """A store. One beside a protocol computes no test score that the protocol does not allow, and logs each access."""
    store = TrialStore(folder)
    # Of a link, or of '.', where it leads.
    path = folder.resolve().parent / PROTOCOL
    return TrialStore(folder, partial(admit_trial, read_protocol(path), store)) if path.is_file() else store


def admit_trial(protocol: Protocol, store: TrialStore, trial: Trial) -> None:
    """Log that a trial will score test images; refuse it (UserError) where it stands in no arm, comes too early, or in
    another precision than the trials of its arm before it. The first that is allowed freezes the protocol. A trial
    that was killed and goes on is entered once; one that begins anew is entered again."""
    if not trial.score_test:
        return
    protocol.require_selections()
    arm = next((name for name in protocol.arms if trial.key in {one.key for one in protocol.trials(name)}), None)
    if arm is None:
        raise UserError(f"{protocol.path}: no arm has this trial (seed {trial.seed}, {trial.recipe.optimizer}, "
                        f"{trial.recipe.images.size} px), so its test images are not scored; add an arm with "
                        "'exploratory: true', or leave score_test out")
    permit(protocol, store)
    scored = set(read_access_log(protocol)["scored"])
    for other in {"float32", "bfloat16"} - {trial.recipe.precision}:
        if scored & _keys(protocol, arm, other):
            raise UserError(f"{protocol.path}: arm '{arm}' was begun in {other}; bring its precision back, one arm has "
                            "one")
    if not (trial.key in scored and store.has_begun(trial)):
        log_access(protocol, trial.key, arm, trial.recipe.precision)


def permit(protocol: Protocol, store: TrialStore) -> None:
    """Raise a UserError unless, before test images are scored, every choice is made, the protocol is as it was when the
    first was scored, and the code is that of a commit."""
    protocol.require_selections()
    if git_commit(protocol.path, protocol.selections_path).endswith(CHANGED):
        raise UserError(f"{protocol.path}: no test image is scored before the code, the protocol and "
                        f"{protocol.selections_path.name} are committed; commit them, or take the changes back")
    if read_protocol(protocol.path) != protocol:
        raise UserError(f"{protocol.path}: changed since this process began; begin again")
    require_as_frozen(protocol, store)
    if not protocol.path.with_name(FROZEN).is_file():
        freeze(protocol, store)
        # Another process may have been faster, with other rules.
        require_as_frozen(protocol, store)


def require_as_frozen(protocol: Protocol, store: TrialStore) -> None:
    """Raise a UserError unless rules, arms and selections are as they were when the first test image was scored, every
    test score of the store was entered in the access log, and neither file is gone."""
    frozen_path, log = (protocol.path.with_name(name) for name in (FROZEN, ACCESS_LOG))
    entered = set(read_access_log(protocol)["scored"])
    scored = {trial.key for trials in protocol.known_trials().values() for trial in trials or ()
              if trial.score_test and store.is_finished(trial) and store.has_scores(trial)}
    if scored - entered:
        raise UserError(f"{log}: trial {min(scored - entered)} of the store has test scores and is not in the log; "
                        "bring the log back as it was, or take the trial out of the store")
    if not frozen_path.is_file():
        if entered:
            raise UserError(f"{frozen_path}: gone, though test images were scored; bring it back as it was")
        return
    if not log.is_file():
        raise UserError(f"{log}: gone, though the protocol is frozen; bring it back as it was")
    try:
        frozen = json.loads(frozen_path.read_text(encoding="utf-8"))
        frozen = {"rules": frozen["rules"], "selections": frozen["selections"], "arms": dict(frozen["arms"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{frozen_path}: damaged ({error!r}); bring it back as it was") from error
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


def log_access(protocol: Protocol, scored: str, arm: str, precision: str = "") -> None:
    """Enter what is about to score the published test images: the key of a trial, or a model's name; UserError if that
    cannot be written."""
    path = protocol.path.with_name(ACCESS_LOG)
    line = [datetime.now(UTC).isoformat("T", "seconds"), scored, arm, precision]
    try:
        _begin_log(path)
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(line)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room, or give it back its rights"
                        ) from error


def read_access_log(protocol: Protocol) -> pd.DataFrame:
    """Everything that was to score the published test images, also what the store no longer has: ``time``, ``scored``,
    ``arm``, ``precision``; UserError if the file is damaged."""
    path = protocol.path.with_name(ACCESS_LOG)
    if not path.is_file():
        return pd.DataFrame(columns=_COLUMNS)
    try:
        return pd.read_csv(path, keep_default_na=False, dtype=str)[_COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no test-set access log ({error}); bring it back as it was") from error


def freeze(protocol: Protocol, store: TrialStore) -> None:
    """Write the two files; UserError if the selections are not what the trials of the store select."""
    for name, entry in protocol.selections().items():
        if selected_variants(selection_table(protocol, name, store)) != entry["variants"]:
            raise UserError(f"{protocol.selections_path}: '{name}' is not what its trials select; "
                            f"remove the entry, then covidcnn evidence select {name}")
    # The log first: another process that finds it empty and nothing frozen does the same once more.
    _begin_log(protocol.path.with_name(ACCESS_LOG))
    # Of two processes the first one's word stands.
    frozen = protocol.path.with_name(FROZEN)
    with locked(frozen):
        if not frozen.is_file():
            write_json(frozen, {
                "rules": _digest(protocol.rules), "selections": _digest(protocol.selections()),
                "arms": _arms(protocol), "commit": git_commit()})


def _begin_log(path: Path) -> None:
    # Locked: a line that another process appended to an empty file would be written over.
    with locked(path):
        if not path.is_file():
            path.write_text(",".join(_COLUMNS) + "\n", encoding="utf-8")


def _arms(protocol: Protocol) -> dict[str, str]:
    """A digest of each arm that is not exploratory; the keys of its trials change with what a recipe's names stand for.
    """
    return {name: _digest([*arm.pinned, sorted(_keys(protocol, name, "float32"))])
            for name, arm in protocol.arms.items() if not arm.exploratory}


def _keys(protocol: Protocol, arm: str, precision: str) -> set[str]:
    """The keys of an arm's trials if they were of this precision."""
    return {replace(trial, recipe=replace(trial.recipe, precision=precision)).key for trial in protocol.trials(arm)}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
