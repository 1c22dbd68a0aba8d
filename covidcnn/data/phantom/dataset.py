"""Write a folder of phantom films, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
from joblib import Parallel, delayed

from covidcnn.data.phantom.film import draw_film
from covidcnn.data.phantom.plan import DEFAULT_COUNTS, FilmPlan, plan_films
from covidcnn.errors import DataError

GENERATOR_VERSION = 1
"""Raise by hand when the same seed no longer gives the same films."""
MARKER = "PHANTOM.json"
"""The file by which a reader knows that a data set is of phantoms."""

_JPEG_QUALITY = 90


def write_phantom(folder: Path, counts: Mapping[str, int] = DEFAULT_COUNTS, seed: int = 0,
                  workers: int | None = None,
                  progress: Callable[[int], None] | None = None) -> None:
    """Draw a phantom data set into ``folder``, in the layout of the published set.

    The films do not depend on ``workers``, bit for bit. They are drawn beside ``folder`` and moved into
    place at the end, so that an interruption leaves nothing half-written.

    Args:
        folder: new or empty; its parents are made.
        counts: images of each of the splits 'train', 'val' and 'test'.
        seed: of the whole data set.
        workers: processes that draw; by default one for each core.
        progress: called with the number of films written so far.

    Raises:
        DataError: ``folder`` is a file, or holds something already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and is not empty: name a new folder for the phantom films.")
    films = plan_films(counts, seed)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DataError(f"{folder}: cannot be created ({error.strerror}); name another folder") from error
    try:
        # mkdtemp keeps others out; the data set is for all who may read its parent.
        draft.chmod(folder.parent.stat().st_mode & 0o777)
        for film in films:
            (draft / film.path).parent.mkdir(parents=True, exist_ok=True)
        for done, _ in enumerate(_write_films(draft, films, workers), start=1):
            if progress:
                progress(done)
        marker = {"seed": seed, "counts": dict(counts), "generator_version": GENERATOR_VERSION}
        (draft / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        draft.replace(folder)
    except OSError as error:
        raise DataError(f"{folder}: the phantom films cannot be written ({error.strerror or error}); make room, or "
                        "name another folder") from error
    finally:
        # Gone already if it was moved into place.
        shutil.rmtree(draft, ignore_errors=True)


def _write_films(draft: Path, films: list[FilmPlan], workers: int | None) -> Iterator[None]:
    # joblib's workers do not import the caller's main module: this works from a notebook, a script without
    # a main guard, and a program read from standard input.
    yield from Parallel(workers or os.cpu_count() or 1, return_as="generator")(
        delayed(_write_film)(draft, film) for film in films)


def _write_film(draft: Path, film: FilmPlan) -> None:
    cv2.setNumThreads(1)
    encoded = cv2.imencode(".jpeg", draw_film(film), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    # Not cv2.imwrite, which returns False where a disk is full and fails on names beyond ASCII.
    (draft / film.path).write_bytes(encoded.tobytes())
