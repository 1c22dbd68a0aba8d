"""The models that can be trained: each one a small file, a dataclass of options, an entry here."""

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from covidcnn.errors import named
from covidcnn.models.classical import (
    ClassicalModel,
    LogisticRegression,
    NearestNeighbours,
    RandomForest,
    Ridge,
    SupportVectors,
)
from covidcnn.models.five_block import FiveBlockCnn
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.models.residual import ResidualCnn
from covidcnn.task import Task

if TYPE_CHECKING:
    from covidcnn.backend import keras


class Model(Protocol):
    """Options of a model: a dataclass whose fields have defaults. Their names are settings of a recipe, so no other
    setting has them."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def smallest_image(self) -> int:
        """Side in pixels below which its poolings leave nothing."""

    def build(self, task: Task, image_size: int, seed: int) -> "keras.Model":
        """The network in plain Keras, in float32, not compiled.

        Args:
            task: what it tells apart; the last layer has ``task.outputs`` units and ``task.activation``.
            image_size: side of the input in pixels.
            seed: of initial weights and dropout, and of nothing else.

        Returns:
            Functional model from float (batch, image_size, image_size, 1) in 0..1 to float (batch, task.outputs).
        """


NETWORKS: dict[str, type[Model]] = {"paper": PaperCnn, "five-block": FiveBlockCnn, "residual": ResidualCnn}
CLASSICAL: dict[str, type[ClassicalModel]] = {
    "ridge": Ridge, "neighbours": NearestNeighbours, "logistic": LogisticRegression, "svm": SupportVectors,
    "forest": RandomForest}
MODELS: dict[str, type[Model] | type[ClassicalModel]] = {**NETWORKS, **CLASSICAL}
"""By name, as for ``--model``."""
DEFAULT_MODEL = "paper"


def model_named(name: str) -> type[Model] | type[ClassicalModel]:
    """The options of the model of that name.

    Raises:
        UserError: there is no such model.
    """
    return named(MODELS, name, "model")


def name_of(model: Model | ClassicalModel) -> str:
    """The name of a model of which these are the options."""
    return next(name for name, options in MODELS.items() if options is type(model))
