"""``covidcnn data``: look at a data set, copy one at 224 px, or draw one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from covidcnn.cli.common import (
    LabelsOption,
    PatientsOption,
    PositiveOption,
    TaskOption,
    open_data,
    printable,
    progress_bar,
    say,
    task_of,
)


def check(
    folder: Annotated[Path, typer.Argument(help="A folder in the published layout, or around one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    patients: PatientsOption = "",
    task: TaskOption = "",
    positive: PositiveOption = "",
    labels: LabelsOption = "",
) -> None:
    """Decode every image and print counts, warnings and errors; exit code 2 if there are errors."""
    from covidcnn.data.catalogue import index_folder
    from covidcnn.data.check import examine, shortcut_warnings

    with progress_bar("reading images") as progress:
        catalogue = index_folder(folder, progress, task_of(task), positive, labels, patients)
    findings = examine(catalogue)
    findings = replace(findings, warnings=findings.warnings + shortcut_warnings(findings.images, catalogue.task))
    known = catalogue.task.positive if catalogue.task.is_binary and catalogue.positive_is_known else None
    if as_json:
        print(json.dumps({"identity": findings.identity, "counts": findings.counts.to_dict("index"),
                          "positive class": known, "warnings": findings.warnings, "errors": findings.errors}, indent=2))
    else:
        print(findings.identity, "", findings.counts.to_string(), "", sep="\n")
        if known:
            print(f"positive class: {printable(known)} (--positive chooses)")
        for kind, lines in (("warning", findings.warnings), ("error", findings.errors)):
            for line in lines:
                print(f"{kind}: {printable(line)}")
        print(f"warnings: {len(findings.warnings)}, errors: {len(findings.errors)}")
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
    from covidcnn.paper.studies import PROTOCOL
    from covidcnn.paths import require_new_folder
    from covidcnn.study.protocol import read_protocol

    require_new_folder(target)
    protocol = read_protocol(PROTOCOL)
    dataset = open_data(folder)
    with progress_bar("resizing images") as progress:
        write_resized(dataset, target, progress)
    print(f"{len(dataset.images)} images of {SIDE} px: {target}")
    if dataset.source is not CHEST_XRAY:
        return
    with progress_bar("reading the copy") as progress:
        is_evidence = open_dataset(target, progress=progress).content_hash == protocol.data
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
