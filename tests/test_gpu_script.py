"""The script for a machine with a GPU, tried without one."""

import json
import subprocess
import sys

import pytest

from covidcnn.paths import PROJECT


@pytest.mark.long
@pytest.mark.slow
def test_script_finds_trainings_that_repeat_and_go_on_to_the_bit(tmp_path):
    out = tmp_path / "gpu.json"
    ended = subprocess.run([sys.executable, PROJECT / "benchmarks/gpu.py", "--here", "--sizes", "16", "--precisions",
                            "float32", "--out", out], check=False, capture_output=True, text=True)
    found = {name: step["found"] for name, step in json.loads(out.read_text(encoding="utf-8")).items()
             if name != "backend"}
    assert list(found) == ["GPU", "versions", "speed, 16 px, float32", "precision", "determinism", "resume"]
    if "failed" in found["GPU"]:
        assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, "failed: GPU")
    assert found["speed, 16 px, float32"]["ms a step"] > 0
    assert {row["seed"] for row in found["precision"]} == {"0", "1"}
    assert found["determinism"] == {"equal to the bit": True}
    assert found["resume"] == {"epochs were left": True, "equal to the bit": True}
