"""The paper's own numbers, as data. Nothing here is computed by this project."""

from functools import cache

import pandas as pd

from covidcnn.evaluation.metrics import Confusion

TEST_NORMAL, TEST_PNEUMONIA = 234, 390
TRAIN_COUNTS = {"NORMAL": 1341, "PNEUMONIA": 3875}
TEST_COUNTS = {"NORMAL": TEST_NORMAL, "PNEUMONIA": TEST_PNEUMONIA}

OPTIMIZER_TABLE = pd.DataFrame(
    {"test accuracy": [0.9263, 0.9103, 0.899, 0.8974, 0.859, 0.774],
     "test loss": [0.2109, 0.5744, 0.2997, 0.2821, 0.3266, 0.4621]},
    index=pd.Index(["Nadam", "RMSprop", "Adam", "SGD", "AdaGrad", "Adadelta"], name="optimizer"))
"""'Tables 2 and 3': one run each, chosen on the test set."""

FINAL_METRICS = {"accuracy": 0.9279, "sensitivity": 0.9589, "precision": 0.9280, "specificity": 0.8760, "f1": 0.9432}
"""Section 'Accuracy, Recall, Precision and Specificity' and below Eq. 10; recall is called sensitivity."""

LAYERS_IN_TEXT = 14
LAYER_LIST = {"Conv2D": 4, "MaxPooling2D": 4, "BatchNormalization": 4, "Dropout": 2, "Dense": 2}
"""The text says 14 layers; its own list adds up to 16."""


@cache
def matrices_that_fit(tolerance: float = 1e-4) -> tuple[Confusion, ...]:
    """All confusion matrices of 234 + 390 images that agree with all five metrics of the paper.

    The paper cuts some figures and rounds others (recall 374/390 = 0.95897 stands as 0.9589), so a figure agrees when
    it is less than one unit of its fourth decimal away.
    """
    matrices = (Confusion(right, TEST_NORMAL - right, TEST_PNEUMONIA - found, found)
                for right in range(TEST_NORMAL + 1) for found in range(TEST_PNEUMONIA + 1))
    return tuple(matrix for matrix in matrices if all(
        abs(getattr(matrix, name) - value) < tolerance for name, value in FINAL_METRICS.items()))
