"""A training as a plain value: everything that decides its result but the data and the seed."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from covidcnn.augment import BALANCING, augmentation_named
from covidcnn.config import Profile
from covidcnn.data.splits import VALIDATION_DESIGNS
from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import FILTERS
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
ROLES = ("train", "validation", "test")
"""What a training may do with images: learn from them, be chosen on them, be judged by them."""


@dataclass(frozen=True)
class Recipe:
    """How to train the paper's network. Defaults are the paper's, or stated assumptions."""

    epochs: int
    images: ImageSettings = field(default_factory=ImageSettings)
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
    filters: tuple[int, ...] = FILTERS
    dropout: float = 0.2
    batch_norm: bool = True
    """Without it the network is not the paper's: to see what batch normalisation does."""
    batch_norm_momentum: float = 0.99
    validation: str = "patient"
    """How validation is cut from train: a design of ``covidcnn.data.splits``."""
    validation_fraction: float = 0.15
    split_seed: int = 0
    """Of the cut and of the draw: the same for every training seed, so that seeds compare."""
    max_training_images: int | None = None
    """Training and validation films together, drawn by patient; None takes all."""
    training_draw: tuple[int, float] | None = None
    """(films, share of NORMAL): so many training films, drawn by patient after validation was cut."""
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
        for name in ("dropout", "batch_norm_momentum", "validation_fraction", "weight_average"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.learning_rate is not None:
            object.__setattr__(self, "learning_rate", float(self.learning_rate))
        object.__setattr__(self, "filters", tuple(self.filters))
        if not self.filters or min(self.filters) < 1:
            raise UserError(f"filters {list(self.filters)}: give at least one number, each at least 1")
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
        for name, value, low, high in (("dropout", self.dropout, 0, 0.99), ("batch-norm momentum",
                                       self.batch_norm_momentum, 0, 1), ("validation fraction",
                                       self.validation_fraction, 0.001, 0.999),
                                       ("weight average", self.weight_average, 0, 0.9999)):
            if not low <= value <= high:
                raise UserError(f"{name} {value} is out of range; choose one from {low} to {high}")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UserError(f"learning rate {self.learning_rate} is out of range; choose a finite one above 0")
        if self.max_training_images is not None and self.max_training_images < 1:
            raise UserError(f"{self.max_training_images} training images are too few; choose at least 1")
        if self.training_draw is not None and not (self.training_draw[0] >= 2 and 0 < self.training_draw[1] < 1):
            raise UserError(f"training draw {self.training_draw}: give at least 2 films, and a share of NORMAL "
                            "between 0 and 1")
        if self.epochs < 1 or self.batch_size < 1:
            raise UserError(f"{self.epochs} epochs in batches of {self.batch_size}: both must be at least 1")
        if self.images.size < 2 ** len(self.filters):
            raise UserError(f"image size {self.images.size} is too small for {len(self.filters)} poolings; "
                            f"choose at least {2 ** len(self.filters)}")


def profile_recipe(profile: Profile, preprocess: str = "plain", **changes: object) -> Recipe:
    """The recipe at a profile's scale, with ``changes`` to other fields of :class:`Recipe`."""
    return Recipe(
        epochs=profile.epochs,
        images=ImageSettings(profile.image_size, preprocess),
        batch_norm_momentum=profile.batch_norm_momentum,
        max_training_images=profile.max_training_images,
        precision=profile.precision,
        **changes,  # type: ignore[arg-type]
    )


def recipe_for(dataset: "DataSet", recipe: Recipe) -> Recipe:
    """``recipe`` with the validation that ``dataset`` brings along.

    PneumoniaMNIST has an official one, on which its published results were chosen, and no patients to cut another
    by: 'patient', the default, means the official split there.
    """
    if dataset.is_pneumoniamnist and recipe.validation == "patient":
        return replace(recipe, validation="published")
    return recipe
