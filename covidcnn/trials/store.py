"""The store of finished trials: a folder in which nothing is half-written and nothing is run twice.

    trials/KEY.json          the trial and its result
    scores/KEY.csv.gz        its per-image scores
    models/KEY.keras         what was trained, where it is to be kept; of scikit-learn KEY.skops
    unfinished/KEY/          what a killed trial goes on from
    unfinished/KEY.lock      held by the process that runs it; the system frees it when the process dies
    packed.tar.xz            in the place of files above, see ``covidcnn.trials.pack``
"""

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.evaluation.scores import TEXTS, epoch_columns, is_score, score_columns
from covidcnn.models.model_file import file_name
from covidcnn.paths import remove, replacing, require_writable, write_json
from covidcnn.trials.pack import packed_files
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import Report, Trainer, TrialResult, Work


@dataclass(frozen=True)
class TrialStore:
    """A folder of trials."""

    folder: Path
    admit: Callable[[Trial], None] | None = None
    """Called before a trial is computed. It raises UserError where a protocol forbids the trial, and logs that test
    images will be scored: what is logged beforehand cannot be thrown away without a trace."""
    keep_models: bool = False
    """Whether model files of what is trained from now on are kept, as those that ``covidcnn train`` leaves."""

    def prepare(self) -> None:
        """Make the folder, and clear away what finished trials left when their process was killed just before it could.

        Raises:
            UserError: it cannot be written to.
        """
        for part in ("trials", "scores", "unfinished", *["models"] * self.keep_models):
            require_writable(self.folder / part / "file")
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for left in (self.folder / "unfinished").iterdir():
            if self._json(left.stem).exists():
                remove(left)

    def unfinished(self, trial: Trial) -> Path:
        """The folder of a trial that has begun and not ended."""
        return self.folder / "unfinished" / trial.key

    def has_begun(self, trial: Trial) -> bool:
        """Whether an unfinished trial has left something from which it goes on."""
        # Not what a process that was killed while it wrote has left.
        return any(self.unfinished(trial).glob("[!.]*"))

    def is_finished(self, trial: Trial) -> bool:
        """Whether there is a result, read or not."""
        return self._json(trial.key).exists() or f"trials/{trial.key}.json" in packed_files(self.folder)

    def has_scores(self, trial: Trial) -> bool:
        """Whether a finished trial has scores, which a diverged one has not."""
        return self._scores(trial.key).exists() or f"scores/{trial.key}.csv" in packed_files(self.folder)

    def finished_keys(self) -> list[str]:
        """The keys of all finished trials, in their order; a DataError if the folder is no store."""
        packed = [name for name in packed_files(self.folder) if name.startswith("trials/")]
        if not (packed or (self.folder / "trials").is_dir()):
            raise DataError(f"{self.folder}: no store of trials; covidcnn sweep --store makes one")
        return sorted({Path(name).stem for name in packed}
                      | {path.stem for path in (self.folder / "trials").glob("*.json")})

    def read(self, key: str) -> TrialResult:
        """The result of a finished trial; a DataError if a file is damaged."""
        path, scores_path, packed = self._json(key), self._scores(key), packed_files(self.folder)
        from_pack = packed.get(f"trials/{key}.json", b"") if not path.exists() else b""
        try:
            value = json.loads(from_pack or path.read_text(encoding="utf-8"))
            trial = Trial.from_dict(value["trial"])
            history = pd.DataFrame(value["history"])
            history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
            diverged, facts, digest = value["diverged"], value["facts"], value["scores sha256"]
            seconds_of(facts)
            text = packed[f"scores/{key}.csv"] if digest and from_pack else b""
            if trial.key != key:
                raise ValueError("its name is not that of its trial, or what a name such as an augmentation's stands "
                                 "for has changed since; if it is from another version of covidcnn, leave it and "
                                 "choose another store")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
            raise DataError(f"{path}: damaged or not of this version ({error}); remove it and the trial is run again"
                            .replace("\n", " ")) from error
        if digest and not from_pack:
            try:
                compressed = scores_path.read_bytes()
            except OSError as error:
                raise DataError(f"{scores_path}: cannot be read ({error.strerror}); remove {path.name} and the trial "
                                "is run again") from error
            if hashlib.sha256(compressed).hexdigest() != digest:
                raise DataError(f"{scores_path}: damaged; remove {path.name} and the trial is run again")
            text = gzip.decompress(compressed)
        return TrialResult(trial, history, _table(text.decode()) if digest else pd.DataFrame(), diverged, facts, digest)

    def write(self, result: TrialResult, model: bytes = b"") -> None:
        """Put a result in its place, its JSON last: what has that is complete, and what it went on from is gone.
        ``model`` is its model file, if that is to be kept. A UserError if that is impossible."""
        key, digest = result.trial.key, ""
        if model:
            ending = Path(file_name(result.trial.recipe.model)).suffix
            with replacing((self.folder / "models" / key).with_suffix(ending)) as temporary:
                temporary.write_bytes(model)
        if not result.diverged:
            # Nine digits tell every float32 from its neighbours. No time in the archive: same scores, same file.
            scores = result.scores if result.scores["perturbation"].any() else result.scores.drop(
                columns="perturbation")
            text = scores.to_csv(index=False, float_format="%.9g")
            packed = gzip.compress(text.encode(), mtime=0)
            digest = hashlib.sha256(packed).hexdigest()
            with replacing(self._scores(key)) as temporary:
                temporary.write_bytes(packed)
        write_json(self._json(key), {
            "trial": result.trial.to_dict(), "history": result.history.to_dict("list"), "diverged": result.diverged,
            "scores sha256": digest, "facts": result.facts})
        remove(self.unfinished(result.trial))

    def read_all(self) -> tuple[list[TrialResult], list[str]]:
        """All results that can be read, by key, and a line on each that cannot."""
        results, problems = [], []
        for key in self.finished_keys():
            try:
                results.append(self.read(key))
            except DataError as error:
                problems.append(str(error))
        return results, problems

    @contextmanager
    def claim(self, trial: Trial, wait: bool = False) -> Iterator[bool]:
        """Hold a trial while the block runs: True unless another process holds it, whose end may be waited for."""
        path = self.folder / "unfinished" / f"{trial.key}.lock"
        lock = FileLock(path, timeout=-1 if wait else 0)
        with suppress(Timeout):
            lock.acquire()
        try:
            yield lock.is_locked
        finally:
            # Whoever opened the file meanwhile finds the trial finished.
            if lock.is_locked and self.is_finished(trial):
                path.unlink(missing_ok=True)
            lock.release()

    def run(self, dataset: DataSet, trial: Trial, report: Report | None = None, trainer: Trainer | None = None
            ) -> TrialResult:
        """The result of a trial: read if it is finished, else computed, from its last epoch on. While another process
        runs the same trial, this one waits.

        Args:
            dataset: with the trial's content hash.
            report: called at the end of each epoch with (epoch, epochs, logs).
            trainer: does the training; ``train_trial`` if none is given.

        Raises:
            DataError: its result is damaged, or the images do not allow it.
            UserError: the store cannot be written.
            KeyboardInterrupt: the trial stays unfinished, to be gone on with.
        """
        if not self.is_finished(trial):
            with self.claim(trial, wait=True):
                if self.begin(trial):
                    self.write(*self.work(dataset, trainer).compute(trial, report))
        return self.read(trial.key)

    def work(self, dataset: DataSet, trainer: Trainer | None = None) -> Work:
        """How this store's trials are computed; arguments as of ``run``."""
        return Work(dataset, self.folder / "unfinished", trainer, self.keep_models,
                    partial(_found, self.folder.resolve()))

    def begin(self, trial: Trial) -> bool:
        """Whether a trial that this process holds is to be computed: False if it was finished by whoever held it until
        now. A UserError where ``admit`` forbids it."""
        if self.is_finished(trial):
            return False
        if self.admit:
            self.admit(trial)
        return True

    def _json(self, key: str) -> Path:
        return self.folder / "trials" / f"{key}.json"

    def _scores(self, key: str) -> Path:
        return self.folder / "scores" / f"{key}.csv.gz"


def _found(folder: Path, trial: Trial) -> TrialResult | None:
    """The result of a trial in a store, if it is there and did not diverge: without the store's ``admit``, which no
    other process could be sent."""
    store = TrialStore(folder)
    return store.read(trial.key) if store.is_finished(trial) and store.has_scores(trial) else None


def _table(text: str) -> pd.DataFrame:
    columns = pd.read_csv(io.StringIO(text), nrows=0).columns
    own = list(filter(is_score, columns))
    numbers = [*own, *epoch_columns(columns)]
    # Images that are not scored after every epoch have no number there.
    scores = pd.read_csv(io.StringIO(text), dtype=TEXTS, keep_default_na=False, na_values=dict.fromkeys(numbers, ""),
                         float_precision="round_trip")
    # What was written in nine digits was a float32.
    scores[numbers] = scores[numbers].astype("float32").astype(float)
    if "perturbation" not in scores:
        # In older files a perturbation stands in the name of the split: 'validation, contrast 0.7'.
        parts = scores["split"].str.partition(", ")
        scores = scores.assign(split=parts[0], perturbation=parts[2])
    return scores[[*score_columns(own), *numbers[len(own):]]]


def seconds_of(facts: dict[str, Any]) -> float:
    """How long the last process worked on a trial; one that was killed before is not counted."""
    return float(facts["seconds"])


def processor_of(facts: dict[str, Any]) -> str:
    """The kind of processor that computed a trial, with its threads where they are known: between kinds results differ
    in the last digits."""
    kind = str(facts.get("processor", "unknown"))
    return f"{kind} (threads: {facts['threads']})" if "threads" in facts else kind
