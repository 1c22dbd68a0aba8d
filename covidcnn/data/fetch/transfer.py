"""A file from a server: resumed, bounded and checked; and the folder it is for, held by one process."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import requests
from filelock import FileLock, Timeout

from covidcnn.errors import DataError, UserError
from covidcnn.paths import require_new_folder, require_space

OTHER_FOLDER = "choose another folder with --out"
_CONNECT_SECONDS, _SILENT_SECONDS = 15, 60
# Bytes: what of a broken transfer can be lost.
_CHUNK = 1 << 16
Progress = Callable[[int, int], None]
"""Called with (megabytes here, megabytes in all)."""


@dataclass(frozen=True)
class Remote:
    """A file on a server, and what is known of it."""

    name: str
    """For messages: addresses can be long, and signed."""
    url: str
    md5: str | None
    """Hexadecimal; None where it is not known."""
    largest: int
    """Bytes it can have at most."""
    unpacked: int
    """Bytes that its images will take beside it."""
    by_hand: str
    """How to get it without this program."""


@contextmanager
def reserved(target: Path) -> Iterator[Path]:
    """Hold ``target`` for this process, and give the path beside it where a download lies until it is used: it is
    removed when the block succeeds, and stays when it fails, for the next call to go on.

    Raises:
        UserError: there is something at ``target``, another process holds it, or nothing can be written there.
    """
    require_new_folder(target)
    target = Path(os.path.realpath(target))
    partial, held = (target.with_name(f".{target.name}.{ending}") for ending in ("part", "lock"))
    lock = FileLock(held, timeout=0)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Where it cannot be made at all, as in /proc, filelock may take that for another process's doing.
        held.touch()
        lock.acquire()
    except Timeout as error:
        raise UserError(f"{target}: another process is fetching into it; wait for it, or {OTHER_FOLDER}") from error
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); {OTHER_FOLDER}") from error
    try:
        # Again: whoever held it before may have finished meanwhile.
        require_new_folder(target)
        yield partial
        partial.unlink(missing_ok=True)
    finally:
        if not partial.exists():
            held.unlink(missing_ok=True)
        lock.release()


def download(remote: Remote, path: Path, progress: Progress | None = None) -> None:
    """Fetch ``remote`` into ``path``, from where an earlier transfer broke off, and check it by its MD5.

    Raises:
        UserError: the server cannot be reached, refuses or breaks off (what has come is kept), sends too much or
            something else (it is removed), or the disk is full.
    """
    present = path.stat().st_size if path.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={present}-"} if present else {})
    try:
        with requests.get(remote.url, stream=True, timeout=(_CONNECT_SECONDS, _SILENT_SECONDS), headers=headers
                          ) as response:
            # Where there is nothing beyond what is here already, the checksum has the word.
            if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                response.raise_for_status()
                resumes = response.status_code == HTTPStatus.PARTIAL_CONTENT
                _receive(response, remote, path, present if resumes else 0, progress)
    except requests.RequestException as error:
        raise unreachable(remote.name, remote.by_hand, error) from error
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({error.strerror}); make room and run the same command "
                        f"again, which goes on from here, or {OTHER_FOLDER}") from error
    if remote.md5 and (found := md5_of(path)) != remote.md5:
        path.unlink()
        raise UserError(f"{remote.name}: wrong checksum (MD5 {found}, not {remote.md5}): damaged on the way, or "
                        "another file; it was removed, run the same command again")


def unreachable(name: str, by_hand: str, error: requests.RequestException) -> UserError:
    """One line for a server that cannot be reached, or refuses."""
    reason = "no answer in time" if isinstance(error, requests.Timeout) else "no connection to the server"
    if error.response is not None:
        reason = f"the server answers {error.response.status_code} {error.response.reason}"
    return UserError(f"{name}: {reason}; try again later, or by hand: {by_hand}")


def md5_of(path: Path) -> str:
    """The MD5 of a file, in hexadecimal; a DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the downloaded file") from error


def _receive(response: requests.Response, remote: Remote, path: Path, present: int, progress: Progress | None) -> None:
    """Write what the server sends behind the ``present`` first bytes of ``path``."""
    announced, done = response.headers.get("Content-Length", ""), present
    total = present + int(announced) if announced.isdecimal() else None
    if (total or 0) <= remote.largest:
        require_space(path.parent, (total or done) - done + remote.unpacked, OTHER_FOLDER)
        try:
            with path.open("ab" if present else "wb") as file:
                for chunk in response.iter_content(_CHUNK):
                    done += len(chunk)
                    if done > remote.largest:
                        break
                    file.write(chunk)
                    if progress:
                        progress(done // 10**6, (total or remote.largest) // 10**6)
        except requests.RequestException as error:
            of_all = f" of {total / 1e6:.1f}" if total else ""
            raise UserError(f"{remote.name}: the transfer broke off after {done / 1e6:.1f}{of_all} MB; run the same "
                            "command again, which goes on from there") from error
    if max(total or 0, done) > remote.largest:
        path.unlink(missing_ok=True)
        raise UserError(f"{remote.name}: the server sends more than the {remote.largest / 1e6:.0f} MB that this file "
                        f"can have; nothing was kept; try again later, or by hand: {remote.by_hand}")
