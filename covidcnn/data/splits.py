"""Which images a model learns from, which it is chosen on, and which it is judged by.

A hash of (seed, key) decides, so that adding images moves no other image to the other side.
"""

import hashlib

import numpy as np
import pandas as pd

from covidcnn.errors import DataError
from covidcnn.task import PNEUMONIA, Task

VALIDATION_DESIGNS = ("published", "image", "patient", "block")
"""How validation is made. 'published': the val folder, 16 images of the published set. The others split train: 'image'
at random by image (the wrong way: images of one child stand on both sides), 'patient' by patient key, 'block' by runs
of neighbouring patient numbers, as the published test set was made."""

TRAINING_SPLITS = ("train", "all")
"""Images of a folder without split folders ('all') count as training."""

BLOCK = 50
"""Patient numbers in a block; the published test set's blocks hold 78 to 375."""


def hash_fraction(key: str, seed: int, purpose: str) -> float:
    """A number in [0, 1), uniform over keys and fixed for each (key, seed, purpose). Without the purpose, the first
    images drawn would be just those that go to validation."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign_roles(images: pd.DataFrame, design: str = "patient", fraction: float = 0.15, seed: int = 0,
                 task: Task = PNEUMONIA) -> pd.DataFrame:
    """Add the column ``role``: 'train', 'validation', 'test' or 'unused', as val is unless it is the validation.

    Args:
        images: a catalogue's images.
        design: one of ``VALIDATION_DESIGNS``.
        fraction: share of the training keys that goes to validation, in (0, 1).

    Raises:
        DataError: the design is unknown, or it leaves training or validation without a class.
    """
    if design not in VALIDATION_DESIGNS:
        raise DataError(f"unknown validation design '{design}'; choose one of {', '.join(VALIDATION_DESIGNS)}")
    roles = images["split"].map({"train": "train", "all": "train", "val": "unused", "test": "test"})
    if design == "published":
        roles[images["split"] == "val"] = "validation"
    else:
        candidates = images[roles == "train"]
        roles[candidates.index[_chosen(candidates, design, fraction, seed, task)]] = "validation"
    result = images.assign(role=roles)
    require_all_classes(result, design, task)
    return result


def require_all_classes(images: pd.DataFrame, design: str, task: Task = PNEUMONIA) -> None:
    """Make sure that training and validation have images of every class, by a DataError."""
    found = set(zip(images["role"], images["label"], strict=True))
    for role in ("train", "validation"):
        for label in task.classes:
            if (role, label) not in found:
                raise DataError(f"the validation design '{design}' leaves no {label} image for {role}; give more "
                                "images or choose another design")


def split_key(images: pd.DataFrame, design: str) -> pd.Series:
    """The key that stays on one side: the image, its patient, or its block of patient numbers."""
    if design == "image":
        return images["path"]
    if design == "patient":
        return images["patient"]
    block = images["series"] + "-block-" + (images["number"] // BLOCK).astype(str)
    # Without the published naming there are no numbers, and the patient is all that is known.
    return block.where(images["series"] != "", images["patient"])


def _chosen(images: pd.DataFrame, design: str, fraction: float, seed: int, task: Task) -> np.ndarray:
    """True where an image goes to validation."""
    keys = split_key(images, design)
    positions = keys.map({key: hash_fraction(key, seed, "validation") for key in keys.unique()}).to_numpy(float)
    chosen = positions < fraction
    for label in task.classes:
        own = (images["label"] == label).to_numpy()
        if own.any() and not chosen[own].any():
            # A small set can miss a class by chance: its first key by hash then goes to validation.
            chosen |= positions == positions[own].min()
    return chosen


def draw_by_patient(images: pd.DataFrame, max_images: int | None, seed: int = 0) -> pd.DataFrame:
    """At most ``max_images`` images, whole patients only, with the same class shares. Patients are taken in the order
    of their hash: a larger draw contains a smaller one, but for a patient with too many images to fit."""
    if max_images is None or len(images) <= max_images:
        return images
    return _draw(images, (images["label"].value_counts() * max_images // len(images)).to_dict(), seed)


def draw_shares(images: pd.DataFrame, total: int, first_share: float, seed: int = 0, task: Task = PNEUMONIA
                ) -> pd.DataFrame:
    """``total`` images of two classes, whole patients only, of which ``first_share`` are of the first; a DataError if
    a class has not enough."""
    first = round(total * first_share)
    wanted = dict(zip(task.classes, (first, total - first), strict=True))
    drawn = _draw(images, wanted, seed)
    for label, number in wanted.items():
        found = int((drawn["label"] == label).sum())
        if found < number:
            raise DataError(f"{number} {label} images are wanted for training and {found} can be drawn; take fewer "
                            "images or another share")
    return drawn


def _draw(images: pd.DataFrame, quota: dict[str, int], seed: int) -> pd.DataFrame:
    sizes = pd.crosstab(images["patient"], images["label"])
    left = np.array([quota[label] for label in sizes.columns])
    drawn = []
    for patient, own in sorted(zip(sizes.index, sizes.to_numpy(), strict=True),
                               key=lambda row: hash_fraction(row[0], seed, "draw")):
        if (own <= left).all():
            drawn.append(patient)
            left -= own
    return images[images["patient"].isin(drawn)]
