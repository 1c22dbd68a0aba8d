"""A training as a plain value: everything that decides its result but the data and the seed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator

from covidcnn.augment import BALANCING, augmentation_named
from covidcnn.config import Profile
from covidcnn.data.splits import VALIDATION_DESIGNS
from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.options import require_range
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.models.registry import DEFAULT_MODEL, Model, model_named, name_of
from covidcnn.perturbations import PERTURBATIONS
from covidcnn.training.optimizers import optimizer_name
from covidcnn.training.precision import PRECISIONS
from covidcnn.training.schedules import schedule_named

if TYPE_CHECKING:
    from covidcnn.data.dataset import DataSet

CHOICES = ("validation", "validation accuracy", "shifted validation", "last")
"""Which epoch is kept: the first with the lowest loss on validation, with the highest accuracy there, or with the
lowest mean loss over ``SIMULATED_SHIFTS`` of validation; or the last. Keras's ``ModelCheckpoint``, which the paper
names, keeps the last by default: it overwrites its file after every epoch."""
_PARTS = ("images", "model")
"""Fields of ``Recipe`` that are settings of their own."""
ROLES = ("train", "validation", "test")
"""What a training may do with images: learn from them, be chosen on them, be judged by them."""


def _model_of(value: Model | ClassicalModel | dict[str, Any]) -> Model | ClassicalModel:
    """The options that JSON has as a dictionary, with the model's name under ``model``."""
    if not isinstance(value, dict):
        return value
    return model_named(value["model"])(**{name: entry for name, entry in value.items() if name != "model"})


@dataclass(frozen=True)
class Recipe:
    """How to train a model. Defaults are the paper's, or stated assumptions."""

    epochs: int
    images: ImageSettings = field(default_factory=ImageSettings)
    model: Annotated[Model | ClassicalModel, PlainValidator(_model_of)] = field(default_factory=PaperCnn)
    """Options of a model of ``covidcnn.models.registry``."""
    optimizer: str = "Nadam"
    learning_rate: float | None = None
    """None takes Keras's default; the paper gives none."""
    schedule: str = "constant"
    """A name of ``covidcnn.training.schedules.SCHEDULES``."""
    weight_average: float = 0.0
    """Momentum of a moving average of the weights over steps, which then is what is validated and kept; 0: none."""
    choose_by: str = "validation"
    """One of ``CHOICES``: which epoch is kept."""
    augmentation: str = "none"
    balance: str = "none"
    batch_size: int = 32
    """An assumption: Keras's default."""
    validation: str = "patient"
    """How validation is cut from train: a design of ``covidcnn.data.splits``."""
    validation_fraction: float = 0.15
    split_seed: int = 0
    """Of the cut and of the draw: the same for every training seed, so that seeds compare."""
    max_training_images: int | None = None
    """Training and validation images together, drawn by patient; None takes all."""
    training_draw: tuple[int, float] | None = None
    """(images, share of NORMAL): so many training images, drawn by patient after validation was cut."""
    precision: str = "auto"
    """One of ``PRECISIONS``; 'auto' takes bfloat16 where the machine has it."""
    score_every_epoch: tuple[str, ...] = ()
    """Of ``ROLES``: whose images are scored after every epoch, so that rules of choosing one can be compared."""
    perturbations: tuple[str, ...] = ()
    """Of ``PERTURBATIONS``: at the end, what is scored is scored once more under each."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer", optimizer_name(self.optimizer))
        augmentation_named(self.augmentation)
        schedule_named(self.schedule)
        # Whole numbers and lists are taken for floats and tuples, so that equal recipes are equal.
        for name in ("validation_fraction", "weight_average"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.learning_rate is not None:
            object.__setattr__(self, "learning_rate", float(self.learning_rate))
        for name, choice, known in (("balancing", self.balance, BALANCING), ("precision", self.precision, PRECISIONS),
                                    ("validation design", self.validation, VALIDATION_DESIGNS),
                                    ("choice of the epoch", self.choose_by, CHOICES),
                                    *(("role", role, ROLES) for role in self.score_every_epoch),
                                    *(("perturbation", name, PERTURBATIONS) for name in self.perturbations)):
            if choice not in known:
                raise UserError(f"unknown {name} '{choice}'; choose one of {', '.join(known)}")
        # In one order and once each: equal recipes are equal.
        for name, known in (("score_every_epoch", ROLES), ("perturbations", PERTURBATIONS)):
            object.__setattr__(self, name, tuple(entry for entry in known if entry in getattr(self, name)))
        require_range("validation fraction", self.validation_fraction, 0.001, 0.999)
        require_range("weight average", self.weight_average, 0, 0.9999)
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UserError(f"learning rate {self.learning_rate} is out of range; choose a finite one above 0")
        if self.max_training_images is not None and self.max_training_images < 1:
            raise UserError(f"{self.max_training_images} training images are too few; choose at least 1")
        if self.training_draw is not None and not (self.training_draw[0] >= 2 and 0 < self.training_draw[1] < 1):
            raise UserError(f"training draw {self.training_draw}: give at least 2 images, and a share of NORMAL "
                            "between 0 and 1")
        if self.epochs < 1 or self.batch_size < 1:
            raise UserError(f"{self.epochs} epochs in batches of {self.batch_size}: both must be at least 1")
        if self.images.size < self.model.smallest_image:
            raise UserError(f"image size {self.images.size} is too small for the poolings of the model; "
                            f"choose at least {self.model.smallest_image}")


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """All settings by name: the recipe's, its images' and its model's options, and the model's name."""
    return {field.name: getattr(recipe, field.name) for field in fields(recipe) if field.name not in _PARTS} | {
        "model": name_of(recipe.model), **asdict(recipe.images), **asdict(recipe.model)}


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """The recipe with these settings, named as ``settings_of`` names them; the others have their defaults.

    Raises:
        TypeError: a name is unknown.
        UserError: a value is wrong.
    """
    options = model_named(settings.get("model", DEFAULT_MODEL))
    own = {name: value for name, value in settings.items() if name != "model"}
    images, model = ({name: own.pop(name) for name in fields_of(kind) if name in own}
                     for kind in (ImageSettings, options))
    return Recipe(**own, images=ImageSettings(**images), model=options(**model))


def fields_of(kind: type) -> list[str]:
    """The fields of a dataclass, ``Recipe``'s without its parts."""
    return [field.name for field in fields(kind) if field.name not in _PARTS]


def profile_recipe(profile: Profile, preprocess: str = "plain", **changes: object) -> Recipe:
    """The recipe at a profile's scale, with ``changes`` to other settings, as ``settings_of`` names them."""
    settings = {"epochs": profile.epochs, "size": profile.image_size, "preprocess": preprocess,
                "max_training_images": profile.max_training_images, "precision": profile.precision}
    if "batch_norm_momentum" in fields_of(model_named(str(changes.get("model", DEFAULT_MODEL)))):
        settings["batch_norm_momentum"] = profile.batch_norm_momentum
    return recipe_of(settings | changes)


def recipe_for(dataset: "DataSet", recipe: Recipe) -> Recipe:
    """``recipe`` with the validation that ``dataset`` brings along.

    'patient', the default, means the official split where there is one.
    """
    return replace(recipe, validation=dataset.source.validation) if recipe.validation == "patient" else recipe
