"""``covidcnn report`` and ``covidcnn lab``: the notebooks."""

import os
from pathlib import Path
from typing import Annotated

import typer

from covidcnn.cli import options
from covidcnn.cli.common import INTERRUPTED, open_data, say, task_of
from covidcnn.errors import UserError


def report(
    profile: Annotated[str, typer.Option(help="smoke (minutes, for tests), quick, or paper (224 px, hours).")]
    = "quick",
    data: options.Data = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help=(
        "Report folder. Without it: reports/PROFILE-DATA/."))] = None,
    only: Annotated[str, typer.Option(metavar="NN", help="Run one notebook, for example 05.")] = "",
    first: Annotated[str, typer.Option("--from", metavar="NN", help="Run from this notebook on.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help=(
        "Keep notebooks that were done with the same code, data and parameters."))] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 2,
    parameters: Annotated[list[str] | None, typer.Option("--parameter", metavar="NAME=VALUE", help=(
        "A parameter of the notebooks that have it, for example SEED=3 or OPTIMIZER=SGD; may be repeated."))] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help=(
        "The network that notebooks 03, 05 and 06 train; covidcnn models lists them."))] = "",
    task: options.Task = "",
    positive: options.Positive = "",
    labels: options.Labels = "",
    skip_bad: options.SkipBad = False,
    patients: options.Patients = "",
) -> None:
    """Execute the notebooks and leave figures, tables, scores and pages in a report folder."""
    from covidcnn.config import profile_named
    from covidcnn.report.notebook_run import report_folder, require_data_for
    from covidcnn.report.notebooks import find_notebooks, read_parameters, select_notebooks
    from covidcnn.report.runner import run_series
    from covidcnn.training.precision import resolve_precision

    chosen = profile_named(profile)
    notebooks = select_notebooks(find_notebooks(), only, first)
    given = read_parameters(notebooks, [*(parameters or []), *([f"MODEL={model}"] if model else [])])
    dataset = open_data(data, skip_bad, patients, task_of(task), positive, labels)
    if "test" not in set(dataset.images["split"]):
        raise UserError(f"{dataset.root}: no test split; a report needs one (train and evaluate do not)")
    require_data_for(chosen, dataset)
    folder = report_folder(chosen, dataset, out or "")
    say(f"{dataset.identity} {len(dataset.images):,} images. Precision: {resolve_precision('auto')}.")
    try:
        outcomes = run_series(notebooks, chosen, dataset, folder, resume, report=say, jobs=jobs, patients=patients,
                              labels=labels, parameters=given)
    except KeyboardInterrupt:
        say("interrupted; --resume goes on with what is not done")
        # At once: kernels end when this process does, and its threads would first wait for them.
        os._exit(INTERRUPTED)
    say(f"report: {folder / 'index.html'}")
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def publish(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="A finished report on phantom images.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where its notebooks go; those there are replaced.")],
) -> None:
    """Copy the executed notebooks of a report on phantom images to where a repository shows them, in small files."""
    from covidcnn.report.publish import publish as copy_notebooks

    copy_notebooks(report, folder)
    say(f"{folder / 'README.md'}: lists the notebooks")


def lab() -> None:
    """Open JupyterLab on the notebooks."""
    from jupyterlab.labapp import main as jupyterlab

    from covidcnn.paths import NOTEBOOKS

    jupyterlab([str(NOTEBOOKS)])
