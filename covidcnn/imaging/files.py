"""Image files before their pixels are decoded: which are meant as films, and which cannot be one."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from covidcnn.errors import DataError

SMALLEST_SIDE = 16
"""Pixels. Anything smaller is an icon or a fault, not a film."""
LARGEST_AREA = 100_000_000
"""Pixels. The largest detectors give about 20 million; more is a decompression bomb or a mistake."""
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of colour, whether or not the pixels are grey; a palette ('P') is as often one of greys."""
IMAGE_ENDINGS = {".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".dcm", ".dicom"} | (
    {".jfif", ".jpe", ".jp2", ".j2k", ".avif", ".heic"} & Image.registered_extensions().keys())


@dataclass(frozen=True)
class ImageHeader:
    """What can be said of an image before its pixels are decoded."""

    width: int
    height: int
    mode: str
    """Pillow's mode, for example 'L', 'RGB', 'I;16', 'RGBA' or 'CMYK'."""
    frames: int


def is_dicom(path: Path) -> bool:
    """Whether a file is marked as DICOM: the letters DICM after 128 bytes. Its name does not matter."""
    try:
        # Of a file alone: to open a pipe would be to wait for somebody to write to it.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def is_image_file(path: Path) -> bool:
    """Whether a file in a folder is meant as an image: by its ending, or marked as DICOM (which often has none)."""
    return path.suffix.lower() in IMAGE_ENDINGS or is_dicom(path)


def require_film_size(width: int, height: int) -> None:
    """Refuse what cannot be a film, before a pixel is decoded.

    Raises:
        DataError: without a path, for the caller to put before it.
    """
    if width * height > LARGEST_AREA:
        raise DataError(f"{width} x {height} pixels are more than the {LARGEST_AREA:,} that are decoded; "
                        "remove it or scale it down")
    if min(width, height) < SMALLEST_SIDE:
        raise DataError(f"{width} x {height} pixels are no film (at least {SMALLEST_SIDE} a side); remove it")
