"""What commands share: options, the opening of data, progress, lines for the person at the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from covidcnn.data.dataset import DataSet
    from covidcnn.task import Task

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=(
    "Folder in the published layout (train, val, test with NORMAL and PNEUMONIA, or classes of your own, in each). "
    "Without it: the folder that COVIDCNN_DATA names, else the embedded phantom images."))]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help=(
    "Go on without files that cannot be read; they are printed, and kept in the record of a report or training."))]
PatientsOption = Annotated[str, typer.Option("--patients", metavar="CSV[:COLUMN]", help=(
    "Who is on which image, for file names of another scheme: a table that names images in one column and patients in "
    "that called patient, or in COLUMN."))]
LabelsOption = Annotated[str, typer.Option("--labels", metavar="CSV[:COLUMN]", help=(
    "The class of each image, where there are no class folders: likewise, in the column called label, or in COLUMN."))]
TaskOption = Annotated[str, typer.Option("--task", metavar="NAME|A,B,...", help=(
    "What to tell apart: pneumonia (NORMAL, PNEUMONIA), subtype (NORMAL, BACTERIA, VIRUS, from the published file "
    "names), or class names separated by commas, of two the positive one last. Without it: the classes there are."))]
PositiveOption = Annotated[str, typer.Option("--positive", metavar="CLASS", help=(
    "Of two classes the positive one. Without it: the other one than NORMAL."))]

PrecisionOption = Annotated[str, typer.Option(help=(
    "auto (bfloat16 where processor or GPU multiplies it, else float32), float32 or bfloat16."))]


def open_data(data: Path | None, skip_bad: bool = False, patients: str = "", task: "Task | None" = None,
              positive: str = "", labels: str = "") -> "DataSet":
    """Open a data set with a progress bar, and say what is to know of it."""
    from covidcnn.data.dataset import open_dataset

    with progress_bar("reading images") as progress:
        dataset = open_dataset(data or "", skip_bad, patients, progress, task, positive, labels)
    for warning in dataset.warnings:
        say(f"warning: {warning}")
    for left_out in dataset.left_out.itertuples():
        say(f"left out: {left_out.path}: {left_out.problem}")
    return dataset


def plain_console() -> Console:
    """Where tables are printed as they are: [x] in a folder's name is no markup."""
    return Console(markup=False)


def task_of(name: str) -> "Task | None":
    """The task of ``--task``; None where nothing is given."""
    from covidcnn.task import task_named

    return task_named(name) if name else None


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr that shows itself once there is progress; none where stderr is no terminal."""
    console = Console(stderr=True)
    bar = Progress(TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=console, transient=True)

    def update(done: int, total: int) -> None:
        if not console.is_terminal:
            return
        if not bar.tasks:
            bar.add_task(title, total=total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done)

    try:
        yield update
    finally:
        if bar.tasks:
            bar.stop()


def printable(text: str) -> str:
    """Text for a terminal, on one line: file names may hold line breaks, escape sequences or bytes that are no text."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def say(line: str) -> None:
    """A line for the person at the terminal: stdout is for results."""
    print(printable(line), file=sys.stderr, flush=True)


def say_epoch(epoch: int, epochs: int, logs: dict) -> None:
    """Report of a training."""
    say(f"epoch {epoch}/{epochs}: " + ", ".join(f"{name} {value:.4f}" for name, value in logs.items()))
