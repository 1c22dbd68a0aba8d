"""From which score on the positive class is predicted: 0.5, as the paper seems to, or fixed on validation."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from covidcnn.errors import named
from covidcnn.task import PNEUMONIA, Task

RULES = ("0.5", "youden", "sensitivity")
"""'0.5'; 'youden': the highest sensitivity + specificity; 'sensitivity': the highest specificity at a
target sensitivity."""


def fix_threshold(validation: pd.DataFrame, rule: str = "0.5", target_sensitivity: float = 0.95,
                  task: Task = PNEUMONIA) -> float:
    """The threshold that one of ``RULES`` gives on validation images, with ``label`` and ``score``; both of the task's
    two classes present. The target sensitivity is in (0, 1].

    Between two images' scores every threshold does equally well; the middle is taken, which asks least of new images.
    """
    named(dict.fromkeys(RULES), rule, "threshold rule")
    if rule == "0.5":
        return 0.5
    labels, scores = task.encode(validation["label"]), validation["score"].to_numpy(float)
    false_alarms, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = int(np.argmax(sensitivity - false_alarms if rule == "youden" else sensitivity >= target_sensitivity))
    below = scores[scores < thresholds[best]]
    lower = below.max() if len(below) else 0.0
    return float((min(thresholds[best], 1.0) + lower) / 2)
