"""What the options of several models have in common."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from covidcnn.errors import UserError

if TYPE_CHECKING:
    from covidcnn.backend import keras


def require_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number that is out of range.

    Raises:
        UserError: it is.
    """
    if not low <= value <= high:
        raise UserError(f"{name} {value} is out of range; choose one from {low} to {high}")


def normalise(options: Any) -> None:
    """Take whole numbers and lists for floats and tuples, so that equal options are equal: for ``__post_init__``."""
    for field in fields(options):
        value = getattr(options, field.name)
        if field.type is float or isinstance(value, list):
            object.__setattr__(options, field.name, float(value) if field.type is float else tuple(value))


def require_widths(name: str, widths: tuple[int, ...]) -> None:
    """Refuse numbers of kernels of which there is none, or one below 1.

    Raises:
        UserError: they are.
    """
    if not widths or min(widths) < 1:
        raise UserError(f"{name} {list(widths)}: give at least one number, each at least 1")


def initial_weights(seed: int, position: int) -> "keras.initializers.Initializer":
    """Glorot's, with a seed of its own for each layer: what was built before in the process has no say."""
    from covidcnn.backend import keras

    return keras.initializers.GlorotUniform(seed=1000 * seed + position)
