"""What becomes of trained networks elsewhere: under changes that happen to radiographs, with a threshold set anew on a
few local images, with parts of the image covered, and as files for a small device.

``design.yaml`` says what is asked, and what was predicted. It is about models of the third study, which are not in git:

    covidcnn evidence run 2-networks 3b-lite0 --study models --keep-models --data chest_xray_224
    python reports/elsewhere/elsewhere.py score --data chest_xray_224 --small pneumoniamnist_28
    python reports/elsewhere/elsewhere.py tables
    python reports/elsewhere/elsewhere.py release --data chest_xray_224 --out lite0

The first leaves the models in ``reports/models/store/models``, of trainings that it runs. The second scores what has
not been scored yet, and enters it in ``openings.csv`` before it does. The third makes ``tables/`` and ``figures/`` of
what the second leaves in ``scores/``. The last puts the model for download together, and leaves its card in
``MODEL_CARD.md`` too.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from elsewhere_figures import write_figures
from elsewhere_read import digest, read_scores
from elsewhere_scoring import covered, score
from elsewhere_tables import LITE0, tables_of

from covidcnn.cli import main
from covidcnn.cli.common import open_data_of, say
from covidcnn.data.dataset import open_dataset
from covidcnn.data.sources import PNEUMONIAMNIST
from covidcnn.errors import UserError
from covidcnn.evaluation.folder import evaluate_model
from covidcnn.evaluation.release import CARD, write_release
from covidcnn.models.model_file import load_model, save_model
from covidcnn.models.predictor import KerasPredictor
from covidcnn.paths import MANIFEST, replacing, require_new_folder, write_json
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
_NOTE = (
    "This is one of five trainings, the one of the first seed, whichever it came to be: the means over all five, with "
    "intervals over seeds and patients, stand in `reports/models/tables/results.md` of the project. Its augmentation "
    "has zoom, which was first tried because of scores on these test images, so that its numbers on them are informed "
    "by the test set. Only images from elsewhere could confirm them.")


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
    with replacing(FOLDER / "average.csv") as temporary:
        np.savetxt(temporary, np.rint(average), "%d", delimiter=",")
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
        write_release(file, [evaluation], out, _NOTE)
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
                  np.loadtxt(FOLDER / "average.csv", delimiter=","))
    say(f"{len(scored)} models: {FOLDER / 'tables'}")


if __name__ == "__main__":
    main(app, "elsewhere.py")
