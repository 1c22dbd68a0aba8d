"""The models that can be trained: each one a small file, a dataclass of options, an entry here."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from covidcnn.errors import named
from covidcnn.models.classical import CLASSICAL, ClassicalModel
from covidcnn.models.efficientnet_lite0 import EfficientNetLite0
from covidcnn.models.five_block import FiveBlockCnn
from covidcnn.models.keras_applications import KerasApplication
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
        """The network in plain Keras, in float32, not compiled: Functional, from float (batch, image_size, image_size,
        1) in 0..1 to float (batch, task.outputs) by ``task.activation``. The seed is that of initial weights and
        dropout, and of nothing else."""


NETWORKS: dict[str, type[Model]] = {"paper": PaperCnn, "five-block": FiveBlockCnn, "residual": ResidualCnn,
                                    "lite0": EfficientNetLite0, "keras-applications": KerasApplication}
MODELS: dict[str, type[Model] | type[ClassicalModel]] = {**NETWORKS, **CLASSICAL}
"""By name, as for ``--model``."""
DEFAULT_MODEL = "paper"


def model_named(name: str) -> type[Model] | type[ClassicalModel]:
    """The options of the model of that name; a UserError if there is none."""
    return named(MODELS, name, "model")


def untrained(model: Model) -> Model:
    """The model with its option ``pretrained``, if it has one, set to false: such weights may not be installed."""
    return replace(model, pretrained=False) if "pretrained" in model.__dataclass_fields__ else model


def name_of(model: Model | ClassicalModel) -> str:
    """The name of a model of which these are the options."""
    return next(name for name, options in MODELS.items() if options is type(model))
