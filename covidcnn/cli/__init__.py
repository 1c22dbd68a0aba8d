"""The command line. Each command is thin: it reads its options, calls the library, prints.

What takes long is imported by the command that needs it: --help must not wait for TensorFlow.
"""

import sys

import typer

from covidcnn.cli import data, evidence, fetch, models, predict, report, trials
from covidcnn.cli.common import printable
from covidcnn.errors import UserError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="One published chest X-ray CNN paper, made executable. For research and teaching: "
                       "not a medical device.")
evidence_app = typer.Typer(no_args_is_help=True, help="The arms of the protocol behind the verdicts on the paper.")
data_app = typer.Typer(no_args_is_help=True, help="Get a data set, look at one, copy one at 224 px, or draw one.")
fetch_app = typer.Typer(no_args_is_help=True, help="Get published films; what breaks off goes on when called again.")
app.command()(report.report)
app.command()(models.train)
app.command()(models.evaluate)
app.command()(predict.predict)
app.command()(trials.sweep)
app.command()(trials.trials)
app.command()(report.lab)
data_app.command()(data.check)
data_app.command()(data.resize)
data_app.command()(data.phantom)
evidence_app.command()(evidence.run)
evidence_app.command()(evidence.select)
evidence_app.command()(evidence.status)
evidence_app.command()(evidence.floor)
evidence_app.command()(evidence.ledger)
evidence_app.command()(evidence.numbers)
evidence_app.command()(evidence.complete)
fetch_app.command()(fetch.chest_xray)
fetch_app.command()(fetch.pneumoniamnist)
data_app.add_typer(fetch_app, name="fetch")
app.add_typer(data_app, name="data")
app.add_typer(evidence_app, name="evidence")


def main() -> None:
    """Run the command line: bad input is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"covidcnn: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
