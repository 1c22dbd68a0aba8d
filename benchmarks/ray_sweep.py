"""What a Ray cluster of this machine costs: sweeps on it beside one process on the same cores, and its object store.

    python benchmarks/ray_sweep.py --data FOLDER

Three measurements, the machine otherwise idle:

* trainings that only sleep, so that nothing but handing out is measured: a trial's time in one process by that on the
  cluster, from its first result on;
* real trainings of the paper's network: one process with all cores, several processes with a core each that share a
  store and need no cluster, and Ray with as many, all on images that are decoded already;
* what the object store holds with the table of 100,000 images, from trial to trial, each of which sends back as many
  scores.

Writes JSON to standard output. Ray's start is told apart: a sweep has one, however long it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import machine

from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.training.result import Training
from covidcnn.trials.ray_executor import RayCluster
from covidcnn.trials.spec import parse_sweep
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import Executor, Watch, one_by_one, run_sweep
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import Outcome, Report, Work

CORES = os.cpu_count() or 1
NAPS, NAP = 15 * CORES, 2.0
IMAGES = 100_000
RECIPE = {"epochs": 2, "size": 64, "precision": "float32", "augmentation": "paper", "max_training_images": 1536}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="images to train on; the phantom images if not given")
    parser.add_argument("--trainings", type=int, default=4 * CORES)
    parser.add_argument("--worker", nargs=2, metavar=("STORE", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    trials = parse_sweep({"seeds": list(range(options.trainings)), "recipe": RECIPE}).trials(dataset.content_hash)
    if options.worker:
        store, kind = options.worker
        run_sweep(trials, TrialStore(Path(store)), dataset, lambda progress: None,
                  **({"executor": RayCluster()} if kind == "ray" else {}))
        return
    about = machine()
    print(json.dumps({"machine": about, "sleeping": sleeping(dataset), "object store": object_store(dataset),
                      "training": training(dataset, trials, sys.argv[1:])}, indent=2))


def asleep(dataset: DataSet, trial: Trial, folder: Path, report: Report | None) -> Training:
    time.sleep(NAP)
    paths = dataset.images["path"]
    scores = pd.DataFrame({"split": "validation", "path": paths, "label": "NORMAL", "score": np.linspace(
        0, 1, len(paths)), "subtype": "", "patient": paths, "perturbation": ""})
    history = pd.DataFrame({"loss": [1.0], "val_loss": [1.0]}, index=pd.RangeIndex(1, 2, name="epoch"))
    return Training(None, history, scores, interrupted=False)  # type: ignore[arg-type]


class Watched:
    """An executor whose results are timed; of Ray's also what its object store holds after each."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.ends, self.held = executor, list[float](), list[float]()

    def __call__(self, work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
        for outcome in self.executor(work, trials, watch):
            self.ends.append(time.monotonic())
            if isinstance(self.executor, RayCluster):
                import ray

                self.held.append(ray.cluster_resources()["object_store_memory"]
                                 - ray.available_resources().get("object_store_memory", 0.0))
            yield outcome

    @property
    def seconds(self) -> float:
        """From result to result."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def nap(executor: Executor, naps: int, dataset: DataSet) -> Watched:
    """Trainings that sleep."""
    watched = Watched(executor)
    trials = parse_sweep({"seeds": list(range(naps)), "recipe": {"epochs": 1, "precision": "float32"}}).trials("a" * 64)
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(trials, TrialStore(Path(folder)), dataset, lambda progress: None, asleep, watched)
    assert len(watched.ends) == naps
    return watched


def sleeping(dataset: DataSet) -> dict[str, Any]:
    """Efficiency on trainings that sleep."""
    begin = time.monotonic()
    on_ray = nap(RayCluster(), NAPS, dataset)
    alone = nap(one_by_one, 10, dataset)
    return {"trainings": NAPS, "seconds each": NAP, "seconds to the first result": on_ray.ends[0] - begin - NAP,
            "seconds a training, one process": alone.seconds, "seconds a training, ray": on_ray.seconds,
            "efficiency": alone.seconds / CORES / on_ray.seconds}


def object_store(dataset: DataSet) -> dict[str, Any]:
    """What Ray holds of a data set of many images while trials go through."""
    drawn = dataset.images.iloc[np.arange(IMAGES) % len(dataset.images)].reset_index(drop=True)
    # Of its own for each image: pickle writes equal texts once.
    hashes = [sha256(str(number).encode()).hexdigest() for number in range(IMAGES)]
    paths = [f"train/NORMAL/{one[:40]}.jpeg" for one in hashes]
    many = replace(dataset, images=drawn.assign(path=paths, sha256=hashes))
    executor = nap(RayCluster(), NAPS, many)
    return {"images": IMAGES, "trials": len(executor.held), "MB after the first": executor.held[0] / 1e6,
            "MB at most": max(executor.held) / 1e6, "MB at the end": executor.held[-1] / 1e6}


def training(dataset: DataSet, trials: list[Trial], arguments: list[str]) -> dict[str, Any]:
    """Seconds for the same real trainings, three ways, processes and their imports included."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    # Decoded beforehand: it is not what is measured.
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(trials[:1], TrialStore(Path(folder)), dataset, lambda progress: None)
    seconds = {}
    for kind, processes, environment in (("one process", 1, {}), ("a process a core", CORES, one_thread),
                                         ("ray", 1, {})):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.monotonic()
            command = [sys.executable, __file__, *arguments, "--worker", folder, kind]
            running = [subprocess.Popen(["taskset", "--cpu-list", str(core), *command] if processes > 1 else command,
                                        env=os.environ | environment) for core in range(processes)]
            assert [process.wait() for process in running] == [0] * processes
            seconds[kind] = time.monotonic() - begin
            assert len(TrialStore(Path(folder)).finished_keys()) == len(trials)
    return {"trainings": len(trials), "recipe": RECIPE, "seconds": seconds, "efficiency beside one process": (
        seconds["one process"] / seconds["ray"])}


if __name__ == "__main__":
    main()
