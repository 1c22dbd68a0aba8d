"""``covidcnn data``: get published images, look at a data set, copy one at 224 px, or draw one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covidcnn.cli import options
from covidcnn.cli.common import INTERRUPTED, open_data, printable, progress_bar, say, task_of
from covidcnn.errors import UserError

if TYPE_CHECKING:
    from covidcnn.data.fetch.downloads import Progress

FileOption = Annotated[Path | None, typer.Option("--from", metavar="FILE", help=(
    "The file, downloaded by hand. Without it: fetch it."))]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")]
CopyOption = Annotated[Path | None, typer.Option("--from", metavar="DIR", help=(
    "A copy of its repository. Without it: fetch what is needed."))]


def check(
    folder: Annotated[Path, typer.Argument(help=(
        "A folder of images: with train, val and test, with folders of classes, or with --labels any."))],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    patients: options.Patients = "",
    task: options.Task = "",
    positive: options.Positive = "",
    labels: options.Labels = "",
) -> None:
    """Decode every image and print counts, warnings and errors; exit code 2 if there are errors."""
    from covidcnn.data.check import examine, shortcut_warnings
    from covidcnn.data.index import content_hash, index_folder

    with progress_bar("reading images") as progress:
        catalogue = index_folder(folder, progress, task_of(task), positive, labels, patients)
    findings = examine(catalogue)
    warnings = findings.warnings + shortcut_warnings(findings.images, catalogue.task)
    known = catalogue.task.positive if catalogue.task.is_binary and catalogue.positive_is_known else None
    content = content_hash(catalogue.images)
    if as_json:
        print(json.dumps({"identity": findings.identity, "counts": findings.counts.to_dict("index"),
                          "content hash": content, "positive class": known, "warnings": warnings,
                          "errors": findings.errors}, indent=2))
    else:
        print(findings.identity, "", findings.counts.to_string(), "", sep="\n")
        if known:
            print(f"positive class: {printable(known)} (--positive chooses)")
        print(f"content hash: {content}")
        for line in (*(f"warning: {one}" for one in warnings), *(f"error: {one}" for one in findings.errors)):
            print(printable(line))
        print(f"warnings: {len(warnings)}, errors: {len(findings.errors)}")
    if findings.errors:
        raise typer.Exit(2)


def resize(
    folder: Annotated[Path, typer.Argument(help="The published images, or others in their layout; JPEG files.")],
    target: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Copy images at 224 x 224 px: of the published set, the images that the evidence of reports/paper rests on."""
    from covidcnn.data.dataset import open_dataset
    from covidcnn.data.resized import SIDE, write_resized
    from covidcnn.data.sources import CHEST_XRAY
    from covidcnn.paths import require_new_folder
    from covidcnn.study.protocol import read_study, studies

    require_new_folder(target)
    dataset = open_data(folder)
    with progress_bar("resizing images") as progress:
        write_resized(dataset, target, progress)
    print(f"{len(dataset.images)} images of {SIDE} px: {target}")
    # Without a clone there is no evidence to compare with.
    if dataset.source is not CHEST_XRAY or "paper" not in studies():
        return
    with progress_bar("reading the copy") as progress:
        is_evidence = open_dataset(target, progress=progress).content_hash == read_study("paper").data
    if is_evidence:
        print("byte for byte those of the evidence")
    else:
        say("warning: they are not byte for byte those of the evidence, which will refuse them; start from the files "
            "that 'covidcnn data fetch chest-xray' brings, in an environment of requirements.lock")


def phantom(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    images: Annotated[int, typer.Option(min=20, help="In all, shared as 560 train, 16 val, 224 test of 800.")] = 800,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw a data set of phantom chest images: no patients, free to share."""
    from covidcnn.data.phantom import share_counts, write_phantom

    with progress_bar("drawing images") as progress:
        write_phantom(folder, share_counts(images), seed, progress=lambda done: progress(done, images))
    print(f"{images} phantom images: {folder}")


def chest_xray(
    out: OutOption = Path("chest_xray"),
    file: FileOption = None,
) -> None:
    """The published images: Kaggle's public copy, 2.5 GB to fetch, 1.2 GB to keep; no account is needed."""
    from covidcnn.data.fetch.downloads import fetch_chest_xray

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
    from covidcnn.data.fetch.downloads import fetch_pneumoniamnist

    if unofficial and not file:
        raise UserError("--unofficial: give the file with --from; what is fetched must be the official one")
    folder = out or Path(f"pneumoniamnist_{size}")
    with _fetching_into(folder) as progress:
        fetch_pneumoniamnist(folder, size, file, unofficial, progress)


def covid_ct(
    out: OutOption = Path("covid_ct"),
    copy: CopyOption = None,
) -> None:
    """COVID-CT: 746 CT slices with an official split, from GitHub. No open licence: to look at, not to pass on."""
    from covidcnn.data.fetch.downloads import fetch_covid_ct

    with _fetching_into(out) as progress:
        fetch_covid_ct(out, copy, progress)


def sars_cov_2_ct(
    copy: Annotated[Path, typer.Option("--from", metavar="DIR", help="Its archive from Kaggle, unpacked.")],
    out: OutOption = Path("sars_cov_2_ct"),
) -> None:
    """SARS-CoV-2 CT: 2,482 CT slices without a split (kaggle.com/datasets/plameneduardo/sarscov2-ctscan-dataset)."""
    from covidcnn.data.fetch.ct import arrange_sars_cov_2_ct

    with _fetching_into(out):
        arrange_sars_cov_2_ct(out, copy)


@contextmanager
def _fetching_into(folder: Path) -> "Iterator[Progress]":
    """Show progress; afterwards print where the images are, and check them."""
    try:
        with progress_bar("fetching, MB") as progress:
            yield progress
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    say(f"images: {folder}")
    check(folder)
