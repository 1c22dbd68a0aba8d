"""Sweeps: trials run into a store, one after the other or in several processes."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from joblib import Parallel, delayed

from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.trials.store import Trainer, TrialStore
from covidcnn.trials.trial import Trial


def shard(trials: list[Trial], share: str) -> list[Trial]:
    """The share '2/8' of the trials: the second of eight, of about equal size, by key.

    Raises:
        UserError: ``share`` is not of this form.
    """
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
    elsewhere: int
    """Held by another process."""
    running: Trial | None
    epoch: int
    seconds_left: float | None
    """Expected; None while nothing is known."""
    problems: tuple[str, ...] = ()
    """Damaged results and trials that cannot be run, one line each."""
    diverged: int = 0
    """Of what was run now."""

    @property
    def left(self) -> int:
        return self.total - self.done - len(self.problems)


def run_sweep(trials: Sequence[Trial], store: TrialStore, dataset: DataSet, watch: Callable[[Progress], None],
              trainer: Trainer | None = None) -> Progress:
    """Run what is not finished. Damaged results are left as they are; they, and trials that cannot be run, are
    reported, and the others go on. What another process runs is left to it, and taken over should it die.

    Args:
        trials: for example from ``Sweep.trials``.
        store: receives the results.
        dataset: with the trials' content hash.
        watch: called whenever something changed.
        trainer: does the training; ``train_trial`` if none is given.

    Raises:
        UserError: the store cannot be written to at all.
        KeyboardInterrupt: the running trial stays unfinished, to be gone on with.
    """
    store.prepare()
    finished = [trial for trial in trials if store.is_finished(trial)]
    progress = Progress(len(trials), len(finished), len(finished), 0, None, 0, None)
    problems = []
    for trial in finished:
        try:
            store.read(trial.key)
        except DataError as error:
            problems.append(str(error))
    progress = replace(progress, done=len(finished) - len(problems), before=len(finished) - len(problems),
                       problems=tuple(problems))
    watch(progress)
    # By the list above: what another process finished since then is found, and counted, on the way.
    before = set(finished)
    pending = [trial for trial in trials if trial not in before]
    begin, epochs_run = time.monotonic(), 0
    # First whatever nobody else runs; then what others ran, should they have died meanwhile.
    waiting = deque(pending)
    left_to_others: list[Trial] = []

    def report(epoch: int, epochs: int, logs: dict) -> None:
        nonlocal epochs_run, progress
        epochs_run += 1
        to_come = epochs - epoch + sum(trial.recipe.epochs for trial in waiting if not store.is_finished(trial))
        # Trials of a sweep differ in cost; the mean over epochs is as good a guess as is to be had.
        progress = replace(progress, epoch=epoch, seconds_left=(time.monotonic() - begin) / epochs_run * to_come)
        watch(progress)

    while waiting or left_to_others:
        if not waiting:
            if all(_held(store, trial) for trial in left_to_others):
                break
            waiting, left_to_others = deque(left_to_others), []
        trial = waiting.popleft()
        progress = replace(progress, running=trial, epoch=0, elsewhere=len(left_to_others))
        watch(progress)
        try:
            how = store.run_unless_claimed(dataset, trial, report, trainer)
            if how == "elsewhere":
                left_to_others.append(trial)
            else:
                diverged = how == "run" and bool(store.read(trial.key).diverged)
                progress = replace(progress, done=progress.done + 1, before=progress.before + (how == "found"),
                                   diverged=progress.diverged + diverged)
        except UserError as error:
            # The others may be sound: what this one lacks is said at the end.
            progress = replace(progress, problems=(*progress.problems, str(error)))
    progress = replace(progress, running=None, elsewhere=len(left_to_others))
    watch(progress)
    return progress


def run_in_processes(trials: Sequence[Trial], store: TrialStore, dataset: DataSet, processes: int, minutes: float,
                     watch: Callable[[str], None], trainer: Trainer | None = None) -> None:
    """Run what is not finished in several processes, each of which takes the next trial that nobody else runs: for
    machines where one training cannot use all there is, such as a GPU and this small network.

    Args:
        trials: in the order in which they are taken up.
        store: receives the results.
        dataset: with the trials' content hash.
        processes: how many.
        minutes: after which no trial is begun that would probably not end in time.
        watch: is told what each process has done, when it ends.
        trainer: does the training; ``train_trial`` if none is given.

    Raises:
        UserError: the store cannot be written to, or a trial cannot be run.
    """
    store.prepare()
    end = time.time() + 60 * minutes
    for line in Parallel(processes, return_as="generator_unordered")(
            delayed(_take_turns)(trials, store, dataset, end, trainer) for _ in range(processes)):
        watch(line)


def _take_turns(trials: Sequence[Trial], store: TrialStore, dataset: DataSet, end: float, trainer: Trainer | None
                ) -> str:
    run, longest = 0, 0.0
    for trial in trials:
        begin = time.time()
        if begin + longest > end:
            break
        if not store.is_finished(trial) and store.run_unless_claimed(
                dataset, trial, trainer=trainer) == "run":
            run, longest = run + 1, max(longest, time.time() - begin)
    return f"a process ran {run} trials, the longest in {longest:.0f} s"


def _held(store: TrialStore, trial: Trial) -> bool:
    """Whether another process still runs a trial."""
    if store.is_finished(trial):
        return False
    with store.claim(trial) as mine:
        return not mine
