"""Arm 8, the baseline: what is reached without looking at a lung.

Ridge and nearest neighbour on 16 x 16 pixels, and where the images still have their original sizes, size and aspect
alone. Nothing in it is random, so there are no seeds. What it finds lies in the store, in files of its own.
"""

from pathlib import Path

import pandas as pd
from sklearn.neighbors import KNeighborsClassifier

from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.evaluation.baselines import baseline_scores, image_measures, single_measure_auc
from covidcnn.evaluation.weighted_metrics import THRESHOLD
from covidcnn.imaging.transforms import ImageSettings, coarse_pixels
from covidcnn.paths import replacing
from covidcnn.study.access_log import log_access, permit
from covidcnn.study.protocol import Protocol
from covidcnn.trials.store import TrialStore

BASELINE, SIZES = "8-floor", "8-floor-sizes"
RIDGE, NEIGHBOUR = "ridge, 16 x 16 pixels", "1-nearest neighbour, 16 x 16 pixels"
_SCORES, _SIZES = "floor/scores.csv.gz", "floor/original-sizes.csv"


def compute_baseline(protocol: Protocol, dataset: DataSet, store: Path) -> None:
    """Score train (cross-validated by patient) and test images with both models into the store. UserError if the
    protocol has no baseline, or test images may not be scored yet."""
    if "floor" not in protocol.rules:
        raise UserError(f"{protocol.path}: it names no baseline, so that none is scored on test images")
    permit(protocol, TrialStore(store))
    for model in (RIDGE, NEIGHBOUR):
        log_access(protocol, model, BASELINE)
    images = dataset.images
    pixels = coarse_pixels(load_images(dataset.root, images, ImageSettings()))
    scores = pd.concat([
        # The decision function is 0 where a probability is a half.
        baseline_scores(images, pixels).assign(model=RIDGE).assign(score=lambda table: table["score"] + THRESHOLD),
        baseline_scores(images, pixels, KNeighborsClassifier(1)).assign(model=NEIGHBOUR)])
    with replacing(store / _SCORES) as temporary:
        # No time in the archive: same scores, same file.
        scores.to_csv(temporary, index=False, float_format="%.9g", compression={"method": "gzip", "mtime": 0})


def compute_sizes(originals: DataSet, store: Path) -> None:
    """How well size, aspect and colour of the files alone, at their original sizes, tell the classes of training
    images; written into the store."""
    measures = image_measures(originals.images, load_images(originals.root, originals.images, ImageSettings(32)))
    table = single_measure_auc(measures, samples=1000).assign(images=int((measures["split"] == "train").sum()))
    with replacing(store / _SIZES) as temporary:
        table.to_csv(temporary, index=False)


def read_baseline(store: Path) -> pd.DataFrame | None:
    """The scores of the baseline: ``model``, ``split`` ('train', cross-validated, or 'test'), ``path``, ``label``,
    ``subtype``, ``patient``, ``score``; from 0.5 on PNEUMONIA is predicted. None if they are not in the store;
    DataError if the file is damaged."""
    return _read(store / _SCORES)


def further_tables(store: Path) -> dict[str, pd.DataFrame | None]:
    """What the store has beside trainings, as ``Evidence.further``; raises as ``read_baseline``."""
    sizes = _read(store / _SIZES)
    # The stored file of the first study says films.
    return {BASELINE: read_baseline(store),
            SIZES: None if sizes is None else sizes.rename(columns={"films": "images"})}


def _read(path: Path) -> pd.DataFrame | None:
    try:
        return pd.read_csv(path, keep_default_na=False, float_precision="round_trip", na_values={"low": "", "high": ""})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it and it is computed again") from error
