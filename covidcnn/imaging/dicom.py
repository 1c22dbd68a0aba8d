"""DICOM files read as films: what a viewer would show of the first frame, as greyscale of 8 bits.

A header names a patient. So only the attributes of ``_ATTRIBUTES`` are read at all, what pydicom has to say of the
rest (its warnings and log lines quote values) is silenced, and no message here repeats a header's text.
"""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import libjpeg
import numpy as np
import openjpeg
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from covidcnn.errors import DataError
from covidcnn.imaging.files import ImageHeader, require_film_size

LARGEST_FILE = 1_000_000_000
"""Bytes. A film of 100 million pixels and 16 bits has 200 million; a larger file is a recording of many frames."""

_ATTRIBUTES = [
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData",
]
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}

_Result = TypeVar("_Result")
_lock = threading.Lock()
_logs = [logging.getLogger(name) for name in ("pydicom", "pylibjpeg", "libjpeg", "openjpeg")]


def read_dicom_header(path: Path) -> ImageHeader:
    """Size, mode and number of frames; the mode is 'L', 'I;16' or 'RGB', as Pillow would call it.

    Raises:
        DataError: see :func:`read_dicom`; the pixels are not looked at.
    """
    return _without_quoting(path, lambda: _checked(_open(path, pixels=False)))


def read_dicom(path: Path) -> np.ndarray:
    """The first frame as a viewer shows it: modality LUT or rescale, then VOI LUT or window, of several the first.

    Where the file states neither, 8 unsigned bits are taken as they are, and more bits from the darkest to the
    brightest value, as viewers do. MONOCHROME1 (0 is white) is inverted; colour is weighted as ITU-R 601.
    Pixels that the file marks as padding are black and have no say in what is darkest or brightest.

    Returns:
        uint8 array (height, width), 0 black to 255 white.

    Raises:
        DataError: damaged or cut short, no image, of a kind that is no film, or smaller or larger than one.
    """
    return _without_quoting(path, lambda: _decode(path))


@contextmanager
def _quiet() -> Iterator[None]:
    # Both are switches of the whole process; without the lock, threads would restore each other's state.
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = [log.level for log in _logs]
        for log in _logs:
            # The loggers of their modules have no level of their own, and take this one.
            log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for log, level in zip(_logs, levels, strict=True):
                log.setLevel(level)


def _without_quoting(path: Path, read: Callable[[], _Result]) -> _Result:
    """What ``read`` gives; whatever it raises becomes one line that holds nothing of the file's text."""
    try:
        with _quiet():
            return read()
    except DataError as error:
        problem = str(error)
    # Damaged headers raise errors of every kind, and many quote what they stumbled on.
    except Exception:
        problem = "damaged or cut short, or no DICOM image; copy it again or remove it"
    # Raised out here, so that not even the chain of causes in a traceback quotes the file.
    raise DataError(f"{path}: {problem}")


def _open(path: Path, pixels: bool) -> Dataset:
    if path.stat().st_size > LARGEST_FILE:
        raise DataError(f"more than {LARGEST_FILE:,} bytes are no film; save its first frame in a file of its own")
    # pydicom would inflate such a file in one go, whatever its size is then.
    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise DataError("deflated DICOM is not read; save it as Explicit VR Little Endian")
    image = dcmread(path, stop_before_pixels=not pixels, specific_tags=_ATTRIBUTES)
    if "VOILUTFunction" in image and not image.VOILUTFunction:
        # Empty it says as little as if it were not there, but pydicom takes it for a function of another name.
        del image.VOILUTFunction
    return image


def _checked(image: Dataset) -> ImageHeader:
    """The header of what can be a film.

    Raises:
        DataError: without the path, which the caller puts before it.
    """
    if "Rows" not in image or "Columns" not in image or "BitsAllocated" not in image:
        raise DataError("holds no image (a report, a plan or a folder's index, or cut short); remove it")
    width, height = int(image.Columns), int(image.Rows)
    require_film_size(width, height)
    kind, samples, bits = image.PhotometricInterpretation, int(image.SamplesPerPixel), int(image.BitsAllocated)
    if not ((kind in _GREY and samples == 1) or (kind in _COLOUR and samples == 3)):
        raise DataError("neither greyscale nor RGB or YBR colour, so its grey levels are not known; export it as "
                        "greyscale")
    if bits not in (8, 16) or (kind in _COLOUR and bits != 8):
        raise DataError("a film has 8 or 16 bits a pixel, in colour 8 a sample; export it so")
    mode = "RGB" if kind in _COLOUR else "L" if bits == 8 else "I;16"
    return ImageHeader(width, height, mode, int(image.get("NumberOfFrames") or 1))


def _decode(path: Path) -> np.ndarray:
    image = _open(path, pixels=True)
    header = _checked(image)
    if "PixelData" not in image:
        raise DataError("holds no image, only its description; remove it")
    _require_same_size(image, header)
    pixels = pixel_array(image, index=0)
    if header.mode == "RGB":
        return np.array(Image.fromarray(pixels).convert("L"))
    # The transforms are worked out once for each grey level instead of once for each pixel.
    levels = np.arange(int(pixels.min()), int(pixels.max()) + 1, dtype=np.int32)
    places = pixels.astype(np.int32) - levels[0]
    in_film = np.zeros(len(levels), bool)
    in_film[places] = True
    in_film &= ~_padding(levels, image)
    table = np.zeros(len(levels), np.uint8)
    if in_film.any():
        table[in_film] = _shown(levels[in_film], image)
    return table[places]


def _require_same_size(image: Dataset, header: ImageHeader) -> None:
    """A compressed image states its size again, and decoders believe that: a place for a decompression bomb."""
    syntax = image.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax == RLELossless:
        return
    frame = get_frame(image.PixelData, 0, number_of_frames=header.frames)
    inside: Mapping[str, object]
    if "JPEG 2000" in syntax.name:
        inside = openjpeg.get_parameters(frame)
        samples = inside["samples_per_pixel"]
    else:
        inside = libjpeg.get_parameters(frame)
        samples = inside["nr_components"]
    if (inside["columns"], inside["rows"], samples) != (header.width, header.height, int(image.SamplesPerPixel)):
        raise DataError("its header and its compressed image disagree on the size; copy it again or remove it")


def _padding(levels: np.ndarray, image: Dataset) -> np.ndarray:
    """Which stored levels only fill the frame around the film: int32 (n,) to bool (n,)."""
    value, limit = image.get("PixelPaddingValue"), image.get("PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(len(levels), bool)
    # Some files state a signed level by the unsigned number of the same 16 bits.
    stored = np.array([value, value if limit is None else limit]).astype(np.int16 if image.PixelRepresentation
                                                                          else np.uint16)
    return (levels >= stored.min()) & (levels <= stored.max())


def _shown(levels: np.ndarray, image: Dataset) -> np.ndarray:
    """The grey of each stored level: int32 (n,), ascending, to uint8 (n,)."""
    values = apply_modality_lut(levels, image)
    stored = int(image.BitsStored)
    if image.get("VOILUTSequence"):
        descriptor = image.VOILUTSequence[0].LUTDescriptor
        black, white = 0, 2 ** int(descriptor[2]) - 1
        if descriptor[2] == 8:
            # pydicom 3.0 would keep the places of the table in the type of its entries, and 256 entries are too few.
            descriptor[2] = 16
        values = apply_voi_lut(values, image)
    elif _has_window(image):
        # What lies far below and far above the window is shown as black and white.
        black, white = apply_windowing(np.array([-1e30, 1e30]), image)
        values = apply_windowing(values, image)
    elif stored <= 8 and image.PixelRepresentation == 0 and np.array_equal(values, levels):
        black, white = 0, 2**stored - 1
    else:
        black, white = values.min(), values.max()
    if white == black:
        return np.zeros(len(levels), np.uint8)
    shown = np.nan_to_num((values - np.float64(black)) / (np.float64(white) - black)).clip(0, 1)
    return np.rint(255 * (1 - shown if image.PhotometricInterpretation == "MONOCHROME1" else shown)).astype(np.uint8)


def _has_window(image: Dataset) -> bool:
    """Whether there is a usable window: some machines write an empty one, or one of width 0."""
    try:
        center, width = (np.atleast_1d(image[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
        linear = image.get("VOILUTFunction", "LINEAR") == "LINEAR"
        return bool(np.isfinite(float(center)) and float(width) > 0 and (float(width) >= 1 or not linear))
    except (KeyError, TypeError, ValueError, IndexError):
        return False
