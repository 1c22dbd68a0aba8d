"""Where things are kept, and that a file is written whole or not at all."""

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from covidcnn.paths import (
    PROJECT,
    cache_folder,
    replacing,
    replacing_folder,
    require_space,
    require_writable,
    slug,
    write_json,
)


def test_project_is_the_folder_of_the_package():
    assert (PROJECT / "covidcnn" / "paths.py").is_file()


def test_cache_folder_is_the_one_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_cache_folder_is_the_systems_otherwise(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("COVIDCNN_CACHE")
    else:
        monkeypatch.setenv("COVIDCNN_CACHE", value)
    assert cache_folder().name == "covidcnn"
    assert cache_folder().is_absolute()


def test_space_is_enough_with_a_tenth_to_spare(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=110_000_000))
    require_space(tmp_path / "new", 99_000_000)
    assert (tmp_path / "new").is_dir()
    with refused(tmp_path / "new", "110 MB free", "111 MB needed", "COVIDCNN_CACHE"):
        require_space(tmp_path / "new", 101_000_000)


def test_folder_that_cannot_be_made_is_refused(tmp_path, refused):
    (tmp_path / "file").write_text("x")
    with refused(tmp_path / "file" / "folder", "COVIDCNN_CACHE"):
        require_space(tmp_path / "file" / "folder", 1)


def test_file_appears_when_its_block_succeeds_and_not_before(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def fail_half_way(target, error):
    with replacing(target) as temporary:
        temporary.write_text("half")
        raise error


def test_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    for name, target in (("link", "there/file.txt"), ("link-to-link", "link"), ("dangling", "there/new.txt")):
        (tmp_path / name).symlink_to(target)
        with replacing(tmp_path / name) as temporary:
            assert temporary.parent == tmp_path / "there"
            temporary.write_text(name)
        assert (tmp_path / name).is_symlink()
    assert {path.name: path.read_text() for path in (tmp_path / "there").iterdir()} == {
        "file.txt": "link-to-link", "new.txt": "dangling"}


def test_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    require_writable(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, 7)
    assert os.read(reader, 10) == b"7\n"
    os.close(reader)
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_old_file_stays_when_the_block_fails(tmp_path, error):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(error):
        fail_half_way(target, error)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_killed_processes_are_removed_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover, living, of_another_computer = (
        tmp_path / f".file.txt.{node}.{process}.tmp"
        for node, process in ((platform.node(), dead.pid), (platform.node(), os.getppid()), ("elsewhere", dead.pid)))
    for file in (leftover, living, of_another_computer):
        file.write_text("half")
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert set(tmp_path.iterdir()) == {tmp_path / "file.txt", living, of_another_computer}


def test_leftover_of_a_killed_process_that_had_the_same_number_is_removed(tmp_path):
    # In a container every process may be number 1.
    leftover = tmp_path / f".out.{platform.node()}.{os.getpid()}.tmp"
    leftover.mkdir()
    (leftover / "half").write_text("x")
    with replacing_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/whole"]


def test_full_disk_is_refused_and_leaves_nothing(tmp_path, refused):
    with refused(tmp_path / "file.txt", "No space left on device", "make room"):
        fail_half_way(tmp_path / "file.txt", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_place_of_its_folder_is_refused(tmp_path, refused):
    (tmp_path / "file").write_text("x")
    with refused(tmp_path / "file" / "deeper" / "file.txt", "choose another folder"):
        write_json(tmp_path / "file" / "deeper" / "file.txt", {})


def test_json_is_readable_and_whole_or_absent(tmp_path):
    write_json(tmp_path / "run.json", {"seed": 0, "name": "Zürich"})
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"seed": 0, "name": "Zürich"}
    assert "Zürich" in text
    assert text.endswith("}\n")
    with pytest.raises(TypeError):
        write_json(tmp_path / "other.json", {"path": Path()})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(("name", "expected"), [
    ("chest_xray", "chest_xray"), ("my images (2024)", "my-images-2024"), ("../..", "data"), ("", "data"),
    ("Lungenbilder für alle", "Lungenbilder-für-alle"), ("肺炎", "肺炎"), (".hidden", "hidden"),
])
def test_slug_is_fit_for_a_folder(name, expected):
    assert slug(name) == expected
