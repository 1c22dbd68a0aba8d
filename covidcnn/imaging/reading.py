"""Reading image files as greyscale, one or many."""

import ctypes
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps

from covidcnn.errors import DataError
from covidcnn.imaging.files import ImageHeader, is_dicom, require_image_size

# Pillow warns of bombs, where LARGEST_AREA refuses, and of odd metadata, which may hold a name.
warnings.filterwarnings("ignore", module=r"PIL\.")

# libtiff would write lines of its own about a damaged file to stderr. Where Pillow is built otherwise, it may.
with suppress(OSError, AttributeError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)

DEPTHS = (255, 1023, 4095, 16383, 65535)
"""The largest grey levels of 8, 10, 12, 14 and 16 bits."""
Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


def open_image(path: Path) -> Image.Image:
    """Open an image file; before a pixel is decoded, refuse what is no image, or no radiograph by its size."""
    try:
        if path.stat().st_size == 0:
            raise DataError("the file is empty; copy it again or remove it")
        image = Image.open(path)
        # Without it, Pillow 13 does not map an uncompressed TIFF into memory by the sides that it has after a turn.
        image.filename = ""
        try:
            require_image_size(*image.size)
        except DataError:
            image.close()
            raise
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too many pixels for an image; remove it or scale it down") from error
    # Pillow's readers raise errors of many kinds for damaged headers; all mean the same to the user.
    except Exception as error:
        raise DataError(f"{path}: not a readable image; copy it again or remove it") from error
    return image


def read_header(path: Path) -> ImageHeader:
    """Size (after the turn that the file asks for), mode and number of frames of an image file; a DataError if it is
    no image, empty, smaller than 16 px a side, or beyond 100 million pixels."""
    if is_dicom(path):
        # Imported here: few folders hold DICOM, and pydicom takes its time.
        from covidcnn.imaging.dicom import read_dicom_header

        return read_dicom_header(path)
    with open_image(path) as image:
        try:
            width, height = image.size
            # Pillow states the size of a TIFF as it will be.
            if image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):
                width, height = height, width
            return ImageHeader(width, height, image.mode, getattr(image, "n_frames", 1))
        except Exception as error:
            raise damaged(path, error) from error


def read_grey(path: Path) -> np.ndarray:
    """Read an image file of any usual kind as greyscale: uint8 (height, width), 0 black to 255 white.

    Colour is weighted as ITU-R 601, transparency is laid on black, and of several frames the first is read. A stored
    orientation is applied, and a TIFF where 0 is white is inverted. DICOM is read as a viewer shows it (see
    :mod:`covidcnn.imaging.dicom`).

    An image of 16 or 32 bits, or of floats, is scaled by the depth that its largest value needs, because detectors of
    10 to 14 bits write 16-bit files. The depths are those of ``DEPTHS``, of floats also 0 to 1; if the value is beyond
    all of them, it is itself the scale. What is no finite number counts as 0.

    Raises:
        DataError: the file cannot be decoded to the end, is no image (see :func:`read_header`), or holds values below
            0, for example Hounsfield units, of which nobody knows which are black and white.
    """
    if is_dicom(path):
        from covidcnn.imaging.dicom import read_dicom

        return read_dicom(path)
    with open_image(path) as image:
        try:
            # A colour JPEG stores the grey weighted as ITU-R 601 beside the colours, which need not be decoded.
            image.draft("L", image.size)
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I") or image.mode == "F":
                # Pillow inverts where 0 is white, but only up to 8 bits.
                white_is_zero = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0
                return _to_eight_bits(np.asarray(image), white_is_zero)
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                black = Image.new("RGBA", image.size, (0, 0, 0, 255))
                return np.array(Image.alpha_composite(black, image.convert("RGBA")).convert("L"))
            return np.array(image if image.mode == "L" else image.convert("L"))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except Exception as error:
            raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """What to raise when an image cannot be decoded to its end, for which Pillow raises errors of many kinds."""
    return DataError(f"{path}: damaged or cut short ({error}); copy it again or remove it".replace("\n", " "))


def _to_eight_bits(values: np.ndarray, white_is_zero: bool = False) -> np.ndarray:
    """Scale grey levels of 8 to 16 bits, or floats of those ranges or of 0 to 1, to uint8."""
    scales = (1, *DEPTHS) if values.dtype.kind == "f" else DEPTHS
    values = np.where(np.isfinite(values), values, 0).astype(np.float32)
    # What rounds to 0 may have overshot in a resizing.
    if np.rint(values.min(initial=0) * (255 / _full_scale(values, scales))) < 0:
        raise DataError("holds values below 0 (Hounsfield units?), so black and white are not known; save it as 8-bit "
                        "greyscale or as DICOM")
    values = values.clip(0)
    if white_is_zero:
        # Before the scaling: of an image of 12 bits the mirror image in 16 bits has values near 65,535.
        values = _full_scale(values, scales) - values
    return np.rint(values * (255 / _full_scale(values, scales))).astype(np.uint8)


def _full_scale(values: np.ndarray, scales: tuple[int, ...]) -> float:
    largest = float(values.max(initial=0))
    return next((scale for scale in scales if largest <= scale), largest)


def in_threads(function: Callable[[Item], Result], items: Collection[Item], progress: Progress | None = None
               ) -> Iterator[Result]:
    """``function`` of each item on all cores, in their order, as they are ready, so that memory does not grow.

    Items are handed out sixteen at a time: one by one, handing small images from thread to thread takes as long as
    decoding them.
    """
    # Here and not above: images one by one need no threads.
    from joblib import Parallel, delayed

    results = Parallel(-1, prefer="threads", batch_size=16, return_as="generator")(
        delayed(function)(item) for item in items)
    for done, result in enumerate(results, start=1):
        yield result
        if progress:
            progress(done, len(items))
