"""The run record: what a report was made from, with what, and how often the test films were scored."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from covidcnn import __version__
from covidcnn.config import Profile
from covidcnn.data.dataset import DataSet
from covidcnn.paths import PROJECT, write_json
from covidcnn.report.run import record_path

RUN_RECORD = "run-record.json"
RECORDED_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "opencv-python-headless", "scikit-learn", "scipy",
                     "statsmodels", "matplotlib", "papermill")


def run_facts(profile: Profile, dataset: DataSet) -> dict[str, Any]:
    """Scale, data, versions and commit of a run; no path of the machine."""
    return {
        "profile": {"name": profile.name, "image size": profile.image_size, "epochs": profile.epochs,
                    "seeds": list(profile.seeds), "most training images": profile.max_training_images,
                    "batch-norm momentum": profile.batch_norm_momentum,
                    "bootstrap samples": profile.bootstrap_samples},
        "data": data_facts(dataset),
        **software_facts(),
    }


def data_facts(dataset: DataSet) -> dict[str, Any]:
    """Which films a result was made from."""
    return {"name": dataset.name, "identity": dataset.identity, "content hash": dataset.content_hash,
            "films": len(dataset.films), "left out": dataset.left_out.to_dict("records")}


def software_facts() -> dict[str, Any]:
    """Versions of Python and of the packages that results depend on, and the commit of the clone."""
    return {
        "versions": {"python": sys.version.split()[0], "covidcnn": __version__,
                     **{package: version(package) for package in RECORDED_PACKAGES}},
        "git commit": _git_commit(),
    }


def _git_commit() -> str:
    """The commit of the clone, with '+ changes' where files differ from it; 'unknown' outside a clone."""
    git = shutil.which("git")
    if not git:
        return "unknown"

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([git, "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False)

    commit = ask("rev-parse", "HEAD")
    if commit.returncode:
        return "unknown"
    return commit.stdout.strip() + (" + changes" if ask("status", "--porcelain").stdout.strip() else "")


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
            entries = json.loads(entered.read_text(encoding="utf-8"))["test openings"]
            openings[name] = [entry["name"] for entry in entries]
    record["exploratory test openings"] = {
        "count": sum(map(len, openings.values())), "by notebook": openings}
    write_json(folder / RUN_RECORD, record)
