"""Computing a trial: the same in the process that holds the store, in another one, and on another machine."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from covidcnn.data.dataset import DataSet
from covidcnn.errors import UserError
from covidcnn.provenance import processor, software_facts, training_versions
from covidcnn.task import Task
from covidcnn.training.result import Diverged, Training, chosen_epoch
from covidcnn.trials.trial import Trial

Report = Callable[[int, int, dict], None]
Trainer = Callable[..., Training]
"""As ``train_trial``; ``of_teacher`` is given where there are such scores."""


_OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError", "XlaRuntimeError", "JaxRuntimeError")


@dataclass(frozen=True)
class TrialResult:
    """A finished trial."""

    trial: Trial
    history: pd.DataFrame
    scores: pd.DataFrame
    """As of ``Training``: of validation, of images without a label, and of test where the trial says so; empty, as the
    history, if the training diverged."""
    diverged: str
    """Why there are no scores; empty if there are."""
    facts: dict[str, Any]
    """Seconds, time of day, versions, commit, processor."""
    digest: str = ""
    """SHA-256 of the stored file of scores; empty before it is stored, or if there is none."""

    @property
    def task(self) -> Task:
        return self.trial.task

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept."""
        return chosen_epoch(self.history, self.trial.recipe.choose_by)


@dataclass(frozen=True)
class Outcome:
    """What became of a trial that was to be computed."""

    trial: Trial
    result: TrialResult | None = None
    """None where the trial cannot be run."""
    model: bytes = b""
    """The model file, where it is to be kept."""
    problem: str = ""
    """Why it cannot be run, in one line."""


@dataclass(frozen=True)
class Work:
    """How trials are computed: on which images, and where what a killed one goes on from is kept. It writes nothing
    else, so that only one process writes to a store."""

    dataset: DataSet
    unfinished: Path
    """The folder in which each unfinished trial has a folder, named by its key."""
    trainer: Trainer | None = None
    """Does the training; ``train_trial`` if none is given."""
    keep_models: bool = False
    found: Callable[[Trial], TrialResult | None] | None = None
    """Looks up the result of a trial, for students, whose teachers may have been trained by themselves."""

    def compute(self, trial: Trial, report: Report | None = None) -> tuple[TrialResult, bytes]:
        """A trial's result, from its last finished epoch on, and its model file where that is to be kept.

        Raises:
            UserError: the trial cannot be run on these images, or nothing can be written.
            KeyboardInterrupt: the trial stays unfinished, to be gone on with.
        """
        # The code as it is now: it may be committed to while a training of hours runs.
        begin, software = time.monotonic(), software_facts()
        history, scores, diverged, model = pd.DataFrame(), pd.DataFrame(), "", b""
        teacher = self._teacher(trial, software.get("versions"))
        folder = self.unfinished / trial.key
        folder.mkdir(parents=True, exist_ok=True)
        # Of a trial that goes on elsewhere, every kind of processor that has a part in it.
        noted = folder / ".processors"
        kinds = noted.read_text(encoding="utf-8").splitlines() if noted.is_file() else []
        kinds = [*([teacher.facts["processor"]] if teacher else []), *kinds]

        def watch(epoch: int, epochs: int, logs: dict) -> None:
            if (kind := processor()) not in kinds:
                kinds.append(kind)
                noted.write_text("\n".join(kinds), encoding="utf-8")
            if report:
                report(epoch, epochs, logs)

        try:
            # A worker whose sweep was killed may still be at it.
            with FileLock(folder / ".lock"):
                training = (self.trainer or train_trial)(
                    self.dataset, trial, folder, watch, **({"of_teacher": teacher.scores} if teacher else {}))
            history, scores = training.history, training.scores
            if self.keep_models:
                model = _model_file(self.dataset, trial, training)
        except Diverged as error:
            diverged = str(error)
        facts = {"seconds": round(time.monotonic() - begin, 1), "finished": datetime.now(UTC).isoformat("T", "seconds"),
                 **software, "processor": " and ".join(dict.fromkeys([*kinds, processor()])),
                 **({"teacher": teacher.trial.key} if teacher else {})}
        return TrialResult(trial, history, scores, diverged, facts), model

    def _teacher(self, trial: Trial, versions: dict[str, str] | None) -> TrialResult | None:
        """The training of a student's teacher, if there is one by the same versions."""
        found = map(self.found, trial.teachers) if self.found else ()
        return next((one for one in found if one and one.facts.get("versions") == versions), None)

    def attempt(self, trial: Trial, report: Report | None = None) -> Outcome:
        """``compute``, with what keeps a trial from being run as the outcome's problem: a UserError, or that memory or
        the disk is at its end."""
        problem, result, model = "", None, b""
        try:
            result, model = self.compute(trial, report)
        except UserError as error:
            problem = str(error)
        except Exception as error:
            # The backends' own errors are known by their names.
            if not isinstance(error, OSError) and type(error).__name__ not in _OUT_OF_MEMORY:
                raise
            words = " ".join(str(error).split())[:200]
            problem = (f"trial {trial.key}: {type(error).__name__} {words}; give it more memory or disk, or train "
                       "fewer at once, and run the sweep again")
        return Outcome(trial, result, model, problem)


def scored_roles(trial: Trial) -> tuple[str, ...]:
    """The roles of the images that a trial scores."""
    return ("validation", *["test"] * trial.score_test, *{"train"} & set(trial.recipe.score_every_epoch))


def train_trial(dataset: DataSet, trial: Trial, folder: Path, report: Report | None,
                of_teacher: pd.DataFrame | None = None) -> Training:
    """Train as a trial says; what a killed process left in ``folder`` is gone on with. A student's teacher is trained,
    too, unless its scores are given. ValueError if the images are labelled for another task."""
    if dataset.task != trial.task:
        raise ValueError(f"trial {trial.key} tells {trial.task} apart, and the images were opened for {dataset.task}")
    # Here and not above: to list or to plan trials one need not wait for TensorFlow.
    from covidcnn.training.fit import train

    return train(dataset, trial.recipe, trial.seed, folder, scored_roles(trial), report,
                 keep_interrupted=False, identity=f"{trial.key} {training_versions()}", of_teacher=of_teacher)


def _model_file(dataset: DataSet, trial: Trial, training: Training) -> bytes:
    from covidcnn.models.model_file import file_name
    from covidcnn.trials.session import save_trained, training_facts

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file_name(trial.recipe.model)
        save_trained(path, dataset, trial, training, training_facts(dataset, trial, training))
        return path.read_bytes()
