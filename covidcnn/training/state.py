"""A training between two epochs, as a file: what is needed to go on to the same bits.

Order of images, augmentation and dropout follow from (seed, epoch, step) and need no state of their own.
"""

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.errors import UserError
from covidcnn.paths import replacing

_log = logging.getLogger(__name__)


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
    """Write the state, whole or not at all.

    Args:
        path: of an .npz file.
        identity: text that only this training has; ``load_state`` asks for it.
        state: after the epoch that was just finished.

    Raises:
        UserError: the file cannot be written.
    """
    arrays = {"identity": np.array(identity), "history": state.history.to_numpy(float),
              "columns": np.array(state.history.columns.tolist()), "epoch_scores": state.epoch_scores}
    for part in ("weights", "optimizer", "best_weights"):
        arrays |= {f"{part} {place}": array for place, array in enumerate(getattr(state, part))}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_state(path: Path, identity: str) -> TrainingState | None:
    """Read the state; None if there is none, or none that can be read, which is then logged as a warning.

    Raises:
        UserError: the file is another training's.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = str(arrays["identity"])
            history = pd.DataFrame(arrays["history"], columns=arrays["columns"].tolist())
            parts = {part: [arrays[f"{part} {place}"] for place in range(_count(arrays, part))]
                     for part in ("weights", "optimizer", "best_weights")}
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


def _count(arrays: "np.lib.npyio.NpzFile", part: str) -> int:
    return sum(name.startswith(f"{part} ") for name in arrays.files)
