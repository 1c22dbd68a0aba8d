"""The command line. Each command is thin: it reads its options, calls the library, prints."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from covidcnn.errors import UserError

if TYPE_CHECKING:
    from covidcnn.data.dataset import DataSet

# What takes long is imported by the command that needs it: --help must not wait for TensorFlow.

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="One published chest X-ray CNN paper, made executable. For research and teaching: "
                       "not a medical device.")
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set, or draw one.")
app.add_typer(data_app, name="data")

INTERRUPTED = 130

DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=(
    "Folder in the published layout (train, val, test with NORMAL and PNEUMONIA in each). "
    "Without it: the embedded phantom films."))]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help=(
    "Go on without files that cannot be read; they are listed in the run record."))]
PatientsOption = Annotated[Path | None, typer.Option("--patients", metavar="CSV", help=(
    "Columns path and patient: who is on which film, for file names of another scheme."))]


PrecisionOption = Annotated[str, typer.Option(help=(
    "auto (bfloat16 where processor or GPU multiplies it, else float32), float32 or bfloat16."))]


def main() -> None:
    """Run the command line: bad input is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"covidcnn: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def report(
    profile: Annotated[str, typer.Option(help="smoke (a minute, for tests), quick, or paper (224 px, hours).")]
    = "quick",
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help=(
        "Report folder. Without it: reports/PROFILE-DATA/."))] = None,
    only: Annotated[str, typer.Option(metavar="NN", help="Run one notebook, for example 05.")] = "",
    first: Annotated[str, typer.Option("--from", metavar="NN", help="Run from this notebook on.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help=(
        "Keep notebooks that were done with the same code, data and parameters."))] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 2,
    skip_bad: SkipBadOption = False,
    patients: PatientsOption = None,
) -> None:
    """Execute the notebooks and leave figures, tables, scores and pages in a report folder."""
    from covidcnn.config import profile_named
    from covidcnn.report.notebooks import find_notebooks, select_notebooks
    from covidcnn.report.run import report_folder
    from covidcnn.report.runner import run_series

    chosen = profile_named(profile)
    notebooks = select_notebooks(find_notebooks(), only, first)
    dataset = _open(data, skip_bad, patients)
    if "test" not in set(dataset.films["split"]):
        raise UserError(f"{data}: no test split; a report needs one (train and evaluate do not)")
    if chosen.requires_published_data and not dataset.is_published:
        raise UserError(f"the profile '{profile}' needs the published data set; {dataset.identity} "
                        "Give its folder with --data")
    folder = report_folder(chosen, dataset.name, out or "")
    _say(f"{dataset.identity} {len(dataset.films):,} films.")
    try:
        outcomes = run_series(notebooks, chosen, dataset, folder, resume, report=_say, jobs=jobs, patients=patients)
    except KeyboardInterrupt:
        _say("interrupted; --resume goes on with what is not done")
        # At once: kernels end when this process does, and its threads would first wait for them.
        os._exit(INTERRUPTED)
    _say(f"report: {folder / 'index.html'}")
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help=(
        "Folder for model.keras, history.csv, scores.csv and run.json."))],
    data: DataOption = None,
    optimizer: Annotated[str, typer.Option(help="nadam, rmsprop, adam, sgd, adagrad or adadelta.")] = "nadam",
    learning_rate: Annotated[float | None, typer.Option(help="Without it: Keras's default.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    size: Annotated[int, typer.Option(metavar="PX", help="Side of the model's input.")] = 224,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    preprocess: Annotated[str, typer.Option(help="plain, equalize, invert, invert-equalize or clahe.")] = "plain",
    interpolation: Annotated[str, typer.Option(help="area, linear, nearest, cubic or lanczos.")] = "area",
    pad: Annotated[bool, typer.Option("--pad", help="Keep the aspect ratio, black at the sides.")] = False,
    augment: Annotated[str, typer.Option(help="none, paper (flips and shifts) or intensity.")] = "none",
    balance: Annotated[str, typer.Option(help="none, class-weight or oversample.")] = "none",
    precision: PrecisionOption = "auto",
    validation: Annotated[str, typer.Option(help="How validation is made: patient, block, image or published.")]
    = "patient",
    threshold: Annotated[str, typer.Option(help="0.5, or fixed on validation: youden, sensitivity (95 %).")] = "0.5",
    batch_norm_momentum: Annotated[float, typer.Option(min=0, max=1, help=(
        "0.99 needs about a thousand steps before its averages mean anything; take 0.9 for short trainings."))]
    = 0.99,
    skip_bad: SkipBadOption = False,
    patients: PatientsOption = None,
) -> None:
    """Train the paper's network once."""
    from covidcnn.imaging import ImageSettings
    from covidcnn.training.precision import resolve_precision
    from covidcnn.training.recipe import Recipe
    from covidcnn.training.session import MODEL, train_into

    recipe = Recipe(
        epochs=epochs, images=ImageSettings(size, preprocess, interpolation, pad), optimizer=optimizer,
        learning_rate=learning_rate, augmentation=augment, balance=balance, batch_size=batch_size,
        batch_norm_momentum=batch_norm_momentum, precision=precision, validation=validation)
    dataset = _open(data, skip_bad, patients)
    _say(f"{dataset.identity} {len(dataset.films):,} films. Precision: {resolve_precision(precision)}.")
    training = train_into(out, dataset, recipe, seed, threshold, report=_say_epoch)
    _say(f"model of epoch {training.best_epoch}: {out / MODEL}")
    if training.interrupted:
        _say("interrupted: the model is that of the best epoch so far")
        raise typer.Exit(INTERRUPTED)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.keras that covidcnn train left.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder with NORMAL and PNEUMONIA, split or not.")],
    split: Annotated[str, typer.Option(help="train, val, test or all. Without it: test if there is one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    bootstrap_samples: Annotated[int, typer.Option(min=10)] = 1000,
    skip_bad: SkipBadOption = False,
    patients: PatientsOption = None,
) -> None:
    """Score labelled films and print every metric with its 95 % interval."""
    from covidcnn.evaluation.folder import evaluate_model

    result = evaluate_model(model, _open(data, skip_bad, patients), split, bootstrap_samples)
    del result["scores"]
    if as_json:
        print(json.dumps(result, indent=2))
        return
    table = Table("metric", "value", "95 % interval", "made by",
                  title=f"{result['n']} films of {result['data']} ({result['split']}), threshold "
                        f"{result['threshold']:.3f}")
    for name, estimate in result["metrics"].items():
        table.add_row(name, f"{estimate['value']:.3f}", f"{estimate['low']:.3f} to {estimate['high']:.3f}",
                      estimate["interval"])
    Console().print(table)
    for line in (result["identity"], result["note"], result["disclaimer"]):
        if line:
            print(line)


@app.command()
def lab() -> None:
    """Open JupyterLab on the notebooks."""
    from jupyterlab.labapp import main as jupyterlab

    from covidcnn.paths import NOTEBOOKS

    jupyterlab([str(NOTEBOOKS)])


@data_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder in the published layout, or around one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    patients: PatientsOption = None,
) -> None:
    """Decode every image and print counts, warnings and errors; exit code 2 if there are errors."""
    from covidcnn.data.catalogue import assign_patients, index_folder
    from covidcnn.data.check import examine

    with _progress("reading films") as progress:
        catalogue = index_folder(folder, progress)
    if patients:
        catalogue = replace(catalogue, films=assign_patients(catalogue.films, patients))
    findings = examine(catalogue)
    if as_json:
        print(json.dumps({"identity": findings.identity, "counts": findings.counts.to_dict("index"),
                          "warnings": findings.warnings, "errors": findings.errors}, indent=2))
    else:
        print(findings.identity, "", findings.counts.to_string(), "", sep="\n")
        for kind, lines in (("warning", findings.warnings), ("error", findings.errors)):
            for line in lines:
                print(f"{kind}: {line}")
        print(f"warnings: {len(findings.warnings)}, errors: {len(findings.errors)}")
    if findings.errors:
        raise typer.Exit(2)


@data_app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    images: Annotated[int, typer.Option(min=20, help="In all, shared as 560 train, 16 val, 224 test of 800.")] = 800,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw a data set of phantom chest films: no patients, free to share."""
    from covidcnn.data.phantom import share_counts, write_phantom

    with _progress("drawing films") as progress:
        write_phantom(folder, share_counts(images), seed, progress=lambda done: progress(done, images))
    print(f"{images} phantom films: {folder}")


def _open(data: Path | None, skip_bad: bool, patients: Path | None) -> "DataSet":
    from covidcnn.data.dataset import open_dataset

    with _progress("reading films") as progress:
        dataset = open_dataset(data or "", skip_bad, patients, progress)
    for warning in dataset.warnings:
        _say(f"warning: {warning}")
    for left_out in dataset.left_out.itertuples():
        _say(f"left out: {left_out.path}: {left_out.problem}")
    return dataset


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr that shows itself once there is progress."""
    bar = Progress(TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True)

    def update(done: int, total: int) -> None:
        if not bar.tasks:
            bar.add_task(title, total=total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done)

    try:
        yield update
    finally:
        if bar.tasks:
            bar.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say_epoch(epoch: int, epochs: int, logs: dict) -> None:
    _say(f"epoch {epoch}/{epochs}: " + ", ".join(f"{name} {value:.4f}" for name, value in logs.items()))
