"""``covidcnn sweep`` and ``covidcnn trials``: many trainings, and what came of them."""

import os
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from typer.core import TyperGroup

from covidcnn.cli import options
from covidcnn.cli.common import INTERRUPTED, open_data, print_table, say, task_of
from covidcnn.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from covidcnn.data.dataset import DataSet
    from covidcnn.trials.store import TrialStore
    from covidcnn.trials.sweep import Progress
    from covidcnn.trials.trial import Trial

ProcessesOption = Annotated[int, typer.Option("--processes", min=1, help=(
    "Trainings beside each other: for a GPU, which one of them does not fill."))]


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help=(
        "Parts: seeds (a list), recipe (settings that all share), grid (lists of values, every combination), "
        "variants (a list of settings), score_test (false: test images are not scored)."))],
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="Folder of finished trials.")],
    data: options.Data = None,
    share: Annotated[str, typer.Option("--shard", metavar="K/N", help=(
        "Run the K-th of N shares, for job arrays."))] = "1/1",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and stop.")] = False,
    processes: ProcessesOption = 1,
    keep_models: Annotated[bool, typer.Option("--keep-models", help=(
        "Keep the model of each training in the store: models/KEY.keras."))] = False,
    task: options.Task = "",
    positive: options.Positive = "",
    labels: options.Labels = "",
    skip_bad: options.SkipBad = False,
    patients: options.Patients = "",
) -> None:
    """Run a grid of trainings into a store; a finished one is never run again, a killed one goes on."""
    from covidcnn.study.access_log import open_store
    from covidcnn.training.recipe import recipe_for
    from covidcnn.trials.spec import read_sweep
    from covidcnn.trials.sweep import shard

    wanted = read_sweep(spec)
    dataset = open_data(data, skip_bad, patients, task_of(task), positive, labels)
    if wanted.score_test and "test" not in set(dataset.images["split"]):
        raise UserError(f"{spec}: score_test, but {dataset.root} has no test split; leave score_test out")
    wanted = replace(wanted, recipes=tuple(recipe_for(dataset, recipe) for recipe in wanted.recipes))
    trials = shard(wanted.trials(dataset.content_hash, dataset.task), share)
    precision = ", ".join(sorted({trial.recipe.precision for trial in trials}))
    say(f"{dataset.identity} {len(dataset.images):,} images. Precision: {precision}.")
    if dry_run:
        done = sum(map(open_store(store).is_finished, trials))
        print(f"{len(trials)} trials, {done} finished, {len(trials) - done} to run")
        return
    run_and_watch(trials, replace(open_store(store), keep_models=keep_models), dataset, processes)


class ListByDefault(TyperGroup):
    """``covidcnn trials DIR`` is ``covidcnn trials list DIR``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["list", *args])


def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Stores that covidcnn sweep filled.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="A store, new or not.")],
) -> None:
    """Copy the finished trials of several stores into one; two results of one trial that differ are refused."""
    from covidcnn.trials.merge import merge as merge_stores
    from covidcnn.trials.store import TrialStore

    merged = merge_stores([TrialStore(store) for store in stores], TrialStore(into))
    print(f"{into}: {merged.trials} trials, {merged.copied} of them copied now")
    if len(merged.processors) > 1:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(merged.processors.items()))
        say(f"warning: trials of {len(merged.processors)} kinds of processor ({kinds}): between them results differ in "
            "the last digits, and after many steps by more; compare within one kind")


def list_trials(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="A store that covidcnn sweep filled.")],
    where: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=(
        "Only trials with this setting, for example optimizer=Nadam; may be repeated."))] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every setting and every metric.")] = False,
) -> None:
    """List finished trials with their metrics on validation (and test, where it was scored), threshold 0.5."""
    from covidcnn.trials.store import TrialStore
    from covidcnn.trials.table import matches, trial_table, varying

    wanted = {}
    for entry in where or []:
        name, equals, value = entry.partition("=")
        if not equals:
            raise UserError(f"--where {entry}: give NAME=VALUE, for example optimizer=Nadam")
        wanted[name] = value
    if not (store / "trials").is_dir():
        raise DataError(f"{store}: no store of trials; covidcnn sweep --store makes one")
    results, problems = TrialStore(store).read_all()
    table = trial_table(result for result in results if matches(result, wanted))
    if as_csv:
        table.to_csv(sys.stdout)
    else:
        shown = varying(table).drop(columns=["validation loss", "test loss"], errors="ignore")
        shown.insert(0, "trial", [str(key)[:8] for key in table.index])
        print_table(shown, f"{len(table)} trials of {store}", ".3g")
    if problems:
        for problem in problems[1:]:
            say(f"covidcnn: {problem}")
        raise DataError(problems[0])


def run_and_watch(trials: "Sequence[Trial]", store: "TrialStore", dataset: "DataSet", processes: int = 1,
                  minutes: float = float("inf")) -> None:
    """Run trials into a store with a live table, and say at the end what was done."""
    from covidcnn.training.precision import resolve_precision
    from covidcnn.trials.sweep import LocalProcesses, one_by_one, run_sweep

    if any(trial.recipe.precision == "bfloat16" and not store.is_finished(trial) for trial in trials) \
            and resolve_precision("auto") != "bfloat16":
        say("warning: this machine does not multiply bfloat16, which these trainings ask for, and has to imitate it: "
            "they will be many times slower than in float32")
    console = Console(stderr=True)
    try:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            def watch(progress: "Progress") -> None:
                if console.is_terminal:
                    live.update(_progress_table(progress))
                elif progress.epoch or not progress.running:
                    say(_progress_line(progress))

            end = run_sweep(trials, store, dataset, watch, minutes=minutes,
                            executor=one_by_one if processes == 1 else LocalProcesses(processes))
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one stopped")
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    print(f"{end.total} trials: {end.before} finished before, {end.done - end.before} run now"
          + (f" ({end.diverged} diverged)" if end.diverged else "")
          + (f", {end.elsewhere} being run by another process" if end.elsewhere else "")
          + (f", {len(end.problems)} not done" if end.problems else "")
          + (f", {end.left - end.elsewhere} not begun" if end.left > end.elsewhere else "")
          + f"; store: {store.folder}")
    if end.problems:
        for problem in end.problems[1:]:
            say(f"covidcnn: {problem}")
        raise DataError(end.problems[0])


def _describe(trial: "Trial") -> str:
    recipe = trial.recipe
    return (f"{recipe.optimizer} {recipe.learning_rate:g}, {recipe.images.size} px, {recipe.images.preprocess}, "
            f"augmentation {recipe.augmentation}, balancing {recipe.balance}, seed {trial.seed}")


def _expected(progress: "Progress") -> str:
    return "" if progress.seconds_left is None else str(timedelta(seconds=round(progress.seconds_left)))


def _progress_line(progress: "Progress") -> str:
    running = f"; {_describe(progress.running)}: epoch {progress.epoch}/{progress.running.recipe.epochs}" if (
        progress.running) else ""
    left = f", {_expected(progress)} left" if _expected(progress) else ""
    return f"[{time.strftime('%H:%M:%S')}] {progress.done} of {progress.total} trials done{left}{running}"


def _progress_table(progress: "Progress") -> Table:
    table = Table("done", "before", "left", "elsewhere", "expected time", "running")
    running = progress.running
    table.add_row(str(progress.done), str(progress.before), str(progress.left), str(progress.elsewhere),
                  _expected(progress),
                  f"{_describe(running)}: epoch {progress.epoch} of {running.recipe.epochs} done" if running else "")
    return table
