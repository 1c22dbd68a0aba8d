"""Score films that nobody has labelled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.backend import keras
from covidcnn.data.appearance import differences, measure
from covidcnn.errors import DataError
from covidcnn.models.model_file import ModelFacts
from covidcnn.models.scoring import predict
from covidcnn.prediction.films import Film, Unreadable, find_films, read_films


@dataclass(frozen=True)
class Predictions:
    """What a model says of films."""

    films: pd.DataFrame
    """A row a film: ``path``, ``probability`` (of PNEUMONIA), ``called`` (a class name), ``threshold``, ``warnings``
    (a list: what makes the film unlike those that the model learnt from, and that it has further frames)."""
    unreadable: tuple[Unreadable, ...]
    """Files that were passed over."""


def predict_films(model: keras.Model, facts: ModelFacts, paths: Sequence[Path], skip_bad: bool = False,
                  progress: Callable[[int, int], None] | None = None) -> Predictions:
    """Score image files and folders of them.

    Args:
        model: from ``load_model``.
        facts: of the same file; preparation, class names and threshold are taken from there.
        paths: files and folders.
        skip_bad: pass over files that cannot be read.
        progress: called with (films done, films in all).

    Raises:
        DataError: there is no film (left), or one cannot be read.
    """
    named = find_films(paths)
    rows: list[dict[str, object]] = []
    unreadable: list[Unreadable] = []
    for batch in read_films(named, facts.images):
        bad = [film for film in batch if isinstance(film, Unreadable)]
        if bad and not skip_bad:
            raise DataError(f"{bad[0].problem} (--skip-bad goes on without files that cannot be read)")
        unreadable += bad
        rows += _score(model, facts, [film for film in batch if isinstance(film, Film)])
        if progress:
            progress(len(rows) + len(unreadable), len(named))
    if not rows:
        raise DataError(f"{unreadable[0].problem} (none of {len(unreadable)} files can be read)")
    return Predictions(pd.DataFrame(rows), tuple(unreadable))


def _score(model: keras.Model, facts: ModelFacts, films: list[Film]) -> list[dict[str, object]]:
    if not films:
        return []
    images = np.stack([film.image for film in films])
    scores = predict(model, images, np.arange(len(films)))
    headers = pd.DataFrame([(film.header.width, film.header.height, film.header.mode) for film in films],
                           columns=["width", "height", "mode"])
    warnings = differences(measure(headers, images), facts.appearance, facts.images.size)
    for film, warning in zip(films, warnings, strict=True):
        if film.header.frames > 1:
            warning.append(f"{film.header.frames} frames, only the first was scored")
    return [{"path": str(film.path), "probability": float(score),
             "called": facts.class_names[int(score >= facts.threshold)], "threshold": float(facts.threshold),
             "warnings": warning} for film, score, warning in zip(films, scores, warnings, strict=True)]
