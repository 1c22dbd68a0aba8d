"""The command line. Each command is thin: it reads its options, calls the library, prints.

What takes long is imported by the command that needs it: --help must not wait for TensorFlow.
"""

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from covidcnn import __version__
from covidcnn.cli import course, data, evidence, models, predict, report, trials
from covidcnn.cli.common import printable
from covidcnn.errors import UserError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="One published chest X-ray CNN paper, made executable. For research and teaching: "
                       "not a medical device.")
evidence_app = typer.Typer(no_args_is_help=True, help="The arms of the protocol behind the verdicts on the paper.")
data_app = typer.Typer(no_args_is_help=True, help="Get a data set, look at one, copy one at 224 px, or draw one.")
course_app = typer.Typer(no_args_is_help=True, help="The exercises that belong to the notebooks.")
fetch_app = typer.Typer(no_args_is_help=True, help="Get published images; an interrupted download is continued.")
# An option first is one of the default command's.
trials_app = typer.Typer(cls=trials.ListByDefault, no_args_is_help=True, help="What sweeps have left in their stores.",
                         context_settings={"ignore_unknown_options": True})
for _group, _commands in (
    (app, (report.report, models.train, models.evaluate, models.models, models.export, models.release, predict.predict,
           predict.label, trials.sweep, report.publish, report.lab)),
    (data_app, (data.check, data.resize, data.phantom)),
    (course_app, (course.build,)),
    (fetch_app, (data.chest_xray, data.pneumoniamnist, data.covid_ct, data.sars_cov_2_ct)),
    (evidence_app, (evidence.run, evidence.select, evidence.status, evidence.pack, evidence.unpack,
                    evidence.baseline, evidence.ledger, evidence.numbers, evidence.complete)),
):
    for _command in _commands:
        _group.command()(_command)
data_app.add_typer(fetch_app, name="fetch")
app.add_typer(data_app, name="data")
app.add_typer(evidence_app, name="evidence")
app.add_typer(course_app, name="course")
trials_app.command("list")(trials.list_trials)
trials_app.command()(trials.merge)
app.add_typer(trials_app, name="trials")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(version: Annotated[bool, typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False) -> None:
    pass


def main(commands: typer.Typer = app, name: str = "covidcnn") -> None:
    """Run a command line, the library's or that of a script: bad input, or output that cannot be written, is one line
    on stderr, which begins with ``name``, and exit code 2; a reader that goes away, as ``head`` does, is no error."""
    # A stream that was closed before is replaced: else messages for the one would go to the other.
    is_closed = sys.stdout is None
    sys.stdout, sys.stderr = (stream or Path(os.devnull).open("w")  # noqa: SIM115
                              for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    if is_closed:
        _refuse(name, "standard output is closed, so that results would be lost; send it to a file or to /dev/null")
    try:
        try:
            commands()
        finally:
            # Here, and not when Python ends, where an error could no longer be told.
            sys.stdout.flush()
    except UserError as error:
        _refuse(name, str(error))
    except ModuleNotFoundError as error:
        # A small device has what runs LiteRT files, and no more.
        _refuse(name, f"this needs the package {error.name}, which is not installed; docs/edge.md says what runs "
                      "without it")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENAMETOOLONG):
            _refuse(name, f"{error.filename or 'a file'}: cannot be opened ({error.strerror}); check its name and "
                          "permissions")
        if error.errno not in (*_FULL, errno.EPIPE):
            raise
        # What could not be written would be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.errno == errno.EPIPE:
            sys.exit(1)
        _refuse(name, f"{error.filename or 'the output'} cannot be written ({error.strerror}); make room or write "
                      "elsewhere")


def _refuse(name: str, message: str) -> None:
    # Standard error may be what cannot be written.
    with suppress(OSError):
        print(f"{name}: {printable(message)}", file=sys.stderr, flush=True)
    sys.exit(2)
