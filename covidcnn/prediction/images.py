"""Which images a user means, and what they hold."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covidcnn.data.folders import files_under, is_mask, unpack_command
from covidcnn.errors import DataError, few
from covidcnn.imaging.files import ImageHeader, is_image_file
from covidcnn.imaging.reading import read_grey, read_header
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.provenance import cores

BATCH = 64
"""Images in memory at a time."""


@dataclass(frozen=True)
class ImageFile:
    """An image that was read, ready for the model."""

    path: Path
    header: ImageHeader
    image: np.ndarray
    """As the model sees them, uint8 (size, size)."""
    sha256: str
    """Of the file, in hexadecimal."""


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read, or is passed over."""

    path: Path
    problem: str
    """Why, in one line that begins with the path."""

    @property
    def reason(self) -> str:
        """Why, without the path."""
        return self.problem.removeprefix(f"{self.path}: ")


def find_images(paths: Iterable[Path]) -> tuple[list[Path], list[Unreadable]]:
    """The image files that are named, and those in folders that are named, at any depth; each once, in order. And what
    else the folders hold: files that are no images by their ending, and masks by their name.

    Raises:
        DataError: a path does not exist or is neither file nor folder, a folder holds no image, or nothing is named.
    """
    found: dict[Path, None] = {}
    passed_over: dict[Path, Unreadable] = {}
    for path in paths:
        if _is(path, Path.is_dir):
            inside = {file: "no image by its ending, nor marked as DICOM" if not is_image_file(file) else
                      "a mask by its name or its folder's" if is_mask(file.relative_to(path)) else ""
                      for file in files_under(path)}
            if all(inside.values()):
                held = [file.relative_to(path).as_posix() for file in inside]
                raise DataError(f"{path}: no image in this folder (JPEG, PNG, TIFF, DICOM and others, by their ending)"
                                f"{f' but other files: {few(held)}' if held else ''}; give another one")
            found |= dict.fromkeys(file for file, reason in inside.items() if not reason)
            passed_over |= {file: Unreadable(file, f"{file}: {reason}; name the file itself to have it scored")
                            for file, reason in inside.items() if reason}
        elif _is(path, Path.is_file):
            if not is_image_file(path) and (command := unpack_command(path)):
                raise DataError(f"{path}: an archive; unpack it ({command} {path.name}) and give what was in it")
            found[path] = None
        elif _is(path, Path.exists):
            raise DataError(f"{path}: neither a file nor a folder; give image files or folders of them")
        else:
            raise DataError(f"{path}: no such file or folder; check the name")
    if not found:
        raise DataError("no image named; give image files or folders of them, or their list on standard input with -")
    return list(found), [file for path, file in passed_over.items() if path not in found]


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    # Names that are too long for the system, or hold a zero byte.
    except (OSError, ValueError):
        return False


def read_images(paths: list[Path], settings: ImageSettings) -> Iterator[list[ImageFile | Unreadable]]:
    """Read and prepare images for the model, a batch at a time, in their order."""

    def read(path: Path) -> ImageFile | Unreadable:
        try:
            return ImageFile(path, read_header(path), settings.prepare(read_grey(path)),
                             hashlib.sha256(path.read_bytes()).hexdigest())
        except DataError as error:
            return Unreadable(path, str(error))

    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), BATCH):
            yield list(pool.map(read, paths[start : start + BATCH]))
