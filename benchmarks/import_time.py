"""Seconds to import covidcnn and to ask its command line for help, each the median of five fresh processes.

    python benchmarks/import_time.py
"""

import json
import os
import statistics
import subprocess
import sys
import time

from common import machine

COMMANDS = {
    "python alone": ["-c", "pass"],
    "import covidcnn": ["-c", "import covidcnn"],
    "import covidcnn.cli": ["-c", "import covidcnn.cli"],
    "covidcnn --help": ["-m", "covidcnn", "--help"],
    "import tensorflow": ["-c", "import tensorflow"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    # Compiled modules are kept, as in an ordinary installation; the first turn, which may write them, does not count.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for turn in range(6):
        for name, command in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True, env=environment)
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    print(json.dumps({"machine": machine(), "seconds": {
        name: round(statistics.median(values), 3) for name, values in seconds.items()}}, indent=2))


if __name__ == "__main__":
    main()
