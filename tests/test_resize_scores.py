"""What the pages say of cv2's resize against the copy is what was measured (benchmarks/resize_scores.py)."""

import json
import re

import pytest

from covidcnn.paths import PROJECT

FOUND = json.loads((PROJECT / "benchmarks/results/resize_scores.json").read_text(encoding="utf-8"))
ROWS = {(row["px"], row["instead of the copy"]): row for row in FOUND["rows"]}


def test_every_network_scored_every_original():
    assert FOUND["originals"] == 56
    for (_, name), row in ROWS.items():
        pairs = FOUND["seeds"] * (FOUND["seeds"] - 1) // 2 if name == "another seed" else FOUND["seeds"]
        assert row["predictions"] == pairs * FOUND["originals"]


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: f"{row['px']}, {row['instead of the copy']}")
def test_table_is_that_of_the_result(row):
    page = (PROJECT / "benchmarks/README.md").read_text(encoding="utf-8")
    assert (f"| {row['px']} | {row['instead of the copy']} | {row['mean change']:+.3f} | "
            f"{row['mean absolute change']:.3f} | {row['largest']:.3f} | "
            f"{row['predictions that flip at 0.5']} of {row['predictions']} |") in page


def test_sentence_is_that_of_the_result():
    row, page = ROWS[224, "cv2, linear"], (PROJECT / "docs/data.md").read_text(encoding="utf-8")
    paragraph = next(part for part in page.split("\n\n") if " predictions flip" in part)
    assert {f"{row['mean absolute change']:.3f}", f"{row['largest']:.3f}",
            f"{row['predictions that flip at 0.5']} of {row['predictions']}"} <= set(
                re.findall(r"\d+ of \d+|\d+\.\d{3}", paragraph))
    for px in (64, 224):
        assert all(ROWS[px, "cv2, linear"][name] < ROWS[px, "another seed"][name]
                   for name in ("mean absolute change", "predictions that flip at 0.5"))
        assert ROWS[px, "cv2, linear"]["mean change"] < 0
