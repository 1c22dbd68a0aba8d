"""Image files before their pixels are decoded: which are meant as images, and which cannot be a radiograph."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from covidcnn.errors import DataError

SMALLEST_SIDE = 16
"""Pixels. Anything smaller is an icon or a fault, not a radiograph."""
LARGEST_AREA = 100_000_000
"""Pixels. The largest detectors give about 20 million; more is a bomb or a mistake."""
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of colour, whether or not the pixels are grey; a palette ('P') is as often one of greys."""
_FIRST_KINDS = {b"UL", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM", b"DT"}
"""Value representations of the first elements of a DICOM data set."""
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
    """Whether a file is DICOM: marked by the letters DICM after 128 bytes, or a data set without that mark, as some
    archives keep them. Its name does not matter."""
    try:
        # Of a file alone: to open a pipe would be to wait for somebody to write to it.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(1024)
    except (OSError, ValueError):
        return False
    return start[128:132] == b"DICM" or _begins_as_data_set(start)


def _begins_as_data_set(start: bytes) -> bool:
    """Whether bytes begin with an element of group 0008 (or 0002, the file's own header) as implicit or explicit
    little endian, and the next one is of group 0008, too (or 0002), and a later one."""

    def number(place: int) -> int:
        return int.from_bytes(start[place : place + 2], "little")

    following = 8 + (number(6) if start[4:6] in _FIRST_KINDS else number(4) + 2**16 * number(6))
    first, second = (number(0), number(2)), (number(following), number(following + 2))
    return {first[0], second[0]} <= {2, 8} and first < second


def is_image_file(path: Path) -> bool:
    """Whether a file in a folder is meant as an image: by its ending, as DICOM (which often has none), or by its
    content where it has no ending."""
    if path.suffix.lower() in IMAGE_ENDINGS or is_dicom(path):
        return True
    try:
        if path.suffix or not path.is_file():
            return False
        with Image.open(path):
            return True
    # Pillow's readers raise errors of many kinds for what is no image.
    except Exception:
        return False


def require_image_size(width: int, height: int) -> None:
    """Refuse a size that no radiograph has by a DataError without a path, for the caller to put before it."""
    if width * height > LARGEST_AREA:
        raise DataError(f"{width} x {height} pixels are more than the {LARGEST_AREA:,} that are decoded; "
                        "remove it or scale it down")
    if min(width, height) < SMALLEST_SIDE:
        raise DataError(f"{width} x {height} pixels are no image (at least {SMALLEST_SIDE} a side); remove it")
