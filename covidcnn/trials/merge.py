"""Several stores of trials into one: what job arrays on machines without a common disk have left."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from covidcnn.errors import DataError
from covidcnn.paths import replacing, require_writable
from covidcnn.trials.pack import PACKED
from covidcnn.trials.store import TrialStore, processor_of
from covidcnn.trials.work import TrialResult


@dataclass(frozen=True)
class Merged:
    """What a merged store holds."""

    trials: int
    copied: int
    """Of them, now."""
    processors: dict[str, int]
    """How many trials were computed on each kind of processor: between kinds results differ in the last digits."""


def merge(stores: Sequence[TrialStore], into: TrialStore) -> Merged:
    """Copy the finished trials of several stores, and models that were kept, into one, whose own stay as they are.
    Nothing is copied unless every result can be read, and those of one key are equal: history and scores to the last
    digit.

    Raises:
        DataError: a result is damaged, or two of one key differ.
        UserError: ``into`` cannot be written.
    """
    require_writable(into.folder / "trials" / "KEY.json")
    stored = (into.folder / "trials").is_dir() or (into.folder / PACKED).is_file()
    known: dict[str, tuple[str, TrialStore]] = {}
    processors: Counter[str] = Counter()
    for store in (into, *stores) if stored else stores:
        for result in map(store.read, store.finished_keys()):
            key, found = result.trial.key, _fingerprint(result)
            earlier, where = known.setdefault(key, (found, store))
            if earlier != found:
                raise DataError(f"{store.folder}: its result of trial {key} is not that of {where.folder}; nothing was "
                                "copied. Find out which is right (another processor, another version?), and remove the "
                                "other one")
            if where is store:
                processors[processor_of(result.facts)] += 1
    into.prepare()
    copied = {key: store for key, (_, store) in known.items() if store is not into}
    models = into.folder / "models"
    # Its own, where it has one, stands last, and is taken.
    kept = {path.stem: path for store in (*stores, into) for path in (store.folder / "models").glob("[!.]*")}
    for key, path in kept.items():
        if key in known and path.parent != models:
            with replacing(models / path.name) as temporary:
                shutil.copyfile(path, temporary)
    for key, store in copied.items():
        into.write(store.read(key))
    return Merged(len(known), len(copied), dict(processors))


def _fingerprint(result: TrialResult) -> str:
    """The same for equal results, whenever and however fast they were computed."""
    scores = result.scores.to_csv(index=False, float_format="%.9g")
    return hashlib.sha256(json.dumps([result.history.to_dict("list"), result.diverged, scores]).encode()).hexdigest()
