"""Train the paper's network once: one recipe, one seed, one model."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.augment import augmentation_named, class_weights
from covidcnn.backend import keras, tf
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.data.pipeline import scoring_batches, steps_per_epoch, training_batches
from covidcnn.data.splits import assign_roles, draw_by_patient, require_both_classes
from covidcnn.errors import UserError
from covidcnn.models.paper_cnn import paper_cnn
from covidcnn.training.optimizers import make_optimizer
from covidcnn.training.recipe import Recipe

CHECKPOINT = "checkpoint.keras"
HISTORY = "history.csv"
SCORE_COLUMNS = ["split", "path", "label", "score", "subtype", "patient"]


@dataclass(frozen=True)
class Training:
    """What a training leaves."""

    model: keras.Model
    """With the weights of the best epoch."""
    history: pd.DataFrame
    """A row an epoch, from 1: ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``."""
    scores: pd.DataFrame
    """A row a film: ``split`` (train, validation or test), ``path``, ``label``, ``score`` (probability
    of PNEUMONIA), ``subtype``, ``patient``."""
    interrupted: bool

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept: the lowest loss on validation."""
        return int(self.history["val_loss"].idxmin())


class ProgressCallback(keras.callbacks.Callback):
    """Calls ``report(epoch, epochs, logs)`` at the end of each epoch, counted from 1."""

    def __init__(self, report: Callable[[int, int, dict], None]) -> None:
        super().__init__()
        self._report = report

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._report(epoch + 1, self.params["epochs"], logs or {})


def select_films(films: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Films with their ``role``, training films and validation drawn down to the recipe's number."""
    with_roles = assign_roles(films, recipe.validation, recipe.validation_fraction, recipe.split_seed)
    learnt = with_roles["role"].isin(["train", "validation"]) & (with_roles["split"] != "val")
    drawn = draw_by_patient(with_roles[learnt], recipe.max_training_images, recipe.split_seed)
    selected = with_roles.loc[with_roles.index.isin(drawn.index) | ~learnt].reset_index(drop=True)
    require_both_classes(selected, recipe.validation)
    return selected


def make_repeatable(seed: int) -> None:
    """Seed Python, NumPy and Keras, and have TensorFlow add up in a fixed order."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def train(dataset: DataSet, recipe: Recipe, seed: int, folder: Path | None = None,
          score_roles: Sequence[str] = ("validation", "test"),
          report: Callable[[int, int, dict], None] | None = None) -> Training:
    """Train on ``dataset`` and score its films.

    The epoch is chosen by the loss on validation; test films have no part in any choice. An
    interruption (Ctrl-C) ends the training after its best finished epoch, with ``interrupted`` set; if
    no epoch was finished, KeyboardInterrupt is raised.

    Args:
        dataset: opened with ``open_dataset``.
        recipe: what to do.
        seed: of initial weights, order, augmentation and dropout.
        folder: receives ``checkpoint.keras`` (the best epoch so far), ``history.csv`` and TensorBoard's
            events in ``tensorboard/``; None keeps none of them.
        score_roles: which films to score: 'train', 'validation', 'test'.
        report: called at the end of each epoch with (epoch, epochs, logs).

    Raises:
        DataError: the films do not allow the recipe's validation, or can no longer be read.
    """
    make_repeatable(seed)
    films = select_films(dataset.films, recipe)
    images = load_images(dataset.root, films, recipe.images)
    labels = (films["label"] == "PNEUMONIA").to_numpy(int)
    rows = {role: np.flatnonzero(films["role"] == role) for role in ("train", "validation")}

    model = paper_cnn(recipe.images.size, filters=recipe.filters, dropout=recipe.dropout,
                      batch_norm_momentum=recipe.batch_norm_momentum, seed=seed)
    model.compile(optimizer=make_optimizer(recipe.optimizer, recipe.learning_rate),
                  loss="binary_crossentropy", metrics=["accuracy"])
    # Keras would otherwise trace the training step twice: once to create the variables of optimizer and
    # metrics, once to use them. At a hundred films tracing takes longer than training.
    validation = scoring_batches(images, labels, rows["validation"])
    model.optimizer.build(model.trainable_variables)
    model.evaluate(validation.take(1), verbose=0)
    training_labels = labels[rows["train"]]
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory() as kept:
        kept = Path(kept)
        kept.mkdir(parents=True, exist_ok=True)
        # After an interruption, what lies here must be this training's.
        (kept / CHECKPOINT).unlink(missing_ok=True)
        callbacks = [
            keras.callbacks.ModelCheckpoint(kept / CHECKPOINT, monitor="val_loss", save_best_only=True),
            keras.callbacks.CSVLogger(kept / HISTORY),
        ]
        if folder:
            callbacks.append(keras.callbacks.TensorBoard(kept / "tensorboard", write_graph=False))
        if report:
            callbacks.append(ProgressCallback(report))
        interrupted = False
        try:
            model.fit(
                training_batches(images, labels, rows["train"], batch_size=recipe.batch_size, seed=seed,
                                 epochs=recipe.epochs, balance=recipe.balance,
                                 augmentation=augmentation_named(recipe.augmentation)),
                epochs=recipe.epochs,
                steps_per_epoch=steps_per_epoch(training_labels, recipe.batch_size, recipe.balance),
                validation_data=validation,
                class_weight=class_weights(training_labels) if recipe.balance == "class-weight" else None,
                callbacks=callbacks, shuffle=False, verbose=0,
            )
        except KeyboardInterrupt:
            if not (kept / CHECKPOINT).is_file():
                raise
            interrupted = True
        history = pd.read_csv(kept / HISTORY).assign(epoch=lambda table: table["epoch"] + 1).set_index("epoch")
        if history["val_loss"].isna().any():
            raise UserError(f"{recipe.optimizer}: the loss is no number any more in epoch "
                            f"{history['val_loss'].isna().idxmax()}; take a lower learning rate")
        model.load_weights(kept / CHECKPOINT)
    scored = np.flatnonzero(films["role"].isin(score_roles))
    scores = films.iloc[scored].assign(split=films["role"], score=predict(model, images, labels, scored))
    return Training(model, history, scores[SCORE_COLUMNS].reset_index(drop=True), interrupted)


def predict(model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The probability of PNEUMONIA for the films of ``rows``: float (len(rows),) in 0..1."""
    return model.predict(scoring_batches(images, labels, rows), verbose=0)[:, 0].astype(float)
