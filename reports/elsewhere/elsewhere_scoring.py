"""All that ``elsewhere.py`` scores with one model."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from elsewhere_read import AS_THEY_ARE, PLACES
from elsewhere_tables import GRAD_CAM, INSIDE, INT8, OCCLUSION, RANDOM

from covidcnn.backend import keras
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import UserError
from covidcnn.imaging.registration import Alignment, align
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.inspect import as_input
from covidcnn.models.litert import calibration_images, save_litert
from covidcnn.models.model_file import ModelFacts, load_model, load_predictor
from covidcnn.models.predictor import Predictor
from covidcnn.models.registry import Model, untrained
from covidcnn.perturbations import LUNGS_BLACK, REST_BLACK
from covidcnn.prediction.explain import GradCam
from covidcnn.prediction.occlusion import inside_lungs, mean_map, occlusion
from covidcnn.trials.work import TrialResult

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
    random = random_weights(untrained(options), facts, result.trial.seed, calibration)
    without, _ = exported(random, facts)
    pixels = load_images(dataset.root, images, facts.images)
    views = _under(network, pixels, ["", *design["perturbations"], LUNGS_BLACK, REST_BLACK])
    stored = result.scores.query("split == 'test' and perturbation == ''").set_index("path").loc[images["path"]]
    if not np.allclose(stored["score"], views[AS_THEY_ARE], atol=1e-4):
        raise UserError(f"{path}: its scores are not those of its training; to train it again with --keep-models, "
                        f"remove trials/{result.trial.key}.json, too")
    views[INT8] = whole(pixels)[:, 1]
    views |= {RANDOM + name: scores for name, scores in _under(without, pixels, ["", LUNGS_BLACK, REST_BLACK]).items()}
    maps = {}
    for kind, predictor, in_keras in (("", network, model), (RANDOM, without, random)):
        for what, found in ((OCCLUSION, occlusion(predictor, pixels[parts.chosen], parts.cells)),
                            (GRAD_CAM, grad_cam(in_keras, pixels[parts.chosen], parts.cells))):
            shares = np.full(len(images), np.nan)
            shares[parts.chosen] = inside_lungs(found)
            views[f"{kind}{what}, {INSIDE}"] = shares
            maps[f"{kind}{what}"] = mean_map(found, parts.alignments).tolist()
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


def grad_cam(network: keras.Model, pixels: np.ndarray, cells: int) -> np.ndarray:
    """Heat maps of images, uint8 (n, size, size), in as many cells as are covered: float32 (n, cells, cells)."""
    maps = GradCam(network)
    heat = np.concatenate([maps.heat(part) for part in np.array_split(pixels, -(-len(pixels) // 25))])
    return np.stack([cv2.resize(one, (cells, cells), interpolation=cv2.INTER_AREA) for one in heat])


def _under(predictor: Predictor, pixels: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name or AS_THEY_ARE: predictor(pixels, perturbation=name)[:, 1] for name in names}


def exported(model: Any, facts: ModelFacts, calibration: np.ndarray | None = None) -> tuple[Predictor, float]:
    """A network as a file for a small device, which scores more images in a second than Keras does, and its megabytes;
    ``calibration`` as of ``save_litert``."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        save_litert(file, model, facts, calibration)
        return load_predictor(file)[0], file.stat().st_size / 1e6
