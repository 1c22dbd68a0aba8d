"""The six optimizers of the paper ('Tables 2 and 3'), by the paper's names, and a few others."""

from typing import TYPE_CHECKING, Any

from covidcnn.errors import named

if TYPE_CHECKING:
    from covidcnn.backend import keras

# As plain data, so that a recipe can be read, and a table of trials printed, without waiting for TensorFlow.
_PAPERS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "Nadam": ("Nadam", 0.001, {}), "RMSprop": ("RMSprop", 0.001, {}), "Adam": ("Adam", 0.001, {}),
    "SGD": ("SGD", 0.01, {}), "AdaGrad": ("Adagrad", 0.001, {}), "Adadelta": ("Adadelta", 0.001, {})}
"""By the paper's name Keras's name, Keras's default learning rate, and what else is set."""

OPTIMIZERS = tuple(_PAPERS)
"""In the paper's order of test accuracy."""

_KNOWN = _PAPERS | {
    # The paper calls both popular with momentum; its table does not say whether it used any.
    "SGD with momentum": ("SGD", 0.01, {"momentum": 0.9}),
    "RMSprop with momentum": ("RMSprop", 0.001, {"momentum": 0.9}),
    # Adam with Keras's weight decay of 0.004, for networks whose weights come from other images.
    "AdamW": ("AdamW", 0.001, {})}


def optimizer_name(name: str) -> str:
    """The paper's spelling of an optimizer's name, whatever its case; a UserError if it is none of the known."""
    spelt = {known.lower(): known for known in _KNOWN}.get(name.lower(), name)
    named(_KNOWN, spelt, "optimizer")
    return spelt


def default_learning_rate(name: str) -> float:
    """Keras's default learning rate of an optimizer: the paper gives none."""
    return _KNOWN[optimizer_name(name)][1]


def make_optimizer(name: str, learning_rate: "float | keras.optimizers.schedules.LearningRateSchedule | None" = None,
                   weight_average: float = 0.0) -> "keras.optimizers.Optimizer":
    """A fresh optimizer object, by its name in any case: one that has trained carries state from model to model. No
    rate is ``default_learning_rate``; ``weight_average`` is the momentum of an average of the weights, 0 for none."""
    from covidcnn.backend import keras

    kind, usual, options = _KNOWN[optimizer_name(name)]
    if weight_average:
        options = options | {"use_ema": True, "ema_momentum": weight_average}
    return getattr(keras.optimizers, kind)(usual if learning_rate is None else learning_rate, **options)
