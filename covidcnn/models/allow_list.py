"""What a model file may hold: looked at before Keras sees any of it.

Keras's safe mode refuses Python functions, but what a configuration names is looked up among everything Keras has
and whatever other packages have registered, and archive members of other names are unpacked to disk. Here only the
parts of the registered networks pass, and only the three members that Keras needs are handed on.
"""

import json
import zipfile
from typing import Any

import numpy as np

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = ("metadata.json", CONFIG, WEIGHTS)

SKOPS, TREE = "schema.json", "sklearn.tree._tree.Tree"
"""The member by which a file of skops is known; and the one part of a model that skops does not trust, because damaged
trees make scikit-learn read beyond its memory: ``require_kind`` looks at them."""

LITERT = b"TFL3"
"""From byte 4 on in a LiteRT file. LiteRT looks at the rest itself; before, nothing but its SHA-256 is looked at."""

LARGEST_TEXT, LARGEST_WEIGHTS = 10_000_000, 2_000_000_000
"""Bytes, unpacked. The paper's network at 224 px has 25 MB of weights; more is a mistake or a decompression bomb."""

ALLOWED = [
    ("keras.src.models.functional", "Functional"), ("keras", "DTypePolicy"), (None, "__keras_tensor__"),
    *(("keras.layers", name) for name in ("InputLayer", "Conv2D", "BatchNormalization", "MaxPooling2D", "Dropout",
                                          "Flatten", "Dense", "ReLU", "Add", "GlobalAveragePooling2D",
                                          "DepthwiseConv2D", "Rescaling", "ZeroPadding2D", "Concatenate", "Activation",
                                          "AveragePooling2D")),
    *(("keras.initializers", name) for name in ("GlorotUniform", "Zeros", "Ones")),
]
"""(module, class) of everything that the networks of :mod:`covidcnn.models.registry` are made of."""


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member of a model file; a ValueError if it is too large, a KeyError if there is none."""
    limit = LARGEST_WEIGHTS if name == WEIGHTS or name.endswith((".npy", ".npz")) else LARGEST_TEXT
    # The stated size may be false, so the reading itself ends there too.
    with archive.open(name) as member:
        content = member.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} is too large")
    return content


def require_known_parts(config: bytes) -> None:
    """Refuse, by a ValueError, a configuration that names anything but the parts of the registered networks."""
    value = json.loads(config)
    if not isinstance(value, dict) or value.get("class_name") != "Functional":
        raise ValueError("no Functional model")
    # With a stack of its own: no depth of nesting is too deep.
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            names = {"module", "class_name", "registered_name"} & part.keys()
            kind = (part.get("module"), part.get("class_name"))
            if names and (kind not in ALLOWED or part.get("registered_name") not in (None, part.get("class_name"))):
                raise ValueError(f"{kind} is no part of the network")


def require_kind(estimator: Any, expected: Any, classes: int) -> None:
    """Refuse, by a ValueError, an estimator of scikit-learn that is not what its file says, before anything is asked of
    it: not of the types of ``expected``, which is not fitted, nor of the classes 0, 1 and so on, or a forest whose
    trees lead in circles, or to nodes, features or classes that are not there."""
    if type(estimator) is not type(expected) or list(map(type, _steps(estimator))) != list(map(type, _steps(expected))):
        raise ValueError("another kind of estimator")
    if not np.array_equal(estimator.classes_, np.arange(classes)):
        raise ValueError("other classes, or another order")
    for member in getattr(_steps(estimator)[-1], "estimators_", []):
        if type(member) is not type(expected.estimator):
            raise ValueError("a forest of something else than trees")
        tree = member.tree_
        nodes = np.arange(tree.node_count)
        children = np.column_stack([tree.children_left, tree.children_right])
        inner = children[:, 0] >= 0
        if (children[~inner] != -1).any() or (children[inner] <= nodes[inner, np.newaxis]).any() or (
                children >= tree.node_count).any() or (tree.feature[inner] < 0).any() or (
                tree.feature >= estimator.n_features_in_).any() or tree.n_features != estimator.n_features_in_ or (
                tree.value.shape != (tree.node_count, 1, classes)):
            raise ValueError("a tree that leads astray")


def _steps(estimator: Any) -> list[Any]:
    return [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
