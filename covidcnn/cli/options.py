"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=(
    "Folder in the published layout (train, val, test with NORMAL and PNEUMONIA, or classes of your own, in each). "
    "Without it: the folder that COVIDCNN_DATA names, else the embedded phantom images."))]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help=(
    "Go on without files that cannot be read; they are printed, and kept in the record of a report or training."))]
Patients = Annotated[str, typer.Option("--patients", metavar="CSV[:COLUMN]", help=(
    "The patient of each image, where the file names do not tell: a table that names images in one column and patients "
    "in the column patient, or in COLUMN."))]
Labels = Annotated[str, typer.Option("--labels", metavar="CSV[:COLUMN]", help=(
    "The class of each image, where there are no class folders: a table that names images in one column and classes in "
    "the column label, or in COLUMN."))]
Task = Annotated[str, typer.Option("--task", metavar="NAME|A,B,...", help=(
    "Classes to tell apart: pneumonia (NORMAL, PNEUMONIA), subtype (NORMAL, BACTERIA, VIRUS, from the published file "
    "names), covid (NonCOVID, COVID), or class names separated by commas, of two the positive one last. Without it: "
    "the classes there are."))]
Positive = Annotated[str, typer.Option("--positive", metavar="CLASS", help=(
    "Of two classes the positive one. Without it: the one that is not NORMAL."))]
