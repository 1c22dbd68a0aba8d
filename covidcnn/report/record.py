"""The run record: what a report was made from, with what, and how often the test images were scored."""

import json
from pathlib import Path
from typing import Any

from covidcnn.config import Profile
from covidcnn.data.dataset import DataSet
from covidcnn.paths import MANIFEST, write_json
from covidcnn.provenance import data_facts
from covidcnn.report.run import RUN_RECORD, record_path


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
    try:
        return json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"notebooks": {}}


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """The run record, with what the notebooks entered themselves."""
    openings = {}
    for name in record["notebooks"]:
        entered = record_path(folder, name)
        if entered.is_file():
            entries = json.loads(entered.read_text(encoding="utf-8"))["test-set accesses"]
            openings[name] = [entry["name"] for entry in entries]
    record["exploratory test-set accesses"] = {
        "count": sum(map(len, openings.values())), "by notebook": openings}
    manifest = folder / MANIFEST
    if manifest.is_file():
        # The paper profile: which trials its tables are made of, and how often these scored the published test set.
        evidence = json.loads(manifest.read_text(encoding="utf-8"))
        record["evidence"] = {name: evidence[name] for name in ("trials sha256", "trials",
                                                                "accesses to the published test set")}
    write_json(folder / RUN_RECORD, record)
