"""What the benchmarks share: the machine in words, workers in processes of their own, medians."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions: ratios travel between machines, absolute figures do not."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    processor = (f"{fields.get('model name')}, family {fields.get('cpu family')}, model {fields.get('model')}"
                 if "model name" in fields else platform.processor())
    return {
        "processor": processor,
        "cores": os.cpu_count(), "memory GB": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(), "tensorflow": version("tensorflow"), "keras": version("keras"),
        "load before the run": round(os.getloadavg()[0], 2),
    }


def run_worker(command: Sequence[str]) -> dict[str, Any]:
    """The JSON that a worker prints as its last line; under 'skipped' why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return {"skipped": f"{command[0]}: {error.strerror}"}
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def status_mb(name: str) -> float:
    """A field of Linux's process status in MB, for example VmHWM, the peak of resident memory; else not a number."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else []:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes and all values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}
