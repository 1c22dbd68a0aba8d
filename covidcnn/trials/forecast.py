"""What a sweep will take: hours, disk and memory, from a few steps of each kind of training on this machine."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.data.pipeline import steps_per_epoch
from covidcnn.errors import DataError
from covidcnn.evaluation.scores import score_table
from covidcnn.imaging.reading import in_threads, read_grey
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.classical import ClassicalModel
from covidcnn.perturbations import CHOSEN_UNDER
from covidcnn.training.fit import select_images
from covidcnn.training.optimizers import default_learning_rate
from covidcnn.training.recipe import UNLABELLED, Recipe
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import TrialResult, Work

_BATCHES, _EPOCHS, _DECODED = 8, 4, 64
_SCORING = 1 / 3
"""What an image costs that is scored, of one that is learnt from: the first of the three passes of a training step."""


@dataclass(frozen=True)
class Forecast:
    """What trials will take on a machine like this one."""

    seconds: tuple[float, ...]
    """Of each trial, from images that are decoded."""
    decoding_seconds: float
    """Of all images at each size, once, unless the cache has them."""
    cache_bytes: int
    store_bytes: int
    """What the store grows by."""
    unfinished_bytes: int
    """What the largest training keeps besides, while it runs, to be gone on with."""
    memory_bytes: int
    """Of this process after it has trained, above all TensorFlow's."""


@dataclass(frozen=True)
class _Timing:
    """Of a kind of training: seconds before its first epoch, and for an image that is learnt from."""

    start: float
    image: float
    unfinished_bytes: int
    model_bytes: int


def forecast(trials: Sequence[Trial], dataset: DataSet, keep_models: bool = False) -> Forecast:
    """Time four epochs of eight batches of each kind of training. Of one kind are trainings that differ in optimizer,
    rates, epochs or the choice of images alone. The time is taken to grow with the images, which of support vector
    machines is too little.

    Raises:
        DataError: the images do not allow such trainings.
    """
    timings: dict[Trial, _Timing] = {}
    counted: dict[tuple[Recipe, bool], tuple[float, int]] = {}
    seconds, store_bytes = [], 0
    for trial in trials:
        kind = _kind(trial)
        if kind not in timings:
            timings[kind] = _time(kind, dataset)
        # Optimizers cost about the same; so do seeds, which draw other images, but as many.
        alike = replace(trial.recipe, optimizer="Nadam", learning_rate=None), trial.score_test
        if alike not in counted:
            images = select_images(dataset.images, trial.recipe, trial.seed, dataset.task)
            counted[alike] = _passes(trial, images), stored_bytes(trial, images)
        passes, stored = counted[alike]
        seconds.append(timings[kind].start + timings[kind].image * passes)
        store_bytes += stored + keep_models * timings[kind].model_bytes
    settings = {trial.recipe.images for trial in trials}
    return Forecast(
        tuple(seconds), sum(_decoding_seconds(dataset, setting) for setting in settings),
        sum(len(dataset.images) * setting.size ** 2 for setting in settings), store_bytes,
        max((timing.unfinished_bytes for timing in timings.values()), default=0), psutil.Process().memory_info().rss)


def _kind(trial: Trial) -> Trial:
    """A short training that costs as much an image."""
    recipe = trial.recipe
    epochs = 1 if isinstance(recipe.model, ClassicalModel) else _EPOCHS
    # With the usual rate, as models that have none are pinned too.
    short = Recipe(epochs, recipe.images, recipe.model, learning_rate=default_learning_rate("Nadam"),
                   augmentation=recipe.augmentation, batch_size=recipe.batch_size, precision=recipe.precision,
                   validation=recipe.validation, validation_fraction=recipe.validation_fraction,
                   split_seed=recipe.split_seed,
                   max_training_images=max(200, round(1.2 * _BATCHES * recipe.batch_size)))
    return Trial(trial.data, short, 0, task=trial.task)


def _drawn(kind: Trial, dataset: DataSet) -> tuple[Trial, pd.DataFrame]:
    """A training of as few images as leave no class out, however rare; and its images."""
    while True:
        try:
            return kind, select_images(dataset.images, kind.recipe, kind.seed, dataset.task)
        except DataError:
            if (limit := kind.recipe.max_training_images or 0) >= len(dataset.images):
                raise
            kind = replace(kind, recipe=replace(kind.recipe, max_training_images=2 * limit))


def _time(kind: Trial, dataset: DataSet) -> _Timing:
    dataset = replace(dataset, images=dataset.images[dataset.images["split"] != "test"])
    kind, images = _drawn(kind, dataset)
    # Decoding is not the training's time.
    load_images(dataset.root, images, kind.recipe.images)
    passes = _passes(kind, images)
    begin, ends = time.monotonic(), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        _, model = Work(dataset, Path(folder), keep_models=True).compute(
            kind, lambda *_: ends.append(time.monotonic()))
        kept = sum(path.stat().st_size for path in Path(folder).rglob("*.npz"))
    if not ends:
        # A model of scikit-learn, which is fitted at once.
        return _Timing(0.0, (time.monotonic() - begin) / passes, kept, len(model))
    epoch = float(np.median(np.diff(ends)))
    return _Timing(max(0.0, ends[0] - begin - epoch), epoch / passes * len(ends), kept, len(model))


def _scored(trial: Trial, images: pd.DataFrame) -> pd.DataFrame:
    """The images that are scored when the training is finished."""
    roles = {"validation", UNLABELLED, *["test"] * trial.score_test, *trial.recipe.score_every_epoch}
    return images[images["role"].isin(roles)]


def _passes(trial: Trial, images: pd.DataFrame) -> float:
    """How many images are shown in all, one that is scored counted as a third of one that is learnt from."""
    recipe, role = trial.recipe, images["role"]
    learnt = images[(role == "train") | ((role == UNLABELLED) & (recipe.teacher != "none"))]
    shown = recipe.batch_size * steps_per_epoch(
        trial.task.encode(learnt["label"]), recipe.batch_size, recipe.balance)
    chosen_on = (role == "validation").sum() * (1 + len(CHOSEN_UNDER.get(recipe.choose_by, ())))
    in_epoch = shown + _SCORING * (chosen_on + role.isin(recipe.score_every_epoch).sum())
    # A teacher takes about as many steps as its student; one that the store will have is counted all the same.
    trainings = 1 + (recipe.teacher != "none")
    return float(trainings * recipe.epochs * in_epoch + _SCORING * len(_scored(trial, images)) * (
        1 + len(recipe.perturbations)))


def stored_bytes(trial: Trial, images: pd.DataFrame) -> int:
    """What the store keeps of a trial on images with their ``role``, from scores that are drawn."""
    generator, recipe = np.random.default_rng(0), trial.recipe
    scored, classes = _scored(trial, images), len(trial.task.classes)
    tables = [score_table(scored.assign(split=scored["role"]), generator.dirichlet([1] * classes, len(scored)),
                          trial.task, perturbation) for perturbation in ("", *recipe.perturbations)]
    if recipe.score_every_epoch:
        drawn = np.where(scored["role"].isin(recipe.score_every_epoch).to_numpy()[:, np.newaxis],
                         generator.random((len(scored), recipe.epochs)), np.nan)
        tables[0] = tables[0].join(pd.DataFrame(drawn, scored.index, [
            f"epoch {epoch}" for epoch in range(1, recipe.epochs + 1)]))
    history = pd.DataFrame(generator.random((recipe.epochs, 6)), columns=[f"figure {number}" for number in range(6)])
    with tempfile.TemporaryDirectory() as folder:
        TrialStore(Path(folder)).write(TrialResult(trial, history, pd.concat(tables, ignore_index=True), "", {}))
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _decoding_seconds(dataset: DataSet, settings: ImageSettings) -> float:
    some = dataset.images["path"].sample(min(_DECODED, len(dataset.images)), random_state=0)
    begin = time.monotonic()
    for _ in in_threads(lambda name: settings.prepare(read_grey(dataset.root / name)), some.tolist()):
        pass
    return (time.monotonic() - begin) / len(some) * len(dataset.images)
