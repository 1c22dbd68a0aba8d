"""What commands share: the opening of data, progress, tables, lines for the person at the terminal."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from covidcnn.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from covidcnn.data.dataset import DataSet
    from covidcnn.task import Task

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def open_data(data: Path | None, skip_bad: bool = False, patients: str = "", task: "Task | None" = None,
              positive: str = "", labels: str = "") -> "DataSet":
    """Open a data set with a progress bar; print its warnings and the files that are left out."""
    from covidcnn.data.dataset import open_dataset

    with progress_bar("reading images") as progress:
        dataset = open_dataset(data or "", skip_bad, patients, progress, task, positive, labels)
    for warning in dataset.warnings:
        say(f"warning: {warning}")
    for left_out in dataset.left_out.itertuples():
        say(f"left out: {left_out.path}: {left_out.problem}")
    return dataset


def open_data_of(data: Path | None, content: str, about: Path, makes: str, task: "Task | None" = None) -> "DataSet":
    """Open the images of that content hash, which the file ``about`` gives; UserError if they are others, with the
    command that ``makes`` them."""
    dataset = open_data(data, task=task)
    if dataset.content_hash != content:
        raise UserError(f"{dataset.root}: not the images that {about} is about; give with --data those that '{makes}' "
                        "makes")
    return dataset


def plain_console() -> Console:
    """Where tables are printed as they are: [x] in a folder's name is no markup, and :x: no picture."""
    return Console(markup=False, emoji=False)


def print_table(table: "pd.DataFrame", title: str = "", digits: str = ".3f", wrapped: Collection[str] | None = None
                ) -> None:
    """Print a table without its index, floats with these digits; cells are broken into lines in all columns, or only in
    those that are ``wrapped``."""
    printed = Table(*(Column(name, no_wrap=wrapped is not None and name not in wrapped, overflow="fold")
                      for name in table.columns),
                    title=title or None)
    for row in table.itertuples(index=False):
        printed.add_row(*(f"{cell:{digits}}" if isinstance(cell, float) else str(cell) for cell in row))
    plain_console().print(printed)


def task_of(name: str) -> "Task | None":
    """The task of ``--task``; None where nothing is given."""
    from covidcnn.task import task_named

    return task_named(name) if name else None


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, which appears with the first progress; none where stderr is no terminal."""
    console = Console(stderr=True)
    bar = Progress(TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=console, transient=True)

    def update(done: int, total: int) -> None:
        if not console.is_terminal:
            return
        if not bar.tasks:
            bar.add_task(title, total=total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done, total=total)

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
