"""What this project does on a GPU: speed, precision, determinism with the fused layer, and going on after a kill.

    python3 benchmarks/gpu.py

Made for a machine with a GPU, Python and a network, and nothing else: it makes an environment of its own from the
project's lock, with the GPU build of the backend, and leaves one file, ``gpu.json``. After ten minutes, installation
apart, it begins nothing more. A step that fails, or takes too long, is noted there and the others go on; the exit code
is then 1. With ``--here`` nothing is installed, and the Python that runs the script is used.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
STEP_SECONDS, ALL_SECONDS, INSTALLATION_SECONDS = 240, 600, 1200
STEPS = 50
"""Training steps of 32 images that are timed together, four times; the first time compiles."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["tensorflow", "jax"], default="tensorflow")
    parser.add_argument("--environment", type=Path, default=PROJECT / ".venv-gpu", metavar="DIR")
    parser.add_argument("--here", action="store_true", help="install nothing, and use this Python")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224], metavar="PIXELS")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE")
    parser.add_argument("--worker", nargs=2, metavar=("SIZE", "PRECISION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(speed(int(options.worker[0]), options.worker[1])))
        return
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit("this needs Python 3.11, 3.12 or 3.13; run it with one of these")
    os.environ["KERAS_BACKEND"] = options.backend
    end = time.monotonic() + INSTALLATION_SECONDS
    report: dict[str, Any] = {"backend": options.backend}
    failed: list[str] = []

    def step(name: str, work: Any, *arguments: Any) -> None:
        begin = time.monotonic()
        try:
            if begin > end:
                raise TimeoutError(f"not begun: {ALL_SECONDS} s are over")
            found = work(*arguments)
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError) as error:
            words = getattr(error, "stderr", None) or str(error)
            words = words.decode(errors="replace") if isinstance(words, bytes) else words
            failed.append(name)
            found = {"failed": (words.strip().splitlines() or [type(error).__name__])[-1]}
        report[name] = {"seconds": round(time.monotonic() - begin, 1), "found": found}
        options.out.write_text(json.dumps(report, indent=2) + "\n")
        print(f"{name}: {json.dumps(found)}", file=sys.stderr)

    step("GPU", said, "nvidia-smi", "--format=csv,noheader", "--query-gpu=name,driver_version,memory.total")
    python = sys.executable
    if not options.here:
        python = str(options.environment.resolve() / "bin" / "python")
        step("installation", install, options.backend, options.environment, python)
    end = time.monotonic() + ALL_SECONDS
    step("versions", lambda: json.loads(said(python, "-c", (
        "import json, covidcnn.provenance as found; from covidcnn.backend import keras; "
        "print(json.dumps(found.software_facts()))"))))
    for size in options.sizes:
        for precision in options.precisions:
            step(f"speed, {size} px, {precision}", lambda size=size, precision=precision: json.loads(
                said(python, __file__, "--worker", str(size), precision).splitlines()[-1]))
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "sweep.yaml"
        # In JSON, which is YAML.
        spec.write_text(json.dumps({"seeds": [0, 1], "recipe": {"epochs": 4, "size": options.sizes[0], "augmentation":
                                    "paper"}, "grid": {"precision": options.precisions}}))
        first, second, killed = (Path(folder) / name for name in ("first", "second", "killed"))
        step("precision", lambda: validation_auc(python, spec, first))
        step("determinism", lambda: {"equal to the bit": digests(python, spec, second) == digests(python, spec, first)})
        step("resume", lambda: resumed(python, spec, killed) | {
            "equal to the bit": digests(python, spec, killed) == digests(python, spec, first)})
    print(f"left: {options.out}", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def said(*command: str, seconds: float = STEP_SECONDS) -> str:
    """What a command says; a SubprocessError if it fails or takes longer."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)}).stdout.strip()


def install(backend: str, environment: Path, python: str) -> str:
    """The environment of the lock, with the backend's build for NVIDIA's GPUs."""
    said(sys.executable, "-m", "venv", str(environment))
    pip = [python, "-m", "pip", "install", "--quiet"]
    lock = PROJECT / "requirements.lock"
    said(*pip, "--no-deps", "--require-hashes", "--requirement", str(lock), seconds=INSTALLATION_SECONDS)
    if backend == "tensorflow":
        locked, = re.findall(r"^tensorflow==([\d.]+)", lock.read_text(), re.MULTILINE)
        build = f"tensorflow[and-cuda]=={locked}"
    else:
        cuda = re.search(r"CUDA Version: (\d+)", said("nvidia-smi"))
        build = f"jax[cuda{13 if cuda and int(cuda[1]) >= 13 else 12}]"
    said(*pip, build, seconds=INSTALLATION_SECONDS)
    said(*pip, "--no-deps", "--no-build-isolation", "--editable", str(PROJECT))
    return build


def speed(size: int, precision: str) -> dict[str, Any]:
    """In a process of its own: milliseconds of a training step as the library trains, fed from memory."""
    import numpy as np

    from covidcnn.backend import keras, tf
    from covidcnn.models.fused import training_form
    from covidcnn.models.paper_cnn import paper_cnn
    from covidcnn.training.fit import make_repeatable
    from covidcnn.training.precision import keras_policy

    make_repeatable(0)
    model = training_form(paper_cnn(size), keras_policy(precision))
    model.compile(optimizer="nadam", loss="binary_crossentropy", metrics=["accuracy"], jit_compile=tf is None)
    pixels = np.random.default_rng(0).random((32 * STEPS, size, size, 1), dtype=np.float32)
    labels = (np.arange(len(pixels))[:, np.newaxis] % 2).astype(np.float32)
    taken = []
    for _ in range(4):
        begin = time.perf_counter()
        model.fit(pixels, labels, batch_size=32, epochs=1, verbose=0)
        taken.append((time.perf_counter() - begin) / STEPS * 1000)
    devices = [str(one) for one in tf.config.list_physical_devices("GPU")] if tf else [
        str(one) for one in __import__("jax").devices()]
    return {"ms a step": round(min(taken[1:]), 2), "first ms a step": round(taken[0], 2), "devices": devices,
            "loss is a number": bool(np.isfinite(keras.ops.convert_to_numpy(model.evaluate(
                pixels[:32], labels[:32], verbose=0))).all())}


def sweep(python: str, spec: Path, store: Path) -> list[str]:
    """The command that runs the trainings into a store."""
    return [python, "-m", "covidcnn", "sweep", str(spec), "--store", str(store)]


def digests(python: str, spec: Path, store: Path) -> dict[str, str]:
    """The checksum of the scores of each training, trained now unless it was; a ValueError if one has none."""
    said(*sweep(python, spec, store))
    found = {path.stem: json.loads(path.read_text())["scores sha256"] for path in sorted(store.glob("trials/*.json"))}
    if not found or "" in found.values():
        raise ValueError("a training diverged")
    return found


def validation_auc(python: str, spec: Path, store: Path) -> list[dict[str, str]]:
    """How each training ended on validation images of the phantom set."""
    said(*sweep(python, spec, store))
    rows = csv.DictReader(said(python, "-m", "covidcnn", "trials", str(store), "--csv").splitlines())
    return [{name: row[name] for name in ("precision", "seed", "validation AUC", "validation loss")} for row in rows]


def resumed(python: str, spec: Path, store: Path) -> dict[str, Any]:
    """Kill the sweep once a training has finished an epoch."""
    process = subprocess.Popen(sweep(python, spec, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=os.environ | {"PYTHONPATH": str(PROJECT)})
    end = time.monotonic() + STEP_SECONDS
    while process.poll() is None and time.monotonic() < end and not list(store.glob("unfinished/*/unfinished.npz")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return {"epochs were left": bool(list(store.glob("unfinished/*/unfinished.npz")))}


if __name__ == "__main__":
    main()
