"""The six optimizers of the paper ('Tables 2 and 3'), by the paper's names."""

from covidcnn.backend import keras
from covidcnn.errors import UserError

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "Nadam": keras.optimizers.Nadam,
    "RMSprop": keras.optimizers.RMSprop,
    "Adam": keras.optimizers.Adam,
    "SGD": keras.optimizers.SGD,
    "AdaGrad": keras.optimizers.Adagrad,
    "Adadelta": keras.optimizers.Adadelta,
}

OPTIMIZERS = tuple(_OPTIMIZERS)
"""In the paper's order of test accuracy."""


def optimizer_name(name: str) -> str:
    """The paper's spelling of an optimizer's name, whatever its case.

    Raises:
        UserError: it is none of the six.
    """
    for known in OPTIMIZERS:
        if known.lower() == name.lower():
            return known
    raise UserError(f"unknown optimizer '{name}'; choose one of {', '.join(OPTIMIZERS)}")


SCHEDULES = ("constant", "cosine")


def make_optimizer(name: str, learning_rate: float | None = None, schedule: str = "constant", steps: int = 0,
                   weight_average: float = 0.0) -> keras.optimizers.Optimizer:
    """A fresh optimizer object: one that has trained carries state from model to model.

    Args:
        name: one of the six, in any case.
        learning_rate: None takes Keras's default (0.01 for SGD, 0.001 for the others), the paper's
            being unknown.
        schedule: one of ``SCHEDULES``.
        steps: of the whole training; for a schedule that is not constant.
        weight_average: momentum of a moving average of the weights, in [0, 1); 0 for none.

    Raises:
        UserError: unknown name.
    """
    optimizer = _OPTIMIZERS[optimizer_name(name)]
    rate = default_learning_rate(name) if learning_rate is None else learning_rate
    averaging = {"use_ema": True, "ema_momentum": weight_average} if weight_average else {}
    if schedule == "cosine":
        return optimizer(learning_rate=keras.optimizers.schedules.CosineDecay(rate, steps), **averaging)
    return optimizer(learning_rate=rate, **averaging)


def default_learning_rate(name: str) -> float:
    """Keras's default learning rate of an optimizer, in decimal and not in float32."""
    return float(str(_OPTIMIZERS[optimizer_name(name)]().learning_rate.numpy()))
