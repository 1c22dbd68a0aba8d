"""Reading, resizing and grey-level transforms: pure functions over uint8 arrays.

The paper (Data and image pre-processing) resizes with cv2 to 224 x 224 and shows histogram
equalisation, greyscale inversion and both together (its Fig. 3 and 4).
"""

import ctypes
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

from covidcnn.errors import DataError

# Pillow warns of bombs at a size of its own choice, where LARGEST_AREA below refuses instead, and of odd metadata,
# which does not matter here and may hold a name.
warnings.filterwarnings("ignore", module=r"PIL\.")

# libtiff would write lines of its own about a damaged file to stderr, past Python; the error is raised besides. Where
# Pillow is built otherwise, it may.
with suppress(OSError, AttributeError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)

SMALLEST_SIDE = 16
"""Pixels. Anything smaller is an icon or a fault, not a film."""
LARGEST_AREA = 100_000_000
"""Pixels. The largest detectors give about 20 million; more is a decompression bomb or a mistake."""

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


@dataclass(frozen=True)
class ImageHeader:
    """What can be said of an image before its pixels are decoded."""

    width: int
    height: int
    mode: str
    """Pillow's mode, for example 'L', 'RGB', 'I;16', 'RGBA' or 'CMYK'."""
    frames: int

    @property
    def in_colour(self) -> bool:
        """Stored in colour, whether or not its pixels are grey."""
        return self.mode in COLOUR_MODES


COLOUR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of colour; a palette ('P') is as often one of greys."""
IMAGE_ENDINGS = {".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".dcm", ".dicom"}


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


def _open(path: Path) -> Image.Image:
    """Open an image and refuse what cannot be a film, before a pixel is decoded."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; copy it again or remove it")
        image = Image.open(path)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too many pixels for a film; remove it or scale it down") from error
    # Pillow's readers raise errors of many kinds for damaged headers; all mean the same to the user.
    except Exception as error:
        raise DataError(f"{path}: not a readable image; copy it again or remove it") from error
    try:
        require_film_size(*image.size)
    except DataError as error:
        image.close()
        raise DataError(f"{path}: {error}") from error
    return image


def read_header(path: Path) -> ImageHeader:
    """Size, mode and number of frames of an image file.

    Raises:
        DataError: not an image, empty, smaller than 16 px a side, or beyond 100 million pixels.
    """
    if is_dicom(path):
        # Imported here: few folders hold DICOM, and pydicom takes its time.
        from covidcnn.dicom import read_dicom_header

        return read_dicom_header(path)
    with _open(path) as image:
        try:
            return ImageHeader(*image.size, image.mode, getattr(image, "n_frames", 1))
        except Exception as error:
            raise _damaged(path, error) from error


def read_grey(path: Path) -> np.ndarray:
    """Read an image file of any usual kind as greyscale.

    Colour is weighted as ITU-R 601; transparency is laid on black, the film's background; of several
    frames the first is read; a 16-bit image is scaled by the depth that its largest value needs
    (12 or 16 bits), because detectors of 12 bits write 16-bit files; a TIFF where 0 is white is inverted;
    a stored orientation is applied.
    DICOM is read as a viewer shows it (see :mod:`covidcnn.dicom`).

    Returns:
        uint8 array (height, width), 0 black to 255 white.

    Raises:
        DataError: the file cannot be decoded to the end, or is no film (see :func:`read_header`).
    """
    if is_dicom(path):
        from covidcnn.dicom import read_dicom

        return read_dicom(path)
    with _open(path) as image:
        try:
            # A colour JPEG stores the grey weighted as ITU-R 601 beside the colours, which need not be decoded.
            image.draft("L", image.size)
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I") or image.mode == "F":
                # Pillow inverts where 0 is white, but only up to 8 bits.
                white_is_zero = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0
                return _to_eight_bits(np.asarray(image), white_is_zero)
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                film = image.convert("RGBA")
                black = Image.new("RGBA", film.size, (0, 0, 0, 255))
                return np.array(Image.alpha_composite(black, film).convert("L"))
            return np.array(image if image.mode == "L" else image.convert("L"))
        except Exception as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: damaged or cut short ({error}); copy it again or remove it".replace("\n", " "))


def _to_eight_bits(values: np.ndarray, white_is_zero: bool = False) -> np.ndarray:
    """Scale 12-bit or 16-bit grey levels, or floats of those ranges or of 0 to 1, to uint8."""
    scales = (1, 255, 4095, 65535) if values.dtype.kind == "f" else (255, 4095, 65535)
    values = np.clip(np.nan_to_num(values.astype(np.float32)), 0, None)
    if white_is_zero:
        # Before the scaling: of a film of 12 bits the mirror image in 16 bits has values near 65,535.
        values = _full_scale(values, scales) - values
    return np.rint(values * (255 / _full_scale(values, scales))).astype(np.uint8)


def _full_scale(values: np.ndarray, scales: tuple[int, ...]) -> float:
    largest = float(values.max(initial=0))
    return next((scale for scale in scales if largest <= scale), largest)


def resize(image: np.ndarray, size: int, interpolation: str = "area", pad: bool = False) -> np.ndarray:
    """Resize to a square with cv2, as the paper does (Fig. 3).

    The paper names only ``resize()``. Its default, 'linear', looks at four pixels and skips the rest
    when a film of 2,000 px becomes one of 64; 'area' averages them all, so it is the default here.

    Args:
        image: uint8 (height, width).
        size: side of the result, in pixels.
        interpolation: a key of ``INTERPOLATIONS``.
        pad: keep the aspect ratio and fill the rest with black, instead of stretching.

    Returns:
        uint8 (size, size), a new array.
    """
    method = INTERPOLATIONS[interpolation]
    if not pad:
        return cv2.resize(image, (size, size), interpolation=method)
    height, width = image.shape
    scale = size / max(height, width)
    inner = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))),
                       interpolation=method)
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    canvas = np.zeros((size, size), np.uint8)
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def equalize(image: np.ndarray) -> np.ndarray:
    """Histogram equalisation (Fig. 4): spread the grey levels so that all are used about equally."""
    return cv2.equalizeHist(image)


def invert(image: np.ndarray) -> np.ndarray:
    """Greyscale inversion (Fig. 4): black becomes white, ``255 - image``."""
    return cv2.bitwise_not(image)


def invert_equalize(image: np.ndarray) -> np.ndarray:
    """Inversion, then histogram equalisation (Fig. 4, last row)."""
    return equalize(invert(image))


def clahe(image: np.ndarray, clip_limit: float = 2.0, tiles: int = 8) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation, in ``tiles`` x ``tiles`` regions (not in the paper)."""
    return cv2.createCLAHE(clip_limit, (tiles, tiles)).apply(image)


def plain(image: np.ndarray) -> np.ndarray:
    """No grey-level transform: a copy."""
    return image.copy()


PREPROCESSING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": plain,
    "equalize": equalize,
    "invert": invert,
    "invert-equalize": invert_equalize,
    "clahe": clahe,
}
"""Grey-level transforms by name; each takes and gives uint8 (height, width), its input untouched."""


@dataclass(frozen=True)
class ImageSettings:
    """How a film becomes the model's input: resized first, then transformed (an assumption: the paper
    does not give the order)."""

    size: int = 224
    preprocess: str = "plain"
    interpolation: str = "area"
    pad: bool = False

    def __post_init__(self) -> None:
        if self.preprocess not in PREPROCESSING:
            raise DataError(f"unknown preprocessing '{self.preprocess}'; "
                            f"choose one of {', '.join(PREPROCESSING)}")
        if self.interpolation not in INTERPOLATIONS:
            raise DataError(f"unknown interpolation '{self.interpolation}'; "
                            f"choose one of {', '.join(INTERPOLATIONS)}")
        if self.size < SMALLEST_SIDE:
            raise DataError(f"image size {self.size} is too small; choose at least {SMALLEST_SIDE}")

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """uint8 (height, width) to uint8 (size, size), ready for the model but for the division by 255."""
        return PREPROCESSING[self.preprocess](
            resize(image, self.size, self.interpolation, self.pad))
