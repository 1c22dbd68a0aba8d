"""The file a trained model travels in: a plain .keras archive, .skops of a model of scikit-learn, or .tflite of an
exported network, that also holds ``covidcnn.json``.

What a later user must not guess stands there: how an image is prepared, the names of the classes, the threshold, and
what the model was trained on. Keras, skops and LiteRT pass over the extra member.
"""

import hashlib
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from covidcnn.config import DISCLAIMER
from covidcnn.data.appearance import Appearance
from covidcnn.errors import DataError, UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.allow_list import (
    CONFIG,
    LARGEST_WEIGHTS,
    LITERT,
    MEMBERS,
    SKOPS,
    TREE,
    read_member,
    require_kind,
    require_known_parts,
)
from covidcnn.models.classical import CLASSICAL, ClassicalModel, features_of
from covidcnn.models.predictor import ClassicalPredictor, KerasPredictor, LiteRTPredictor, Predictor
from covidcnn.models.registry import Model
from covidcnn.paths import replacing
from covidcnn.provenance import cores
from covidcnn.quiet import quiet
from covidcnn.task import PNEUMONIA, Task

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

    from covidcnn.backend import keras

MEMBER = "covidcnn.json"
FILE_NAMES = ("model.keras", "model.skops")
"""What ``covidcnn train`` leaves: of a network, of a model of scikit-learn."""
NETWORK = "model.tflite"
"""What stands before the archive in a LiteRT file."""
KNOWN_AS = {"train": "trained on", "validation": "validated on"}
"""What was done with the images whose hashes a model file holds."""
_HASH = 16
"""Hexadecimal digits of a SHA-256 that are kept: of 5,000 images less than 100 kB, and no two by chance the same."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model file says of its model."""

    images: ImageSettings
    threshold: float
    """Of two classes: from this score on the positive one is predicted."""
    threshold_rule: str
    """How the threshold was fixed, and on which images."""
    training: dict[str, Any]
    """Recipe, seed, data set, its content hash and licence, counts."""
    task: Task = PNEUMONIA
    pixels: str = "uint8 greyscale divided by 255"
    disclaimer: str = DISCLAIMER
    appearance: Appearance | None = None
    """How the training images looked; None in files of version 0.1, which do not say."""
    model: dict[str, Any] | None = None
    """The model's name and options; None in older files, which hold networks."""
    image_hashes: dict[str, str] | None = None
    """Of 'train' and 'validation', a short hash of each image file; None in files of version 0.1."""
    export: dict[str, Any] | None = None
    """Of an exported network: ``sha256`` of its bytes, its numbers and on how many images it was calibrated."""

    def known_as(self, sha256: Iterable[str]) -> list[str]:
        """For each SHA-256 of a file whether the model knows it: 'train', 'validation' or '' where it does not. A copy
        at another size or in another format is another file."""
        hashes = self.image_hashes or {}
        roles = {digest: role for role in reversed(KNOWN_AS) for digest in hashes.get(role, "").split()}
        return [roles.get(digest[:_HASH], "") for digest in sha256]


def short_hashes(images: pd.DataFrame) -> dict[str, str]:
    """``ModelFacts.image_hashes`` of images with their ``role`` and ``sha256``."""
    return {role: " ".join(images.loc[images["role"] == role, "sha256"].str[:_HASH]) for role in KNOWN_AS}


def file_name(model: Model | ClassicalModel) -> str:
    """The name of the file that ``covidcnn train`` leaves of a model of these options: one of ``FILE_NAMES``."""
    of_network, of_estimator = FILE_NAMES
    return of_estimator if isinstance(model, ClassicalModel) else of_network


def save_model(path: Path, model: "keras.Model | ClassifierMixin", facts: ModelFacts) -> None:
    """Write a network, or an estimator of scikit-learn, and its facts as one archive, whole or not at all; a UserError
    if the file, or a temporary copy, cannot be written."""
    # Here and not above: what runs LiteRT files alone has no TensorFlow.
    from covidcnn.backend import keras

    # Keras insists on an ending of its own, which the name of a file in the making need not have.
    with temporary_archive(path) as archive:
        if isinstance(model, keras.Model):
            model.save(archive)
        else:
            import skops.io

            skops.io.dump(model, archive)
        with zipfile.ZipFile(archive, "a") as members:
            members.writestr(MEMBER, json.dumps(asdict(facts), indent=2))
        content = archive.read_bytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_predictor(path: Path) -> tuple[Predictor, ModelFacts]:
    """Read a model that ``covidcnn train`` saved or ``covidcnn export`` wrote, of whatever kind: see
    :func:`load_model`. A LiteRT file is to come from someone who is trusted: its SHA-256 says that it is whole, and not
    who made it. A UserError if LiteRT is not installed."""
    facts, content = _read(path)
    if NETWORK in content:
        return _litert(path, facts, content[NETWORK]), facts
    if SKOPS in content:
        return _classical(path, facts, content), facts
    return KerasPredictor(_network(path, facts, content), facts.task), facts


def load_model(path: Path) -> tuple["keras.Model", ModelFacts]:
    """Read a network that ``covidcnn train`` saved.

    No code from the file is run and nothing of it is unpacked but what Keras reads: see ``covidcnn.models.allow_list``.

    Raises:
        DataError: there is no such file, or it is no model of this project, or it is damaged or tampered with.
    """
    facts, content = _read(path)
    return _network(path, facts, content), facts


@contextmanager
def _damaged(path: Path, problem: str) -> Iterator[None]:
    """A file can be damaged, or tampered with, in as many ways as there are errors; all mean the same to the user."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: {problem}") from error


def _read(path: Path) -> tuple[ModelFacts, dict[str, bytes]]:
    """The facts of a model file, and the members of its archive that are handed on."""
    if not path.is_file():
        raise DataError(f"{path}: no such model file; covidcnn train leaves one called {' or '.join(FILE_NAMES)}")
    with _damaged(path, "not a model file, or damaged; use one that covidcnn train or export left"), \
            zipfile.ZipFile(path) as members:
        names = members.namelist()
        if MEMBER not in names:
            raise DataError(f"{path}: holds no {MEMBER}, so how to prepare images is unknown; "
                            "use a model.keras that covidcnn train saved")
        try:
            facts = _read_facts(read_member(members, MEMBER))
        except DataError as error:
            raise DataError(f"{path}: not a model file, or damaged: {error}") from error
        with path.open("rb") as file:
            if file.read(8)[4:] == LITERT:
                return facts, {NETWORK: _whole(path, facts, members)}
        kept = [name for name in names if name.endswith((".npy", ".npz"))] + [SKOPS] if SKOPS in names else MEMBERS
        content: dict[str, bytes] = {}
        for name in filter(names.__contains__, kept):
            content[name] = read_member(members, name)
            if sum(map(len, content.values())) > LARGEST_WEIGHTS:
                raise ValueError("too large")
        return facts, content


def _network(path: Path, facts: ModelFacts, content: dict[str, bytes]) -> "keras.Model":
    from covidcnn.backend import keras

    with _damaged(path, "its network is not one that covidcnn train saves, so Keras cannot load it safely; "
                        "train the model again"):
        require_known_parts(content.get(CONFIG, b"{}"))
    with temporary_archive(path) as archive, warnings.catch_warnings():
        archive.write_bytes(_packed(content))
        # Keras warns of what is odd in a damaged file before it gives up.
        warnings.simplefilter("ignore")
        with _damaged(path, "Keras cannot load it; train the model again"):
            model = keras.models.load_model(archive, compile=False, safe_mode=True)
    if (model.input_shape[1:] != (facts.images.size, facts.images.size, 1)
            or model.output_shape != (None, facts.task.outputs)):
        raise DataError(f"{path}: its {MEMBER} and its network disagree on image size or classes; use a model.keras "
                        "that covidcnn train saved")
    return model


def _classical(path: Path, facts: ModelFacts, content: dict[str, bytes]) -> ClassicalPredictor:
    """A model of scikit-learn: built by skops from what it trusts, and no code of the file is run."""
    # Here and not above: most models are networks, and scikit-learn takes its time.
    import skops.io

    with _damaged(path, "not a model that covidcnn train saves, or damaged; train the model again"):
        settings = dict(facts.model or {})
        options = CLASSICAL[settings.pop("model")](**settings)
        estimator = skops.io.loads(_packed(content), trusted=[TREE])
        require_kind(estimator, options.estimator(0, False), len(facts.task.classes))
    nothing = np.zeros((1, facts.images.size, facts.images.size), np.uint8)
    # By itself: the weights that its features take may not be installed, which is no fault of the file.
    features_of(nothing, options.features, options.side)
    with _damaged(path, "not a model that covidcnn train saves, or damaged; train the model again"):
        predictor = ClassicalPredictor(options, estimator, facts.task)
        probe = predictor(nothing)
        if probe.shape != (1, len(facts.task.classes)) or not np.isfinite(probe).all():
            raise ValueError("other classes, or other features")
        return predictor


def _whole(path: Path, facts: ModelFacts, members: zipfile.ZipFile) -> bytes:
    """What stands before the archive in a LiteRT file, if its SHA-256 is that of the facts."""
    size = min(member.header_offset for member in members.infolist())
    if not 0 < size <= LARGEST_WEIGHTS:
        raise ValueError("nothing, or too much")
    with path.open("rb") as file:
        network = file.read(size)
    if not facts.export or hashlib.sha256(network).hexdigest() != facts.export["sha256"]:
        raise DataError(f"{path}: its {MEMBER} is that of another network, or the network is damaged; export it again")
    return network


def _litert(path: Path, facts: ModelFacts, network: bytes) -> LiteRTPredictor:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError(f"{path}: LiteRT, which runs it, is not installed; pip install ai-edge-litert, the extra "
                        "'edge' of this project") from error
    with _damaged(path, "LiteRT cannot load it; export the model again"), quiet():
        # A second thread on the same core would be in the first one's way.
        interpreter = Interpreter(model_content=network, num_threads=cores())
        interpreter.allocate_tensors()
        (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
        if ([*entry["shape"]] != [1, facts.images.size, facts.images.size, 1] or [*end["shape"]] != [1,
                facts.task.outputs] or end["dtype"] is not np.float32 or not (entry["dtype"] is np.float32 or (
                entry["dtype"] is np.uint8 and np.allclose(entry["quantization"], (1 / 255, 0), atol=1e-9)))):
            raise ValueError("another size of images, or other classes")
        return LiteRTPredictor(interpreter, facts.task)


def _read_facts(text: bytes) -> ModelFacts:
    """The facts of a model file; anything but a DataError means that they are damaged."""
    values = json.loads(text)
    values["images"] = ImageSettings(**values["images"])
    # Files of version 0.1 name the classes alone.
    values["task"] = Task(**values["task"]) if "task" in values else Task(values.pop("class_names"))
    if values.get("appearance") is not None:
        values["appearance"] = Appearance.from_json(values["appearance"])
    facts = ModelFacts(**values)
    if (type(facts.threshold) not in (int, float) or not 0 <= facts.threshold <= 1
            or type(facts.images.size) is not int
            or type(facts.images.pad) is not bool or not all(isinstance(name, str) for name in facts.task.classes)
            or not isinstance(facts.training, dict) or not isinstance(facts.model, dict | None)
            or not isinstance(facts.export, dict | None)
            or not (facts.image_hashes is None or all(isinstance(facts.image_hashes[role], str) for role in KNOWN_AS))):
        raise ValueError("facts out of range")
    # What a file says of itself is no reason to leave out what has to be said.
    return replace(facts, disclaimer=DISCLAIMER)


def _packed(content: dict[str, bytes]) -> bytes:
    """An archive of these members and no others."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as members:
        for name, value in content.items():
            members.writestr(name, value)
    return packed.getvalue()


@contextmanager
def temporary_archive(path: Path) -> Iterator[Path]:
    """A place for Keras to write or read a copy of ``path`` in."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / "model.keras"
    except OSError as error:
        raise UserError(f"{path}: no temporary copy can be written ({error.strerror or error}); make room, or name "
                        "another folder with TMPDIR") from error
