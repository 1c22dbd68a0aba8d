"""What can be told from an image before any lung is looked at, and how far the test set has drifted.

A model that only reaches the numbers below may have learned the size of a file or the grey of a corner, and not
pneumonia. Everything here is deterministic: the patient-level folds need no random state. ``images`` are a catalogue's,
a row each, and ``samples`` is how often the bootstrap draws patients.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from covidcnn.data.splits import TRAINING_SPLITS
from covidcnn.evaluation.metrics import bootstrap_by_patient, confusion
from covidcnn.evaluation.weighted_metrics import weighted_auc
from covidcnn.imaging.files import COLOUR_MODES
from covidcnn.task import PNEUMONIA, Task

IMAGE_MEASURES = {"pixel area": "file header", "width / height": "file header", "stored in colour": "file header",
            "mean grey": "pixels", "contrast": "pixels"}
"""Columns of ``image_measures`` and where each is read. What stands in the file header is lost when images
are resized or converted; what stands in the pixels goes with them."""

_SPLITS = Task(("train", "test"))

FOLDS = 5


def image_measures(images: pd.DataFrame, pixels: np.ndarray) -> pd.DataFrame:
    """One number an image and measure: nothing in it knows where the lungs are. ``pixels`` are those of the ``images``,
    uint8 (n, height, width), not transformed.

    Returns:
        A row an image: path, split ('train' also for images of a folder without splits), label, subtype, patient and
        the columns of ``IMAGE_MEASURES``; mean grey and contrast (the standard deviation within the image) in grey
        levels.
    """
    # Image by image: the images may be mapped from disk, and as floats they would not fit in memory.
    return _described(images).assign(**{
        "pixel area": images["width"] * images["height"], "width / height": images["width"] / images["height"],
        "stored in colour": images["mode"].isin(COLOUR_MODES).astype(int),
        "mean grey": [float(image.mean()) for image in pixels], "contrast": [float(image.std()) for image in pixels]})


def single_measure_auc(measures: pd.DataFrame, samples: int = 200, task: Task = PNEUMONIA,
                       sources: Mapping[str, str] = IMAGE_MEASURES) -> pd.DataFrame:
    """How well one of the measures, from ``image_measures``, alone tells two classes apart among the training images.
    ``sources`` names the measures, and says where each is read.

    Returns:
        A row a measure: ``measure``, ``read from``, ``higher in`` (the class), ``auc``, ``low``, ``high``. The AUC is
        taken in the direction that makes it at least 0.5; a measure that is the same in every image tells nothing: its
        AUC is 0.5 and ``higher in`` says so.
    """
    train = measures[measures["split"] == "train"]
    rows: list[dict[str, object]] = []
    for name, source in sources.items():
        values = train[name].to_numpy(float)
        rising = roc_auc_score(task.encode(train["label"]), values) >= 0.5
        found = ({"higher in": "all images are equal", "auc": 0.5, "low": np.nan, "high": np.nan}
                 if np.ptp(values) == 0 else {"higher in": task.classes[int(rising)]}
                 | _auc(train.assign(score=values if rising else -values), samples, task))
        rows.append({"measure": name, "read from": source, **found})
    return pd.DataFrame(rows)


def baseline_scores(images: pd.DataFrame, pixels: np.ndarray, model: ClassifierMixin | None = None,
                    task: Task = PNEUMONIA) -> pd.DataFrame:
    """Scores of the baseline: a classifier of two classes on ``pixels``, the ``coarse_pixels`` of the images; None is
    the ridge classifier.

    Training images are scored by models that have not seen their patient, test images by one model trained on all
    training images. Images of val are left out; where there is no test split there are no rows of it.

    Returns:
        A row an image: path, split ('train' or 'test'), label, subtype, patient, score (of a model with a decision
        function, as ridge: above 0 the positive class; else its probability).
    """
    model = _ridge() if model is None else model
    is_train = images["split"].isin(TRAINING_SPLITS).to_numpy()
    is_test = (images["split"] == "test").to_numpy()
    positive = task.encode(images["label"])
    scores = np.full(len(images), np.nan)
    scores[is_train] = _out_of_fold(model, pixels[is_train], positive[is_train], images.loc[is_train, "patient"])
    if is_test.any():
        fitted = clone(model).fit(pixels[is_train], positive[is_train])
        scores[is_test] = _of_positive(getattr(fitted, _method(model))(pixels[is_test]))
    return _described(images).assign(score=scores)[is_train | is_test].reset_index(drop=True)


def baseline_table(scores: pd.DataFrame, samples: int = 200, task: Task = PNEUMONIA) -> pd.DataFrame:
    """The baseline in numbers, from ``baseline_scores``: a row inside train, cross-validated, and a row on test.

    Returns:
        ``scored on``, ``images``, ``accuracy``, ``sensitivity``, ``specificity``, ``auc``, ``low``, ``high`` (the AUC's
        95 % interval).
    """
    rows = []
    for split, name in {"train": "train, cross-validated by patient", "test": "test"}.items():
        own = scores[scores["split"] == split]
        if own["label"].nunique() == len(task.classes):
            matrix = confusion(own, threshold=0, task=task)
            rows.append({"scored on": name, "images": matrix.n, "accuracy": matrix.accuracy,
                         "sensitivity": matrix.sensitivity, "specificity": matrix.specificity}
                        | _auc(own, samples, task))
    return pd.DataFrame(rows)


def split_shift(images: pd.DataFrame, pixels: np.ndarray, samples: int = 200, task: Task = PNEUMONIA) -> pd.DataFrame:
    """Within one class, can a linear classifier tell a test image from a training image? It sees ``pixels``, the
    ``coarse_pixels`` of the images.

    If both were drawn from the same hospital days, it could not (AUC 0.5). Cross-validated by patient.

    Returns:
        A row a class: ``label``, ``train images``, ``test images``, ``auc``, ``low``, ``high``. A class with fewer than
        five patients in train or in test has no row.
    """
    rows = []
    is_train = images["split"].isin(TRAINING_SPLITS)
    for label in task.classes:
        chosen = ((images["label"] == label) & (is_train | (images["split"] == "test"))).to_numpy()
        own = images[chosen]
        is_test = (own["split"] == "test").to_numpy()
        if min(own.loc[is_test, "patient"].nunique(), own.loc[~is_test, "patient"].nunique()) < FOLDS:
            continue
        score = _out_of_fold(_ridge(), pixels[chosen], is_test.astype(int), own["patient"])
        # What is told apart here is the split.
        scores = own.assign(score=score, label=np.where(is_test, *_SPLITS.classes[::-1]))
        rows.append({"label": label, "train images": int((~is_test).sum()), "test images": int(is_test.sum())}
                    | _auc(scores, samples, _SPLITS))
    return pd.DataFrame(rows, columns=["label", "train images", "test images", "auc", "low", "high"])


def _described(images: pd.DataFrame) -> pd.DataFrame:
    return images[["path", "split", "label", "subtype", "patient"]].replace({"split": {"all": "train"}})


def _ridge() -> RidgeClassifier:
    # Balanced: else the rarer class is predicted too seldom, for a reason that has nothing to do with the pixels.
    return RidgeClassifier(alpha=1.0, class_weight="balanced")


def _method(model: ClassifierMixin) -> str:
    return "decision_function" if hasattr(model, "decision_function") else "predict_proba"


def _out_of_fold(model: ClassifierMixin, pixels: np.ndarray, target: np.ndarray, patients: pd.Series) -> np.ndarray:
    folds = StratifiedGroupKFold(min(FOLDS, patients.nunique()))
    return _of_positive(cross_val_predict(model, pixels, target, groups=patients.to_numpy(), cv=folds,
                                          method=_method(model)))


def _of_positive(scores: np.ndarray) -> np.ndarray:
    return scores[:, 1] if scores.ndim == 2 else scores


def _auc(scores: pd.DataFrame, samples: int, task: Task) -> dict[str, float]:
    estimate = bootstrap_by_patient(scores, {"auc": weighted_auc}, samples, task=task)["auc"]
    return {"auc": estimate.value, "low": estimate.low, "high": estimate.high}
