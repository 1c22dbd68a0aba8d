"""Write a folder of phantom images, whole or not at all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
from joblib import Parallel, delayed

from covidcnn.data.phantom.image import draw_image
from covidcnn.data.phantom.plan import DEFAULT_COUNTS, ImagePlan, plan_images
from covidcnn.paths import replacing_folder

GENERATOR_VERSION = 2
"""Raise by hand when the same seed no longer gives the same images."""
MARKER = "PHANTOM.json"
"""The file by which a reader knows that a data set is of phantoms."""


def write_phantom(folder: Path, counts: Mapping[str, int] = DEFAULT_COUNTS, seed: int = 0,
                  workers: int | None = None, progress: Callable[[int], None] | None = None) -> None:
    """Draw a phantom data set into ``folder``, in the layout of the published set, whole or not at all.

    Args:
        folder: new or empty, else a UserError; its parents are made.
        counts: images of each of the splits 'train', 'val' and 'test'.
        workers: processes that draw, by default one a core; the images do not depend on it.
        progress: called with the number of images written so far.
    """
    plans = plan_images(counts, seed)
    with replacing_folder(folder) as draft:
        for plan in plans:
            (draft / plan.path).parent.mkdir(parents=True, exist_ok=True)
        # joblib's workers do not import the caller's main module: this works from a notebook, a script without a main
        # guard, and a program read from standard input.
        drawn = Parallel(workers or -1, return_as="generator")(
            delayed(_write_image)(draft, plan) for plan in plans)
        for done, _ in enumerate(drawn, start=1):
            if progress:
                progress(done)
        marker = {"seed": seed, "counts": dict(counts), "generator_version": GENERATOR_VERSION}
        (draft / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def _write_image(draft: Path, plan: ImagePlan) -> None:
    cv2.setNumThreads(1)
    encoded = cv2.imencode(".jpeg", draw_image(plan), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    # Not cv2.imwrite, which returns False where a disk is full and fails on names beyond ASCII.
    (draft / plan.path).write_bytes(encoded.tobytes())
