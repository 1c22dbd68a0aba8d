"""Where things are kept, and how a file is written so that it is whole or absent."""

import errno
import glob
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
import psutil

from covidcnn.errors import UserError

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = PROJECT / "notebooks"
REPORTS = PROJECT / "reports"
MANIFEST = "manifest.json"
"""Of ``reports/paper``: from which trials its tables, figures and verdicts are made."""

CACHE_VARIABLE = "COVIDCNN_CACHE"


def cache_folder() -> Path:
    """The folder of everything that can be made again: decoded images, indexes, phantom images.

    ``COVIDCNN_CACHE`` names another one, for example on a larger disk.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("covidcnn"))


def require_space(folder: Path, needed_bytes: int, instead: str = f"set {CACHE_VARIABLE} to another folder") -> None:
    """Create ``folder`` and make sure that its disk can take ``needed_bytes`` more.

    Args:
        folder: of the cache, unless ``instead`` is given.
        needed_bytes: a tenth more is asked for.
        instead: what the user can do to have another folder used.

    Raises:
        UserError: the folder cannot be created, or its disk is too full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}); {instead}") from error
    free = shutil.disk_usage(folder).free
    # A tenth more, because a disk filled to the last byte fails elsewhere.
    if free < 1.1 * needed_bytes:
        raise UserError(
            f"{folder}: {free / 1e6:.0f} MB free but {1.1 * needed_bytes / 1e6:.0f} MB needed; free "
            f"some space or {instead}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, and move it into place only if the block succeeds.

    Of a link, what it leads to is replaced, and the link stays. A pipe or a device is given itself, to be written to.
    What processes of this computer that were killed half-way left for the same ``path`` is removed.

    Raises:
        UserError: the file cannot be written, for example because the disk is full.
    """
    place = Path(os.path.realpath(path))
    temporary = place.with_name(f".{place.name}.{platform.node()}.{os.getpid()}.tmp")
    try:
        if _is_stream(path):
            yield path
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(place)
        yield temporary
        os.replace(temporary, place)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_stream(path: Path) -> bool:
    """Whether ``path`` is a pipe, a device or what this process has open, which no file can take the place of."""
    return str(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")) or (
        path.exists() and not (path.is_file() or path.is_dir()))


def require_writable(path: Path) -> None:
    """Make sure, as far as it can be told beforehand, that a file can be written at ``path``; nothing is left there.

    Raises:
        UserError: ``path`` is a folder, or nothing can be written where it would be.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_stream(path):
            return
        # Tried, because the permissions alone say nothing to root, or of /proc.
        place = Path(os.path.realpath(path))
        with tempfile.TemporaryFile(dir=next(folder for folder in place.parents if folder.exists())):
            pass
    except OSError as error:
        raise _unwritten(path, error) from error


def require_new_folder(path: Path) -> None:
    """Make sure that nothing would be overwritten.

    Raises:
        UserError: ``path`` is there and not an empty folder.
    """
    try:
        taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}); choose another folder") from error
    if taken:
        raise UserError(f"{path}: there is something already; choose a new or empty folder")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``, and move it into place only if the block succeeds.

    What processes of this computer that were killed half-way left for the same ``path`` is removed.

    Raises:
        UserError: ``path`` is there and not an empty folder, or the folder cannot be written.
    """
    # Resolved, so that '.' has a name too.
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")
    try:
        require_new_folder(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary.mkdir()
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unwritten(path: Path, error: OSError) -> UserError:
    remedy = f"set {CACHE_VARIABLE} to another" if path.is_relative_to(cache_folder()) else "choose another"
    return UserError(f"{path}: cannot be written ({error.strerror or error}); make room or {remedy} folder")


def _remove_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(glob.escape(f".{path.name}.{platform.node()}.") + "*.tmp"):
        process = leftover.name.split(".")[-2]
        # In a container the process that was killed may have had this one's number.
        if process.isdecimal() and (int(process) == os.getpid() or not psutil.pid_exists(int(process))):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def slug(name: str) -> str:
    """``name`` in letters, digits, dots, underscores and hyphens: fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"
