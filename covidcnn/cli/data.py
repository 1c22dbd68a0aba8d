"""``covidcnn data``: look at a data set, or draw one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from covidcnn.cli.common import PatientsOption, printable, progress_bar


def check(
    folder: Annotated[Path, typer.Argument(help="A folder in the published layout, or around one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    patients: PatientsOption = None,
) -> None:
    """Decode every image and print counts, warnings and errors; exit code 2 if there are errors."""
    from covidcnn.data.catalogue import assign_patients, index_folder
    from covidcnn.data.check import examine

    with progress_bar("reading films") as progress:
        catalogue = index_folder(folder, progress)
    if patients:
        catalogue = replace(catalogue, films=assign_patients(catalogue.films, patients))
    findings = examine(catalogue)
    if as_json:
        print(json.dumps({"identity": findings.identity, "counts": findings.counts.to_dict("index"),
                          "warnings": findings.warnings, "errors": findings.errors}, indent=2))
    else:
        print(findings.identity, "", findings.counts.to_string(), "", sep="\n")
        for kind, lines in (("warning", findings.warnings), ("error", findings.errors)):
            for line in lines:
                print(f"{kind}: {printable(line)}")
        print(f"warnings: {len(findings.warnings)}, errors: {len(findings.errors)}")
    if findings.errors:
        raise typer.Exit(2)


def phantom(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    images: Annotated[int, typer.Option(min=20, help="In all, shared as 560 train, 16 val, 224 test of 800.")] = 800,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw a data set of phantom chest films: no patients, free to share."""
    from covidcnn.data.phantom import share_counts, write_phantom

    with progress_bar("drawing films") as progress:
        write_phantom(folder, share_counts(images), seed, progress=lambda done: progress(done, images))
    print(f"{images} phantom films: {folder}")
