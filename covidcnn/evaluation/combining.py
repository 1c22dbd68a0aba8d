"""One score of several, and scores that mean what they say: test-time augmentation, patients, temperature.

All of it is made of stored scores: nothing is trained or scored again.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from covidcnn.errors import DataError
from covidcnn.evaluation.scores import epoch_columns
from covidcnn.evaluation.weighted_metrics import loss

PER_PATIENT = ("mean", "max")
"""How the scores of a patient's images become one."""
_LARGEST_LOGARITHM = 3.0
"""Of the temperature, either way: a factor of 20, beyond which scores say nothing or everything."""


def averaged_over(scores: pd.DataFrame, perturbations: Sequence[str]) -> pd.DataFrame:
    """Test-time augmentation: each image's score is its mean over the image as it is and under perturbations.

    Args:
        scores: of a binary task, as of ``Training``; each image also under all of these perturbations.
        perturbations: names of ``covidcnn.perturbations.PERTURBATIONS``.

    Returns:
        The rows of the images as they are, in their order, ``score`` averaged.

    Raises:
        ValueError: an image was not scored under one of them.
    """
    by_kind = scores.pivot(index=["split", "path"], columns="perturbation", values="score")
    wanted = by_kind.reindex(columns=["", *perturbations])
    own = scores[scores["perturbation"] == ""]
    means = wanted.mean(axis=1, skipna=False).loc[pd.MultiIndex.from_frame(own[["split", "path"]])].to_numpy()
    if np.isnan(means).any():
        raise ValueError(f"not all images are scored under {', '.join(perturbations)}")
    return own.assign(score=means)


def by_patient(scores: pd.DataFrame, how: str) -> pd.DataFrame:
    """One row a patient in the place of one an image: ``score``, also that after each epoch, is the mean, or the
    maximum, of those of the patient's images.

    Args:
        scores: of a binary task, as of ``Training``, of one split.
        how: one of ``PER_PATIENT``.

    Raises:
        DataError: images of one patient have different labels.
    """
    groups = scores.groupby("patient")
    if (mixed := groups["label"].nunique() > 1).any():
        raise DataError(f"patient {mixed.idxmax()}: images under different labels, so that there is no label of the "
                        "patient; evaluate images, or mend the table of patients")
    combined = groups[["score", *epoch_columns(scores)]].agg(how)
    return groups.first().assign(**combined).reset_index()[list(scores.columns)]


def fit_temperature(labels: np.ndarray, scores: np.ndarray) -> float:
    """The temperature by which logits are divided so that their cross-entropy on these images is lowest (Guo and others
    2017): above 1 where the network is too sure. It moves no image past another, and none past 0.5.

    Args:
        labels: int (images,), 1 for the positive class; validation images, never those that are judged.
        scores: float (images,), probabilities of the positive class.
    """
    ones = np.ones(len(labels))
    found = minimize_scalar(lambda logarithm: float(loss(labels, tempered(scores, np.exp(logarithm)), ones)),
                            bounds=(-_LARGEST_LOGARITHM, _LARGEST_LOGARITHM), method="bounded")
    return float(np.exp(found.x))


def tempered(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores, float (images,) in 0..1, at a temperature: 1 leaves them as they are."""
    # A score of exactly 0 or 1, which float32 rounds to, has no finite logit.
    return expit(logit(np.clip(scores, 1e-7, 1 - 1e-7)) / temperature)
