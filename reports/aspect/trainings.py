"""What ``design.yaml`` lays down: its arms, the images from which each learns and on which it is judged, and so the
plan of all trainings."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matching import matched_pairs
from small_images import MANIFEST

from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.index import content_hash
from covidcnn.data.splits import hash_fraction
from covidcnn.errors import DataError, UserError
from covidcnn.imaging.reading import read_grey
from covidcnn.imaging.transforms import resize
from covidcnn.paths import cache_folder, replacing_folder
from covidcnn.task import PNEUMONIA
from covidcnn.trials.spec import Sweep, parse_sweep
from covidcnn.trials.trial import Trial
from covidcnn.yaml_files import read_yaml

DESIGN = Path(__file__).resolve().with_name("design.yaml")
SAMPLE = "random 30 %"
"""Of the manifest's column ``sample``: the images that no hand has picked."""


@dataclass(frozen=True)
class Arm:
    """One way of choosing the training images, or of making them square."""

    sweep: Sweep
    """Its seeds are the replicates."""
    question: str
    calipers: Mapping[str, float] = field(default_factory=dict)
    """Of the measures by which classes are matched; empty: images are drawn at random."""
    gaps: Mapping[str, float] = field(default_factory=dict)
    """See ``matched_pairs``."""
    common_aspect: float = 0.0
    """Width / height to which all images are cropped beforehand; 0: none is cropped."""


@dataclass(frozen=True)
class Design:
    """What ``design.yaml`` lays down and a program needs."""

    data: str
    """Content hash of chest_xray_aspect_320."""
    pairs: int
    """NORMAL images, and as many PNEUMONIA, that each training learns from."""
    arms: Mapping[str, Arm]


def read_design(path: Path = DESIGN) -> Design:
    """Read the design; UserError if a part of it is wrong."""
    value = read_yaml(path)
    try:
        shared = value["shared"]
        arms = {name: Arm(parse_sweep({"seeds": arm["seeds"], "score_test": True,
                                       "recipe": shared | arm.get("recipe", {})}), arm["question"],
                          arm.get("match", {}), arm.get("gaps", {}), arm.get("common_aspect", 0.0))
                for name, arm in value["arms"].items()}
        return Design(value["data"], value["pairs"], arms)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no design ({error}); mend it") from error


def measured_images(dataset: DataSet) -> pd.DataFrame:
    """The images of the random sample of chest_xray_aspect_320, whose manifest.csv has the originals' sizes, with the
    logarithms of ``aspect`` (width / height) and ``area`` (pixels) of the original, and of ``sharpness``: the variance
    of the Laplacian at 96 x 96 px by that of the grey levels. DataError if the manifest is missing or damaged."""
    try:
        manifest = pd.read_csv(dataset.root / MANIFEST)
        manifest["path"] = manifest["split"] + "/" + manifest["class"] + "/" + manifest["file"]
        known = manifest[(manifest["sample"] == SAMPLE) & (manifest["split"] == "train")]
        images = dataset.images.merge(known[["path", "original_width", "original_height"]], on="path")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{dataset.root / MANIFEST}: no table of the originals' sizes ({error}); make the images anew: "
                        "experiment.py images") from error
    # Python's logarithm: NumPy's differs in its last bit between processors, and so would the choice among equal pairs.
    images["aspect"] = (images["original_width"] / images["original_height"]).map(math.log)
    images["area"] = (images["original_width"] * images["original_height"]).map(math.log)
    images["sharpness"] = [_sharpness(read_grey(dataset.root / path)) for path in images["path"]]
    return images


def _sharpness(image: np.ndarray) -> float:
    small = resize(image, 96).astype(np.float32)
    return float(np.log(cv2.Laplacian(small, cv2.CV_32F).var() / small.var()))


def learns(images: pd.DataFrame, replicate: int) -> np.ndarray:
    """bool (images,): the half of the patients from which a replicate learns. Replicates 2 k and 2 k + 1 exchange their
    halves, as in five times two-fold cross-validation: each image is judged in every second replicate."""
    split, side = divmod(replicate, 2)
    first = np.array([hash_fraction(patient, split, "half") < 0.5 for patient in images["patient"]])
    return first == bool(side)


def training_images(images: pd.DataFrame, arm: Arm, replicate: int, pairs: int) -> pd.DataFrame:
    """What an arm learns from: ``pairs`` images of each class, the nearest where classes are matched; DataError if
    there are fewer."""
    half = images[learns(images, replicate)]
    normal, pneumonia = (half[half["label"] == label] for label in PNEUMONIA.classes)
    if arm.calipers:
        matched = matched_pairs(normal, pneumonia, arm.calipers, arm.gaps)[:pairs]
        chosen = half.loc[[*matched["first"], *matched["second"]]]
    else:
        chosen = pd.concat([_drawn(each, pairs, replicate) for each in (normal, pneumonia)])
    if len(chosen) < 2 * pairs:
        raise DataError(f"replicate {replicate}: {len(chosen) // 2} pairs where {pairs} are wanted; widen the calipers")
    return chosen


def judged_images(images: pd.DataFrame, replicate: int) -> pd.DataFrame:
    """What a replicate is judged on, in all arms alike: all NORMAL images of the other half, and as many PNEUMONIA."""
    half = images[~learns(images, replicate)]
    normal, pneumonia = (half[half["label"] == label] for label in PNEUMONIA.classes)
    return pd.concat([normal, _drawn(pneumonia, len(normal), replicate)])


def _drawn(images: pd.DataFrame, number: int, replicate: int) -> pd.DataFrame:
    place = images["path"].map(lambda path: hash_fraction(path, replicate, "drawn for the aspect arms"))
    return images.loc[place.sort_values().index[:number]]


def _cropped_dataset(dataset: DataSet, aspect: float) -> DataSet:
    """A copy of the data set in the cache, cropped about the images' centres to one aspect ratio and not stretched."""
    folder = cache_folder() / "aspect" / f"{dataset.content_hash[:20]}-{aspect:g}"
    try:
        if not folder.is_dir():
            with replacing_folder(folder) as draft:
                for path in dataset.images["path"]:
                    (draft / path).parent.mkdir(parents=True, exist_ok=True)
                    # At the highest quality: the copy is decoded and made square like the others.
                    cv2.imwrite(str(draft / path), cropped(read_grey(dataset.root / path), aspect),
                                [cv2.IMWRITE_JPEG_QUALITY, 100])
    except UserError:
        # Another process may have written the same meanwhile.
        if not folder.is_dir():
            raise
    return open_dataset(folder)


def cropped(image: np.ndarray, aspect: float) -> np.ndarray:
    """The largest part of an image, uint8 (height, width), about its centre whose width / height is ``aspect``."""
    height, width = image.shape
    rows, columns = min(height, round(width / aspect)), min(width, round(height * aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


def planned(design: Design, dataset: DataSet, images: pd.DataFrame) -> Iterator[tuple[str, Trial, DataSet]]:
    """The arm, trial and data set of every training, replicate by replicate: what is compared is trained side by side.
    ``images`` are the ``measured_images`` of ``dataset``."""
    sources = {0.0: dataset}
    replicates = sorted({seed for arm in design.arms.values() for seed in arm.sweep.seeds})
    for replicate, (name, arm) in itertools.product(replicates, design.arms.items()):
        if replicate not in arm.sweep.seeds:
            continue
        if arm.common_aspect not in sources:
            sources[arm.common_aspect] = _cropped_dataset(dataset, arm.common_aspect)
        roles = dict.fromkeys(judged_images(images, replicate)["path"], "test") | dict.fromkeys(
            training_images(images, arm, replicate, design.pairs)["path"], "train")
        source = sources[arm.common_aspect]
        own = source.images[source.images["path"].isin(roles)]
        own = own.assign(split=own["path"].map(roles)).reset_index(drop=True)
        chosen = replace(source, images=own, content_hash=content_hash(own))
        [trial] = Sweep(arm.sweep.recipes, (replicate,), score_test=True).trials(chosen.content_hash)
        yield name, trial, chosen


def facts(images: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The classes' differences (PNEUMONIA - NORMAL) in what an arm learns from, averaged over its replicates."""
    return pd.DataFrame({name: pd.DataFrame([
        training_images(images, arm, replicate, design.pairs).groupby("label")[["aspect", "area", "sharpness"]]
        .mean().diff().iloc[-1] for replicate in arm.sweep.seeds]).mean() for name, arm in design.arms.items()}).T
