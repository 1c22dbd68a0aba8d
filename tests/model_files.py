"""Models for tests: files that were tampered with, and a large network made small."""

import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from covidcnn.models import efficientnet_lite0

_FEW_STAGES = ((1, 3, 1, 1, 8), (2, 5, 2, 6, 8))


def with_few_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientNet-Lite0 and MobileNetV2, which no option makes small, with few layers of the kinds that they have: all
    of them take a quarter of a minute to trace. In 50 layers of random weights the gradients of two implementations
    differ by rounding alone, too."""
    monkeypatch.setattr(efficientnet_lite0, "_STAGES", _FEW_STAGES)
    monkeypatch.setattr(keras.applications, "MobileNetV2", _few_layers)


def _few_layers(include_top: bool, weights: None, input_tensor: keras.KerasTensor, pooling: str,
                name: str) -> keras.Model:
    layers = keras.layers
    features = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(input_tensor)
    features = layers.ReLU(6.0)(layers.BatchNormalization()(features))
    features = layers.DepthwiseConv2D(3, strides=2, use_bias=False)(layers.ZeroPadding2D(((0, 1), (0, 1)))(features))
    features = layers.Activation("relu")(layers.BatchNormalization()(features))
    features = layers.AveragePooling2D(2)(layers.Concatenate()([layers.Conv2D(8, 1)(features), features]))
    (image,) = keras.utils.get_source_inputs(input_tensor)
    return keras.Model(image, layers.GlobalAveragePooling2D()(features), name=name)


def altered(source: Path, target: Path, **members: Callable[[bytes], bytes] | bytes | None) -> Path:
    """A copy of a model file with members replaced, changed or, if None, left out.

    Members are named without what follows their first dot: ``config``, ``model`` (the weights), ``covidcnn``.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            change = members.get(name.split(".")[0], old.read(name))
            if change is not None:
                new.writestr(name, change(old.read(name)) if callable(change) else change, zipfile.ZIP_DEFLATED)
    return target


def with_layer(**layer: object) -> Callable[[bytes], bytes]:
    """A change of config.json: the first dropout becomes another layer."""

    def change(config: bytes) -> bytes:
        value = json.loads(config)
        place = next(number for number, each in enumerate(value["config"]["layers"])
                     if each["class_name"] == "Dropout")
        value["config"]["layers"][place] |= layer
        return json.dumps(value).encode()

    return change


def with_facts(**facts: object) -> Callable[[bytes], bytes]:
    """A change of covidcnn.json."""
    return lambda text: json.dumps(json.loads(text) | facts).encode()


def pickled(marker: Path) -> bytes:
    """A pickle that writes a file when it is read."""

    class Evil:
        def __reduce__(self):
            return Path.write_text, (marker, "run")

    return pickle.dumps(Evil())


def with_strange_members(source: Path, target: Path) -> Path:
    """A copy of a model file that also holds names and links that lead out of a folder."""
    target.write_bytes(source.read_bytes())
    with zipfile.ZipFile(target, "a") as archive:
        for name in ("../outside.txt", "/covidcnn-outside.txt", "assets/inside.txt", "a/../../outside.txt"):
            archive.writestr(name, "x")
        link = zipfile.ZipInfo("assets/link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return target


def with_external_link(weights: bytes) -> bytes:
    """Weights of which one leads to another file."""
    import h5py

    buffer = io.BytesIO(weights)
    with h5py.File(buffer, "r+") as file:
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        del file[found[0]]
        file[found[0]] = h5py.ExternalLink("other.h5", "/secret")
    return buffer.getvalue()
