"""The report that is kept to be read: docs/report."""

import json
import re
from base64 import b64decode, b64encode
from copy import deepcopy
from io import BytesIO

import nbformat
import numpy as np
import pytest
from PIL import Image
from report_files import RECORD, make_report

from covidcnn.paths import NOTEBOOKS, PROJECT
from covidcnn.report.notebooks import with_links_to
from covidcnn.report.publish import _with_few_colours, publish

PUBLISHED = PROJECT / "docs/report"
DONE = deepcopy(RECORD)
DONE["data"]["source"] = "phantom"
del DONE["notebooks"]["02_second"]


def report_with(folder, record):
    make_report(folder)
    (folder / "run-record.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def pictures_of(path):
    return [b64decode(output["data"]["image/png"]) for cell in nbformat.read(path, 4).cells
            for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


def test_notebooks_are_copied_with_smaller_pictures_and_listed(tmp_path):
    report = report_with(tmp_path / "report", DONE)
    path = report / "notebooks/01_first.ipynb"
    notebook, noise = nbformat.read(path, 4), BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)).save(noise, "PNG")
    notebook.cells[1].outputs[1]["data"]["image/png"] = b64encode(noise.getvalue()).decode()
    nbformat.write(notebook, path)
    publish(report, tmp_path / "published")
    (before,), (after,) = pictures_of(path), pictures_of(tmp_path / "published/01_first.ipynb")
    assert len(after) < len(before) / 2
    assert Image.open(BytesIO(after)).size == (90, 60)
    assert "[01 · First](01_first.ipynb). What is first?" in (tmp_path / "published/README.md").read_text()


def test_a_thin_line_keeps_its_colour():
    # Noise above a colour map, and two short lines: the usual way of reducing colours makes both lines of one colour.
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 1), np.uint8).repeat(3, axis=2)
    ramp = np.linspace(0, 1, 200)
    pixels[100:] = (255 * np.stack([ramp, ramp**2, 1 - ramp], axis=-1)).astype(np.uint8)
    pixels[5, :40], pixels[8, :40] = (0, 114, 178), (0, 158, 115)
    picture = BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    small = _with_few_colours(b64encode(picture.getvalue()).decode())
    after = np.asarray(Image.open(BytesIO(b64decode(small))).convert("RGB")).astype(int)
    assert np.abs(after[[5, 8], :40] - pixels[[5, 8], :40]).max() <= 16


def test_only_a_finished_report_on_phantom_images_is_given_away(tmp_path, refused):
    with refused("no-report", "covidcnn report"):
        publish(tmp_path / "no-report", tmp_path / "published")
    with refused("02_second is not done"):
        publish(report_with(tmp_path / "unfinished", RECORD), tmp_path / "published")
    real = deepcopy(DONE)
    real["data"] |= {"source": "own", "name": "phantom"}
    with refused("only one on phantom images is published"):
        publish(report_with(tmp_path / "real", real), tmp_path / "published")
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("source", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_what_is_published_belongs_to_the_sources_and_holds_no_trace_of_the_machine(source):
    """``make publish`` makes it anew."""
    executed = nbformat.read(PUBLISHED / source.name, 4)
    cells = [cell.source for cell in executed.cells if cell.id != "injected-parameters"]
    assert cells == [with_links_to(cell.source, "../glossary.md") for cell in nbformat.read(source, 4).cells]
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert outputs
    assert "error" not in {output.output_type for output in outputs}
    text = re.sub(r'"image/[\w.+-]+": "[^"]*"', "", (PUBLISHED / source.name).read_text(encoding="utf-8"))
    assert not re.search(r"/(?:home|root|Users|work|tmp|opt)/|@[\w-]+\.\w+", text)


def test_what_is_published_is_small_and_made_from_phantoms():
    assert sum(path.stat().st_size for path in PUBLISHED.iterdir()) < 15e6
    assert "phantom images, drawn by a program" in (PUBLISHED / "README.md").read_text(encoding="utf-8")


def test_command_publishes(tmp_path, run):
    report = report_with(tmp_path / "report", DONE)
    assert run("publish", report, tmp_path / "published")[0] == 0
    assert (tmp_path / "published/01_first.ipynb").is_file()
