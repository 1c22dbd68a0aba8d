"""The copy of the published images that the evidence of ``reports/paper`` rests on: 224 x 224 pixels."""

import shutil
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from covidcnn.data import phantom
from covidcnn.data.dataset import DataSet
from covidcnn.data.sources import PHANTOM
from covidcnn.errors import DataError
from covidcnn.imaging.files import is_dicom
from covidcnn.imaging.reading import Progress, damaged, in_threads, open_image
from covidcnn.paths import replacing_folder, require_new_folder

SIDE = 224


def write_resized(dataset: DataSet, folder: Path, progress: Progress | None = None) -> None:
    """Copy a data set's images at 224 x 224 px, under their names.

    As RGB, grey images too, upright, bilinear, squeezed to a square, JPEG of quality 75 without comments: of the
    published originals this makes the evidence's images byte for byte. The new or empty ``folder`` appears whole or
    not at all.

    Raises:
        DataError: an image is no JPEG file, or can no longer be read.
        UserError: there is something in ``folder``, it lies among the images, or it cannot be written.
    """
    require_new_folder(folder, copied=dataset.root)
    paths = dataset.images["path"].tolist()
    with replacing_folder(folder) as draft:
        small = in_threads(lambda path: _resized(dataset.root / path), paths, progress)
        for path, content in zip(paths, small, strict=True):
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_bytes(content)
        # What is drawn stays known as such.
        if dataset.source is PHANTOM:
            shutil.copy(dataset.root / phantom.MARKER, draft)


def _resized(path: Path) -> bytes:
    no_jpeg = DataError(f"{path}: no JPEG file; only such images are resized, as the published ones are")
    if is_dicom(path):
        raise no_jpeg
    with open_image(path) as image:
        if image.format != "JPEG":
            raise no_jpeg
        try:
            ImageOps.exif_transpose(image, in_place=True)
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        except Exception as error:
            raise damaged(path, error) from error
    # A comment may hold a name, and would be written again.
    small.info.clear()
    content = BytesIO()
    small.save(content, "JPEG", quality=75)
    return content.getvalue()
