"""Decoded and resized images, kept on disk as one uint8 array, keyed by content and preprocessing."""

import hashlib
import mmap
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.errors import DataError
from covidcnn.imaging.reading import Progress, in_threads, read_grey
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.paths import cache_folder, locked, replacing, require_space

# Raised by hand when the reading or preparing of images changes a pixel.
_CACHE_VERSION = 5


def load_images(root: Path, images: pd.DataFrame, settings: ImageSettings, progress: Progress | None = None
                ) -> np.ndarray:
    """The images as the model sees them, decoded at the first call and mapped from disk ever after.

    The key is made of the content hashes, so that a renamed folder reuses the array and a changed image does not.

    Args:
        root: the folder that the images' paths are relative to.
        images: rows of a catalogue.

    Returns:
        Their pixels, in the order of ``images``: a read-only memory map, uint8 (n, size, size).

    Raises:
        DataError: an image can no longer be read, or is another than the one that was indexed.
        UserError: the cache folder cannot be written or its disk is full.
    """
    key = hashlib.sha256(f"{_CACHE_VERSION} {sorted(asdict(settings).items())}\n".encode())
    key.update("\n".join(images["sha256"]).encode())
    path = cache_folder() / "images" / f"{key.hexdigest()}.npy"
    shape = (len(images), settings.size, settings.size)
    if (pixels := _read(path, shape)) is not None:
        return pixels
    require_space(path.parent, int(np.prod(shape)))
    # Of several trainings that begin together one decodes.
    with locked(path):
        if _read(path, shape) is None:
            _decode(path, shape, root, images, settings, progress)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _read(path: Path, shape: tuple[int, int, int]) -> np.ndarray | None:
    # A damaged file is as good as none.
    with suppress(OSError, ValueError, EOFError):
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        if pixels.shape == shape:
            return pixels
    return None


def _decode(path: Path, shape: tuple[int, int, int], root: Path, images: pd.DataFrame, settings: ImageSettings,
            progress: Progress | None) -> None:
    # Written in order rather than through a map: a full disk is then an error and not a crash.
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        named = list(zip(images["path"], images["sha256"], strict=True))
        for image in in_threads(lambda one: settings.prepare(_read_indexed(root / one[0], one[1])), named, progress):
            file.write(image.data)


def _read_indexed(path: Path, sha256: str) -> np.ndarray:
    """``read_grey`` of an image that is still the one that was indexed."""
    pixels = read_grey(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise DataError(f"{path}: not the image that was indexed; it has changed since, or this is another machine's "
                        "copy; begin again, or copy the image anew")
    return pixels


def release_pages(images: np.ndarray) -> None:
    """Let go of what was read of a memory map, which the process would otherwise hold in its resident memory; the
    system keeps it cached."""
    # What was changed in a private map would be lost.
    mapped = getattr(images, "_mmap", None) if getattr(images, "mode", "") == "r" else None
    # Not on Windows, which takes pages back by itself.
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
