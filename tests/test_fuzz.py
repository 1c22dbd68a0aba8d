"""Every reader is fed with damaged and false files; COVIDCNN_FUZZ_ROUNDS asks for more of each kind than 100."""

import json
import os
import subprocess
import sys

import fuzz
import pytest

from covidcnn.paths import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.long]

MEGABYTES = 1000
"""An image of 100 million pixels, the largest that is read, takes most of this at 16 bits."""


def test_damaged_and_false_files_are_read_or_refused_and_nothing_else(tmp_path):
    rounds = os.environ.get("COVIDCNN_FUZZ_ROUNDS", "100")
    done = subprocess.run([sys.executable, fuzz.__file__, str(tmp_path), rounds, "0"], capture_output=True, text=True,
                          check=False, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    # A decoder's own words would be more than the one line that a user gets.
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["megabytes"] < MEGABYTES
    # Neither outcome is the only one, or the test would say nothing.
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "DICOM"):
        for outcome in ("read", "refused"):
            assert found["counts"][f"{kind} {outcome}"] >= int(rounds) / 50, (kind, outcome)
