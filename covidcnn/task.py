"""What a model tells apart: a plain value, passed wherever the names of classes matter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from covidcnn.errors import DataError, UserError


@dataclass(frozen=True)
class Task:
    """The classes of a classification. Of two, one is positive: what sensitivity and the threshold are about."""

    classes: tuple[str, ...]
    """Names in order, as they stand in the column ``label``; of two, the second is the positive one."""
    column: str = "label"
    """What names the class of an image: 'label', its folder or a table of labels; or 'subtype', its file name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len({name.upper() for name in self.classes} - {""}) != len(self.classes) or len(self.classes) < 2:
            raise UserError(f"classes {', '.join(self.classes)}: give at least two names, each once")
        for name in self.classes:
            if "," in name or not name.isprintable() or name != name.strip():
                raise UserError(f"class {name!a}: a name on one line, without a comma or outer blanks, is needed; "
                                "rename it")
        if self.column not in ("label", "subtype"):
            raise UserError(f"unknown column of classes '{self.column}'; choose label or subtype")

    def __str__(self) -> str:
        """As ``task_named`` reads it."""
        return next((name for name, task in TASKS.items() if task == self), ",".join(self.classes))

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def positive(self) -> str:
        """The positive class of a binary task."""
        return self.classes[-1]

    @property
    def outputs(self) -> int:
        """Units of a network's last layer: one of a binary task, for its positive class; else one a class."""
        return 1 if self.is_binary else len(self.classes)

    @property
    def activation(self) -> str:
        """Of a network's last layer, by Keras's name."""
        return "sigmoid" if self.is_binary else "softmax"

    @property
    def loss(self) -> str:
        """Keras's name of the loss."""
        return "binary_crossentropy" if self.is_binary else "sparse_categorical_crossentropy"

    @property
    def score_columns(self) -> list[str]:
        """Columns of a table of scores: ``score``, the probability of the positive class, or one a class."""
        return ["score"] if self.is_binary else [f"score {name}" for name in self.classes]

    def encode(self, labels: pd.Series) -> np.ndarray:
        """Class names as their places in ``classes``, int (n,); a ValueError if one is not among them."""
        places = pd.Index(self.classes).get_indexer(labels)
        if (places < 0).any():
            raise ValueError(f"the label {labels.iloc[int(places.argmin())]!r} is not among {', '.join(self.classes)}")
        return places

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """What a table of scores holds of probabilities, float (n, classes), in the columns ``score_columns``."""
        return probabilities[:, 1:] if self.is_binary else probabilities

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """A probability for each class, float (n, classes), from a network's outputs, float (n, outputs)."""
        return np.hstack([1 - outputs, outputs]) if self.is_binary else outputs

    def probabilities_of_logits(self, logits: np.ndarray) -> np.ndarray:
        """A probability for each class, float (n, classes), from logits, float (n, outputs): what a network gives
        without its last layer's activation."""
        # The sigmoid is the softmax of 0 and the logit.
        logits = np.hstack([np.zeros_like(logits), logits]) if self.is_binary else logits
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
        """The predicted class as its place in ``classes``, int (n,), from probabilities, float (n, classes): of two
        classes the positive one from the threshold on, of more the most probable."""
        return (probabilities[:, 1] >= threshold).astype(int) if self.is_binary else probabilities.argmax(axis=1)

    def with_positive(self, positive: str) -> "Task":
        """The same two classes with ``positive`` as the positive one, in letters of either case; a UserError if there
        are more classes, or none of this name. Empty changes nothing."""
        if not positive:
            return self
        if not self.is_binary:
            raise UserError(f"--positive {positive}: there are {len(self.classes)} classes, {', '.join(self.classes)}, "
                            "and of more than two none is the positive one; leave it out, or mend a misspelt label")
        others = [name for name in self.classes if name.upper() != positive.upper()]
        if len(others) != 1:
            raise UserError(f"--positive {positive}: not among the classes; choose {' or '.join(self.classes)}")
        return replace(self, classes=(*others, next(name for name in self.classes if name not in others)))


PNEUMONIA = Task(("NORMAL", "PNEUMONIA"))
"""The paper's."""
SUBTYPE = Task(("NORMAL", "BACTERIA", "VIRUS"), "subtype")
"""Read from the published file names."""
COVID = Task(("NonCOVID", "COVID"))
"""Of the public sets of CT slices."""
TASKS = {"pneumonia": PNEUMONIA, "subtype": SUBTYPE, "covid": COVID}
"""By name, as for ``--task``."""


def task_named(text: str) -> Task:
    """The task of a name in ``TASKS``, or of class names that are separated by commas; else a UserError."""
    if "," in text:
        return Task(tuple(name.strip() for name in text.split(",")))
    if text not in TASKS:
        raise UserError(f"unknown task '{text}'; choose {', '.join(TASKS)}, or give class names separated by commas")
    return TASKS[text]


def labelled(images: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Rows of an index, their column ``label`` holding the task's class; a DataError if that of one is not known."""
    if task.column == "label":
        return images
    labels = images[task.column].str.upper()
    unknown = ~labels.isin(task.classes)
    if unknown.any():
        raise DataError(f"{int(unknown.sum())} images whose {task.column} their names do not tell, the first "
                        f"{images.loc[unknown, 'path'].iloc[0]}; name them as the published ones are, or say it with "
                        "--labels CSV")
    return images.assign(label=labels)


def names_of(classes: Sequence[str]) -> str:
    """'A, B and C'."""
    return " and ".join([", ".join(classes[:-1]), classes[-1]])
