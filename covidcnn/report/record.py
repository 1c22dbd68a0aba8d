"""The records of a report: what its notebooks made, from what and with what, and how often test images were scored."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from covidcnn.config import Profile
from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError
from covidcnn.paths import MANIFEST, write_json
from covidcnn.provenance import data_facts

RUN_RECORD, LOCK = "run-record.json", "logs/report.lock"
"""Of a report folder: what the report was made from; held while one is being written."""
ACCESSES = "test-set accesses"
MADE = ("figures", "tables", "scores")
FURTHER_DATA = "further data"
"""Of a notebook's entries: data sets that it shows beside the report's own."""


def record_path(folder: Path, notebook: str) -> Path:
    """Where a notebook enters what it made."""
    return folder / "record" / f"{notebook}.json"


def entered(folder: Path, notebook: str) -> dict[str, list[dict[str, Any]]]:
    """What a notebook has entered, by kind: ``MADE``, ``FURTHER_DATA`` and ``ACCESSES``; empty lists where that is
    nothing."""
    path = record_path(folder, notebook)
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); run the notebook again") from error
    # Older records call them test openings: no access is ever forgotten.
    return {kind: found.get(kind, found.get("test openings", []) if kind == ACCESSES else [])
            for kind in (*MADE, FURTHER_DATA, ACCESSES)}


def run_facts(profile: Profile, dataset: DataSet) -> dict[str, Any]:
    """Scale and data of a report; no path of the machine."""
    return {
        "profile": {"name": profile.name, "image size": profile.image_size, "epochs": profile.epochs,
                    "seeds": list(profile.seeds), "most training images": profile.max_training_images,
                    "batch-norm momentum": profile.batch_norm_momentum, "precision": profile.precision,
                    "bootstrap samples": profile.bootstrap_samples},
        "data": data_facts(dataset),
    }


def read_record(folder: Path) -> dict[str, Any]:
    """A report folder's record; an empty one if there is none, or none that can be read."""
    with suppress(OSError, ValueError):
        record = json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))
        if isinstance(record, dict) and isinstance(record.get("notebooks"), dict):
            return record
    return {"notebooks": {}}


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """The run record, with the accesses to the published test set that the notebooks entered, and the paper profile's
    trials."""
    accesses = {name: [entry["name"] for entry in entered(folder, name)[ACCESSES]]
                for name in record["notebooks"] if record_path(folder, name).is_file()}
    record["exploratory test-set accesses"] = {"count": sum(map(len, accesses.values())), "by notebook": accesses}
    if (manifest := folder / MANIFEST).is_file():
        evidence = json.loads(manifest.read_text(encoding="utf-8"))
        record["evidence"] = {name: evidence[name] for name in ("trials sha256", "trials",
                                                                "accesses to the published test set")}
    write_json(folder / RUN_RECORD, record)
