"""A training between two epochs: its history, the weights to return, and all that it needs to go on to the same bits.

Order of images, augmentation and dropout follow from (seed, epoch, step) and need no state of their own.
"""

import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.backend import keras
from covidcnn.errors import UserError
from covidcnn.paths import replacing
from covidcnn.perturbations import CHOSEN_UNDER
from covidcnn.training.result import SHIFTED_LOSS, Diverged, chosen_epoch

_log = logging.getLogger(__name__)

# Second entry of the seed sequences of covidcnn.data.pipeline: dropout draws from a stream of its own.
_DROPOUT = 3
_LISTS = ("weights", "optimizer", "best_weights")


@dataclass(frozen=True)
class TrainingState:
    """A training after its last finished epoch."""

    history: pd.DataFrame
    """A row a finished epoch, from 1."""
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    best_weights: list[np.ndarray]
    """Of the epoch that the recipe keeps, as far as it is known yet."""
    epoch_scores: np.ndarray
    """float (finished epochs, images scored after every epoch)."""


def save_state(path: Path, identity: str, state: TrainingState) -> None:
    """Write the state as an .npz file, whole or not at all, or raise a UserError; ``load_state`` asks for the identity,
    text that only this training has."""
    arrays = {"identity": np.array(identity), "history": state.history.to_numpy(float),
              "columns": np.array(state.history.columns.tolist()), "epoch_scores": state.epoch_scores}
    for part in _LISTS:
        arrays |= {f"{part} {place}": array for place, array in enumerate(getattr(state, part))}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_state(path: Path, identity: str) -> TrainingState | None:
    """Read the state; None if there is none, or none that can be read, which is then logged as a warning. A UserError
    if the file is another training's."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = str(arrays["identity"])
            history = pd.DataFrame(arrays["history"], columns=arrays["columns"].tolist())
            parts = {part: [arrays[f"{part} {place}"]
                            for place in range(sum(name.startswith(f"{part} ") for name in arrays.files))]
                     for part in _LISTS}
            epoch_scores = arrays["epoch_scores"]
    # RuntimeError: a bit of the archive says that it is encrypted, or of a kind that zipfile does not know.
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        _log.warning("%s: damaged or of another version; the training begins anew", path)
        return None
    if found != identity:
        raise UserError(f"{path}: an unfinished training with other settings or versions; finish it with its own, "
                        "remove it, or choose another folder")
    history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
    return TrainingState(history, epoch_scores=epoch_scores, **parts)


class Keeper(keras.callbacks.Callback):
    """Keeps the state of a training, and saves it after each epoch."""

    def __init__(self, model: keras.Model, seed: int, choose_by: str, shifted_loss: Callable[[], float],
                 scored: Callable[[list[np.ndarray]], np.ndarray], file: Path | None, identity: str,
                 report: Callable[[int, int, dict], None] | None) -> None:
        super().__init__()
        self._seed, self._choose_by, self._shifted_loss, self._scored = seed, choose_by, shifted_loss, scored
        self._file, self._identity, self._report = file, identity, report
        self._validated: list[np.ndarray] = []
        self._shifted = 0.0
        weights = model.get_weights()
        self.state = TrainingState(pd.DataFrame(), weights, _values(model.optimizer), weights, np.empty((0, 0)))
        earlier = load_state(file, identity) if file else None
        if earlier:
            self.state = earlier
            model.set_weights(earlier.weights)
            for variable, value in zip(model.optimizer.variables, earlier.optimizer, strict=True):
                variable.assign(value)

    @property
    def epochs_done(self) -> int:
        return len(self.state.history)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        for place, layer in enumerate(_all_layers(self.model)):
            # At a rate of 0 Keras draws nothing, and has nothing to draw from.
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                # Keras counts the steps in the second number; both are drawn, so that no two layers share a stream.
                drawn = np.random.SeedSequence([self._seed, _DROPOUT, epoch, place]).generate_state(2)
                layer.seed_generator.state.assign(drawn >> 1)

    def on_test_end(self, logs: dict | None = None) -> None:
        # Averaged weights stand in the model only while it is validated.
        self._validated = self.model.get_weights()
        if self._choose_by in CHOSEN_UNDER:
            self._shifted = self._shifted_loss() if np.isfinite((logs or {})["loss"]) else np.inf

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            raise Diverged(f"{self.model.optimizer.name}: the loss is no number any more in epoch {epoch + 1}; "
                           "take a lower learning rate")
        if self._choose_by in CHOSEN_UNDER:
            logs[SHIFTED_LOSS] = self._shifted
        row = pd.DataFrame([logs], index=pd.RangeIndex(epoch + 1, epoch + 2, name="epoch"))
        history = pd.concat([self.state.history, row])
        improved = chosen_epoch(history, self._choose_by) == epoch + 1
        self.state = TrainingState(
            history=history, weights=self.model.get_weights(), optimizer=_values(self.model.optimizer),
            best_weights=self._validated if improved else self.state.best_weights,
            epoch_scores=np.array([*self.state.epoch_scores, self._scored(self._validated)]))
        if self._file:
            save_state(self._file, self._identity, self.state)
        if self._report:
            self._report(epoch + 1, self.params["epochs"], logs)


def _all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model, and those of the models within it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def _values(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]
