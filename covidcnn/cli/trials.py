"""``covidcnn sweep`` and ``covidcnn trials``: many trainings, and what came of them."""

import os
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.filesize import decimal as filesize
from rich.live import Live
from rich.table import Table
from typer.core import TyperGroup

from covidcnn.cli import options
from covidcnn.cli.common import INTERRUPTED, open_data, print_table, say, task_of
from covidcnn.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from covidcnn.data.dataset import DataSet
    from covidcnn.trials.store import TrialStore
    from covidcnn.trials.sweep import Executor, Progress
    from covidcnn.trials.trial import Trial

ShardOption = Annotated[str, typer.Option("--shard", metavar="K/N", help=(
    "Run the K-th of N shares, for job arrays."))]
ProcessesOption = Annotated[int, typer.Option("--processes", min=1, help=(
    "Trainings beside each other on this machine: for a GPU, which one of them does not fill."))]
ExecutorOption = Annotated[Literal["local", "ray"], typer.Option("--executor", help=(
    "Where trainings are computed: on this machine, or on a Ray cluster (needs covidcnn[ray])."))]
AddressOption = Annotated[str, typer.Option("--address", metavar="HOST:PORT", help=(
    "With ray: the cluster's head. Without it one of this machine alone, for the time of the sweep."))]
CpusOption = Annotated[int | None, typer.Option("--trial-cpus", min=1, help=(
    "With ray: cores for a training, 1 if not given."))]
GpusOption = Annotated[float | None, typer.Option("--trial-gpus", min=0, help=(
    "With ray: GPUs for a training, 0 if not given; 0.25 where four share one."))]
MemoryOption = Annotated[float | None, typer.Option("--trial-memory", min=0, metavar="GB", help=(
    "With ray: memory to reserve for a training, 2 if not given."))]
KeepModelsOption = Annotated[bool, typer.Option("--keep-models", help=(
    "Keep the model of each training in the store: models/KEY.keras."))]


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help=(
        "Parts: seeds (a list), recipe (settings that all share), grid (lists of values, every combination), "
        "variants (a list of settings), score_test (false: test images are not scored)."))],
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="Folder of finished trials.")],
    data: options.Data = None,
    share: ShardOption = "1/1",
    dry_run: Annotated[bool, typer.Option("--dry-run", help=(
        "Time a few steps, say what the sweep would take, and stop."))] = False,
    processes: ProcessesOption = 1,
    executor: ExecutorOption = "local",
    address: AddressOption = "",
    trial_cpus: CpusOption = None,
    trial_gpus: GpusOption = None,
    trial_memory: MemoryOption = None,
    keep_models: KeepModelsOption = False,
    task: options.Task = "",
    positive: options.Positive = "",
    labels: options.Labels = "",
    skip_bad: options.SkipBad = False,
    patients: options.Patients = "",
) -> None:
    """Run a grid of trainings into a store; a finished one is never run again, a killed one goes on."""
    from covidcnn.study.access_log import open_store
    from covidcnn.training.fit import require_possible
    from covidcnn.trials.spec import read_sweep
    from covidcnn.trials.sweep import shard
    from covidcnn.trials.work import scored_roles

    where = executor_of(executor, processes, address, trial_cpus, trial_gpus, trial_memory)
    wanted = read_sweep(spec)
    dataset = open_data(data, skip_bad, patients, task_of(task), positive, labels)
    if wanted.score_test and "test" not in set(dataset.images["split"]):
        raise UserError(f"{spec}: score_test, but {dataset.root} has no test split; leave score_test out")
    wanted = read_sweep(spec, validation=dataset.source.validation)
    trials = shard(wanted.trials(dataset.content_hash, dataset.task), share)
    for trial in trials:
        require_possible(trial.recipe, dataset.task, scored_roles(trial))
    precision = ", ".join(sorted({trial.recipe.precision for trial in trials}))
    say(f"{dataset.identity} {len(dataset.images):,} images. Precision: {precision}.")
    if dry_run:
        _print_forecast(trials, open_store(store), dataset, keep_models)
        return
    run_and_watch(trials, replace(open_store(store), keep_models=keep_models), dataset, where)


def _print_forecast(trials: "Sequence[Trial]", store: "TrialStore", dataset: "DataSet", keep_models: bool) -> None:
    """Say what the trials that are not finished will take."""
    left = [trial for trial in trials if not store.is_finished(trial)]
    print(f"{len(trials)} trials, {len(trials) - len(left)} finished, {len(left)} to run")
    if not left:
        return
    from covidcnn.trials.forecast import forecast

    expected = forecast(left, dataset, keep_models)
    shortest, longest, together, decoding = (timedelta(seconds=round(seconds)) for seconds in (
        min(expected.seconds), max(expected.seconds), sum(expected.seconds), expected.decoding_seconds))
    print(f"time, one after the other on this machine: {together}; each {shortest}"
          + (f" to {longest}" if longest > shortest else ""))
    print(f"decoding all images, once: {decoding}, {filesize(expected.cache_bytes)} in the cache")
    print(f"disk: {filesize(expected.store_bytes)} in the store, and {filesize(expected.unfinished_bytes)} for a "
          "training while it runs")
    print(f"memory: {filesize(expected.memory_bytes)} a process")


def executor_of(name: str, processes: int, address: str, cpus: int | None, gpus: float | None, memory_gb: float | None
                ) -> "Executor":
    """The executor that the options ask for; a UserError where they do not go together."""
    from covidcnn.trials.ray_executor import LOCAL, RayCluster
    from covidcnn.trials.sweep import LocalProcesses, one_by_one

    asked: dict[str, Any] = {"cpus": cpus, "gpus": gpus, "memory_gb": memory_gb}
    needs = {name: value for name, value in asked.items() if value is not None}
    if name == "ray":
        if processes > 1:
            raise UserError("--processes is of the executor local; with ray, --trial-cpus says how many trainings a "
                            "machine takes at once")
        if gpus is not None and not (gpus < 1 or gpus.is_integer()):
            raise UserError(f"--trial-gpus {gpus:g}: give a whole number, or a part of one GPU")
        return RayCluster(address or LOCAL, **needs)
    if address or needs:
        raise UserError("--address and --trial-... are of the executor ray; add --executor ray, or leave them out")
    return LocalProcesses(processes) if processes > 1 else one_by_one


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
    _warn_of_kinds(merged.processors)


def _warn_of_kinds(processors: "Mapping[str, int]") -> None:
    """Warn where trials were computed on processors of more than one kind."""
    if len(processors) > 1:
        kinds = "; ".join(f"{count} on {name}" for name, count in sorted(processors.items()))
        say(f"warning: trials of {len(processors)} kinds of processor or numbers of threads ({kinds}): between them "
            "results differ in the last digits, and after many steps by more; compare within one kind")


def list_trials(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="A store that covidcnn sweep filled.")],
    where: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=(
        "Only trials with this setting, for example optimizer=Nadam; may be repeated."))] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every setting and every metric.")] = False,
) -> None:
    """List finished trials with their metrics on validation (and test, where it was scored), threshold 0.5."""
    from covidcnn.trials.store import TrialStore
    from covidcnn.trials.table import RESULT_COLUMNS, matches, setting_as_text, trial_table, varying

    wanted = {}
    for entry in where or []:
        name, equals, value = entry.partition("=")
        if not equals:
            raise UserError(f"--where {entry}: give NAME=VALUE, for example optimizer=Nadam")
        if name in wanted:
            raise UserError(f"--where {name}: given twice; leave one out")
        wanted[name] = value
    results, problems = TrialStore(store).read_all()
    table = trial_table(result for result in results if matches(result, wanted))
    if as_csv:
        table.to_csv(sys.stdout)
    else:
        shown = varying(table).drop(columns=["validation loss", "test loss"], errors="ignore")
        for name in shown.columns.difference(RESULT_COLUMNS):
            shown[name] = shown[name].map(setting_as_text)
        shown.insert(0, "trial", [str(key)[:8] for key in table.index])
        print_table(shown, f"{len(table)} trials of {store}", ".3g")
    if problems:
        for problem in problems[1:]:
            say(f"covidcnn: {problem}")
        raise DataError(problems[0])


def run_and_watch(trials: "Sequence[Trial]", store: "TrialStore", dataset: "DataSet",
                  executor: "Executor | None" = None, minutes: float = float("inf")) -> None:
    """Run trials into a store with a live table, and say at the end what was done."""
    from covidcnn.training.precision import resolve_precision
    from covidcnn.trials.sweep import one_by_one, run_sweep

    if any(trial.recipe.precision == "bfloat16" and not store.is_finished(trial) for trial in trials) \
            and resolve_precision("auto") != "bfloat16":
        say("warning: these trainings ask for bfloat16, in which this machine is slower than in float32; where it has "
            "to imitate it, many times slower")
    console = Console(stderr=True)
    try:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            def watch(progress: "Progress") -> None:
                if console.is_terminal:
                    live.update(_progress_table(progress))
                elif progress.epoch or not progress.running:
                    say(_progress_line(progress))

            end = run_sweep(trials, store, dataset, watch, minutes=minutes, executor=executor or one_by_one)
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
    _warn_of_kinds(end.processors)
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
