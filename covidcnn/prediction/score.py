"""Score images that nobody has labelled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.data.appearance import differences, measure, of_files
from covidcnn.errors import DataError
from covidcnn.models.model_file import KNOWN_AS, ModelFacts
from covidcnn.models.predictor import Predictor
from covidcnn.prediction.images import ImageFile, Unreadable, find_images, read_images


@dataclass(frozen=True)
class Predictions:
    """What a model says of images."""

    images: pd.DataFrame
    """A row an image: ``path``, ``probability`` (of the positive class) and ``threshold`` (of more than two classes
    ``probability NORMAL`` and so on, and no threshold), ``predicted`` (a class name), ``warnings`` (a list: how the
    image differs from the training images, whether it is one of them, and whether it has further frames)."""
    unreadable: tuple[Unreadable, ...]
    """Files that could not be read."""
    passed_over: tuple[Unreadable, ...]
    """Files in folders that are no images by their names."""
    notes: tuple[str, ...]
    """How the files differ from those of the training images in what the model does not see."""

    @property
    def left_out(self) -> tuple[Unreadable, ...]:
        """All files that were not scored."""
        return self.passed_over + self.unreadable


def predict_images(predictor: Predictor, facts: ModelFacts, paths: Sequence[Path], skip_bad: bool = False,
                   progress: Callable[[int, int], None] | None = None) -> Predictions:
    """Score image files and folders of them.

    Args:
        predictor: from ``load_predictor``.
        facts: of the same file; preparation, class names and threshold are taken from there.
        paths: files and folders.
        skip_bad: pass over files that cannot be read.
        progress: receives (images done, images in all).

    Raises:
        DataError: there is no image (left), or one cannot be read.
    """
    named, passed_over = find_images(paths)
    rows: list[dict[str, object]] = []
    measures: list[pd.DataFrame] = []
    unreadable: list[Unreadable] = []
    for batch in read_images(named, facts.images):
        bad = [file for file in batch if isinstance(file, Unreadable)]
        if bad and not skip_bad:
            raise DataError(f"{bad[0].problem} (--skip-bad goes on without files that cannot be read)")
        unreadable += bad
        if files := [file for file in batch if isinstance(file, ImageFile)]:
            pixels = np.stack([file.image for file in files])
            headers = pd.DataFrame([(file.header.width, file.header.height, file.header.mode) for file in files],
                                   columns=["width", "height", "mode"], index=[str(file.path) for file in files])
            measures.append(measure(headers, pixels))
            rows += _score(predictor, facts, files, pixels, measures[-1])
        if progress:
            progress(len(rows) + len(unreadable), len(named))
    if not rows:
        raise DataError(f"{unreadable[0].problem} (none of {len(unreadable)} files can be read)")
    notes = of_files(pd.concat(measures), facts.appearance) if facts.appearance else []
    return Predictions(pd.DataFrame(rows), tuple(unreadable), tuple(passed_over), tuple(notes))


def _score(predictor: Predictor, facts: ModelFacts, files: list[ImageFile], pixels: np.ndarray, measures: pd.DataFrame
           ) -> list[dict[str, object]]:
    task = facts.task
    probabilities = predictor(pixels)
    predicted = task.predict(probabilities, facts.threshold)
    warnings = differences(measures, facts.appearance, facts.images.size)
    known = facts.known_as(file.sha256 for file in files)
    rows = []
    for file, own, place, role, warning in zip(
            files, probabilities.tolist(), predicted, known, warnings, strict=True):
        if role:
            warning.append(f"the model was {KNOWN_AS[role]} this very file")
        if file.header.frames > 1:
            warning.append(f"{file.header.frames} frames, only the first was scored")
        scores = ({"probability": own[1]} if task.is_binary else
                  {f"probability {name}": value for name, value in zip(task.classes, own, strict=True)})
        threshold = {"threshold": float(facts.threshold)} if task.is_binary else {}
        rows.append({"path": str(file.path), **scores, "predicted": task.classes[place], **threshold,
                     "warnings": warning})
    return rows
