"""``covidcnn data fetch``: published images, from their servers or from files that were downloaded by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covidcnn.cli.common import INTERRUPTED, progress_bar, say
from covidcnn.cli.data import check
from covidcnn.errors import UserError

if TYPE_CHECKING:
    from covidcnn.data.fetch.sources import Progress

FileOption = Annotated[Path | None, typer.Option("--from", metavar="FILE", help=(
    "The file, downloaded by hand. Without it: fetch it."))]


def chest_xray(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")] = Path("chest_xray"),
    file: FileOption = None,
) -> None:
    """The published images: Kaggle's public copy, 2.5 GB to fetch, 1.2 GB to keep; no account is needed."""
    from covidcnn.data.fetch.sources import fetch_chest_xray

    with _fetching_into(out) as progress:
        fetch_chest_xray(out, file, progress)


def pneumoniamnist(
    size: Annotated[int, typer.Option(metavar="PX", help="Side of the images: 28, 64, 128 or 224.")] = 28,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help=(
        "A new or empty folder. Without it: pneumoniamnist_SIZE."))] = None,
    file: FileOption = None,
    unofficial: Annotated[bool, typer.Option("--unofficial", help=(
        "Take a --from file whose checksum is not the official one."))] = False,
) -> None:
    """PneumoniaMNIST of MedMNIST v2: the same children, cropped and small, with an official split; from Zenodo."""
    from covidcnn.data.fetch.sources import fetch_pneumoniamnist

    if unofficial and not file:
        raise UserError("--unofficial: give the file with --from; what is fetched must be the official one")
    folder = out or Path(f"pneumoniamnist_{size}")
    with _fetching_into(folder) as progress:
        fetch_pneumoniamnist(folder, size, file, unofficial, progress)


@contextmanager
def _fetching_into(folder: Path) -> "Iterator[Progress]":
    """Show progress; afterwards say where the images are, and what is to know of them."""
    try:
        with progress_bar("fetching, MB") as progress:
            yield progress
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    say(f"images: {folder}")
    check(folder)
