"""The file a trained model travels in: a plain .keras archive that also holds ``covidcnn.json``.

What a later user must not guess stands there: how a film is prepared, what the classes are called,
where the threshold lies and what the model was trained on. Keras passes over the extra member.
"""

import json
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from covidcnn.backend import keras
from covidcnn.config import DISCLAIMER
from covidcnn.data.catalogue import LABELS
from covidcnn.errors import DataError
from covidcnn.imaging import ImageSettings
from covidcnn.paths import replacing

MEMBER = "covidcnn.json"


@dataclass(frozen=True)
class ModelFacts:
    """What a model file says of its model."""

    images: ImageSettings
    threshold: float
    """Scores at or above it are called PNEUMONIA."""
    threshold_rule: str
    """How the threshold was fixed, and on which films."""
    training: dict[str, Any]
    """Recipe, seed, data set, its content hash and licence, counts."""
    class_names: tuple[str, ...] = LABELS
    pixels: str = "uint8 greyscale divided by 255"
    disclaimer: str = DISCLAIMER


def save_model(path: Path, model: keras.Model, facts: ModelFacts) -> None:
    """Write the model and its facts as one .keras archive, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    # Keras insists on an ending of its own, which the temporary name need not have.
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        archive = Path(folder) / "model.keras"
        model.save(archive)
        with zipfile.ZipFile(archive, "a") as members:
            members.writestr(MEMBER, json.dumps(asdict(facts), indent=2))
        shutil.copyfile(archive, temporary)


def load_model(path: Path) -> tuple[keras.Model, ModelFacts]:
    """Read a model that ``covidcnn train`` saved. No code from the file is run (Keras's safe mode).

    Raises:
        DataError: there is no such file, or it is no model of this project, or it is damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such model file; covidcnn train leaves one called model.keras")
    try:
        with zipfile.ZipFile(path) as members:
            if MEMBER not in members.namelist():
                raise DataError(f"{path}: holds no {MEMBER}, so how to prepare films is unknown; "
                                "use a model.keras that covidcnn train saved")
            values = json.loads(members.read(MEMBER))
        try:
            values["images"] = ImageSettings(**values["images"])
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        values["class_names"] = tuple(values["class_names"])
        facts = ModelFacts(**values)
        if (type(facts.threshold) not in (int, float) or not 0 <= facts.threshold <= 1
                or type(facts.images.size) is not int or facts.class_names != LABELS):
            raise ValueError("facts out of range")
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, OSError) as error:
        raise DataError(f"{path}: not a model file, or damaged; use a model.keras that covidcnn train saved"
                        ) from error
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    # Keras raises errors of many kinds for a damaged archive; all mean the same to the user.
    except Exception as error:
        raise DataError(f"{path}: Keras cannot load it; train the model again") from error
    if model.input_shape[1:] != (facts.images.size, facts.images.size, 1):
        raise DataError(f"{path}: its {MEMBER} and its network disagree on the image size; use a model.keras that "
                        "covidcnn train saved")
    return model, facts
