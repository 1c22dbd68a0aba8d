"""The six optimizers of the paper ('Tables 2 and 3'), by the paper's names, and two of them with momentum."""

from typing import TYPE_CHECKING, Any

from covidcnn.errors import named

if TYPE_CHECKING:
    from covidcnn.backend import keras

# As plain data, so that a recipe can be read, and a table of trials printed, without waiting for TensorFlow.
_PAPERS = {"Nadam": ("Nadam", 0.001), "RMSprop": ("RMSprop", 0.001), "Adam": ("Adam", 0.001), "SGD": ("SGD", 0.01),
           "AdaGrad": ("Adagrad", 0.001), "Adadelta": ("Adadelta", 0.001)}
"""Keras's name and Keras's default learning rate by the paper's name."""

OPTIMIZERS = tuple(_PAPERS)
"""In the paper's order of test accuracy."""

WITH_MOMENTUM = {f"{name} with momentum": name for name in ("SGD", "RMSprop")}
"""The paper calls both popular with momentum; its table does not say whether it used any. Momentum is 0.9."""


def optimizer_name(name: str) -> str:
    """The paper's spelling of an optimizer's name, whatever its case; a UserError if it is none of the known."""
    known = {spelled: spelled for spelled in (*OPTIMIZERS, *WITH_MOMENTUM)}
    return named(known, next((spelled for spelled in known if spelled.lower() == name.lower()), name), "optimizer")


def default_learning_rate(name: str) -> float:
    """Keras's default learning rate of an optimizer: the paper gives none."""
    known = optimizer_name(name)
    return _PAPERS[WITH_MOMENTUM.get(known, known)][1]


def make_optimizer(name: str, learning_rate: "float | keras.optimizers.schedules.LearningRateSchedule | None" = None,
                   weight_average: float = 0.0) -> "keras.optimizers.Optimizer":
    """A fresh optimizer object, by its name in any case: one that has trained carries state from model to model. No
    rate is ``default_learning_rate``; ``weight_average`` is the momentum of an average of the weights, 0 for none."""
    from covidcnn.backend import keras

    known = optimizer_name(name)
    options: dict[str, Any] = {"momentum": 0.9} if known in WITH_MOMENTUM else {}
    if weight_average:
        options |= {"use_ema": True, "ema_momentum": weight_average}
    optimizer = getattr(keras.optimizers, _PAPERS[WITH_MOMENTUM.get(known, known)][0])
    return optimizer(default_learning_rate(known) if learning_rate is None else learning_rate, **options)
