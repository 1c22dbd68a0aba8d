"""A training as a plain value: everything that decides its result but the data and the seed."""

from collections.abc import Mapping
from dataclasses import asdict, field, fields, replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter
from pydantic.dataclasses import dataclass

from covidcnn.augment import AUGMENTATIONS, BALANCING
from covidcnn.config import Profile
from covidcnn.data.splits import VALIDATION_DESIGNS
from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.classical import ClassicalModel
from covidcnn.models.options import Checked, checked, one_of, some_of
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.models.registry import DEFAULT_MODEL, Model, model_named, name_of
from covidcnn.perturbations import CHOSEN_UNDER, PERTURBATIONS
from covidcnn.training.optimizers import optimizer_name
from covidcnn.training.precision import PRECISIONS
from covidcnn.training.schedules import SCHEDULES

CHOICES = ("validation", "validation accuracy", *CHOSEN_UNDER, "last")
"""Which epoch is kept: the first with the lowest loss on validation, with the highest accuracy there, or with the
lowest mean loss over validation under the perturbations of ``CHOSEN_UNDER``; or the last. Keras's ``ModelCheckpoint``,
which the paper names, keeps the last by default: it overwrites its file after every epoch."""
TEACHERS = ("none", "hard", "soft")
"""What becomes of training images whose labels are not known: left out, or labelled by a teacher, which is trained by
the same recipe on the others, for about as many steps as all images take; with the class that it predicts ('hard') or
its score ('soft')."""
UNLABELLED = "unlabelled"
"""The role of training images whose labels are not known, beside ``ROLES``."""
_PARTS = ("images", "model")
"""Fields of ``Recipe`` that are settings of their own."""
ROLES = ("train", "validation", "test")
"""What a training may do with images: learn from them, be chosen on them, be judged by them."""
_IMAGES = TypeAdapter(ImageSettings)


@dataclass(frozen=True)
class Recipe(Checked):
    """How to train a model. Defaults are the paper's, or stated assumptions."""

    epochs: Annotated[int, Field(ge=1)]
    images: ImageSettings = field(default_factory=ImageSettings)
    model: Annotated[Model | ClassicalModel, PlainValidator(lambda options: options)] = field(default_factory=PaperCnn)
    """Options of a model of ``covidcnn.models.registry``."""
    optimizer: Annotated[str, AfterValidator(optimizer_name)] = "Nadam"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """None takes Keras's default; the paper gives none."""
    schedule: Annotated[str, one_of(SCHEDULES, "schedule")] = "constant"
    weight_average: Annotated[float, Field(ge=0, le=0.9999)] = 0.0
    """Momentum of a moving average of the weights over steps, which then is what is validated and kept; 0: none."""
    choose_by: Annotated[str, one_of(CHOICES, "choice of the epoch")] = "validation"
    augmentation: Annotated[str, one_of(AUGMENTATIONS, "augmentation")] = "none"
    balance: Annotated[str, one_of(BALANCING, "balancing")] = "none"
    batch_size: Annotated[int, Field(ge=1)] = 32
    """An assumption: Keras's default."""
    validation: Annotated[str, one_of(VALIDATION_DESIGNS, "validation design")] = "patient"
    """How validation is split from train."""
    validation_fraction: Annotated[float, Field(ge=0.001, le=0.999)] = 0.15
    split_seed: int = 0
    """Of the split and of the draw: the same for every training seed, so that seeds compare."""
    max_training_images: Annotated[int, Field(ge=1)] | None = None
    """Training and validation images together, drawn by patient; None takes all."""
    training_draw: Annotated[tuple[Annotated[int, Field(ge=2)], Annotated[float, Field(gt=0, lt=1)]],
                             Field(strict=False)] | None = None
    """(number, share of NORMAL): so many training images, drawn by patient after validation was split off."""
    label_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the training images so many have a label that is known; drawn by patient, with each seed others."""
    teacher: Annotated[str, one_of(TEACHERS, "use of a teacher")] = "none"
    min_confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.5
    """From this score of the predicted class on a teacher's label is learnt."""
    precision: Annotated[str, one_of(PRECISIONS, "precision")] = "auto"
    """'auto' takes bfloat16 where the machine is faster in it."""
    score_every_epoch: Annotated[tuple[str, ...], Field(strict=False), some_of(ROLES, "role")] = ()
    """Whose images are scored after every epoch, so that rules of choosing one can be compared."""
    perturbations: Annotated[tuple[str, ...], Field(strict=False), some_of(PERTURBATIONS, "perturbation")] = ()
    """At the end, what is scored is scored once more under each."""

    def __post_init__(self) -> None:
        if self.images.size < self.model.smallest_image:
            raise UserError(f"image size {self.images.size} is too small for the poolings of the model; "
                            f"choose at least {self.model.smallest_image}")


def recipe_of_teacher(recipe: Recipe) -> Recipe:
    """By which the teacher of a student is trained: on the known labels, in about as many steps as the student. On few
    images an epoch has few steps: a student that is better only because it took more would show nothing."""
    return replace(recipe, teacher="none", min_confidence=0.5, perturbations=(), score_every_epoch=(),
                   epochs=round(recipe.epochs / recipe.label_share))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """All settings by name: the recipe's, its images' and its model's options, and the model's name."""
    return {name: getattr(recipe, name) for name in fields_of(Recipe)} | {
        "model": name_of(recipe.model), **asdict(recipe.images), **asdict(recipe.model)}


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """The recipe with these settings, named as ``settings_of`` names them; the others have their defaults. A UserError
    if a name is unknown, or a value is wrong."""
    options = model_named(str(settings.get("model", DEFAULT_MODEL)))
    own = {name: value for name, value in settings.items() if name != "model"}
    images, model = ({name: own.pop(name) for name in fields_of(kind) if name in own}
                     for kind in (ImageSettings, options))
    return Recipe(**own, images=checked(_IMAGES, images), model=options(**model))


def fields_of(kind: type) -> list[str]:
    """The fields of a dataclass, ``Recipe``'s without its parts."""
    return [field.name for field in fields(kind) if field.name not in _PARTS]


def profile_recipe(profile: Profile, **changes: object) -> Recipe:
    """The recipe at a profile's scale, with ``changes`` to other settings, as ``settings_of`` names them."""
    settings: dict[str, object] = {"epochs": profile.epochs, "size": profile.image_size, "precision": profile.precision,
                                   "max_training_images": profile.max_training_images}
    if "batch_norm_momentum" in fields_of(model_named(str(changes.get("model", DEFAULT_MODEL)))):
        settings["batch_norm_momentum"] = profile.batch_norm_momentum
    return recipe_of(settings | changes)
