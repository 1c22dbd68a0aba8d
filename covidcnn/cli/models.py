"""``covidcnn models``, ``train``, ``evaluate``, ``export`` and ``release``: one model."""

import hashlib
import json
from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer

from covidcnn.cli import options
from covidcnn.cli.common import INTERRUPTED, open_data, print_table, say, say_epoch, task_of
from covidcnn.config import CALIBRATION_IMAGES
from covidcnn.errors import UserError


def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help=(
        "Folder for model.keras, history.csv, scores.csv and run.json."))],
    data: options.Data = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="covidcnn models lists them.")] = "paper",
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=(
        "An option of the model, for example dropout=0.3; may be repeated."))] = None,
    optimizer: Annotated[str, typer.Option(help=(
        "nadam, rmsprop, adam, sgd, adagrad, adadelta, sgd with momentum, rmsprop with momentum or adamw."))] = "nadam",
    learning_rate: Annotated[float | None, typer.Option(help="Without it: Keras's default.")] = None,
    schedule: Annotated[str, typer.Option(help=(
        "Of the learning rate: constant, cosine, warm cosine (after an epoch in which it rises), plateau (lowered when "
        "accuracy on validation stands still), loss plateau, or decay (lowered every third epoch, the same for every "
        "run)."))] = "constant",
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    size: Annotated[int, typer.Option(metavar="PX", help="Side of the model's input.")] = 224,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    preprocess: Annotated[str, typer.Option(help="plain, equalize, invert, invert-equalize or clahe.")] = "plain",
    interpolation: Annotated[str, typer.Option(help="area, linear, nearest, cubic or lanczos.")] = "area",
    pad: Annotated[bool, typer.Option("--pad", help="Keep the aspect ratio, black at the sides.")] = False,
    augment: Annotated[str, typer.Option(help=(
        "none, 'paper' (flips and shifts), 'public recipe' (rotation and zoom besides), 'intensity' (grey levels), "
        "'paper and intensity', 'paper and strong intensity', 'geometry and intensity'; flips and shifts with one "
        "thing added: 'paper and rotation', 'paper and height zoom', 'paper and width zoom', 'paper and zoom', 'paper "
        "and zoom alike', 'paper and crop'."))] = "none",
    balance: Annotated[str, typer.Option(help="none, class-weight or oversample.")] = "none",
    precision: Annotated[str, typer.Option(help=(
        "auto (bfloat16 where processor or GPU is faster in it, else float32), float32 or bfloat16."))] = "auto",
    validation: Annotated[str | None, typer.Option(metavar="DESIGN", help=(
        "How validation is made: patient, block, image or published (the val folder). Without it by patient, and of "
        "PneumoniaMNIST and COVID-CT the official one."))] = None,
    keep: Annotated[str, typer.Option(help=(
        "Which epoch: validation (lowest loss there), validation accuracy (highest), shifted validation (lowest loss "
        "on copies of it with other grey levels), perturbed validation (with other grey levels, heights and widths), "
        "or last, which is what Keras's ModelCheckpoint keeps by default."))] = "validation",
    score_every_epoch: Annotated[list[str] | None, typer.Option(metavar="ROLE", help=(
        "Score the images of train, validation or test after every epoch, too; may be repeated. Of the published test "
        "set that is exploratory, and no choice may rest on it."))] = None,
    threshold: Annotated[str, typer.Option(help="0.5, or fixed on validation: youden, sensitivity (95 %).")] = "0.5",
    batch_norm_momentum: Annotated[float | None, typer.Option(min=0, max=1, help=(
        "Without it 0.99, which needs about 600 steps before its averages mean anything; take 0.9 for short "
        "trainings."))] = None,
    task: options.Task = "",
    positive: options.Positive = "",
    labels: options.Labels = "",
    skip_bad: options.SkipBad = False,
    patients: options.Patients = "",
) -> None:
    """Train a model once: the paper's network, or another one."""
    from covidcnn.models.model_file import file_name
    from covidcnn.training.precision import resolve_precision
    from covidcnn.trials.session import RUN, train_into
    from covidcnn.trials.spec import checked_recipe, settings_from

    settings = {
        "model": model, "epochs": epochs, "size": size, "preprocess": preprocess, "interpolation": interpolation,
        "pad": pad, "optimizer": optimizer, "learning_rate": learning_rate, "augmentation": augment,
        "balance": balance, "batch_size": batch_size, "precision": precision,
        "schedule": schedule, "choose_by": keep, "score_every_epoch": score_every_epoch or [],
        **({} if batch_norm_momentum is None else {"batch_norm_momentum": batch_norm_momentum}),
        **({} if validation is None else {"validation": validation})}
    of_model = settings_from(option or [])
    if twice := settings.keys() & of_model.keys():
        raise UserError(f"--option {min(twice)}: train has an option of its own for it; take that, see --help")
    settings |= of_model
    # Wrong settings are told before thousands of images are looked at.
    checked_recipe(settings)
    dataset = open_data(data, skip_bad, patients, task_of(task), positive, labels)
    recipe = checked_recipe({"validation": dataset.source.validation} | settings)
    say(f"{dataset.identity} {len(dataset.images):,} images. Precision: {resolve_precision(recipe.precision)}.")
    training = train_into(out, dataset, recipe, seed, threshold, report=say_epoch)
    left = json.loads((out / RUN).read_text(encoding="utf-8"))
    say(f"model of epoch {training.best_epoch}: {out / file_name(recipe.model)}")
    say(f"threshold {left['threshold']:.3f} ({left['threshold rule']})" if dataset.task.is_binary else
        f"predicted is {left['threshold rule']}")
    if training.interrupted:
        say("interrupted: the model is that of the best epoch so far")
        raise typer.Exit(INTERRUPTED)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model file that covidcnn train or export left.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder with the model's classes, split or not.")],
    split: Annotated[str, typer.Option(help="train, val, test or all. Without it: test if there is one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    perturbed: Annotated[bool, typer.Option("--perturbed", help=(
        "Also score the images stretched, rotated, cropped, in other grey levels, blurred, inverted and so on."))]
    = False,
    local_images: Annotated[list[int] | None, typer.Option(min=2, metavar="K", help=(
        "Also set the threshold anew on K of these images, drawn many times, and judge it on the others; may be "
        "repeated."))] = None,
    per_patient: Annotated[str, typer.Option(metavar="mean|max", help=(
        "Judge patients: by the mean, or the highest, of the scores of a patient's images."))] = "",
    bootstrap_samples: Annotated[int, typer.Option(min=10, max=100_000)] = 1000,
    labels: options.Labels = "",
    skip_bad: options.SkipBad = False,
    patients: options.Patients = "",
) -> None:
    """Score labelled images and print every metric with its 95 % interval."""
    import pandas as pd

    from covidcnn.evaluation.folder import evaluate_model
    from covidcnn.models.model_file import load_predictor

    predictor, facts = load_predictor(model)
    dataset = open_data(data, skip_bad, patients, facts.task, labels=labels)
    result = evaluate_model(predictor, facts, dataset, split, bootstrap_samples, per_patient, perturbed,
                            local_images or [])
    del result["scores"]
    if as_json:
        result["model"] = hashlib.sha256(model.read_bytes()).hexdigest()
        # NaN, of a precision where nothing was predicted positive for example, is no JSON.
        print(json.dumps(json.loads(json.dumps(result), parse_constant=lambda _: None), indent=2))
        return
    judged = "patients" if per_patient else "images"
    how = f"threshold {result['threshold']:.3f}" if facts.task.is_binary else "the most probable class"
    print_table(pd.DataFrame([(name, entry["value"], _interval(entry, ".3f"), entry["interval"])
                              for name, entry in result["metrics"].items()],
                             columns=["metric", "value", "95 % interval", "made by"]),
                f"{result['n']} {judged} of {result['data']} ({result['split']}), {how}")
    print_table(pd.DataFrame([(row["class"], row["predicted"], row["images"], row["share"], _interval(row, ".3f"))
                              for row in result["confusion matrix"]],
                             columns=["class", "predicted", judged, "share of the class", "95 % interval"]))
    # What fits into 80 columns; --json has all.
    for name, columns, words in (
            ("perturbed", ["perturbation", "accuracy", "AUC", "lost", "changed"],
             "Images perturbed, the worst first: 'lost' is accuracy (95 % interval over patients), 'changed' the share "
             "of other predictions"),
            ("local threshold", ["images", "threshold", "sensitivity", "specificity", "better"],
             "The threshold set anew on so many of these images, judged on the others: medians over draws (95 % of "
             "them); 'better' is the share of draws in which it beats the old one")):
        if name in result:
            table = pd.DataFrame(result[name])
            for column in {"lost", "sensitivity", "specificity"} & set(columns):
                table[column] = [f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in zip(
                    table[column], table[f"{column}, low"], table[f"{column}, high"], strict=True)]
            print_table(table[columns], words)
    _print_distance(result["distance from the training images"])
    for line in (*(f"warning: {warning}" for warning in result["warnings"]), result["identity"], result["note"],
                 result["disclaimer"]):
        if line:
            print(line)


def export(
    model: Annotated[Path, typer.Argument(help="A model.keras that covidcnn train left.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write, for example model.tflite.")],
    to: Annotated[str, typer.Option(help="litert: LiteRT, once TensorFlow Lite, for phones and small computers.")]
    = "litert",
    int8: Annotated[bool, typer.Option("--int8", help=(
        "In whole numbers of 8 bits, a quarter of the size; their ranges are those of training images in --data."))]
    = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help=(
        "With --int8: the images that the model was trained on. Without it: as for covidcnn train."))] = None,
    images: Annotated[int | None, typer.Option(min=1, help=(
        f"With --int8: how many of them, evenly over the classes; without it {CALIBRATION_IMAGES}."))] = None,
    labels: options.Labels = "",
    skip_bad: options.SkipBad = False,
) -> None:
    """Write a network for a small device: a file that predict and evaluate take, also where there is no TensorFlow."""
    from covidcnn.models.litert import calibration_images, save_litert
    from covidcnn.models.model_file import load_predictor
    from covidcnn.models.predictor import KerasPredictor
    from covidcnn.paths import require_other, require_writable

    if to != "litert":
        raise UserError(f"--to {to}: choose litert")
    if not int8:
        for name, given in (("--data", data), ("--images", images), ("--labels", labels), ("--skip-bad", skip_bad)):
            if given:
                raise UserError(f"{name}: only --int8 takes images, to calibrate on; add it, or leave {name} out")
    require_writable(out)
    require_other(out, [model])
    predictor, facts = load_predictor(model)
    if not isinstance(predictor, KerasPredictor):
        raise UserError(f"{model}: no network in Keras, and only those are exported; take a model.keras")
    chosen = None
    if int8:
        chosen = calibration_images(open_data(data, skip_bad, task=facts.task, labels=labels), facts,
                                    images or CALIBRATION_IMAGES)
        say(f"calibrated on {len(chosen)} training images")
    save_litert(out, predictor.model, facts, chosen)
    say(f"{'int8' if int8 else 'float32'}, {out.stat().st_size / 1e6:.1f} MB: {out}")


def release(
    model: Annotated[Path, typer.Argument(help="A model file that covidcnn train or export left.")],
    evaluated: Annotated[list[Path], typer.Option(metavar="JSON", help=(
        "What covidcnn evaluate --json printed of this model, with --perturbed for how it fails; may be repeated."))],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the files.")],
    note: Annotated[str, typer.Option(help="What a reader of its numbers has to know; the card says it above them.")]
    = "",
) -> None:
    """Put a finished model together for others: the file, a card made of its numbers, and checksums."""
    from covidcnn.evaluation.release import CARD, write_release

    write_release(model, evaluated, out, note)
    say(f"read {out / CARD} before you give it away")


def _interval(ends: dict[str, Any], digits: str) -> str:
    low, high = ends["low"], ends["high"]
    return "not known" if isnan(low) else f"{low:{digits}} to {high:{digits}}"


def _print_distance(distance: dict[str, Any] | None) -> None:
    """How far the images are from those that the model was trained on."""
    import pandas as pd

    if distance is None:
        print("The model file does not say how its training images looked; models trained from now on do.")
        return
    colour = distance["in colour"]
    print_table(pd.DataFrame([
        *((name, _interval(values, ".4g"), f"{values['median here']:.4g}", f"{values['share outside']:.1%}")
          for name, values in distance["measures"].items()),
        ("stored in colour", f"{colour['training']:.1%}", f"{colour['here']:.1%}", ""),
        ("any of these", "", "", f"{distance['share outside in any']:.1%}"),
    ], columns=["measure", "training images, 99 %", "median here", "outside"]),
        f"How like the {distance['training images']:,} training images these are")
    if "shorter side" not in distance["measures"]:
        print("Size and aspect ratio are left out: all training images have the same, as those of a resized copy have.")
    print("About 1 % outside is expected of each measure; much more means that the metrics are those of another kind "
          "of images.")


def models(
    size: Annotated[int, typer.Option(metavar="PX", min=16, max=1024, help="Side of the input.")] = 224,
    task: options.Task = "pneumonia",
) -> None:
    """List the models that can be trained, with their size: --model of train, and in the files of sweeps."""
    from covidcnn.models.inspect import model_table
    from covidcnn.task import task_named

    table = model_table(task_named(task), size)
    counts = table.select_dtypes("integer").columns
    table[counts] = table[counts].map("{:,}".format, na_action="ignore").astype(object).fillna("")
    print_table(table, f"models at {size} px, {task}", wrapped=("what it is", "options"))
