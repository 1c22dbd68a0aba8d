"""Makes chest_xray_aspect_320: 1,655 of the published images as the natural experiment needs them, with their aspect
ratio kept and the sizes of their originals in a table."""

import hashlib
from pathlib import Path

import cv2
import pandas as pd

from covidcnn.data.folders import find_layout
from covidcnn.errors import DataError, few
from covidcnn.imaging.reading import Progress, in_threads, read_grey, read_header
from covidcnn.paths import replacing_folder, require_new_folder

SAMPLE_LIST = Path(__file__).resolve().with_name("sample.csv")
MANIFEST = "manifest.csv"
LONGER_SIDE = 320


def read_sample(path: Path = SAMPLE_LIST) -> pd.DataFrame:
    """Which of the published images belong to it: a row an image, columns ``split``, ``class``, ``file`` and
    ``sample`` ('random 30 %', or 'other' for those that were picked by hand)."""
    return pd.read_csv(path, comment="#")


def write_small_images(originals: Path, target: Path, sample: pd.DataFrame, progress: Progress | None = None) -> None:
    """Copy the images of ``sample`` (see ``read_sample``) under their names, and write ``manifest.csv`` beside them.

    Grey, the longer side 320 px (OpenCV's INTER_AREA; smaller images keep their size), JPEG of quality 92. The manifest
    has a row an image: size and colour mode of the original; size, bytes and MD5 of the copy. The new or empty folder
    ``target`` appears whole or not at all.

    Raises:
        DataError: images are missing in ``originals``, or one cannot be read.
        UserError: there is something in ``target``, it lies among the originals, or it cannot be written.
    """
    root = find_layout(originals).root
    require_new_folder(target, copied=root)
    paths = (sample["split"] + "/" + sample["class"] + "/" + sample["file"]).tolist()
    missing = [path for path in paths if not (root / path).is_file()]
    if missing:
        raise DataError(f"{root}: {len(missing):,} of {len(paths):,} images are missing ({few(missing)}); give the "
                        "published images, which 'covidcnn data fetch chest-xray' brings")
    rows = []
    with replacing_folder(target) as draft:
        made = in_threads(lambda path: _small(root / path), paths, progress)
        for path, (content, facts) in zip(paths, made, strict=True):
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_bytes(content)
            rows.append(facts)
        names = sample[["split", "class", "file"]].reset_index(drop=True)
        names.join(pd.DataFrame(rows)).assign(sample=sample["sample"].to_numpy()).to_csv(draft / MANIFEST, index=False)


def _small(path: Path) -> tuple[bytes, dict[str, object]]:
    """The file of the copy, and its row of the manifest."""
    mode, image = read_header(path).mode, read_grey(path)
    height, width = image.shape
    scale = min(1.0, LONGER_SIDE / max(height, width))
    small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))),
                       interpolation=cv2.INTER_AREA)
    content = cv2.imencode(".jpeg", small, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    return content, {"original_width": width, "original_height": height, "mode": mode, "width": small.shape[1],
                     "height": small.shape[0], "bytes": len(content), "md5": hashlib.md5(content).hexdigest()}
