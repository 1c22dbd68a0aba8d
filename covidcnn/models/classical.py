"""Models of scikit-learn on small pixels, on histograms of gradients, or on what a network learnt from other images
finds in them: fitted at once, without epochs.

Histograms of oriented gradients: Dalal and Triggs (2005), in cells of 8 x 8 pixels with 9 directions.
"""

import itertools
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from covidcnn.errors import UserError
from covidcnn.models.options import Checked, one_of
from covidcnn.task import PNEUMONIA

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

    from covidcnn.backend import keras

FEATURES = ("pixels", "hog", "lite0")
_CELL = 8
_BATCH = 64
_Count = Annotated[int, Field(ge=1, le=1e6)]
_Strength = Annotated[float, Field(ge=1e-6, le=1e6)]


def features_of(images: Iterable[np.ndarray], kind: str, side: int) -> np.ndarray:
    """What a model of scikit-learn sees of images, uint8 (height, width) each, shrunk to ``side`` pixels: float32 (n,
    features). For 'pixels' these are greys, 0 to 1; for 'hog', whose side is a multiple of 8 and at least 16,
    histograms of gradients; for 'lite0' the 1,280 averages before the last layer of EfficientNet-Lite0 with the weights
    of ImageNet, which raises what ``efficientnet_lite0.imagenet_weights`` does."""
    # Here and not above: recipes take the options, and need not wait for these.
    from skimage.feature import hog

    from covidcnn.imaging.transforms import coarse_pixels

    if kind == "lite0":
        network, waiting = _lite0(side), iter(images)
        batches = iter(lambda: list(itertools.islice(waiting, _BATCH)), [])
        return np.concatenate([network.predict_on_batch(coarse_pixels(batch, side).reshape(-1, side, side, 1))
                               for batch in batches])
    pixels = coarse_pixels(images, side)
    if kind == "pixels":
        return pixels
    return np.stack([hog(image, orientations=9, pixels_per_cell=(_CELL, _CELL), cells_per_block=(2, 2))
                     for image in pixels.reshape(-1, side, side)]).astype(np.float32)


# Built once: its layers take seconds, and images are scored in several turns.
@lru_cache(maxsize=1)
def _lite0(side: int) -> "keras.Model":
    from covidcnn.backend import keras
    from covidcnn.models.efficientnet_lite0 import EfficientNetLite0

    network = EfficientNetLite0().build(PNEUMONIA, side, 0)
    return keras.Model(network.input, network.get_layer("average").output)


@dataclass(frozen=True)
class ClassicalModel(Checked):
    """Options that all of them have."""

    features: Annotated[str, one_of(FEATURES, "features")] = "pixels"
    side: Annotated[int, Field(ge=4, le=256)] = 16
    """To which images are shrunk, in pixels."""
    smallest_image: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.features == "hog" and (self.side % _CELL or self.side < 2 * _CELL):
            raise UserError(f"side {self.side}: hog needs a multiple of {_CELL}, at least {2 * _CELL}")

    def estimator(self, seed: int, balanced: bool) -> "ClassifierMixin":
        """scikit-learn's estimator, not fitted; balanced where classes weigh the same, whatever their shares."""
        raise NotImplementedError


@dataclass(frozen=True)
class Ridge(ClassicalModel):
    """Ridge: least squares, kept small."""

    alpha: _Strength = 1.0

    def estimator(self, seed: int, balanced: bool) -> "ClassifierMixin":
        from sklearn.linear_model import RidgeClassifier

        return RidgeClassifier(alpha=self.alpha, class_weight=_weight(balanced))


@dataclass(frozen=True)
class NearestNeighbours(ClassicalModel):
    """The most similar training images."""

    neighbours: _Count = 1

    def estimator(self, seed: int, balanced: bool) -> "ClassifierMixin":
        from sklearn.neighbors import KNeighborsClassifier

        if balanced:
            raise UserError("nearest neighbours know no class weights; take balancing oversample or none")
        return KNeighborsClassifier(self.neighbours)


@dataclass(frozen=True)
class LogisticRegression(ClassicalModel):
    """Logistic regression, standardised."""

    c: _Strength = 1.0
    """Inverse strength of the penalty."""

    def estimator(self, seed: int, balanced: bool) -> "ClassifierMixin":
        from sklearn import linear_model

        return _standardised(linear_model.LogisticRegression(C=self.c, class_weight=_weight(balanced), max_iter=5000))


@dataclass(frozen=True)
class SupportVectors(ClassicalModel):
    """Support vectors (radial), standardised."""

    c: _Strength = 1.0
    """Inverse strength of the penalty."""

    def estimator(self, seed: int, balanced: bool) -> "ClassifierMixin":
        from sklearn.svm import SVC

        return _standardised(SVC(C=self.c, class_weight=_weight(balanced), decision_function_shape="ovr"))


@dataclass(frozen=True)
class RandomForest(ClassicalModel):
    """A random forest."""

    trees: _Count = 300

    def estimator(self, seed: int, balanced: bool) -> "ClassifierMixin":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(self.trees, class_weight=_weight(balanced), random_state=seed)


CLASSICAL: dict[str, type[ClassicalModel]] = {
    "ridge": Ridge, "neighbours": NearestNeighbours, "logistic": LogisticRegression, "svm": SupportVectors,
    "forest": RandomForest}
"""By name, as for ``--model``."""


def probabilities_of(estimator: "ClassifierMixin", features: np.ndarray) -> np.ndarray:
    """A probability for each class, float (n, classes).

    Of an estimator that has none, the logistic function of its decision function: of two classes 0.5 where it is 0, of
    more their share of the sum. They rank images as the decision does, and are not calibrated.
    """
    from scipy.special import expit

    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)
    decision = expit(estimator.decision_function(features))
    if decision.ndim == 1:
        return np.column_stack([1 - decision, decision])
    return decision / decision.sum(axis=1, keepdims=True)


def _weight(balanced: bool) -> str | None:
    return "balanced" if balanced else None


def _standardised(estimator: "ClassifierMixin") -> "ClassifierMixin":
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator)
