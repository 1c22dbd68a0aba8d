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
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes and all values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}
