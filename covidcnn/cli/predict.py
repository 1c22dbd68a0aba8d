"""``covidcnn predict`` and ``covidcnn label``: what a model says of images that nobody has labelled."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Column, Table

from covidcnn.cli.common import plain_console, printable, progress_bar, say
from covidcnn.config import DISCLAIMER
from covidcnn.errors import UserError, few

if TYPE_CHECKING:
    from covidcnn.prediction.score import Predictions
    from covidcnn.task import Task


def predict(
    model: Annotated[Path, typer.Argument(help="A model file that covidcnn train or export left.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help=(
        "Image files (JPEG, PNG, TIFF, DICOM and others), folders of them at any depth, or - for a list of paths "
        "on standard input, one a line."))],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=(
        "Write there instead of to the terminal; JSON or CSV by its ending."))] = None,
    explain: Annotated[Path | None, typer.Option(metavar="DIR", help=(
        "A new folder for Grad-CAM overlays, one PNG an image: where it speaks for the positive class, or of more than "
        "two classes for the predicted one."))] = None,
    explain_class: Annotated[str, typer.Option(metavar="CLASS", help=(
        "With --explain: where it speaks for this class, in every image."))] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read.")] = False,
) -> None:
    """Score images: probabilities of the classes, the predicted class, and what is unusual in an image.

    Preparation, classes and threshold are those that the model file states.
    """
    form = _form(as_json, as_csv, out)
    from covidcnn.models.model_file import load_predictor
    from covidcnn.models.predictor import KerasPredictor
    from covidcnn.paths import replacing, replacing_folder, require_new_folder, require_other, require_writable
    from covidcnn.prediction.score import predict_images

    if out and explain and Path(os.path.realpath(out)).is_relative_to(os.path.realpath(explain)):
        raise UserError(f"{out}: lies in the folder of --explain, which has to be a new one; choose "
                        "another place for --out")
    if out:
        require_writable(out)
    if explain:
        require_new_folder(explain)
        require_writable(explain / "overlay.png")
    if explain_class and not explain:
        raise UserError("--explain-class needs --explain DIR, the folder for the overlays")
    predictor, facts = load_predictor(model)
    network = predictor.model if isinstance(predictor, KerasPredictor) else None
    images = list(_named(paths))
    if out:
        require_other(out, [model, *images])
    if explain and not network:
        raise UserError(f"{model}: no network in Keras, so there is no heat map of it; leave --explain out")
    if explain and os.environ["KERAS_BACKEND"] != "tensorflow":
        raise UserError("--explain needs TensorFlow; set KERAS_BACKEND=tensorflow, or leave it out")
    spelt = {name.upper(): name for name in ("", *facts.task.classes)}
    if explain_class.upper() not in spelt:
        raise UserError(f"--explain-class {explain_class}: the model's classes are {', '.join(facts.task.classes)}")
    with progress_bar("scoring images") as progress:
        predictions = predict_images(predictor, facts, images, skip_bad, progress)
    _say_what_is_odd(predictions)
    if not facts.appearance:
        say("warning: the model file does not say how its training images looked, so only sizes are looked at")
    # The folder is moved into place last: one that is there would keep the same command from being run again.
    with replacing_folder(explain) if explain else nullcontext() as folder:
        if folder:
            # Here and not above: what runs LiteRT files alone has no TensorFlow.
            from covidcnn.prediction.explain import write_overlays

            predictions.images["overlay"] = write_overlays(folder, network, facts, predictions.images,
                                                           spelt[explain_class.upper()])
        text = _as_json(predictions, facts.task) if form == "json" else _as_csv(predictions, facts.task)
        if out:
            with replacing(out) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
    if explain:
        say(f"overlays: {explain}")
    if out:
        say(f"{len(predictions.images)} images: {out}")
    elif form == "table":
        _print_table(predictions, facts.task)
    else:
        print(text, end="")


def label(
    model: Annotated[Path, typer.Argument(help="A model file that covidcnn train or export left.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images, at any depth.")],
    out: Annotated[Path, typer.Option(metavar="CSV", help="A new table.")],
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help=(
        "From this score of the predicted class on its label is entered; the others are left to you."))] = 0.95,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read.")] = False,
) -> None:
    """Suggest labels for images without any, in a table to be corrected and read back by train --labels.

    The images of which the model is least sure stand first.
    """
    from covidcnn.data.folders import SPLITS
    from covidcnn.models.model_file import load_predictor
    from covidcnn.paths import replacing, require_writable
    from covidcnn.prediction.label import label_table
    from covidcnn.prediction.score import predict_images

    if not folder.is_dir():
        raise UserError(f"{folder}: no folder; give the one that holds the images")
    if out.exists():
        raise UserError(f"{out}: there is one already, and what was corrected in it would be lost; choose another name")
    require_writable(out)
    predictor, facts = load_predictor(model)
    with progress_bar("scoring images") as progress:
        predictions = predict_images(predictor, facts, [folder], skip_bad, progress)
    _say_what_is_odd(predictions)
    table = label_table(predictions, facts.task, folder, min_confidence)
    if out.exists():
        raise UserError(f"{out}: it was written meanwhile, and corrections in it would be lost; choose another name")
    with replacing(out) as temporary:
        # With the mark by which spreadsheets know UTF-8: without it they spoil names with accents.
        table.to_csv(temporary, index=False, float_format="%.4f", encoding="utf-8-sig")
    found = table.loc[table["label"] != "", "label"].value_counts()
    counts = ", ".join(f"{number:,} {name}" for name, number in found.items()) or "none"
    say(f"labelled: {counts}; left to you: {len(table) - found.sum():,}; the least sure stand first in {out}")
    parts = table["path"].str.partition("/")[0].isin(SPLITS)
    if parts.any() and not parts.all():
        say(f"warning: {(~parts).sum():,} of these images lie outside {', '.join(SPLITS)}, where alone train "
            "looks if there are such folders")
    option = ("--positive", facts.task.positive) if facts.task.is_binary else ("--task", str(facts.task))
    say("A model's labels are guesses: look at them, correct the column label, and then: covidcnn train "
        f"--data {quote(str(folder))} --labels {quote(str(out))} {option[0]} {quote(option[1])} --out DIR")


def _say_what_is_odd(predictions: "Predictions") -> None:
    # One line for the many texts that may lie beside the images; JSON and CSV list them all.
    for reason in dict.fromkeys(file.reason for file in predictions.passed_over):
        paths = [str(file.path) for file in predictions.passed_over if file.reason == reason]
        say(f"left out: {len(paths):,} files, {few(paths)}: {reason}")
    for file in predictions.unreadable:
        say(f"left out: {file.problem}")
    for note in predictions.notes:
        say(f"warning: {note}")


def _form(as_json: bool, as_csv: bool, out: Path | None) -> str:
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other; choose one")
    form = "json" if as_json else "csv" if as_csv else out.suffix.lower()[1:] if out else "table"
    if form not in ("json", "csv", "table") or (out and form == "table"):
        raise UserError(f"{out}: what to write there is not known; let the name end in .json or .csv, or add --json "
                        "or --csv")
    return form


def _named(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if str(path) != "-":
            yield path
        elif sys.stdin is None:
            raise UserError("-: standard input is closed; name the images, or give their list")
        else:
            lines = (line.removesuffix(b"\r") for line in sys.stdin.buffer.read().split(b"\n"))
            yield from (Path(os.fsdecode(line)) for line in lines if line)


def _print_table(predictions: "Predictions", task: "Task") -> None:
    paths = [printable(path) for path in predictions.images["path"]]
    # A path broken in two cannot be copied: the warnings give way, and then the table is wider than the terminal.
    shown = predictions.images.drop(columns=["path", "overlay"], errors="ignore").rename(
        columns={"probability": f"probability {task.positive}"})
    table = Table(Column("path", min_width=max(map(cell_len, paths))), *map(printable, shown.columns))
    for path, row in zip(paths, shown.itertuples(index=False), strict=True):
        table.add_row(path, *(f"{cell:.3f}" if isinstance(cell, float) else
                              "\n".join(cell) if isinstance(cell, list) else cell for cell in row))
    console = plain_console()
    needed = Measurement.get(console, console.options.update_width(1_000_000), table)
    console.width = max(console.width, needed.minimum) if sys.stdout.isatty() else needed.maximum
    console.print(table)
    print(DISCLAIMER)


def _as_json(predictions: "Predictions", task: "Task") -> str:
    # ASCII throughout: a file name may hold bytes that are no text.
    return json.dumps({
        "disclaimer": DISCLAIMER, "probability": f"of {task.positive}" if task.is_binary else "of each class",
        "images": predictions.images.to_dict("records"),
        "left out": [{"path": str(file.path), "problem": file.reason} for file in predictions.left_out],
        "notes": predictions.notes,
    }, indent=2) + "\n"


def _as_csv(predictions: "Predictions", task: "Task") -> str:
    import pandas as pd

    from covidcnn.task import PNEUMONIA

    images = predictions.images.assign(warnings=predictions.images["warnings"].map("; ".join))
    left_out = pd.DataFrame([(str(file.path), f"left out: {file.reason}") for file in predictions.left_out],
                            columns=["path", "warnings"])
    # A column and not a line of its own: every reader of CSV takes it.
    rows = pd.concat([images, left_out]).assign(note=DISCLAIMER)
    rows[["path", "warnings"]] = rows[["path", "warnings"]].map(printable)
    if task != PNEUMONIA:
        # For the paper's task the column keeps the name that it had before there were other tasks.
        rows = rows.rename(columns={"probability": f"probability {task.positive}"})
    return rows.to_csv(index=False, float_format="%.9g", lineterminator="\n")
