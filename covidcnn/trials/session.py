"""``covidcnn train``: one training, and everything it leaves in its folder."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from covidcnn.config import DISCLAIMER
from covidcnn.data.appearance import describe, measure
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import UserError, named
from covidcnn.evaluation.scores import unperturbed
from covidcnn.evaluation.threshold import RULES, fix_threshold
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.model_file import FILE_NAMES, ModelFacts, file_name, save_model, short_hashes
from covidcnn.models.predictor import ClassicalPredictor
from covidcnn.models.registry import name_of
from covidcnn.paths import replacing, require_writable, write_json
from covidcnn.provenance import EXPLORATORY, data_facts, software_facts, training_versions
from covidcnn.training.fit import TEACHER, UNFINISHED, train
from covidcnn.training.optimizers import make_optimizer
from covidcnn.training.recipe import ROLES, UNLABELLED, Recipe
from covidcnn.training.result import Diverged, Training
from covidcnn.trials.trial import Trial, pin_trial

HISTORY, SCORES, RUN, EVENTS = "history.csv", "scores.csv", "run.json", "tensorboard"
_LOCK = "unfinished.lock"


def train_into(folder: Path, dataset: DataSet, recipe: Recipe, seed: int, threshold_rule: str = "0.5",
               report: Callable[[int, int, dict], None] | None = None) -> Training:
    """Train, and leave ``model.keras`` (of a model of scikit-learn ``model.skops``), ``history.csv``, ``scores.csv``,
    ``run.json`` and TensorBoard's events in ``folder``.

    The threshold is fixed on validation and stored in the model file. An interrupted training leaves the same files,
    made from its best finished epoch; one that was killed goes on when it is called again.

    Raises:
        UserError: ``folder`` holds what would be overwritten, another training goes on there, or it cannot be written.
        DataError: the images do not allow the recipe's validation.
    """
    named(dict.fromkeys(RULES), threshold_rule, "threshold rule")
    if threshold_rule != RULES[0] and not dataset.task.is_binary:
        raise UserError(f"threshold {threshold_rule}: of {len(dataset.task.classes)} classes the most probable is "
                        "predicted, without a threshold; leave it out")
    with _alone_in(folder):
        # The code as it is now: it may be committed to while the training runs.
        started, begin, software = datetime.now(UTC), time.monotonic(), software_facts()
        trial = pin_trial(dataset.content_hash, recipe, seed, score_test="test" in recipe.score_every_epoch,
                          task=dataset.task)
        try:
            training = train(dataset, recipe, seed, folder, ("train", "validation", "test"), report,
                             events=folder / EVENTS, identity=f"{trial.key} {training_versions()}")
        except Diverged:
            # Nothing worth going on from: what was begun is taken away again.
            _remove_unfinished(folder)
            raise
        scores, facts = training.scores, training_facts(dataset, trial, training)
        threshold = fix_threshold(unperturbed(scores, "validation"), threshold_rule, task=dataset.task)
        rule = ("the most probable class" if not dataset.task.is_binary else
                threshold_rule if threshold_rule == RULES[0] else f"{threshold_rule}, on validation")
        # Where there are no splits, all images were scored, and the published test set may be all there is.
        uses_test = dataset.source.protects_test and ((scores["split"] == "test").any()
                                                      or "all" in set(dataset.images["split"]))
        with replacing(folder / HISTORY) as temporary:
            training.history.to_csv(temporary)
        with replacing(folder / SCORES) as temporary:
            scores.to_csv(temporary, index=False, float_format="%.9g")
        write_json(folder / RUN, facts | {
            "threshold": threshold, "threshold rule": rule, "disclaimer": DISCLAIMER,
            "test-set accesses": [EXPLORATORY] if uses_test else []} | software | {
            "started": started.isoformat("T", "seconds"), "seconds": round(time.monotonic() - begin, 1)})
        # Last: a folder with a model is complete.
        save_trained(folder / file_name(recipe.model), dataset, trial, training, facts, threshold, rule)
        _remove_unfinished(folder)
        return training


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make a model's folder, and keep other trainings out of it while the block runs."""
    # What a training that was killed, even in its first epoch, has left is its own.
    begun = (folder / UNFINISHED).exists() or (folder / _LOCK).exists()
    _require_none(folder, [*FILE_NAMES] if begun else [*FILE_NAMES, HISTORY, SCORES, RUN, EVENTS])
    require_writable(folder / RUN)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(f"{folder}: another training goes on there; choose another folder for --out") from error
    try:
        # Another one may have ended just now.
        _require_none(folder, FILE_NAMES)
        yield
    finally:
        if not any((folder / name).exists() for name in (UNFINISHED, *FILE_NAMES)):
            # Of a first epoch that did not end: nothing to go on from.
            shutil.rmtree(folder / EVENTS, ignore_errors=True)
        (folder / _LOCK).unlink(missing_ok=True)
        lock.release()


def _require_none(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if (folder / name).exists():
            raise UserError(f"{folder / name}: there is one already; choose another folder for --out")


def _remove_unfinished(folder: Path) -> None:
    (folder / UNFINISHED).unlink(missing_ok=True)
    (folder / TEACHER / UNFINISHED).unlink(missing_ok=True)
    # What is in it that is not the teacher's stays, and the folder with it.
    with suppress(OSError):
        (folder / TEACHER).rmdir()


def training_facts(dataset: DataSet, trial: Trial, training: Training) -> dict[str, Any]:
    """What is to be known of a training, as JSON has it: in the precision that was used, and with the learning rate of
    the first epoch."""
    recipe, source, told = trial.recipe, dataset.source, trial.to_dict()
    return {
        # What the names of augmentation and schedule stand for may be something else in another version.
        **{name: told[name] for name in ("task", "recipe", "seed", "augmentation", "schedule")},
        **({} if isinstance(recipe.model, ClassicalModel) else {"optimizer": make_optimizer(
            recipe.optimizer, recipe.learning_rate, recipe.weight_average).get_config()}),
        "best epoch": training.best_epoch, "interrupted": training.interrupted,
        "data": data_facts(dataset),
        "counts": {role: group["label"].value_counts().to_dict() for role, group in training.images.groupby("role")
                   if role in (*ROLES, UNLABELLED)},
        **({"licence of the images": source.licence, "citation": source.citation} if source.citation else {}),
    }


def save_trained(path: Path, dataset: DataSet, trial: Trial, training: Training, facts: dict[str, Any],
                 threshold: float = 0.5, rule: str = RULES[0]) -> None:
    """Write the model file of a training, with its facts and how the images looked that the model learnt from."""
    recipe, predictor = trial.recipe, training.predictor
    # Some perhaps with labels that nobody checked, but the network has seen them.
    images = training.images.assign(role=training.images["role"].mask(training.images["learnt"], "train"))
    learnt = images[images["learnt"]]
    model = predictor.estimator if isinstance(predictor, ClassicalPredictor) else training.model
    save_model(path, model, ModelFacts(
        recipe.images, threshold, rule, facts, dataset.task, model={"model": name_of(recipe.model),
                                                                    **asdict(recipe.model)},
        appearance=describe(measure(learnt, load_images(dataset.root, learnt, recipe.images))),
        image_hashes=short_hashes(images)))
