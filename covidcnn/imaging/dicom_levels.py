"""From the stored levels of a DICOM image to the greys that a viewer shows."""

import numpy as np
from pydicom import Dataset, uid
from pydicom.pixels import apply_modality_lut
from pydicom.pixels.processing import apply_windowing

from covidcnn.errors import DataError

_LOSSY = {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K}
_MOVED = 64
"""Levels that lossy compression is taken to have moved padding by, at most."""


def padding(levels: np.ndarray, present: np.ndarray, image: Dataset) -> np.ndarray:
    """Which stored levels, int32 (n,), only fill the frame around the image: bool (n,); ``present`` are in use."""
    value, limit = image.get("PixelPaddingValue"), image.get("PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(len(levels), bool)
    # Some files state a signed level by the unsigned number of the same 16 bits.
    kind = np.int16 if image.PixelRepresentation else np.uint16
    stored = np.array([value, value if limit is None else limit]).astype(kind)
    distance = np.maximum(stored.min() - levels, levels - stored.max())
    if image.get("LossyImageCompression") == "01" or image.file_meta.TransferSyntaxUID in _LOSSY:
        # Without a gap, the image itself begins there; without levels beyond it, they are the image.
        beyond = distance[present & (distance > _MOVED)]
        if len(beyond) and beyond.min() > 2 * _MOVED:
            return distance <= _MOVED
    return distance <= 0


def shown(levels: np.ndarray, image: Dataset) -> np.ndarray:
    """The grey of each stored level: int32 (n,), ascending, to uint8 (n,)."""
    if image.get("ModalityLUTSequence"):
        values, _ = _looked_up(levels, image.ModalityLUTSequence[0], image)
    else:
        values = apply_modality_lut(levels, image)
    stored = int(image.BitsStored)
    if image.get("VOILUTSequence"):
        black = 0
        values, white = _looked_up(values, image.VOILUTSequence[0], image)
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
    inverse = image.PhotometricInterpretation == "MONOCHROME1" or image.get("PresentationLUTShape") == "INVERSE"
    return np.rint(255 * (1 - shown if inverse else shown)).astype(np.uint8)


def _looked_up(values: np.ndarray, table: Dataset, image: Dataset) -> tuple[np.ndarray, int]:
    """What a modality or VOI LUT gives for each value, (n,) to uint16 or uint8 (n,), and its largest entry: pydicom 3.0
    knows neither entries packed two to a word, nor all depths of the standard."""
    count, first, depth = (int(number) for number in table.LUTDescriptor)
    count = count or 2**16
    data = table.LUTData
    order = ">u2" if image.file_meta.TransferSyntaxUID == uid.ExplicitVRBigEndian else "<u2"
    entries = (np.frombuffer(data, order) if isinstance(data, bytes) else np.atleast_1d(data)).astype("<u2")
    if len(entries) == (count + 1) // 2 < count:
        entries = entries.view(np.uint8)
    if len(entries) < count or depth not in range(8, 17):
        raise DataError("damaged: a lookup table is not what its descriptor says; copy it again or remove it")
    # Some files state a signed number as unsigned, or the reverse: as it stands, the whole image would be one entry.
    if first >= 2**15 and first > values.max():
        first -= 2**16
    elif first < 0 and first + count <= values.min():
        first += 2**16
    entries = entries[:count]
    return entries[np.clip(np.rint(values) - first, 0, count - 1).astype(np.intp)], int(entries.max())


def _has_window(image: Dataset) -> bool:
    """Whether there is a usable window: some machines write an empty one, or one of width 0."""
    try:
        center, width = (np.atleast_1d(image[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
        linear = image.get("VOILUTFunction", "LINEAR") == "LINEAR"
        return bool(np.isfinite(float(center)) and float(width) > 0 and (float(width) >= 1 or not linear))
    except (KeyError, TypeError, ValueError, IndexError):
        return False
