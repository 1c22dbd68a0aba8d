"""``covidcnn course``: the exercises, for teachers and students."""

from pathlib import Path
from typing import Annotated

import typer

from covidcnn.cli.common import say


def build(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Leave the course in DIR: source/ for teachers, release/ for students, ready for nbgrader to collect and grade."""
    from covidcnn.report.course import RELEASE, SOURCE, build_course

    names = build_course(folder)
    say(f"{len(names)} lessons with exercises: {folder / SOURCE} with solutions, {folder / RELEASE} without. "
        f"docs/teaching.md says how nbgrader goes on from there.")
