"""The six optimizers of the paper ('Tables 2 and 3'), by the paper's names."""

from typing import TYPE_CHECKING

from covidcnn.errors import UserError

if TYPE_CHECKING:
    from covidcnn.backend import keras

# As plain data, so that a recipe can be read, and a table of trials printed, without waiting for TensorFlow.
_OPTIMIZERS = {"Nadam": ("Nadam", 0.001), "RMSprop": ("RMSprop", 0.001), "Adam": ("Adam", 0.001), "SGD": ("SGD", 0.01),
               "AdaGrad": ("Adagrad", 0.001), "Adadelta": ("Adadelta", 0.001)}
"""Keras's name and Keras's default learning rate by the paper's name."""

OPTIMIZERS = tuple(_OPTIMIZERS)
"""In the paper's order of test accuracy."""

SCHEDULES = ("constant", "cosine")


def optimizer_name(name: str) -> str:
    """The paper's spelling of an optimizer's name, whatever its case.

    Raises:
        UserError: it is none of the six.
    """
    for known in OPTIMIZERS:
        if known.lower() == name.lower():
            return known
    raise UserError(f"unknown optimizer '{name}'; choose one of {', '.join(OPTIMIZERS)}")


def default_learning_rate(name: str) -> float:
    """Keras's default learning rate of an optimizer: the paper gives none.

    Raises:
        UserError: unknown name.
    """
    return _OPTIMIZERS[optimizer_name(name)][1]


def make_optimizer(name: str, learning_rate: float | None = None, schedule: str = "constant", steps: int = 0,
                   weight_average: float = 0.0) -> "keras.optimizers.Optimizer":
    """A fresh optimizer object: one that has trained carries state from model to model.

    Args:
        name: one of the six, in any case.
        learning_rate: None takes ``default_learning_rate``.
        schedule: one of ``SCHEDULES``.
        steps: of the whole training; for a schedule that is not constant.
        weight_average: momentum of a moving average of the weights, in [0, 1); 0 for none.

    Raises:
        UserError: unknown name.
    """
    from covidcnn.backend import keras

    keras_name, default_rate = _OPTIMIZERS[optimizer_name(name)]
    optimizer = getattr(keras.optimizers, keras_name)
    rate = default_rate if learning_rate is None else learning_rate
    averaging = {"use_ema": True, "ema_momentum": weight_average} if weight_average else {}
    if schedule == "cosine":
        return optimizer(learning_rate=keras.optimizers.schedules.CosineDecay(rate, steps), **averaging)
    return optimizer(learning_rate=rate, **averaging)
