"""Arm 8, the floor: what is reached without looking at a lung.

Ridge and nearest neighbour on 16 x 16 pixels, and where the films still have their original sizes, size and aspect
alone. Nothing in it is drawn at random, so there are no seeds. What it finds lies in the store, in files of its own.
"""

from pathlib import Path

import pandas as pd
from sklearn.neighbors import KNeighborsClassifier

from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.evaluation.baselines import film_measures, floor_scores, single_measure_auc
from covidcnn.evaluation.measures import THRESHOLD
from covidcnn.imaging.transforms import ImageSettings, coarse_pixels
from covidcnn.paths import replacing
from covidcnn.study.access_log import log_access, permit
from covidcnn.study.protocol import Protocol
from covidcnn.trials.store import TrialStore

FLOOR = "8-floor"
RIDGE, NEIGHBOUR = "ridge, 16 x 16 pixels", "1-nearest neighbour, 16 x 16 pixels"
_SCORES, _SIZES = "floor/scores.csv.gz", "floor/original-sizes.csv"


def compute_floor(protocol: Protocol, dataset: DataSet, store: Path) -> pd.DataFrame:
    """Score train (cross-validated by patient) and test films with both models, and keep the scores in the store.

    Args:
        protocol: which allows it.
        dataset: the published films.
        store: the folder of the trial store.

    Returns:
        As ``read_floor``.

    Raises:
        UserError: the protocol has no floor, or test films may not be scored yet (``openings.permit``).
    """
    if not protocol.has_floor:
        raise UserError(f"{protocol.path}: it names no floor, so that none is scored on test films")
    permit(protocol, TrialStore(store))
    for model in (RIDGE, NEIGHBOUR):
        log_access(protocol, model, FLOOR)
    films = dataset.films
    pixels = coarse_pixels(load_images(dataset.root, films, ImageSettings()))
    scores = pd.concat([
        # The decision function is 0 where a probability is a half.
        floor_scores(films, pixels).assign(model=RIDGE).assign(score=lambda table: table["score"] + THRESHOLD),
        floor_scores(films, pixels, KNeighborsClassifier(1)).assign(model=NEIGHBOUR)])
    with replacing(store / _SCORES) as temporary:
        # No time in the archive: same scores, same file.
        scores.to_csv(temporary, index=False, float_format="%.9g", compression={"method": "gzip", "mtime": 0})
    return scores


def compute_sizes(originals: DataSet, store: Path) -> pd.DataFrame:
    """How well size, aspect and colour of the files alone tell the classes of training films, kept in the store.

    Args:
        originals: films at their original sizes, or some of them.
        store: the folder of the trial store.
    """
    images = load_images(originals.root, originals.films, ImageSettings(32))
    measures = film_measures(originals.films, images)
    table = single_measure_auc(measures, samples=1000).assign(films=int((measures["split"] == "train").sum()))
    with replacing(store / _SIZES) as temporary:
        table.to_csv(temporary, index=False)
    return table


def read_floor(store: Path) -> pd.DataFrame | None:
    """The scores of the floor: ``model``, ``split`` ('train', cross-validated, or 'test'), ``path``, ``label``,
    ``subtype``, ``patient``, ``score``; a call of PNEUMONIA from 0.5 on. None if they are not in the store.

    Raises:
        DataError: the file is damaged.
    """
    return _read(store / _SCORES)


def read_sizes(store: Path) -> pd.DataFrame | None:
    """As ``compute_sizes`` left it; None if it did not.

    Raises:
        DataError: the file is damaged.
    """
    return _read(store / _SIZES)


def _read(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path, keep_default_na=False, float_precision="round_trip", na_values={"low": "", "high": ""})
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it and it is computed again") from error
