"""The natural experiment inside train: does a network that is shown squeezed images learn their aspect ratio?

Trains on subsets of training images whose original sizes are known, and judges on the other half of their patients; no
image of the published val or test folder has a part in it. ``design.yaml`` says what, and what each hypothesis
predicts. The images are made by ``small_images.py``; ``trainings.py`` chooses those of each training, with
``matching.py``; ``contrasts.py`` measures and judges. Beside it ``framing.py`` registers chests. The commands are here:

    python reports/aspect/experiment.py images chest_xray chest_xray_aspect_320
    python reports/aspect/experiment.py run --data chest_xray_aspect_320 [--shard 1/2] [--dry-run]
    python reports/aspect/experiment.py tables --data chest_xray_aspect_320
    python reports/aspect/experiment.py framing --data chest_xray_224
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from contrasts import contrast_table, group_table, groups, response_table, verdict
from framing import averages_table, distribution, reference_image
from small_images import LONGER_SIDE, read_sample, write_small_images
from trainings import DESIGN, Design, facts, measured_images, planned, read_design

from covidcnn.cli import main
from covidcnn.cli.common import open_data_of, progress_bar, say
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.errors import UserError
from covidcnn.evaluation.framing import align_each
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.paths import replacing, require_new_folder
from covidcnn.study.protocol import read_study
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import shard as shard_of

FOLDER = Path(__file__).resolve().parent


def run_design(design: Design, dataset: DataSet, store: TrialStore, shard: str = "1/1", dry_run: bool = False,
               watch: Callable[[str], None] = print) -> None:
    """Run what the store lacks; a killed training goes on after its last epoch.

    Args:
        design: what is trained.
        dataset: chest_xray_aspect_320.
        store: receives the trials.
        shard: '1/2' for the first of two shares.
        dry_run: one epoch of each arm's first replicate, which scores nothing but its two images of validation.
        watch: is told of every training that ends.
    """
    store.prepare()
    trainings = list(planned(design, dataset, measured_images(dataset)))
    chosen = {trial.key for trial in shard_of([trial for _, trial, _ in trainings], shard)}
    for name, trial, own in trainings:
        if trial.key not in chosen or (dry_run and trial.seed > 0):
            continue
        if dry_run:
            trial = replace(trial, recipe=replace(trial.recipe, epochs=1, perturbations=()), score_test=False)
        how = "found" if store.is_finished(trial) else "run"
        store.run(own, trial)
        watch(f"{name}, replicate {trial.seed}: {how}")


def read_scores(design: Design, dataset: DataSet, images: pd.DataFrame, store: TrialStore
                ) -> dict[str, list[pd.DataFrame]]:
    """The scores of every arm, a table a replicate; DataError if a training is not finished."""
    scores: dict[str, list[pd.DataFrame]] = {name: [] for name in design.arms}
    for name, trial, _ in planned(design, dataset, images):
        scores[name].append(store.read(trial.key).scores)
    return scores


def write_tables(design: Design, dataset: DataSet, store: TrialStore, folder: Path) -> str:
    """Make ``responses.csv``, ``contrasts.csv``, ``groups.csv`` and ``training_images.csv`` in ``folder`` from a
    finished store; returns the verdict. UserError if a training is not finished."""
    images = measured_images(dataset)
    missing = [trial for _, trial, _ in planned(design, dataset, images) if not store.is_finished(trial)]
    if missing:
        raise UserError(f"{store.folder}: {len(missing)} trainings are not finished; experiment.py run goes on with "
                        "them")
    scores = read_scores(design, dataset, images, store)
    paths = groups(images, load_images(dataset.root, images, ImageSettings(96)))
    for name, table in (("responses", response_table(scores)), ("contrasts", contrast_table(scores)),
                        ("groups", group_table(scores, paths))):
        _write(folder / f"{name}.csv", table, "%.6g", index=False)
    _write(folder / "training_images.csv", facts(images, design), "%.6g")
    return verdict(scores)


def _write(path: Path, table: pd.DataFrame, digits: str, index: bool = True) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, float_format=digits, index=index)
    say(f"table: {path}")


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="The natural experiment inside train: is the aspect ratio of the files learnt?")
DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=(
    "The images that the command is about. Without it: the folder that COVIDCNN_DATA names."))]


@app.command("images")
def make_images(
    originals: Annotated[Path, typer.Argument(help="The published images at their own sizes.")],
    target: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Make the images that the design is about, chest_xray_aspect_320, from the published ones."""
    require_new_folder(target)
    sample = read_sample()
    with progress_bar("resizing images") as progress:
        write_small_images(originals, target, sample, progress)
    print(f"{len(sample)} images of at most {LONGER_SIDE} px: {target}")
    with progress_bar("reading the copy") as progress:
        is_designs = open_dataset(target, progress=progress).content_hash == read_design().data
    if is_designs:
        print("byte for byte those of the design")
    else:
        say("warning: they are not byte for byte those of the design, and will be refused; start from the files that "
            "'covidcnn data fetch chest-xray' brings, in an environment of requirements.lock")


@app.command()
def run(
    data: DataOption = None,
    shard: Annotated[str, typer.Option(metavar="K/N", help="Run the K-th of N shares.")] = "1/1",
    dry_run: Annotated[bool, typer.Option("--dry-run", help=(
        "One epoch of each arm's first replicate, into a store of its own; nothing is judged."))] = False,
) -> None:
    """Run what the store still lacks."""
    design, store = read_design(), TrialStore(FOLDER / ("dry" if dry_run else "store"))
    run_design(design, open_data_of(data, design.data, DESIGN, "experiment.py images"), store, shard, dry_run, say)


@app.command()
def tables(data: DataOption = None) -> None:
    """Make the tables from the finished store, and say what the verdict is."""
    design = read_design()
    dataset = open_data_of(data, design.data, DESIGN, "experiment.py images")
    print(f"hypothesis A: {write_tables(design, dataset, TrialStore(FOLDER / 'store'), FOLDER)}")


@app.command()
def framing(data: DataOption = None) -> None:
    """Measure how chests stand in the frame, by registration of the published images at 224 px."""
    protocol = read_study("paper")
    dataset = open_data_of(data, protocol.data, protocol.path, "covidcnn data resize")
    images, pixels = dataset.images, load_images(dataset.root, dataset.images, ImageSettings(96))
    _write(FOLDER / "framing_averages.csv", averages_table(images, pixels), "%.4f")
    _write(FOLDER / "framing_images.csv", distribution(images, align_each(pixels, reference_image(images, pixels))),
           "%.4f")


if __name__ == "__main__":
    main(app, Path(__file__).name)
