"""``covidcnn evidence``: the arms of the protocol, from the pilot to their trials."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from covidcnn.cli.common import DataOption, open_data, say
from covidcnn.cli.trials import run_and_watch
from covidcnn.errors import UserError

ArmArgument = Annotated[str, typer.Argument(metavar="ARM", help="As protocol.yaml names it; covidcnn evidence status.")]
ShardOption = Annotated[str, typer.Option("--shard", metavar="K/N", help="Run the K-th of N shares.")]


PilotOption = Annotated[bool, typer.Option("--pilot", help=(
    "One seed, two epochs, validation only, into a store of its own: what the arm will cost."))]


def run(arm: ArmArgument, data: DataOption = None, share: ShardOption = "1/1", pilot: PilotOption = False) -> None:
    """Run an arm of reports/paper/protocol.yaml into the store beside it."""
    from covidcnn.evidence.protocol import PROTOCOL, open_store, read_protocol
    from covidcnn.evidence.protocol import pilot as pilot_of
    from covidcnn.trials.sweep import shard

    protocol = read_protocol()
    sweep = protocol.sweep(arm)
    dataset = open_data(data, False, None)
    if dataset.content_hash != protocol.data:
        raise UserError(f"{data}: not the films that {PROTOCOL} is about; give the published data set with --data")
    if pilot:
        sweep = pilot_of(sweep)
    folder = PROTOCOL.parent / ("pilot" if pilot else "store")
    run_and_watch(shard(sweep.trials(protocol.data), share), open_store(folder), dataset)


def select(arm: ArmArgument) -> None:
    """Choose by an arm's rule, on validation, and enter the outcome in selections.yaml."""
    from covidcnn.evidence.protocol import PROTOCOL, open_store, read_protocol, write_selection

    table = write_selection(read_protocol(), arm, open_store(PROTOCOL.parent / "store"))
    printed = Table(*table.columns, title=f"{arm}: chosen on validation")
    for row in table.itertuples(index=False):
        printed.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(printed)


def status() -> None:
    """Which trials of the protocol are in the store."""
    from covidcnn.evidence.protocol import PROTOCOL, open_store, read_protocol

    protocol, store = read_protocol(), open_store(PROTOCOL.parent / "store")
    table = Table("arm", "trials", "finished", "scores test", "question")
    for name, arm in protocol.arms.items():
        try:
            sweep = protocol.sweep(name)
        except UserError as error:
            say(str(error))
            table.add_row(name, "", "", "yes", arm.question)
            continue
        trials = sweep.trials(protocol.data)
        table.add_row(name, str(len(trials)), str(sum(map(store.is_finished, trials))),
                      "yes" if sweep.score_test else "no", arm.question)
    Console().print(table)
