"""Fetching the published images and PneumoniaMNIST, from servers of this machine."""

import json
import os
import subprocess
import sys
import time

import pytest
from conftest import encoded
from loopback import google_hash, loopback, md5
from PIL import Image
from test_archive import KAGGLE, zip_of

from covidcnn.data import pneumoniamnist
from covidcnn.data.dataset import open_dataset
from covidcnn.data.fetch.downloads import fetch_chest_xray, fetch_pneumoniamnist
from covidcnn.data.sources import PNEUMONIAMNIST
from covidcnn.errors import UserError
from covidcnn.paths import PROJECT

IMAGE = encoded(Image.effect_noise((48, 40), 60), "JPEG")
# A JPEG may have anything behind its end: no two images are identical files.
ARCHIVE = zip_of({name: IMAGE + content for name, content in KAGGLE.items()})


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """A server that plays Kaggle, and a user without an account there."""
    from kagglesdk import kaggle_env

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    with loopback(ARCHIVE) as server:
        server.headers = {"x-goog-hash": google_hash(ARCHIVE)}
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.address)
        yield server


@pytest.fixture
def zenodo(monkeypatch, mnist_file):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with loopback(mnist_file.read_bytes()) as server:
        monkeypatch.setattr(pneumoniamnist, "PAGE", server.address)
        yield server


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_archive_of_kaggle_becomes_a_folder_of_its_images_and_nothing_else_is_left(kaggle, tmp_path):
    fetch_chest_xray(tmp_path / "here" / "chest_xray")
    assert json.loads(kaggle.posted[0]) == {
        "ownerSlug": "paultimothymooney", "datasetSlug": "chest-xray-pneumonia", "datasetVersionNumber": 2}
    assert names_in(tmp_path / "here") == ["chest_xray"]
    assert names_in(tmp_path / "here" / "chest_xray") == ["test", "train", "val"]
    images = open_dataset(tmp_path / "here" / "chest_xray").images
    assert images.groupby("split").size().to_dict() == {"train": 4, "val": 4, "test": 4}


def test_broken_transfer_from_kaggle_leaves_no_folder_and_goes_on(kaggle, tmp_path, refused, monkeypatch):
    monkeypatch.setattr("covidcnn.data.fetch.transfer._CHUNK", 1000)
    kaggle.breaks_after = 5000
    with refused("chest-xray-pneumonia", "broke off", "the same command"):
        fetch_chest_xray(tmp_path / "here" / "chest_xray")
    assert not (tmp_path / "here" / "chest_xray").exists()
    kaggle.breaks_after = None
    fetch_chest_xray(tmp_path / "here" / "chest_xray")
    assert kaggle.ranges[-1] == "bytes=5000-"
    assert names_in(tmp_path / "here") == ["chest_xray"]


@pytest.mark.parametrize(("content", "words"), [
    (zip_of({"chest_xray/train/NORMAL/a.jpeg": IMAGE, "../train/NORMAL/b.jpeg": IMAGE}), "leads outside"),
    (b"<html>sign in</html>", "no ZIP archive")])
def test_archive_that_cannot_be_trusted_leaves_nothing(kaggle, tmp_path, refused, content, words):
    kaggle.content, kaggle.headers = content, {"x-goog-hash": google_hash(content)}
    with refused(words):
        fetch_chest_xray(tmp_path / "here" / "chest_xray")
    assert names_in(tmp_path / "here") == []


def test_archive_damaged_on_the_way_leaves_nothing(kaggle, tmp_path, refused):
    kaggle.content = ARCHIVE[:-1] + b"?"
    with refused("wrong checksum", md5(ARCHIVE)):
        fetch_chest_xray(tmp_path / "here" / "chest_xray")
    assert names_in(tmp_path / "here") == []


def test_kaggle_refusing_or_out_of_reach_is_one_line_that_says_how_by_hand(kaggle, tmp_path, run):
    kaggle.status = 404
    command = ("data", "fetch", "chest-xray", "--out", tmp_path / "here" / "chest_xray")
    code, _, err = run(*command)
    assert (code, err.count("\n")) == (2, 1)
    assert "answers 404" in err
    kaggle.server_close()
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for word in ("no connection", "https://doi.org/10.17632/rscbjbr9sj.2", "--from ARCHIVE.zip"):
        assert word in err
    assert names_in(tmp_path / "here") == []


def test_damaged_kaggle_account_is_one_line(kaggle, tmp_path, refused):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kaggle.json").write_text("{")
    with refused("kaggle.json", "needs no account"):
        fetch_chest_xray(tmp_path / "chest_xray")


def test_archive_downloaded_by_hand_is_taken_and_kept(tmp_path, run):
    (tmp_path / "archive.zip").write_bytes(ARCHIVE)
    code, out, err = run("data", "fetch", "chest-xray", "--from", tmp_path / "archive.zip",
                         "--out", tmp_path / "chest_xray")
    assert code == 0
    assert "These are 12 images of your own, not the published set." in out
    assert str(tmp_path / "chest_xray") in err
    assert names_in(tmp_path) == ["archive.zip", "chest_xray"]


def test_pneumoniamnist_is_fetched_as_a_data_set(zenodo, tmp_path, run):
    code, out, err = run("data", "fetch", "pneumoniamnist", "--size", 28, "--out", tmp_path / "here" / "mnist")
    assert (code, err) == (0, f"images: {tmp_path / 'here' / 'mnist'}\n")
    assert "PneumoniaMNIST of MedMNIST v2 at 28 px, from the official file" in out
    assert "warnings: 0, errors: 0" in out
    assert names_in(tmp_path / "here") == ["mnist"]
    assert open_dataset(tmp_path / "here" / "mnist").source is PNEUMONIAMNIST


def test_pneumoniamnist_of_no_size_is_refused(tmp_path, run):
    code, _, err = run("data", "fetch", "pneumoniamnist", "--size", 32, "--out", tmp_path / "mnist")
    assert (code, "28, 64, 128, 224" in err) == (2, True)


def test_pneumoniamnist_out_of_reach_names_the_page_and_the_command(zenodo, tmp_path, run):
    zenodo.server_close()
    code, out, err = run("data", "fetch", "pneumoniamnist", "--size", 64, "--out", tmp_path / "here" / "mnist")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"download pneumoniamnist_64.npz from {zenodo.address}" in err
    assert "covidcnn data fetch pneumoniamnist --size 64 --from pneumoniamnist_64.npz" in err
    assert names_in(tmp_path / "here") == []


def test_file_that_is_not_the_official_one_is_taken_only_when_told(tmp_path, mnist_file, run, monkeypatch):
    monkeypatch.setitem(pneumoniamnist.MD5, 28, "0" * 32)
    command = ("data", "fetch", "pneumoniamnist", "--from", mnist_file, "--out", tmp_path / "here" / "mnist")
    code, _, err = run(*command)
    assert (code, "--unofficial" in err, md5(mnist_file.read_bytes()) in err) == (2, True, True)
    assert names_in(tmp_path / "here") == []
    code, out, _ = run(*command, "--unofficial")
    assert code == 0
    assert "results do not compare with its published table to the last image" in out
    assert mnist_file.is_file()


def test_what_is_fetched_is_never_taken_unofficially(tmp_path, run):
    code, out, err = run("data", "fetch", "pneumoniamnist", "--unofficial", "--out", tmp_path / "mnist")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--from" in err
    assert names_in(tmp_path) == []


def test_file_that_is_not_there_is_refused(tmp_path, refused):
    with refused(tmp_path / "absent.npz", "cannot be read"):
        fetch_pneumoniamnist(tmp_path / "mnist", 28, tmp_path / "absent.npz")


def test_disk_that_fills_up_leaves_no_folder(zenodo, tmp_path, refused, monkeypatch):
    import errno

    def fill(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pneumoniamnist, "write_folder", fill)
    with refused(tmp_path / "here" / "mnist", "No space left", "make room"):
        fetch_pneumoniamnist(tmp_path / "here" / "mnist", 28)
    assert not (tmp_path / "here" / "mnist").exists()
    monkeypatch.undo()
    # What has come is still there for the next call.
    assert (tmp_path / "here" / ".mnist.part").stat().st_size == len(zenodo.content)


def test_ctrl_c_is_no_traceback_and_what_has_come_is_kept(zenodo, tmp_path, run, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pneumoniamnist, "write_folder", stop)
    code, _, err = run("data", "fetch", "pneumoniamnist", "--out", tmp_path / "mnist")
    assert code == 130
    assert "goes on where this one stopped" in err


def test_killed_fetch_holds_the_folder_until_then_and_goes_on_after(zenodo, tmp_path, refused):
    zenodo.stalls_after = 8000
    target = tmp_path / "here" / "mnist"
    code = (f"from covidcnn.data import pneumoniamnist as p; from covidcnn.data.fetch import downloads, transfer; "
            f"from pathlib import Path; p.PAGE, transfer._CHUNK = {zenodo.address!r}, 1000; "
            f"p.COUNTS, p.MD5 = {pneumoniamnist.COUNTS!r}, {pneumoniamnist.MD5!r}; "
            f"downloads.fetch_pneumoniamnist(Path({str(target)!r}), 28)")
    partial = tmp_path / "here" / ".mnist.part"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    try:
        deadline = time.monotonic() + 60
        while not (partial.is_file() and partial.stat().st_size) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with refused("another process"):
            fetch_pneumoniamnist(target, 28)
    finally:
        process.kill()
        process.wait()
    assert not target.exists()
    kept = partial.stat().st_size
    zenodo.stalls_after = None
    fetch_pneumoniamnist(target, 28)
    assert zenodo.ranges == [None, f"bytes={kept}-"]
    assert names_in(tmp_path / "here") == ["mnist"]
    assert open_dataset(target).source is PNEUMONIAMNIST


def test_folder_that_appeared_meanwhile_is_not_overwritten(zenodo, tmp_path, monkeypatch):
    target = tmp_path / "mnist"
    write = pneumoniamnist.write_folder

    def quicker(*arguments):
        write(*arguments)
        target.mkdir()
        (target / "mine.txt").write_text("x")

    monkeypatch.setattr(pneumoniamnist, "write_folder", quicker)
    with pytest.raises(UserError):
        fetch_pneumoniamnist(target, 28)
    assert names_in(target) == ["mine.txt"]
