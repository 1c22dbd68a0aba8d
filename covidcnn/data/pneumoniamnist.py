"""PneumoniaMNIST: its facts, its file, and the folder of images that is made of it.

The facts are those of the package medmnist 3.0.2, ``INFO["pneumoniamnist"]``. It is no dependency: it brings PyTorch
(3 GB) for a file that NumPy reads, and makes a folder in the user's home when it is imported. A test compares the facts
where the package is installed.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from covidcnn.data.facts import LICENCE, SOURCE
from covidcnn.errors import DataError
from covidcnn.task import PNEUMONIA

PAGE = "https://zenodo.org/records/10519652"
COUNTS = {"train": (1214, 3494), "val": (135, 389), "test": (234, 390)}
"""Images of NORMAL and of PNEUMONIA in each official split: 4,708, 524 and 624."""
MD5 = {28: "28209eda62fecd6e6a2d98b1501bb15f", 64: "8f4eceb4ccffa70c672198ea285246c6",
       128: "05b46931834c231683c68f40c47b2971", 224: "d6a3c71de1b945ea11211b03746c1fe1"}
"""Of the official file, by the images' side in pixels."""
CITATION = (
    "Yang J, Shi R, Wei D, Liu Z, Zhao L, Ke B, Pfister H, Ni B (2023): MedMNIST v2 - A large-scale lightweight "
    "benchmark for 2D and 3D biomedical image classification. Scientific Data 10, 41. doi 10.1038/s41597-022-01721-8")
MARKER = "PNEUMONIAMNIST.json"
"""The file by which a reader knows that a folder holds these images."""

_BMP_HEADER, _ARRAY_HEADER = 1078, 1024
"""Bytes: of an 8-bit BMP with its palette, and at most of an array in the file."""


@dataclass(frozen=True)
class Origin:
    """What the marker says."""

    size: int
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    """Of the file that the images are from."""
    images: str
    """SHA-256 over the images' paths and contents."""

    @property
    def warnings(self) -> list[str]:
        """Where the file is not the official one."""
        return [] if MD5.get(self.size) == self.md5 else [
            "PneumoniaMNIST from a file that is not the official one: results do not compare with its published table "
            "to the last image"]

    @property
    def sentence(self) -> str:
        """What the images are."""
        file = f"a file that is not the official one (MD5 {self.md5})" if self.warnings else "the official file"
        counts = ", ".join(f"{sum(counts):,} {split}" for split, counts in COUNTS.items())
        return (f"This is PneumoniaMNIST of MedMNIST v2 at {self.size} px, from {file}, with its official split "
                f"({counts}; the test images are the published test set's). Derived from {SOURCE}; licence {LICENCE}. "
                "Its patients are not published: each image counts as a patient of its own, and images of one child "
                "may stand in both train and val.")


def file_name(size: int) -> str:
    """The official file of a size."""
    return "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"


def folder_bytes(size: int) -> int:
    """What the folder of a size takes on the disk, in bytes."""
    return sum(map(sum, COUNTS.values())) * (_BMP_HEADER + size**2)


def write_folder(file: Path, size: int, md5: str, folder: Path) -> None:
    """Write the images of a PneumoniaMNIST file into the empty ``folder``, in the published layout.

    An image is named by its split and its place in the file, so that the official order stays. Images are BMP, whose
    bytes depend on no version of a compressor, so that the content hash, and with it the key of every trial, is the
    same everywhere. ``md5`` is the file's; a marker with it is written beside the images.

    Raises:
        DataError: the file is not PneumoniaMNIST of this size.
        OSError: ``folder`` cannot be written.
    """
    contents = {}
    for split, counts in COUNTS.items():
        images = _read_array(file, f"{split}_images", (sum(counts), size, size))
        labels = _read_array(file, f"{split}_labels", (sum(counts), 1))[:, 0]
        if labels.max() > 1:
            raise DataError(f"{file}: a label {labels.max()} in {split}, beyond 0 and 1; this is not PneumoniaMNIST")
        if np.bincount(labels, minlength=2).tolist() != list(counts):
            raise DataError(f"{file}: not {counts[0]:,} NORMAL and {counts[1]:,} PNEUMONIA in {split}; this is not "
                            "PneumoniaMNIST, download it again")
        for label in PNEUMONIA.classes:
            (folder / split / label).mkdir(parents=True)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = f"{split}/{PNEUMONIA.classes[label]}/{split}-{number:05d}.bmp"
            content = cv2.imencode(".bmp", image)[1].tobytes()
            (folder / path).write_bytes(content)
            contents[path] = hashlib.sha256(content).hexdigest()
    origin = Origin(size, md5, _digest(contents))
    (folder / MARKER).write_text(json.dumps(asdict(origin), indent=2) + "\n", encoding="utf-8")


def origin_of(root: Path, images: pd.DataFrame) -> Origin | None:
    """What a folder, with these images, says of the PneumoniaMNIST file that it was written from; None if nothing.

    Raises:
        DataError: the marker is damaged, or the images are no longer those that it was written for.
    """
    marker = root / MARKER
    if not marker.is_file():
        return None
    try:
        origin = Origin(**json.loads(marker.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{marker}: damaged; fetch the data set again into another folder") from error
    if _digest(dict(zip(images["path"], images["sha256"], strict=True))) != origin.images:
        raise DataError(f"{marker}: the images are not those that it was written for; fetch them again into another "
                        "folder, or remove this file to use the folder as images of your own")
    return origin


def _digest(contents: dict[str, str]) -> str:
    lines = sorted(f"{path}\t{sha256}" for path, sha256 in contents.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_array(file: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array of a file that is not trusted."""
    expected = f"{name} is not uint8 {shape}"
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(f"{name}.npy").file_size > np.prod(shape) + _ARRAY_HEADER:
                raise DataError(expected)
        with np.load(file, allow_pickle=False) as arrays:
            values = arrays[name]
        if values.shape != shape or values.dtype != np.uint8:
            raise DataError(expected)
    except DataError as error:
        raise DataError(f"{file}: {error}; give the PneumoniaMNIST file of this --size") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); give the downloaded file") from error
    # zipfile and NumPy raise errors of many kinds for a damaged file; all mean the same to the user.
    except Exception as error:
        raise DataError(f"{file}: damaged, or no PneumoniaMNIST file ({name}); download it again") from error
    return values
