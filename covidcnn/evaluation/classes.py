"""What a classifier of any number of classes does with each of them, with intervals."""

from functools import partial

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from covidcnn.evaluation.metrics import Estimate, bootstrap_by_patient, wilson
from covidcnn.task import Task


def predicted(scores: pd.DataFrame, task: Task, threshold: float = 0.5) -> np.ndarray:
    """The predicted class of each image as its place in the task's classes: int (n,).

    Args:
        scores: with the task's ``score_columns``.
        task: says how scores become a prediction.
        threshold: of a binary task.
    """
    return task.predict(task.probabilities(scores[task.score_columns].to_numpy(float)), threshold)


def confusion_rows(scores: pd.DataFrame, task: Task, threshold: float = 0.5) -> pd.DataFrame:
    """The confusion matrix as a tidy table, each share with its 95 % Wilson interval.

    Returns:
        A row a pair of class and prediction: ``class``, ``predicted``, ``images``, ``share`` (of the class's images),
        ``low``, ``high``.
    """
    label, prediction = task.encode(scores["label"]), predicted(scores, task, threshold)
    rows = []
    for place, name in enumerate(task.classes):
        own = prediction[label == place]
        for other, other_name in enumerate(task.classes):
            share = wilson(int((own == other).sum()), len(own))
            rows.append({"class": name, "predicted": other_name, "images": int((own == other).sum()),
                         "share": share.value, "low": share.low, "high": share.high})
    return pd.DataFrame(rows)


def evaluate_classes(scores: pd.DataFrame, task: Task, samples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Accuracy, and sensitivity, specificity and AUC of each class against the rest; the macro AUC is their mean.

    Args:
        scores: a row an image: ``label``, ``patient`` and the task's ``score_columns``; every class present.
        task: of more than two classes.
        samples: of the bootstrap by patient, which gives the AUCs' intervals; the others' are Wilson's.
        seed: of the bootstrap.
    """
    label, prediction = task.encode(scores["label"]), predicted(scores, task)
    estimates = {"accuracy": wilson(int((label == prediction).sum()), len(label))}
    for place, name in enumerate(task.classes):
        is_class, is_called = label == place, prediction == place
        estimates[f"sensitivity, {name}"] = wilson(int((is_class & is_called).sum()), int(is_class.sum()))
        estimates[f"specificity, {name}"] = wilson(int((~is_class & ~is_called).sum()), int((~is_class).sum()))
    aucs = {f"auc, {name}": partial(_auc_of, place) for place, name in enumerate(task.classes)}
    return estimates | bootstrap_by_patient(scores, {"macro auc": macro_auc, **aucs}, samples, seed, task)


def macro_auc(labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    """The mean of the AUCs of each class against the rest: labels int (n,), scores float (n, classes)."""
    return float(np.mean([_auc_of(place, labels, scores, sample_weight) for place in range(scores.shape[1])]))


def _auc_of(place: int, labels: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    return float(roc_auc_score(labels == place, scores[:, place], sample_weight=sample_weight))
