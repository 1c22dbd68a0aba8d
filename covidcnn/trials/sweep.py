"""Sweeps: trials computed by an executor that decides where: one after the other, or several at once. The process of
the sweep holds them meanwhile, and puts the results into the store."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from joblib.externals.loky import ProcessPoolExecutor

from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.trials.store import TrialStore, processor_of, seconds_of
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import Outcome, Trainer, Work


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
    processors: Mapping[str, int] = field(default_factory=dict)
    """At the end: how many trials were computed on each kind of processor."""

    @property
    def left(self) -> int:
        return self.total - self.done - len(self.problems)


Watch = Callable[[Trial, int, int, dict], None]


class Executor(Protocol):
    """Where trials are computed."""

    def __call__(self, work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
        """Attempt the work on each trial, taken from ``trials`` when it begins, and yield what became of each.
        Trainings of this process tell ``watch`` of each finished epoch, and of epoch 0."""


def one_by_one(work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
    """The executor that computes trials in this process."""
    for trial in trials:
        watch(trial, 0, trial.recipe.epochs, {})
        yield work.attempt(trial, partial(watch, trial))


@dataclass(frozen=True)
class LocalProcesses:
    """The executor that computes several trials at once, each in a process, for machines where one training cannot use
    all there is, such as a GPU and this small network."""

    processes: int

    def __call__(self, work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
        waiting, running = iter(trials), set[Future[Outcome]]()
        with ProcessPoolExecutor(self.processes) as pool:
            try:
                while True:
                    # No more than begin at once: what is taken is held.
                    while len(running) < self.processes and (trial := next(waiting, None)):
                        running.add(pool.submit(work.attempt, trial))
                    if not running:
                        return
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        yield future.result()
            except BrokenProcessPool as error:
                raise UserError("the process of a training was killed, as where memory runs out; take fewer "
                                "--processes, and run the sweep again: it goes on") from error
            except BaseException:
                pool.shutdown(kill_workers=True)
                raise


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
    problems, processors, waiting = list[str](), list[str](), list[Trial]()
    for trial in trials:
        if not store.is_finished(trial):
            waiting.append(trial)
            continue
        try:
            processors.append(processor_of(store.read(trial.key).facts))
        except DataError as error:
            problems.append(str(error))
    progress = Progress(len(trials), len(processors), len(processors), problems=tuple(problems))
    watch(progress)
    begin, epochs_run = time.monotonic(), 0

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

    held, longest, in_time = dict[Trial, ExitStack](), 0.0, True

    def settle(trial: Trial, problem: str = "", before: bool = False, diverged: bool = False) -> None:
        nonlocal progress
        waiting.remove(trial)
        if problem:
            # The others may be sound: what this one lacks is said at the end.
            progress = replace(progress, problems=(*progress.problems, problem))
        else:
            progress = replace(progress, done=progress.done + 1, before=progress.before + before,
                               diverged=progress.diverged + diverged)

    def taken(trials: list[Trial]) -> Iterator[Trial]:
        """Those that are to be computed, each held by this process from now on."""
        nonlocal progress, in_time
        for trial in trials:
            in_time = time.monotonic() + longest <= begin + 60 * minutes
            if not in_time:
                return
            with ExitStack() as claim:
                if not claim.enter_context(store.claim(trial)):
                    progress = replace(progress, elsewhere=progress.elsewhere + 1)
                    continue
                try:
                    if not store.begin(trial):
                        settle(trial, before=True)
                        continue
                except UserError as error:
                    settle(trial, str(error))
                    continue
                held[trial] = claim.pop_all()
            yield trial

    try:
        # First whatever nobody else runs; then what others ran, should they have died meanwhile.
        while waiting and in_time and not (progress.elsewhere and all(_is_held(store, trial) for trial in waiting)):
            progress = replace(progress, elsewhere=0)
            for outcome in executor(store.work(dataset, trainer), taken([*waiting]), watch_epoch):
                problem = outcome.problem
                with held.pop(outcome.trial):
                    try:
                        if outcome.result:
                            store.write(outcome.result, outcome.model)
                    except UserError as error:
                        problem = str(error)
                settle(outcome.trial, problem, diverged=bool(outcome.result and outcome.result.diverged))
                if outcome.result:
                    longest = max(longest, seconds_of(outcome.result.facts))
                    processors.append(processor_of(outcome.result.facts))
                if not progress.running and not problem:
                    epochs_run += outcome.trial.recipe.epochs
                    progress = replace(progress, seconds_left=seconds_left())
                    watch(progress)
    finally:
        for claim in held.values():
            claim.close()
    progress = replace(progress, running=None, processors=Counter(processors))
    watch(progress)
    return progress


def _is_held(store: TrialStore, trial: Trial) -> bool:
    """Whether another process still runs a trial."""
    if store.is_finished(trial):
        return False
    with store.claim(trial) as mine:
        return not mine
