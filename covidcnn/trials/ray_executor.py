"""The executor that computes trials on a cluster of Ray's, each a task with its processors, GPUs and memory.

Workers compute and return what they computed; the process of the sweep alone writes to the store. A worker goes on from
the store's folder of unfinished trials where it sees the same one, else it begins anew in a folder of its own.
"""

import logging
import os
import platform
import socket
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from covidcnn.errors import UserError
from covidcnn.provenance import git_commit, software_versions
from covidcnn.trials.sweep import Watch
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import Outcome, Work

_log = logging.getLogger(__name__)
LOCAL = "local"
"""The address of a cluster of this machine alone, for the time of a sweep."""
RETRIES = 3
_SIGN = ".sign"
_COMMIT = "the commit of covidcnn"
_LOOK_AGAIN = 5.0
"""Seconds after which nodes are counted anew: one may have come late."""


@dataclass(frozen=True)
class RayCluster:
    """Where the cluster is, and what a trial needs of it."""

    address: str = LOCAL
    """Of the cluster's head, for example 10.0.0.1:6379."""
    cpus: int = 1
    """Processor cores a trial, and the threads with which it computes."""
    gpus: float = 0
    """GPUs a trial; 0.25 where four share one."""
    memory_gb: float = 2
    """Memory that is reserved for a trial, in GB."""

    def __call__(self, work: Work, trials: Iterable[Trial], watch: Watch) -> Iterator[Outcome]:
        """See ``Executor``. A trial whose worker or node dies is computed again, three times at most.

        Raises:
            UserError: Ray is not installed, there is no cluster at the address, this machine has not what a trial
                needs, or a node has other software or no images.
        """
        # On other machines, too: where this process stands is nothing to them.
        work = replace(work, unfinished=work.unfinished.resolve(), dataset=work.dataset and replace(
            work.dataset, root=work.dataset.root.resolve()))
        with self._connected() as ray:
            # Not by options(), where Ray would not know that a worker that has used a GPU is to end with its task.
            task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, memory=round(self.memory_gb * 1e9),
                              max_retries=RETRIES)(_attempt)
            # Once, and not with each trial: the table of the images.
            stored, mark, running = ray.put(work), uuid.uuid4().hex, dict[Any, Trial]()
            # On this machine it is the same clone, which may be committed to meanwhile.
            software = {name: found for name, found in _software().items() if name != _COMMIT or self.address != LOCAL}
            waiting = iter(trials)
            if not self._room(ray.nodes()):
                _log.warning("no machine of the cluster has %s; waiting for one", self._needs())
            while True:
                # One more than there is room for would be held, and kept from other sweeps of the store.
                while len(running) < max(1, self._room(ray.nodes())) and (trial := next(waiting, None)):
                    _mark(work, trial, mark)
                    running[task.remote(stored, trial, mark, software)] = trial
                if not running:
                    return
                for reference in ray.wait(list(running), timeout=_LOOK_AGAIN)[0]:
                    trial = running.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        if isinstance(error.cause, UserError):
                            # What a node lacks.
                            raise error.cause from None
                        # An error of the code, with the worker's traceback.
                        raise
                    except ray.exceptions.RayError as error:
                        yield Outcome(trial, problem=(
                            f"trial {trial.key}: its worker was lost, the last time thus: {_line(error)}; if memory "
                            "ran out, reserve more for a trial, and run the sweep again"))

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        # Read when Ray is first imported. It reports its use to its makers unless told not to; it would give a task
        # that runs out of memory any number of further tries; and it would open its ports to the network.
        for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": str(RETRIES),
                            **({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if self.address == LOCAL else {})}.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise UserError("the executor ray needs a package that is not installed; pip install 'covidcnn[ray]', or "
                            "leave the executor out") from error
        environment = {name: value for name, value in os.environ.items()
                       if name.startswith(("TF_", "XLA_", "KERAS_", "COVIDCNN_COMMIT"))} | dict.fromkeys(
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(self.cpus))
        if not self.gpus:
            # Ray hides none, and each worker would take the first one's memory.
            environment["CUDA_VISIBLE_DEVICES"] = "-1"
        elif self.gpus < 1:
            # Each would take the whole memory of a GPU at its beginning.
            environment |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        try:
            host, _, port = self.address.rpartition(":")
            if port.isdigit():
                # Ray would try for minutes.
                socket.create_connection((host.removeprefix("ray://").strip("[]"), int(port)), timeout=10).close()
            ray.init(self.address, include_dashboard=False if self.address == LOCAL else None, log_to_driver=False,
                     logging_level=logging.ERROR, runtime_env={"env_vars": environment})
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise UserError(f"no Ray cluster at '{self.address}': {_line(error)}; ray status says whether it runs, "
                            "and with RAY_AUTH_MODE=token this machine needs its token") from error
        try:
            if self.address == LOCAL and not self._room(ray.nodes()):
                raise UserError(f"this machine has not {self._needs()}; ask for less a trial, or give the address of "
                                "a cluster")
            yield ray
        finally:
            ray.shutdown()

    def _needs(self) -> str:
        return f"for each trial {self.cpus} cores, {self.gpus:g} GPUs and {self.memory_gb:g} GB of free memory"

    def _room(self, nodes: list[dict[str, Any]]) -> int:
        """How many trials the living nodes take at once."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_gb * 1e9}
        return sum(min(int(node["Resources"].get(name, 0) / need) for name, need in needs.items() if need)
                   for node in nodes if node["Alive"])


def _mark(work: Work, trial: Trial, mark: str) -> None:
    """Leave a sign in a trial's folder, by which a worker that sees the same folder knows it."""
    folder = work.unfinished / trial.key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SIGN).write_text(mark)


def _is_marked(work: Work, trial: Trial, mark: str) -> bool:
    with suppress(OSError):
        return (work.unfinished / trial.key / _SIGN).read_text() == mark
    return False


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


@cache
def _software() -> dict[str, str]:
    """What computes here: versions, and the commit of the code, as they are when the process first asks."""
    return software_versions() | {_COMMIT: git_commit()}


def _attempt(work: Work, trial: Trial, mark: str, software: dict[str, str]) -> Outcome:
    """What a worker does; a UserError if its node cannot compute what the sweep's machine would."""
    own = _software()
    for name in sorted(software):
        if own.get(name) != software[name]:
            raise UserError(f"node {platform.node()}: {name} is {own.get(name, 'not there')}, on the sweep's machine "
                            f"{software[name]}; install the same there, or take it out of the cluster")
    if work.dataset and not work.dataset.root.is_dir():
        raise UserError(f"node {platform.node()}: {work.dataset.root} is not there; put the images there under the "
                        "same path, or take it out of the cluster")
    if _is_marked(work, trial, mark):
        return work.attempt(trial)
    with tempfile.TemporaryDirectory() as folder:
        return replace(work, unfinished=Path(folder)).attempt(trial)
