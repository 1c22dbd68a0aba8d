"""DICOM files read as images: what a viewer would show of the first frame, as greyscale of 8 bits.

A header names a patient. So only the attributes of ``_ATTRIBUTES`` are read at all, of functional groups only those of
``_BY_FRAME`` are kept, what pydicom has to say of the rest (its warnings and log lines quote values) is silenced, and
no message here repeats a header's text.
"""

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import libjpeg
import numpy as np
import openjpeg
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels import get_decoder, pixel_array

from covidcnn.errors import DataError
from covidcnn.imaging.dicom_levels import padding, shown
from covidcnn.imaging.files import ImageHeader, require_image_size

LARGEST_FILE = 1_000_000_000
"""Bytes. An image of 100 million pixels and 16 bits has 200 million; a larger file is a recording of many frames."""

_ATTRIBUTES = [
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PresentationLUTShape", "LossyImageCompression", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "PixelData",
]
_GROUPS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
_BY_FRAME = {
    "PixelValueTransformationSequence": ["ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"],
    "FrameVOILUTSequence": ["VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"],
}
_SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1,
            **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3)}
"""Samples a pixel, by photometric interpretation."""
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

_Result = TypeVar("_Result")
_lock = threading.Lock()
_logs = [logging.getLogger(name) for name in ("pydicom", "pylibjpeg", "libjpeg", "openjpeg")]


def read_dicom_header(path: Path) -> ImageHeader:
    """Size, mode ('L', 'I;16' or 'RGB') and number of frames; raises as :func:`read_dicom`, but for the pixels."""
    return _without_quoting(path, lambda: _checked(_open(path, pixels=False)))


def read_dicom(path: Path) -> np.ndarray:
    """The first frame as a viewer shows it: uint8 (height, width), 0 black to 255 white.

    Modality LUT or rescale, then VOI LUT or window, of several the first; what an enhanced object states of its first
    frame, or of all, goes before what it states of the image. White is the largest entry of a VOI LUT, as in viewers:
    some machines give the bits of its storage as its depth. Where the file states neither LUT nor window, 8 unsigned
    bits are taken as they are, and more bits from the darkest to the brightest value. MONOCHROME1 (0 is white) and a
    Presentation LUT Shape of INVERSE are inverted, both together once; colour is weighted as ITU-R 601.
    Pixels that the file marks as padding are black and have no say in what is darkest or brightest. After lossy
    compression, levels within 64 of the padding are taken for it where the next 64 are free of any.
    Bits around the stored ones are cut off (not in compressed images). An empty attribute is as none.

    Raises:
        DataError: damaged or cut short, without an image, of a kind that is not read, or too small or too large for a
            radiograph.
    """
    return _without_quoting(path, lambda: _decode(path))


@contextmanager
def _quiet() -> Iterator[None]:
    # Both are switches of the whole process; without the lock, threads would restore each other's state.
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = {log: log.level for log in _logs}
        try:
            for log in _logs:
                # The loggers of their modules have no level of their own, and take this one.
                log.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for log, level in levels.items():
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
        raise DataError(f"more than {LARGEST_FILE:,} bytes are no image; save its first frame in a file of its own")
    # pydicom would inflate such a file in one go, whatever its size is then.
    with path.open("rb") as file:
        read_preamble(file, force=True)
        meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True,
                            stop_when=lambda tag, _kind, _length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
        raise DataError("deflated DICOM is not read; save it as Explicit VR Little Endian")
    image = dcmread(path, stop_before_pixels=not pixels, specific_tags=[*_ATTRIBUTES, *_GROUPS], force=True)
    if "TransferSyntaxUID" not in image.file_meta:
        implicit, little = image.original_encoding
        image.file_meta.TransferSyntaxUID = (uid.ImplicitVRLittleEndian if implicit else
                                             uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian)
    _without_empty(image)
    for group in _GROUPS:
        _take_grey_levels_of_frame(image, group)
        image.pop(group, None)
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        if name in image and not (image[name][0].get("LUTDescriptor") and image[name][0].get("LUTData")):
            del image[name]
    if image.get("RescaleSlope") == 0:
        # The whole image would be one grey.
        del image.RescaleSlope
    return image


def _without_empty(attributes: Dataset) -> None:
    """Remove what says as little as if it were not there: pydicom and the standard's defaults know only absence."""
    for tag in list(attributes.keys()):
        # What cannot even be converted is for whoever needs it.
        with suppress(Exception):
            if attributes[tag].is_empty or attributes[tag].value in ("", " "):
                del attributes[tag]


def _take_grey_levels_of_frame(image: Dataset, group: str) -> None:
    """Put the transforms that a functional group of the first frame states in place of the image's own (PS3.3
    C.7.6.16.2.9 and C.7.6.16.2.10)."""
    for sequence, names in _BY_FRAME.items():
        for frame in list(image.get(group) or [])[:1]:
            for stated in list(frame.get(sequence) or [])[:1]:
                _without_empty(stated)
                found = [stated[name] for name in names if name in stated]
                for name in names if found else ():
                    image.pop(name, None)
                for element in found:
                    image.add(element)


def _checked(image: Dataset) -> ImageHeader:
    """The header of what can be a radiograph; of anything else a DataError that does not name the path."""
    if "Rows" not in image or "Columns" not in image or "BitsAllocated" not in image:
        raise DataError("holds no image (a report, a plan or a folder's index, or cut short); remove it")
    syntax = image.file_meta.TransferSyntaxUID
    try:
        get_decoder(syntax)
    except NotImplementedError:
        # pydicom 3.0 does not know JPEG XL; what is no standard's name might be anybody's text.
        name = ("JPEG XL" if syntax.startswith("1.2.840.10008.1.2.4.11") else
                syntax.name if syntax in uid.UID_dictionary else "an unknown kind")
        raise DataError(f"its compression ({name}) is not read; save it as Explicit VR Little Endian") from None
    for name in ("PhotometricInterpretation", "SamplesPerPixel", "BitsStored", "PixelRepresentation"):
        if name not in image:
            raise DataError(f"does not state its {name}, so its grey levels are not known; export it again")
    width, height = int(image.Columns), int(image.Rows)
    require_image_size(width, height)
    samples, bits = int(image.SamplesPerPixel), int(image.BitsAllocated)
    if _SAMPLES.get(image.PhotometricInterpretation) != samples:
        raise DataError("neither greyscale nor RGB or YBR colour, so its grey levels are not known; export it as "
                        "greyscale")
    if bits not in (8, 16) or (samples == 3 and bits != 8):
        raise DataError("an image has 8 or 16 bits a pixel, in colour 8 a sample; export it so")
    mode = "RGB" if samples == 3 else "L" if bits == 8 else "I;16"
    return ImageHeader(width, height, mode, int(image.get("NumberOfFrames") or 1))


def _decode(path: Path) -> np.ndarray:
    image = _open(path, pixels=True)
    header = _checked(image)
    if "PixelData" not in image:
        raise DataError("holds no image, only its description; remove it")
    syntax = image.file_meta.TransferSyntaxUID
    if image["PixelData"].is_undefined_length and not syntax.is_compressed:
        raise DataError("compressed, but it does not say how (TransferSyntaxUID); export it again")
    if syntax.is_compressed and syntax != uid.RLELossless:
        _prepare_compressed(image, header)
        pixels = pixel_array(image, index=0)
    else:
        pixels = _stored_bits(image)
    if header.mode == "RGB":
        return np.array(Image.fromarray(pixels).convert("L"))
    # The transforms are worked out once for each grey level instead of once for each pixel.
    levels = np.arange(int(pixels.min()), int(pixels.max()) + 1, dtype=np.int32)
    places = pixels.astype(np.int32) - levels[0]
    in_image, table = np.zeros(len(levels), bool), np.zeros(len(levels), np.uint8)
    in_image[places] = True
    in_image &= ~padding(levels, in_image, image)
    if in_image.any():
        table[in_image] = shown(levels[in_image], image)
    return table[places]


def _stored_bits(image: Dataset) -> np.ndarray:
    """The first frame of an uncompressed image (or of RLE, which packs the same words) without the bits around those
    that count: beside them may lie anything, an overlay for example."""
    allocated, stored = int(image.BitsAllocated), int(image.BitsStored)
    high = int(image.get("HighBit", stored - 1))
    if not stored - 1 <= high < allocated:
        raise DataError("its BitsAllocated, BitsStored and HighBit contradict each other; export it again")
    pixels = pixel_array(image, index=0, correct_unused_bits=False)
    # Up, until the highest that counts is the highest of all, and down again: a sign is kept.
    pixels <<= allocated - 1 - high
    pixels >>= allocated - stored
    return pixels


def _prepare_compressed(image: Dataset, header: ImageHeader) -> None:
    """Mend a JPEG that decoders refuse without need, and refuse what is of another size than its header says: decoders
    believe the compressed image, a place for a decompression bomb."""
    syntax = image.file_meta.TransferSyntaxUID
    frame = get_frame(image.PixelData, 0, number_of_frames=header.frames)
    if syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        mended = _with_whole_spectrum(frame)
        if mended != frame:
            frame, image.PixelData, image.NumberOfFrames = mended, encapsulate([mended]), 1
            image.pop("ExtendedOffsetTable", None)
    decoder, samples = (openjpeg, "samples_per_pixel") if "JPEG 2000" in syntax.name else (libjpeg, "nr_components")
    inside = decoder.get_parameters(frame)
    if [inside[name] for name in ("columns", "rows", samples)] != [header.width, header.height, image.SamplesPerPixel]:
        raise DataError("its header and its compressed image disagree on the size; copy it again or remove it")


def _with_whole_spectrum(jpeg: bytes) -> bytes:
    """A sequential JPEG in which scans that state the spectrum 0 to 0 state 0 to 63, as they must (ITU-T T.81, table
    B.3): some detectors leave the end empty, and decoders refuse it. Of other processes 0 is meant."""
    data, place, sequential = bytearray(jpeg), 2, False
    while _JPEG_MARKER.match(data, place):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        sequential |= marker in (0xC0, 0xC1)
        place += 2 + length
        if marker == 0xDA:
            if sequential and data[place - 3 : place - 1] == b"\0\0":
                data[place - 2] = 63
            following = _JPEG_MARKER.search(data, place)
            place = following.start() if following else len(data)
    return bytes(data)
