"""Transfers that break, lie or do not fit, and the folder that is held meanwhile."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from loopback import loopback, md5

from covidcnn.data.fetch import transfer
from covidcnn.data.fetch.transfer import Remote, download, reserved
from covidcnn.errors import UserError

CONTENT = np.random.default_rng(0).bytes(2_500_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with loopback(CONTENT) as running:
        yield running


def remote_at(server, **changes):
    return Remote(**{"name": "images.npz", "url": f"{server.address}/images", "md5": md5(CONTENT), "largest": 3_000_000,
                     "unpacked": 0, "by_hand": "take it by hand"} | changes)


def test_file_arrives_whole_with_its_progress(server, tmp_path):
    seen = []
    download(remote_at(server), tmp_path / "part", lambda *values: seen.append(values))
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert seen[-1] == (2, 2)
    assert seen == sorted(seen)
    assert server.ranges == [None]


def test_broken_transfer_goes_on_from_where_it_broke(server, tmp_path, refused):
    # In whole reads: what of the last one came is lost.
    server.breaks_after = 16 * 65_536
    with refused("images.npz", "broke off after 1.0 of 2.5 MB", "the same command"):
        download(remote_at(server), tmp_path / "part")
    with refused("broke off after 2.1 of 2.5 MB"):
        download(remote_at(server), tmp_path / "part")
    download(remote_at(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1048576-", "bytes=2097152-"]


def test_server_without_ranges_sends_the_whole_again(server, tmp_path):
    server.takes_ranges = False
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    download(remote_at(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_whole_file_of_a_killed_call_is_not_fetched_again(server, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT)
    download(remote_at(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("left", [b"", b"of another file", CONTENT + b"more"])
def test_wrong_checksum_is_said_and_the_rerun_starts_clean(server, tmp_path, refused, left):
    if left:
        (tmp_path / "part").write_bytes(left)
    else:
        server.content = CONTENT[:-1] + b"?"
    with refused("images.npz", "wrong checksum", md5(CONTENT), "removed"):
        download(remote_at(server), tmp_path / "part")
    assert not (tmp_path / "part").exists()
    server.content = CONTENT
    download(remote_at(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


@pytest.mark.parametrize("says_length", [True, False])
def test_too_much_is_cut_off_and_removed(server, tmp_path, refused, says_length):
    server.says_length = says_length
    with refused("images.npz", "more than the 1 MB", "by hand"):
        download(remote_at(server, largest=1_000_000), tmp_path / "part")
    assert list(tmp_path.iterdir()) == []


def test_too_little_without_an_announced_length_is_found_by_the_checksum(server, tmp_path, refused):
    server.says_length, server.breaks_after = False, 1000
    with refused("wrong checksum"):
        download(remote_at(server), tmp_path / "part")
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_refusal_of_the_server_is_one_line_and_keeps_what_has_come(server, tmp_path, refused, status):
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    server.status = status
    with refused("images.npz", f"answers {status}", "take it by hand"):
        download(remote_at(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT[:1000]


def test_no_server_is_one_line_that_says_how_by_hand(server, tmp_path, refused):
    remote = remote_at(server)
    server.server_close()
    with refused("images.npz", "no connection", "take it by hand"):
        download(remote, tmp_path / "part")
    assert list(tmp_path.iterdir()) == []


def test_silent_server_is_not_waited_for_for_ever(server, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(transfer, "_SILENT_SECONDS", 0.1)
    server.stalls_after = 0
    with refused("broke off after 0.0 of 2.5 MB"):
        download(remote_at(server), tmp_path / "part")


def test_room_for_the_image_folder_too_is_asked_for_before_anything_is_written(server, tmp_path, refused, monkeypatch):
    (tmp_path / "part").write_bytes(CONTENT[:1_500_000])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5_000_000))
    # A million to come and nine to unpack, and a tenth.
    with refused("5 MB free but 11 MB needed", "--out"):
        download(remote_at(server, unpacked=9_000_000), tmp_path / "part")
    assert (tmp_path / "part").stat().st_size == 1_500_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, a disk without room")
def test_disk_that_fills_up_on_the_way_is_one_line(server, tmp_path, refused):
    (tmp_path / "part").symlink_to("/dev/full")
    with refused(tmp_path, "No space left", "--out"):
        download(remote_at(server), tmp_path / "part")


def test_taken_folder_is_refused_before_anything_is_fetched(tmp_path, refused):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.txt").write_text("x")
    with refused(tmp_path / "images", "something already"), reserved(tmp_path / "images"):
        pytest.fail("the block was entered")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_download_is_kept_for_the_next_call_and_gone_after_success(tmp_path):
    def break_off():
        with reserved(tmp_path / "new" / "images") as partial:
            partial.write_bytes(b"half")
            raise UserError("broke off")

    with pytest.raises(UserError):
        break_off()
    with reserved(tmp_path / "new" / "images") as partial:
        assert partial.read_bytes() == b"half"
    assert list((tmp_path / "new").iterdir()) == []


def test_folder_is_held_by_one(tmp_path, refused):
    with reserved(tmp_path / "images") as partial:
        partial.write_bytes(b"half")
        with refused(tmp_path / "images", "another process", "--out"), reserved(tmp_path / "images"):
            pytest.fail("the block was entered")
        assert partial.read_bytes() == b"half"


def test_folder_that_cannot_be_made_is_refused(tmp_path, refused):
    (tmp_path / "file").write_text("x")
    with refused(tmp_path / "file" / "images", "cannot be written", "--out"), reserved(tmp_path / "file" / "images"):
        pytest.fail("the block was entered")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc, where no file can be made")
def test_place_where_no_file_can_be_made_is_not_another_process(refused):
    with refused("/proc/images: cannot be written", "--out"), reserved(Path("/proc/images")):
        pytest.fail("the block was entered")
