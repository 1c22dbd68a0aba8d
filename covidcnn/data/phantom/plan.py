"""Which phantom images there are: class, patient, file name and size of each, without drawing any."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from covidcnn.data.facts import COUNTS
from covidcnn.data.layout import SPLITS

DEFAULT_COUNTS: Mapping[str, int] = MappingProxyType({"train": 560, "val": 16, "test": 224})
"""Images of each split in the embedded data set."""

SMALLEST_SIDE = 120
SHORTEST_LONG_SIDE, LONGEST_LONG_SIDE = 300, 2000

# Patient numbers of each split, in the published blocks; a larger phantom set goes on above them.
_NUMBER_BLOCKS = {
    ("train", "IM"): (range(115, 767),),
    ("test", "IM"): (range(1, 112),),
    ("train", "NORMAL2-IM"): (range(383, 1424),),
    ("val", "NORMAL2-IM"): (range(1427, 1443),),
    ("test", "NORMAL2-IM"): (range(7, 382),),
    ("train", "bacteria"): (range(1, 78), range(253, 1946)),
    ("val", "bacteria"): (range(1946, 1955),),
    ("test", "bacteria"): (range(78, 176),),
    ("train", "virus"): (range(80, 1608),),
    ("test", "virus"): (range(1, 80), range(1608, 1686)),
}
_NUMBERS_ABOVE = {"train": 20_001, "val": 30_001, "test": 10_001}
# The chance that a patient has one more image: 1.6 images per patient with pneumonia, 1.05 without.
_ANOTHER_IMAGE = {"normal": 0.05, "bacteria": 0.38, "virus": 0.34}
_MOST_IMAGES = 8
# Images of PNEUMONIA are smaller and wider, as in the published set: (median of the area in pixels,
# spread of its logarithm, median of width / height, spread of its logarithm). The wider file is the planted cue:
# squeezed to a square, it shows a taller chest.
_SIZES = {
    "normal": (1.45e6, 0.42, 1.20, 0.03),
    "bacteria": (0.60e6, 0.56, 1.45, 0.03),
    "virus": (0.60e6, 0.56, 1.45, 0.03),
}
_FRAMED_TIGHTER = 1.3
"""How many times less high the images of healthy children are in test than in train: framed on another day."""


@dataclass(frozen=True)
class ImagePlan:
    """All that decides one image; ``draw_image`` is a pure function of it."""

    split: str
    """'train', 'val' or 'test'."""
    label: str
    """'NORMAL' or 'PNEUMONIA'."""
    subtype: str
    """'normal', 'bacteria' or 'virus'."""
    series: str
    """'IM', 'NORMAL2-IM', 'bacteria' or 'virus': patients are numbered within a series."""
    number: int
    """The patient's number."""
    file_name: str
    width: int
    """Pixels, after collimation and before any resizing."""
    height: int
    patient_seed: tuple[int, ...]
    """Seed of the anatomy and of the disease: the same in all images of one patient."""
    image_seed: tuple[int, ...]
    """Seed of positioning, exposure and noise: of this image alone."""

    @property
    def path(self) -> PurePosixPath:
        """Where the image lies within the data set: split, label, file name."""
        return PurePosixPath(self.split, self.label, self.file_name)


def share_counts(images: int) -> dict[str, int]:
    """Share ``images`` among train, val and test as ``DEFAULT_COUNTS`` does; val and test have two at least."""
    whole = sum(DEFAULT_COUNTS.values())
    val, test = (max(2, round(images * DEFAULT_COUNTS[split] / whole)) for split in ("val", "test"))
    return {"train": images - val - test, "val": val, "test": test}


def plan_images(counts: Mapping[str, int] = DEFAULT_COUNTS, seed: int = 0) -> list[ImagePlan]:
    """Plan a phantom data set.

    Args:
        counts: images of each of the splits 'train', 'val' and 'test'; a split may be missing.
        seed: of the whole data set, 0 or more.

    Returns:
        The images in the order train, val, test; NORMAL before PNEUMONIA. The images of one split do not
        depend on the counts of the others. Class shares are those of the published split.

    Raises:
        ValueError: an unknown split, or a negative count or seed.
    """
    unknown = sorted(set(counts) - set(SPLITS))
    if unknown or seed < 0 or min(counts.values(), default=0) < 0:
        raise ValueError(f"need counts of {', '.join(SPLITS)} and a seed, none negative: "
                         f"{dict(counts)}, {seed}")
    return [image for split in SPLITS for image in _plan_split(split, counts.get(split, 0), seed)]


def _plan_split(split: str, number: int, seed: int) -> Iterator[ImagePlan]:
    index = SPLITS.index(split)
    for kind, (subtype, wanted) in enumerate(subtype_counts(split, number).items()):
        rng = np.random.default_rng([seed, 1, index, kind])
        numbers = {series: _patient_numbers(split, series) for series in _series(split, subtype)}
        running_number, patient, planned = count(1), 0, 0
        while planned < wanted:
            series = str(rng.choice(list(numbers)))
            number = next(numbers[series])
            images = min(_images_of_patient(subtype, rng), wanted - planned)
            area_of_patient = rng.normal()
            for image in range(images):
                width, height = _size(split, subtype, area_of_patient, rng)
                yield ImagePlan(
                    split=split,
                    label="NORMAL" if subtype == "normal" else "PNEUMONIA",
                    subtype=subtype,
                    series=series,
                    number=number,
                    file_name=_file_name(series, number, image, next(running_number)),
                    width=width,
                    height=height,
                    patient_seed=(seed, 2, index, kind, patient),
                    image_seed=(seed, 3, index, kind, patient, image),
                )
            patient += 1
            planned += images


def subtype_counts(split: str, images: int) -> dict[str, int]:
    """Share ``images`` among 'normal', 'bacteria' and 'virus' as the published split does.

    Classes first, then the kinds of pneumonia, by largest remainders; of two images or more, each
    class has one at least.
    """
    published = {subtype: COUNTS.get((split, subtype), 0) for subtype in ("normal", "bacteria", "virus")}
    pneumonia = published["bacteria"] + published["virus"]
    exact = images * published["normal"] / (published["normal"] + pneumonia)
    # Of two remainders the larger wins; the tie of an odd val split goes to PNEUMONIA.
    normal = math.ceil(exact - 0.5)
    if images >= 2:
        normal = min(max(normal, 1), images - 1)
    bacteria = math.floor((images - normal) * published["bacteria"] / pneumonia + 0.5)
    return {"normal": normal, "bacteria": bacteria, "virus": images - normal - bacteria}


def _series(split: str, subtype: str) -> tuple[str, ...]:
    if subtype != "normal":
        return (subtype,)
    # As in the published set: its val NORMALs are all of one series.
    return ("NORMAL2-IM",) if split == "val" else ("IM", "NORMAL2-IM")


def _patient_numbers(split: str, series: str) -> Iterator[int]:
    return chain(*_NUMBER_BLOCKS.get((split, series), ()), count(_NUMBERS_ABOVE[split]))


def _images_of_patient(subtype: str, rng: np.random.Generator) -> int:
    return min(int(rng.geometric(1 - _ANOTHER_IMAGE[subtype])), _MOST_IMAGES)


def _file_name(series: str, number: int, image: int, running_number: int) -> str:
    if series in ("bacteria", "virus"):
        return f"person{number}_{series}_{running_number}.jpeg"
    return f"{series}-{number:04}-0001{f'-{image + 1:04}' if image else ''}.jpeg"


def _size(split: str, subtype: str, area_of_patient: float, rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels; images of one patient are alike in area."""
    area, area_spread, aspect, aspect_spread = _SIZES[subtype]
    area *= math.exp(area_spread * (0.8 * area_of_patient + 0.6 * rng.normal()))
    aspect *= math.exp(aspect_spread * rng.normal())
    # Some images are collimated to a strip: rarely, and in both classes.
    if rng.random() < (0.02 if subtype == "normal" else 0.05):
        aspect *= rng.uniform(1.2, 1.6)
    if split == "test" and subtype == "normal":
        area, aspect = area / _FRAMED_TIGHTER, aspect * _FRAMED_TIGHTER
    width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
    long_side = min(max(width, height, SHORTEST_LONG_SIDE), LONGEST_LONG_SIDE)
    scale = long_side / max(width, height)
    return round(width * scale), max(round(height * scale), SMALLEST_SIDE)
