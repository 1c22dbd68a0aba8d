"""Sweeps: trials run into a store, by an executor that decides where: one after the other, or in several processes."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from joblib import Parallel, delayed

from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.trials.store import Report, Trainer, TrialStore
from covidcnn.trials.trial import Trial


def shard(trials: list[Trial], share: str) -> list[Trial]:
    """The share '2/8' of the trials: the second of eight, of about equal size, by key; a UserError for other forms."""
    try:
        part, parts = map(int, share.split("/"))
    except ValueError:
        part, parts = 0, 0
    if not 1 <= part <= parts:
        raise UserError(f"shard '{share}': give for example 2/8, the second of eight shares")
    chosen = set(sorted(trial.key for trial in trials)[part - 1 :: parts])
    return [trial for trial in trials if trial.key in chosen]


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands."""

    total: int
    done: int
    before: int
    """Of ``done``: found finished, before or by another process meanwhile."""
    elsewhere: int = 0
    """Held by another process."""
    running: Trial | None = None
    """None where trials run in other processes."""
    epoch: int = 0
    seconds_left: float | None = None
    """Expected; None while nothing is known."""
    problems: tuple[str, ...] = ()
    """Damaged results and trials that cannot be run, one line each."""
    diverged: int = 0
    """Of what was run now."""

    @property
    def left(self) -> int:
        return self.total - self.done - len(self.problems)


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: 'run', 'diverged', 'found' finished, running 'elsewhere', or a 'problem'."""

    trial: Trial
    how: str
    seconds: float
    problem: str = ""


Work = Callable[[Trial, Report | None], Outcome]
Watch = Callable[[Trial, int, int, dict], None]


class Executor(Protocol):
    """Where trials are run."""

    def __call__(self, work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
        """Have the work done on each trial, taken from ``trials`` when it begins, and yield what became of each.
        Trainings of this process tell ``watch`` of each finished epoch, and of epoch 0."""


def one_by_one(work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
    """The executor that runs trials in this process."""
    for trial in trials:
        watch(trial, 0, trial.recipe.epochs, {})
        yield work(trial, partial(watch, trial))


@dataclass(frozen=True)
class LocalProcesses:
    """The executor that runs several trials at once, each in a process, for machines where one training cannot use all
    there is, such as a GPU and this small network."""

    processes: int

    def __call__(self, work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
        yield from Parallel(self.processes, return_as="generator_unordered", pre_dispatch=self.processes, batch_size=1)(
            delayed(work)(trial, None) for trial in trials)


def run_sweep(trials: Sequence[Trial], store: TrialStore, dataset: DataSet, watch: Callable[[Progress], None],
              trainer: Trainer | None = None, executor: Executor = one_by_one, minutes: float = float("inf")
              ) -> Progress:
    """Run what is not finished. Damaged results are left as they are; they, and trials that cannot be run, are
    reported, and the others go on. What another process runs is left to it, and taken over should it die.

    Args:
        trials: in the order in which they are begun, on the images of the data set.
        watch: called whenever something changed.
        trainer: does the training; ``train_trial`` if none is given.
        executor: where trials are run.
        minutes: after which no trial is begun that would, as long as the longest before it, not end in time.

    Raises:
        UserError: the store cannot be written to at all.
        KeyboardInterrupt: running trials stay unfinished, to be gone on with.
    """
    store.prepare()
    finished = list(filter(store.is_finished, trials))
    problems = tuple(filter(None, (_damage(store, trial) for trial in finished)))
    progress = Progress(len(trials), len(finished) - len(problems), len(finished) - len(problems), problems=problems)
    watch(progress)
    known = set(finished)
    # By the list above: what another process finished since then is found, and counted, on the way.
    waiting = [trial for trial in trials if trial not in known]
    begin, epochs_run, longest, in_time = time.monotonic(), 0, 0.0, True

    def watch_epoch(trial: Trial, epoch: int, epochs: int, logs: dict) -> None:
        nonlocal progress, epochs_run
        progress = replace(progress, running=trial, epoch=epoch)
        if epoch:
            epochs_run += 1
            progress = replace(progress, seconds_left=seconds_left(epoch))
        watch(progress)

    def seconds_left(epoch: int = 0) -> float:
        to_come = sum(trial.recipe.epochs for trial in waiting if not store.is_finished(trial)) - epoch
        # Trials of a sweep differ in cost; the mean over epochs is as good a guess as is to be had.
        return (time.monotonic() - begin) / epochs_run * to_come

    def begun_in_time(trials: list[Trial]) -> Iterator[Trial]:
        nonlocal in_time
        for trial in trials:
            in_time = time.monotonic() + longest <= begin + 60 * minutes
            if not in_time:
                return
            yield trial

    # First whatever nobody else runs; then what others ran, should they have died meanwhile.
    while waiting and in_time and not (progress.elsewhere and all(_is_held(store, trial) for trial in waiting)):
        progress = replace(progress, elsewhere=0)
        for outcome in executor(partial(_run, store, dataset, trainer), begun_in_time([*waiting]), watch_epoch):
            longest = max(longest, outcome.seconds)
            if outcome.how == "elsewhere":
                progress = replace(progress, elsewhere=progress.elsewhere + 1)
                continue
            waiting.remove(outcome.trial)
            if outcome.how == "problem":
                # The others may be sound: what this one lacks is said at the end.
                progress = replace(progress, problems=(*progress.problems, outcome.problem))
                continue
            progress = replace(progress, done=progress.done + 1, before=progress.before + (outcome.how == "found"),
                               diverged=progress.diverged + (outcome.how == "diverged"))
            if not progress.running and outcome.how != "found":
                epochs_run += outcome.trial.recipe.epochs
                progress = replace(progress, seconds_left=seconds_left())
                watch(progress)
    progress = replace(progress, running=None)
    watch(progress)
    return progress


def _run(store: TrialStore, dataset: DataSet, trainer: Trainer | None, trial: Trial, report: Report | None) -> Outcome:
    begin, problem = time.monotonic(), ""
    try:
        how: str = store.run_unless_claimed(dataset, trial, report, trainer)
        if how == "run" and store.read(trial.key).diverged:
            how = "diverged"
    except UserError as error:
        how, problem = "problem", str(error)
    return Outcome(trial, how, time.monotonic() - begin, problem)


def _damage(store: TrialStore, trial: Trial) -> str:
    try:
        store.read(trial.key)
    except DataError as error:
        return str(error)
    return ""


def _is_held(store: TrialStore, trial: Trial) -> bool:
    """Whether another process still runs a trial."""
    if store.is_finished(trial):
        return False
    with store.claim(trial) as mine:
        return not mine
