"""Learning-rate schedules by name: a new one is a dataclass here and an entry in ``SCHEDULES``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from covidcnn.backend import keras


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""


@dataclass(frozen=True)
class Cosine:
    """Down to zero over the training, along half a cosine."""


@dataclass(frozen=True)
class WarmCosine:
    """Up from zero in equal steps over the first epochs, then down to zero along half a cosine: for weights that come
    from other images, which large first steps would spoil."""

    warm_up: int = 1
    """Epochs."""


@dataclass(frozen=True)
class Plateau:
    """Multiplied by ``factor`` whenever 'val_accuracy' or 'val_loss' has not improved, by Keras's default of more than
    0.0001, for ``patience`` epochs: Keras's ``ReduceLROnPlateau``. Each run takes a path of its own, a random one where
    the images are few."""

    monitor: str
    factor: float = 0.3
    patience: int = 2
    lowest: float = 1e-6
    """The rate falls no further."""


@dataclass(frozen=True)
class Decay:
    """Multiplied by ``factor`` every ``every`` epochs: the same for every run."""

    factor: float = 0.3
    every: int = 3


Schedule = Constant | Cosine | WarmCosine | Plateau | Decay

SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "cosine": Cosine(),
    "warm cosine": WarmCosine(),
    # Of the public recipe (see ``covidcnn.augment.AUGMENTATIONS``).
    "plateau": Plateau("val_accuracy"),
    "loss plateau": Plateau("val_loss"),
    "decay": Decay(),
}


def learning_rate(schedule: Schedule, rate: float, steps: int, epochs: int
                  ) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """What an optimizer is given, from the rate at the beginning and the steps of an epoch."""
    from covidcnn.backend import keras

    match schedule:
        case Cosine():
            return keras.optimizers.schedules.CosineDecay(rate, steps * epochs)
        case WarmCosine():
            first = steps * min(schedule.warm_up, epochs)
            return keras.optimizers.schedules.CosineDecay(0.0, max(steps * epochs - first, 1), warmup_target=rate,
                                                          warmup_steps=first)
        case Decay():
            return keras.optimizers.schedules.ExponentialDecay(rate, steps * schedule.every, schedule.factor,
                                                               staircase=True)
    return rate


def plateau_callbacks(schedule: Schedule, history: "pd.DataFrame") -> "list[keras.callbacks.Callback]":
    """The callback that a schedule needs, if it needs one; its state follows from the history of the epochs that an
    earlier process has finished."""
    if not isinstance(schedule, Plateau):
        return []
    from covidcnn.backend import keras

    class ContinuedPlateau(keras.callbacks.ReduceLROnPlateau):
        def on_train_begin(self, logs: dict | None = None) -> None:
            super().on_train_begin(logs)
            for epoch, earlier in enumerate(history.to_dict("records")):
                self.model.optimizer.learning_rate = earlier["learning_rate"]
                self.on_epoch_end(epoch, earlier)

    return [ContinuedPlateau(schedule.monitor, schedule.factor, schedule.patience, min_lr=schedule.lowest,
                             mode="max" if schedule.monitor == "val_accuracy" else "min")]
