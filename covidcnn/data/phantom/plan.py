"""Which phantom images there are: class, patient, file name and size of each, without drawing any."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import PurePosixPath

import numpy as np

from covidcnn.data.facts import COUNTS
from covidcnn.data.folders import SPLITS

DEFAULT_COUNTS: Mapping[str, int] = {"train": 560, "val": 16, "test": 224}
"""Images of each split in the embedded data set."""

_SMALLEST_SIDE, _SHORTEST_LONG_SIDE, _LONGEST_LONG_SIDE = 120, 300, 2000
# Patient numbers of each split, in the published blocks; a larger phantom set goes on above them.
_NUMBER_BLOCKS = {
    ("train", "IM"): (range(115, 767),), ("test", "IM"): (range(1, 112),),
    ("train", "NORMAL2-IM"): (range(383, 1424),), ("val", "NORMAL2-IM"): (range(1427, 1443),),
    ("test", "NORMAL2-IM"): (range(7, 382),),
    ("train", "bacteria"): (range(1, 78), range(253, 1946)), ("val", "bacteria"): (range(1946, 1955),),
    ("test", "bacteria"): (range(78, 176),),
    ("train", "virus"): (range(80, 1608),), ("test", "virus"): (range(1, 80), range(1608, 1686)),
}
_NUMBERS_ABOVE = {"train": 20_001, "val": 30_001, "test": 10_001}
# The chance that a patient has one more image: 1.6 images per patient with pneumonia, 1.05 without.
_ANOTHER_IMAGE = {"normal": 0.05, "bacteria": 0.38, "virus": 0.34}
_MOST_IMAGES = 8
# Images of PNEUMONIA are smaller and wider, as in the published set: (median of the area in pixels, spread of its
# logarithm, median of width / height). The planted cue: squeezed to a square, the wider file shows a taller chest.
_SIZES = {"normal": (1.45e6, 0.42, 1.20), "bacteria": (0.60e6, 0.56, 1.45), "virus": (0.60e6, 0.56, 1.45)}
_FRAMED_TIGHTER = 1.3
"""How many times less high the images of healthy children are in test than in train."""


@dataclass(frozen=True)
class ImagePlan:
    """All that decides one image; ``draw_image`` is a pure function of it."""

    split: str
    """'train', 'val' or 'test'."""
    label: str
    """'NORMAL' or 'PNEUMONIA'."""
    subtype: str
    series: str
    number: int
    """As ``facts.ImageName`` has these three."""
    file_name: str
    width: int
    """Pixels."""
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
    """Plan a phantom data set with so many images of each split, class shares as in the published one: in the order
    train, val, test, NORMAL before PNEUMONIA. Those of one split do not depend on the counts of the others.

    Raises:
        ValueError: an unknown split, or a negative count or seed.
    """
    if set(counts) - set(SPLITS) or seed < 0 or min(counts.values(), default=0) < 0:
        raise ValueError(f"need counts of {', '.join(SPLITS)} and a seed, none negative: {dict(counts)}, {seed}")
    return [image for split in SPLITS for image in _plan_split(split, counts.get(split, 0), seed)]


def _plan_split(split: str, number: int, seed: int) -> Iterator[ImagePlan]:
    index = SPLITS.index(split)
    for kind, (subtype, wanted) in enumerate(_subtype_counts(split, number).items()):
        rng = np.random.default_rng([seed, 1, index, kind])
        # As in the published set: its val NORMALs are all of one series.
        normal_series = ("NORMAL2-IM",) if split == "val" else ("IM", "NORMAL2-IM")
        numbers = {series: chain(*_NUMBER_BLOCKS.get((split, series), ()), count(_NUMBERS_ABOVE[split]))
                   for series in (normal_series if subtype == "normal" else (subtype,))}
        running_number, patient, planned = count(1), 0, 0
        while planned < wanted:
            series = str(rng.choice(list(numbers)))
            number = next(numbers[series])
            images = min(int(rng.geometric(1 - _ANOTHER_IMAGE[subtype])), _MOST_IMAGES, wanted - planned)
            area_of_patient = rng.normal()
            for image in range(images):
                width, height = _size(split, subtype, area_of_patient, rng)
                yield ImagePlan(split, "NORMAL" if subtype == "normal" else "PNEUMONIA", subtype, series, number,
                                _file_name(series, number, image, next(running_number)), width, height,
                                patient_seed=(seed, 2, index, kind, patient),
                                image_seed=(seed, 3, index, kind, patient, image))
            patient += 1
            planned += images


def _subtype_counts(split: str, images: int) -> dict[str, int]:
    """Share ``images`` among 'normal', 'bacteria' and 'virus' as the published split does: classes first, then the
    kinds of pneumonia, by largest remainders; of two images or more, each class has one at least."""
    published = {subtype: COUNTS.get((split, subtype), 0) for subtype in ("normal", "bacteria", "virus")}
    pneumonia = published["bacteria"] + published["virus"]
    exact = images * published["normal"] / (published["normal"] + pneumonia)
    # Of two remainders the larger wins; the tie of an odd val split goes to PNEUMONIA.
    normal = math.ceil(exact - 0.5)
    if images >= 2:
        normal = min(max(normal, 1), images - 1)
    bacteria = math.floor((images - normal) * published["bacteria"] / pneumonia + 0.5)
    return {"normal": normal, "bacteria": bacteria, "virus": images - normal - bacteria}


def _file_name(series: str, number: int, image: int, running_number: int) -> str:
    if series in ("bacteria", "virus"):
        return f"person{number}_{series}_{running_number}.jpeg"
    return f"{series}-{number:04}-0001{f'-{image + 1:04}' if image else ''}.jpeg"


def _size(split: str, subtype: str, area_of_patient: float, rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels; images of one patient are alike in area."""
    area, area_spread, aspect = _SIZES[subtype]
    area *= math.exp(area_spread * (0.8 * area_of_patient + 0.6 * rng.normal()))
    aspect *= math.exp(0.03 * rng.normal())
    # Some images are collimated to a strip: rarely, and in both classes.
    if rng.random() < (0.02 if subtype == "normal" else 0.05):
        aspect *= rng.uniform(1.2, 1.6)
    if split == "test" and subtype == "normal":
        area, aspect = area / _FRAMED_TIGHTER, aspect * _FRAMED_TIGHTER
    width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
    scale = min(max(width, height, _SHORTEST_LONG_SIDE), _LONGEST_LONG_SIDE) / max(width, height)
    return round(width * scale), max(round(height * scale), _SMALLEST_SIDE)
