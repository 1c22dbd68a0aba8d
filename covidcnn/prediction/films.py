"""Which films a user means, and what they hold."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covidcnn.data.catalogue import files_under
from covidcnn.errors import DataError
from covidcnn.imaging.files import ImageHeader, is_image_file
from covidcnn.imaging.reading import read_grey, read_header
from covidcnn.imaging.transforms import ImageSettings

BATCH = 64
"""Films in memory at a time."""


@dataclass(frozen=True)
class Film:
    """A film that was read, ready for the model."""

    path: Path
    header: ImageHeader
    image: np.ndarray
    """uint8 (size, size)."""


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be read, and why, in one line that begins with its path."""

    path: Path
    problem: str


def find_films(paths: Iterable[Path]) -> list[Path]:
    """The image files that are named, and those in folders that are named, at any depth; each once, in order.

    Raises:
        DataError: a path does not exist or is neither file nor folder, a folder holds no image, or nothing is named.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if _is(path, Path.is_dir):
            inside = [file for file in files_under(path) if is_image_file(file)]
            if not inside:
                raise DataError(f"{path}: no image in this folder (JPEG, PNG, TIFF, DICOM and others, by their "
                                "ending); give another one")
            found |= dict.fromkeys(inside)
        elif _is(path, Path.is_file):
            found[path] = None
        elif _is(path, Path.exists):
            raise DataError(f"{path}: neither a file nor a folder; give image files or folders of them")
        else:
            raise DataError(f"{path}: no such file or folder; check the name")
    if not found:
        raise DataError("no film named; give image files or folders of them, or their list on standard input with -")
    return list(found)


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    # Names that are too long for the system, or hold a zero byte.
    except (OSError, ValueError):
        return False


def read_films(paths: list[Path], settings: ImageSettings) -> Iterator[list[Film | Unreadable]]:
    """Read and prepare films as the model wants them, a batch at a time, in their order."""

    def read(path: Path) -> Film | Unreadable:
        try:
            return Film(path, read_header(path), settings.prepare(read_grey(path)))
        except DataError as error:
            return Unreadable(path, str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), BATCH):
            yield list(pool.map(read, paths[start : start + BATCH]))
