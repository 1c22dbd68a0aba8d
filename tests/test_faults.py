"""What kills, full disks and read-only folders leave: nothing false, and a rerun that ends as an undisturbed run."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil
import pytest
from PIL import Image
from test_runner import SMOKE, write_notebook

from covidcnn.data import cache as cache_module
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import open_dataset
from covidcnn.data.index import index_folder
from covidcnn.data.phantom import write_phantom
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.model_file import load_model, save_model
from covidcnn.paths import PROJECT
from covidcnn.report.runner import run_series

pytestmark = pytest.mark.slow

SETTINGS = ImageSettings(20)
KILL = "import os, signal, sys\nfrom pathlib import Path\ndef kill(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"


def child(code, *arguments, **environment):
    """A process of its own, its working folder elsewhere."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment)


def killed(code, *arguments, **environment):
    """Run ``code``, which must kill itself on its way."""
    process = child(KILL + code, *arguments, **environment)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err


def files(folder):
    """Every file below a folder, by its path; of JSON all but how long something took and when."""

    def untimed(value):
        return {name: entry if not isinstance(entry, dict) else untimed(entry) for name, entry in value.items()
                if name not in ("seconds", "finished")}

    return {path.relative_to(folder).as_posix():
            untimed(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


# ---------------------------------------------------------------- kill -9

@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test's own."""
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("moment", [(10, None), (None, 10)], ids=["index", "images"])
def test_cache_killed_while_it_is_built_is_built_again(small_tree, cache, tmp_path, monkeypatch, moment):
    killed("from covidcnn.data.cache import *; from covidcnn.data.index import index_folder\n"
           "tree, (while_indexing, while_decoding) = Path(sys.argv[1]), eval(sys.argv[2])\n"
           "images = index_folder(tree, lambda done, _: done == while_indexing and kill()).images\n"
           "load_images(tree, images, ImageSettings(20), lambda done, _: done == while_decoding and kill())\n",
           small_tree, moment)
    assert not any(name.endswith(".npy") for name in files(cache))
    images = index_folder(small_tree).images
    pixels = load_images(small_tree, images, SETTINGS)
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "undisturbed"))
    np.testing.assert_array_equal(pixels, load_images(small_tree, index_folder(small_tree).images, SETTINGS))
    assert files(cache) == files(tmp_path / "undisturbed")


def test_phantom_images_killed_while_they_are_drawn_are_drawn_again(tmp_path):
    counts = {"train": 4, "test": 2}
    killed("from covidcnn.data.phantom import write_phantom\n"
           "write_phantom(Path(sys.argv[1]), eval(sys.argv[2]), 0, 1, lambda done: done == 3 and kill())\n",
           tmp_path / "killed/images", counts)
    assert not (tmp_path / "killed/images").exists()
    for name in ("killed", "undisturbed"):
        write_phantom(tmp_path / name / "images", counts, workers=1)
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, pixels in zip("abc", np.random.default_rng(0).integers(0, 256, (3, 40, 48), np.uint8), strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


PREDICT_MOMENTS = {
    "second overlay": "from PIL.Image import Image\nsave = Image.save\n"
                      "Image.save = lambda image, path, **o: (save(image, path, **o), '2-' in str(path) and kill())",
    "half a table": "write = Path.write_text\n"
                    "Path.write_text = lambda path, text, **o: (write(path, text[:50]), kill())",
    "between table and overlays": "move = os.replace\nos.replace = lambda *paths: (move(*paths), kill())",
}


@pytest.mark.parametrize("moment", PREDICT_MOMENTS)
def test_killed_predict_completes_when_it_is_run_again(tiny_model, images, tmp_path, run, moment):
    def arguments(folder):
        return "predict", tiny_model, images, "--out", tmp_path / folder / "a.csv", "--explain", tmp_path / folder / "o"

    killed(PREDICT_MOMENTS[moment] + "\nfrom covidcnn.cli import main; main()", *arguments("killed"))
    assert not (tmp_path / "killed/o").exists()
    assert any(".tmp" in name for name in files(tmp_path / "killed"))
    for name in ("killed", "undisturbed"):
        code, _, err = run(*arguments(name))
        assert code == 0, err
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert len(files(tmp_path / "killed")) == 4


REPORT_CELLS = ('''import os, time
from pathlib import Path
import pandas as pd
from covidcnn.report.notebook_run import open_run
run = open_run("01_n", PROFILE)
run.save_table(pd.DataFrame({"a": [1, 2]}), "first", "Numbers.")''', '''if "HALT" in os.environ:
    Path(os.environ["HALT"]).write_text(str(os.getpid()))
    time.sleep(100)
if "FILLER" in os.environ:
    try:
        Path(os.environ["FILLER"]).write_bytes(bytes(100_000_000))
    except OSError:
        pass''', '''run.save_table(pd.DataFrame({"a": [3, 4]}), "second", "Numbers.")
run.dataset.content_hash''')


def report(notebook, tree, folder, resume=False):
    return [(outcome.status, outcome.message) for outcome in
            run_series([notebook], SMOKE, open_dataset(tree), folder, resume, report=lambda line: None)]


def kill_report(notebook, tree, folder, halt):
    """Run a report in another process, and kill it in the middle of its notebook."""
    process = child("import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
                    "from test_faults import *; from covidcnn.report.notebooks import Notebook\n"
                    "path, tree, folder = map(Path, sys.argv[2:])\nreport(Notebook(path, path.stem), tree, folder)",
                    PROJECT / "tests", notebook.path, tree, folder, HALT=str(halt))
    deadline = time.monotonic() + 120
    while not (halt.exists() and halt.read_text()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    kernel = int(halt.read_text())
    halt.unlink()
    # Nobody goes on writing into the report.
    while psutil.pid_exists(kernel) and psutil.Process(kernel).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_report_says_so_and_resumes_to_that_of_an_undisturbed_run(small_tree, tmp_path):
    def status():
        index = (killed_folder / "index.html").read_text(encoding="utf-8")
        assert "This report is not finished" in index
        assert "<li>01_n: unfinished</li>" in index
        assert "covidcnn report --resume" in index
        return json.loads((killed_folder / "run-record.json").read_text())["notebooks"]["01_n"]["status"]

    def results(folder):
        return {name: content for name, content in files(folder).items() if name != "index.html"}

    notebook = write_notebook(tmp_path / "01_n.ipynb", *REPORT_CELLS)
    killed_folder, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    kill_report(notebook, small_tree, killed_folder, tmp_path / "halt")
    assert status() == "unfinished"
    assert report(notebook, small_tree, killed_folder, resume=True) == [("done", "")]
    shutil.copytree(killed_folder, undisturbed)
    # Killed again when all was done: what is half-made now is not kept for what was done then.
    kill_report(notebook, small_tree, killed_folder, tmp_path / "halt")
    assert status() == "unfinished"
    assert report(notebook, small_tree, killed_folder, resume=True) == [("done", "")]
    assert results(killed_folder) == results(undisturbed)
    assert "not finished" not in (killed_folder / "index.html").read_text(encoding="utf-8")
    # And as if it had never been killed.
    assert report(notebook, small_tree, tmp_path / "whole") == [("done", "")]
    assert results(killed_folder) == results(tmp_path / "whole")


# ---------------------------------------------------------------- two at once

def test_two_processes_build_the_same_cache_at_once(small_tree, cache, tmp_path):
    code = (
        "import hashlib, sys, time; from pathlib import Path\n"
        "from covidcnn.data.cache import *; from covidcnn.data.index import index_folder\n"
        "tree, mine, other = map(Path, sys.argv[1:])\n"
        "def meeting(done, _):\n"
        "    if done == 10: mine.touch()\n"
        "    while done == 10 and not other.exists(): time.sleep(0.01)\n"
        "images = index_folder(tree, meeting).images\n"
        "decoded = []\n"
        "pixels = load_images(tree, images, ImageSettings(20), lambda done, _: decoded.append(done))\n"
        "print(len(decoded), hashlib.sha256(pixels).hexdigest())")
    both = [child(code, small_tree, tmp_path / mine, tmp_path / other) for mine, other in ("ab", "ba")]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    counts, hashes = zip(*(out.split() for out, _ in said), strict=True)
    # One of them decoded all 20, and the other waited for it.
    assert sorted(counts) == ["0", "20"]
    assert hashes[0] == hashes[1]
    assert [path.suffix for path in sorted(cache.rglob("*")) if path.is_file()] == [".npy", ".csv"]


def test_two_reports_at_once_on_one_cache_are_equal(tiny_tree, cache, tmp_path):
    command = "from covidcnn.cli import main; main()"
    both = [child(command, "report", "--profile", "smoke", "--only", "01", "--data", tiny_tree, "--out",
                  tmp_path / name) for name in ("one", "two")]
    said = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    one, two = ({name: content for name, content in files(tmp_path / folder).items() if name != "index.html"}
                for folder in ("one", "two"))
    assert one.keys() == two.keys()
    for name, content in one.items():
        assert content == two[name], name
    assert any(name.startswith("tables/") for name in one)
    assert not list(cache.rglob(".*"))


# ---------------------------------------------------------------- full disks and read-only folders, real ones

class Disk:
    """A file system of two megabytes in memory."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=2m", "tmpfs")

    def _mount(self, *options):
        done = subprocess.run(["mount", *options, str(self.path)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    @property
    def filler(self):
        return self.path / "filler"

    def fill(self, leave):
        """Leave so many bytes free."""
        status = os.statvfs(self.path)
        self.filler.write_bytes(bytes(status.f_bavail * status.f_bsize - leave))

    def protect(self, read_only=True):
        self._mount("-o", "remount,ro" if read_only else "remount,rw")


@pytest.fixture
def disk(tmp_path):
    try:
        yield Disk(tmp_path / "disk")
    finally:
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], capture_output=True, check=False)


def test_cache_on_a_full_or_read_only_disk(small_tree, disk, tmp_path, monkeypatch, refused):
    monkeypatch.setenv("COVIDCNN_CACHE", str(disk.path))
    disk.protect()
    with refused(disk.path, "Read-only file system", "COVIDCNN_CACHE"):
        index_folder(small_tree)
    disk.protect(False)
    disk.fill(leave=0)
    with refused(disk.path, "No space left on device", "COVIDCNN_CACHE"):
        index_folder(small_tree)
    disk.filler.unlink()
    images = index_folder(small_tree).images
    disk.fill(leave=8192)
    with refused(disk.path, "MB needed", "COVIDCNN_CACHE"):
        load_images(small_tree, images, ImageSettings(40))
    with monkeypatch.context() as patch:
        # As if the disk filled up after it was looked at.
        patch.setattr(cache_module, "require_space", lambda folder, needed: None)
        with refused(disk.path, "No space left on device", "COVIDCNN_CACHE"):
            load_images(small_tree, images, ImageSettings(40))
    disk.filler.unlink()
    pixels = load_images(small_tree, images, ImageSettings(40))
    found = files(disk.path)
    # What is there can be read from a disk that has become read-only.
    disk.protect()
    np.testing.assert_array_equal(load_images(small_tree, index_folder(small_tree).images, ImageSettings(40)), pixels)
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "undisturbed"))
    np.testing.assert_array_equal(load_images(small_tree, index_folder(small_tree).images, ImageSettings(40)), pixels)
    assert found == files(tmp_path / "undisturbed")


def test_predict_on_a_full_or_read_only_disk(tiny_model, images, disk, tmp_path, run):
    def predict(folder):
        return run("predict", tiny_model, images, "--out", folder / "a.csv", "--explain", folder / "overlays")

    for spoil, words in ((disk.protect, "Read-only file system"), (lambda: disk.fill(0), "No space left on device"),
                         # Room for some of the overlays.
                         (lambda: disk.fill(150_000), "No space left on device")):
        spoil()
        code, out, err = predict(disk.path)
        assert (code, out) == (2, "")
        assert err.startswith(f"covidcnn: {disk.path}")
        assert words in err
        assert err.count("\n") == 1
        disk.protect(False)
        disk.filler.unlink(missing_ok=True)
        assert list(disk.path.iterdir()) == []
    assert predict(disk.path)[0] == predict(tmp_path / "elsewhere")[0] == 0
    assert files(disk.path) == files(tmp_path / "elsewhere")


def test_model_is_not_blamed_for_a_full_temporary_folder(tiny_model, images, disk, run, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    for spoil, words in ((disk.protect, "Read-only file system"), (lambda: disk.fill(4096), "No space left on device")):
        spoil()
        code, out, err = run("predict", tiny_model, images)
        assert (code, out) == (2, "")
        assert err.startswith(f"covidcnn: {tiny_model}: no temporary copy")
        assert words in err
        assert "TMPDIR" in err
        disk.protect(False)
    disk.filler.unlink()
    assert run("predict", tiny_model, images)[0] == 0
    assert not list(disk.path.rglob("model.keras"))


def test_report_on_a_full_or_read_only_disk(small_tree, disk, tmp_path, monkeypatch, run, refused):
    folder = disk.path / "report"
    disk.protect()
    code, out, err = run("report", "--profile", "smoke", "--data", small_tree, "--out", folder)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"covidcnn: {folder}: cannot be written (Read-only file system)")
    disk.protect(False)
    notebook = write_notebook(tmp_path / "01_n.ipynb", *REPORT_CELLS)
    with monkeypatch.context() as patch:
        patch.setenv("FILLER", str(disk.filler))
        # There is no room for the index.
        with refused(folder / "index.html", "No space left on device"):
            report(notebook, small_tree, folder)
    entry = json.loads((folder / "run-record.json").read_text())["notebooks"]["01_n"]
    assert entry["status"] == "failed"
    assert "No space left on device" in entry["message"]
    assert not (folder / "tables/second.csv").exists()
    assert "This report is not finished" in (folder / "index.html").read_text(encoding="utf-8")
    disk.filler.unlink()
    assert report(notebook, small_tree, folder, resume=True) == [("done", "")]
    assert report(notebook, small_tree, tmp_path / "elsewhere") == [("done", "")]
    found, elsewhere = files(folder), files(tmp_path / "elsewhere")
    assert found.keys() == elsewhere.keys()
    for name in ("notebooks/01_n.ipynb", "01_n.html", "run-record.json", "tables/first.csv", "tables/second.md"):
        assert found[name] == elsewhere[name]


def test_saved_model_is_not_blamed_for_a_full_temporary_folder(tiny_model, disk, tmp_path, monkeypatch, refused):
    model, facts = load_model(tiny_model)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(disk.path))
        disk.protect()
        try:
            with refused(tmp_path / "model.keras", "no temporary copy", "TMPDIR"):
                save_model(tmp_path / "model.keras", model, facts)
        finally:
            disk.protect(False)
    assert not (tmp_path / "model.keras").exists()
    save_model(tmp_path / "model.keras", model, facts)
    assert load_model(tmp_path / "model.keras")[1] == facts
