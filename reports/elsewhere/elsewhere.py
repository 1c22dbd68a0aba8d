"""What becomes of trained networks elsewhere: under changes that happen to radiographs, with a threshold set anew on a
few local images, with parts of the image covered, and as files for a small device.

``design.yaml`` says what is asked, and what was predicted. It is about models of the third study, which are not in git:

    covidcnn evidence run 2-networks 3b-lite0 --study models --keep-models --data chest_xray_224
    python reports/elsewhere/elsewhere.py score --data chest_xray_224 --small pneumoniamnist_28
    python reports/elsewhere/elsewhere.py tables
    python reports/elsewhere/elsewhere.py release --data chest_xray_224 --out lite0

The first leaves the models in ``reports/models/store/models``, of trainings that it runs. The second scores what has
not been scored yet, and enters it in ``openings.csv`` before it does. The third makes ``tables/`` and ``figures/`` of
what the second leaves in ``scores/`` (``elsewhere_tables.py``, ``elsewhere_figures.py``). The last puts the model for
download together, and leaves its card in ``MODEL_CARD.md`` too.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from elsewhere_figures import write_figures
from elsewhere_tables import (
    AS_THEY_ARE,
    INSIDE,
    INT8,
    LITE0,
    PLACES,
    RANDOM,
    TRAINED,
    digest,
    read_scores,
    tables_of,
)

from covidcnn.backend import keras
from covidcnn.cli import main
from covidcnn.cli.common import open_data_of, say
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.sources import PNEUMONIAMNIST
from covidcnn.errors import UserError
from covidcnn.evaluation.folder import evaluate_model
from covidcnn.evaluation.release import CARD, write_release
from covidcnn.imaging.registration import Alignment, align
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.inspect import as_input
from covidcnn.models.litert import calibration_images, save_litert
from covidcnn.models.model_file import ModelFacts, load_model, load_predictor, save_model
from covidcnn.models.predictor import KerasPredictor, Predictor
from covidcnn.models.registry import Model, untrained
from covidcnn.paths import MANIFEST, replacing, require_new_folder, write_json
from covidcnn.perturbations import LUNGS_BLACK, REST_BLACK
from covidcnn.prediction.occlusion import inside_lungs, mean_map, occlusion
from covidcnn.provenance import CHANGED, git_commit, software_facts
from covidcnn.study.access_log import log_access, open_store, permit
from covidcnn.study.conditions import Condition
from covidcnn.study.pages import write_tables
from covidcnn.study.protocol import Protocol, read_study
from covidcnn.training.recipe import settings_of
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import shard as shard_of
from covidcnn.trials.work import TrialResult
from covidcnn.yaml_files import read_yaml

FOLDER = Path(__file__).resolve().parent
DESIGN = FOLDER / "design.yaml"
_REGISTERED = 96
"""Pixels a side of the images that are laid onto their average."""


@dataclass(frozen=True)
class Covered:
    """The images of which parts are covered."""

    chosen: np.ndarray
    """bool (test images,)."""
    cells: int
    alignments: Sequence[Alignment | None]
    """Of each of them, to their average."""


def trainings(design: dict[str, Any], protocol: Protocol, store: TrialStore) -> Iterator[tuple[str, TrialResult]]:
    """The finished trainings that the design is about, each with the name of its network."""
    for name, wanted in design["models"].items():
        for trial in protocol.trials(wanted["arm"]):
            own = settings_of(trial.recipe) | {"arm": wanted["arm"]}
            if wanted.items() <= own.items() and store.is_finished(trial):
                yield name, store.read(trial.key)


def enter(protocol: Protocol, store: TrialStore, scored: str, what: str) -> None:
    """Enter in ``openings.csv`` what is about to score test images; a UserError unless protocol, design and code are
    those of a commit."""
    permit(protocol, store)
    if git_commit(DESIGN, *FOLDER.glob("*.py")).endswith(CHANGED):
        raise UserError(f"{FOLDER}: no test image is scored before the design and the scripts are committed; commit "
                        "them, or take the changes back")
    log_access(replace(protocol, path=DESIGN), scored, what)


def threshold_of(result: TrialResult) -> float:
    """Of a training, by the third study's rule."""
    return float(Condition({}, result.trial.recipe, (result,), pd.DataFrame()).thresholds[0])


def covered(design: dict[str, Any], dataset: DataSet, images: pd.DataFrame) -> tuple[Covered, np.ndarray]:
    """Which test images are covered cell by cell, and their average, float (side, side)."""
    ill = np.flatnonzero(images["label"] == dataset.task.positive)
    drawn = np.random.default_rng(0).choice(ill, design["where"]["images"], replace=False)
    chosen = np.isin(np.arange(len(images)), drawn)
    pixels = load_images(dataset.root, images[chosen], ImageSettings(_REGISTERED))
    average = pixels.mean(axis=0)
    return Covered(chosen, design["where"]["cells"], [align(image, average) for image in pixels]), average


def score(result: TrialResult, path: Path, design: dict[str, Any], images: pd.DataFrame, parts: Covered,
          dataset: DataSet, small: DataSet) -> tuple[pd.DataFrame, dict[str, Any]]:
    """All that is scored with one model.

    Args:
        result: its training.
        path: the model file.
        images: the test images, by path.
        parts: which of them are covered.
        dataset: chest_xray_224.
        small: PneumoniaMNIST.

    Returns:
        A row an image of ``PLACES``, with ``place``, ``path``, ``patient``, ``label`` and a column for each way in
        which it was scored; and what is no number of an image.

    Raises:
        UserError: the model's scores are not those of the training.
    """
    model, facts = load_model(path)
    options = result.trial.recipe.model
    assert not isinstance(options, ClassicalModel)
    network, size = exported(model, facts)
    calibration = calibration_images(dataset, facts)
    whole, size_of_whole = exported(model, facts, calibration)
    without, _ = exported(random_weights(untrained(options), facts, result.trial.seed, calibration), facts)
    pixels = load_images(dataset.root, images, facts.images)
    views = _under(network, pixels, ["", *design["perturbations"], LUNGS_BLACK, REST_BLACK])
    stored = result.scores.query("split == 'test' and perturbation == ''").set_index("path").loc[images["path"]]
    if not np.allclose(stored["score"], views[AS_THEY_ARE], atol=1e-4):
        raise UserError(f"{path}: its scores are not those of its training; to train it again with --keep-models, "
                        f"remove trials/{result.trial.key}.json, too")
    views[INT8] = whole(pixels)[:, 1]
    views |= {RANDOM + name: scores for name, scores in _under(without, pixels, ["", LUNGS_BLACK, REST_BLACK]).items()}
    maps = {}
    for kind, predictor in (("", network), (RANDOM, without)):
        own = occlusion(predictor, pixels[parts.chosen], parts.cells)
        shares = np.full(len(images), np.nan)
        shares[parts.chosen] = inside_lungs(own)
        views[kind + INSIDE] = shares
        maps[kind or TRAINED] = mean_map(own, parts.alignments).tolist()
    local = small.images[small.images["split"] == "test"]
    elsewhere = network(load_images(small.root, local, facts.images))[:, 1]
    table = pd.concat([images.assign(place=PLACES[0], **views),
                       local.assign(place=PLACES[1], **{AS_THEY_ARE: elsewhere})])
    return table[["place", "path", "patient", "label", *views]], {
        "maps": maps, "MB": {"float32": size, INT8: size_of_whole},
        "laid onto the average": sum(one is not None for one in parts.alignments)}


def random_weights(options: Model, facts: ModelFacts, seed: int, pixels: np.ndarray) -> keras.Model:
    """A network with the weights that its training of this seed begins with, but for the last layer, which is scaled:
    over these images, uint8 (n, size, size), its logits have mean 0 and standard deviation 1. Those of a deep network
    would else all but agree."""
    network = options.build(facts.task, facts.images.size, seed)
    last = network.layers[-1]
    seen = keras.Model(network.input, last.input).predict(as_input(pixels), verbose=0).astype(float)
    weights, _ = last.get_weights()
    logits = seen @ weights
    last.set_weights([weights / logits.std(), -logits.mean(axis=0) / logits.std()])
    return network


def _under(predictor: Predictor, pixels: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name or AS_THEY_ARE: predictor(pixels, perturbation=name)[:, 1] for name in names}


def exported(model: Any, facts: ModelFacts, calibration: np.ndarray | None = None) -> tuple[Predictor, float]:
    """A network as a file for a small device, which scores more images in a second than Keras does, and its megabytes;
    ``calibration`` as of ``save_litert``."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        save_litert(file, model, facts, calibration)
        return load_predictor(file)[0], file.stat().st_size / 1e6


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="What becomes of trained networks elsewhere.")


@app.command("score")
def score_all(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The published images at 224 px.")],
    small: Annotated[Path, typer.Option(metavar="DIR", help="PneumoniaMNIST, as covidcnn data fetch leaves it.")],
    shard: Annotated[str, typer.Option(metavar="K/N", help="Score the K-th of N shares.")] = "1/1",
) -> None:
    """Score with each model that is there what has not been scored yet."""
    design, protocol = read_yaml(DESIGN), read_study("models")
    dataset, small_images = open_data_of(data, design["data"], DESIGN, "covidcnn data resize"), open_dataset(small)
    if small_images.source is not PNEUMONIAMNIST:
        raise UserError(f"{small}: not PneumoniaMNIST; give the folder that 'covidcnn data fetch pneumoniamnist' makes")
    store = open_store(protocol.store)
    images = dataset.images[dataset.images["split"] == "test"].sort_values("path", ignore_index=True)
    parts, average = covered(design, dataset, images)
    with replacing(FOLDER / "average.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.rint(average).astype(np.uint8))
    found = {result.trial.key: (name, result) for name, result in trainings(design, protocol, store)}
    chosen = shard_of([result.trial for _, result in found.values()], shard)
    for key in (trial.key for trial in chosen):
        (name, result), path = found[key], store.folder / "models" / f"{key}.keras"
        target = FOLDER / "scores" / f"{key}.json"
        if target.exists():
            continue
        if not path.exists():
            say(f"{name}, seed {result.trial.seed}: no model file ({path.name}); only a training that is run with "
                "--keep-models leaves one")
            continue
        enter(protocol, store, key, name)
        try:
            table, further = score(result, path, design, images, parts, dataset, small_images)
        except UserError as error:
            # The others may be sound.
            say(str(error))
            continue
        with replacing(target.with_suffix(".csv.gz")) as temporary:
            # Twelve digits tell scores close to 1 apart.
            table.to_csv(temporary, index=False, float_format="%.12g", compression={"method": "gzip", "mtime": 0})
        write_json(target, {
            "network": name, "seed": result.trial.seed, "threshold": threshold_of(result), **further,
            "design": digest(design), "PneumoniaMNIST": small_images.content_hash, **software_facts()})
        say(f"{name}, seed {result.trial.seed}: scored")


@app.command()
def release(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The published images at 224 px.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the files.")],
) -> None:
    """Put the model for download together: that of EfficientNet-Lite0's first seed, whichever it is."""
    require_new_folder(out)
    design, protocol = read_yaml(DESIGN), read_study("models")
    dataset, store = open_data_of(data, design["data"], DESIGN, "covidcnn data resize"), open_store(protocol.store)
    trial = protocol.trials(design["models"][LITE0]["arm"])[0]
    path = store.folder / "models" / f"{trial.key}.keras"
    if not path.exists():
        raise UserError(f"{path}: no model file; only a training that is run with --keep-models leaves one")
    model, facts = load_model(path)
    facts = replace(facts, threshold=threshold_of(store.read(trial.key)),
                    threshold_rule="youden, on validation and perturbed copies of it")
    enter(protocol, store, trial.key, "the card of the model for download")
    with tempfile.TemporaryDirectory() as folder:
        file, evaluation = Path(folder) / "model.keras", Path(folder) / "evaluation.json"
        save_model(file, model, facts)
        found = evaluate_model(KerasPredictor(model, facts.task), facts, dataset, "test", perturbed=True)
        del found["scores"]
        write_json(evaluation, found | {"model": hashlib.sha256(file.read_bytes()).hexdigest()})
        write_release(file, [evaluation], out)
    with replacing(FOLDER / CARD) as temporary:
        shutil.copyfile(out / CARD, temporary)
    say(f"read {out / CARD} before you give it away")


@app.command()
def tables() -> None:
    """Make tables and figures of what is scored."""
    design = read_yaml(DESIGN)
    scored = read_scores(FOLDER / "scores", design)
    found = tables_of(scored, design)
    write_tables(found, FOLDER / "tables")
    # By it a report knows that its notebooks have something new to show.
    write_json(FOLDER / MANIFEST, {
        "models": {name: [*one.seeds] for name, one in scored.items()},
        "scores sha256": hashlib.sha256(b"".join(path.read_bytes() for path in sorted(
            (FOLDER / "scores").iterdir()))).hexdigest(),
        "tables": {name: caption for name, (_, caption) in found.items()}})
    write_figures(scored, {name: table for name, (table, _) in found.items()}, FOLDER / "figures",
                  np.load(FOLDER / "average.npy"))
    say(f"{len(scored)} models: {FOLDER / 'tables'}")


if __name__ == "__main__":
    main(app, "elsewhere.py")
