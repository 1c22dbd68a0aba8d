"""Where things are kept, and how a file is written so that it is whole or absent."""

import errno
import glob
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
import psutil

from covidcnn.errors import UserError

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = PROJECT / "notebooks"
GLOSSARY = PROJECT / "docs" / "glossary.md"
REPORTS = PROJECT / "reports"
MANIFEST = "manifest.json"
"""Of a study's folder: from which trials its tables, figures and verdicts are made."""
CACHE_VARIABLE = "COVIDCNN_CACHE"


def cache_folder() -> Path:
    """The folder of everything that can be made again: decoded images, indexes, phantom images.

    ``COVIDCNN_CACHE`` names another one, for example on a larger disk.
    """
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("covidcnn"))


def require_space(folder: Path, needed_bytes: int, instead: str = f"set {CACHE_VARIABLE} to another folder") -> None:
    """Create ``folder`` and make sure that its disk can take ``needed_bytes`` more, and a tenth.

    Raises:
        UserError: the folder cannot be created, or its disk is too full; ``instead`` says how to take another.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}); {instead}") from error
    # A tenth more, because a disk filled to the last byte fails elsewhere.
    free, needed = shutil.disk_usage(folder).free, 1.1 * needed_bytes
    if free < needed:
        raise UserError(f"{folder}: {free / 1e6:.0f} MB free but {needed / 1e6:.0f} MB needed; free some space or "
                        f"{instead}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, and move it into place only if the block succeeds.

    Of a link, what it leads to is replaced, and the link stays. A pipe or a device is given itself, to be written to.

    Raises:
        UserError: the file cannot be written, for example because the disk is full.
    """
    with _written(path):
        if _is_stream(path):
            yield path
        else:
            with _moved_to(Path(os.path.realpath(path))) as temporary:
                yield temporary


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``, and move it into place only if the block succeeds.

    Raises:
        UserError: ``path`` is there and not an empty folder, or the folder cannot be written.
    """
    # Resolved, so that '.' has a name too.
    path = Path(os.path.realpath(path))
    with _written(path):
        require_new_folder(path)
        with _moved_to(path) as temporary:
            temporary.mkdir()
            yield temporary


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out of the same block for the same file; a UserError if nothing can be written beside it."""
    # Here and not above: what predicts on a small device has no use for it.
    from filelock import FileLock

    lock = path.with_name(f".{path.name}.lock")
    with _written(path), FileLock(lock):
        try:
            yield
        finally:
            # Who waits for it holds a file that is gone, and a third may come in beside him: work done twice, no harm.
            lock.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Make sure, as far as it can be told beforehand, that a file can be written at ``path``; nothing is left there.

    Raises:
        UserError: ``path`` is a folder, or nothing can be written where it would be.
    """
    with _written(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not _is_stream(path):
            # Tried, because the permissions alone say nothing to root, or of /proc.
            folders = Path(os.path.realpath(path)).parents
            tempfile.TemporaryFile(dir=next(folder for folder in folders if folder.exists())).close()


def require_other(path: Path, read: Iterable[Path]) -> None:
    """Make sure that what is written at ``path`` takes the place of nothing that is read; a UserError if it would."""
    for one in read:
        if path.exists() and one.exists() and path.samefile(one):
            raise UserError(f"{path}: would take the place of {one}, which is read; choose another place")


def require_new_folder(path: Path, copied: Path | None = None) -> None:
    """Make sure that nothing would be overwritten or mixed with what it is a copy of: a UserError if ``path`` is there
    and not an empty folder, or lies in the folder ``copied``."""
    if copied and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(copied)):
        raise UserError(f"{path}: lies among the images that are copied; choose a folder outside {copied}")
    try:
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path}: a link that leads nowhere; choose another folder")
        taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}); choose another folder") from error
    if taken:
        raise UserError(f"{path}: there is something already; choose a new or empty folder")


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Errors of the system in the block, as one line about ``path``."""
    try:
        yield
    except OSError as error:
        remedy = f"set {CACHE_VARIABLE} to another" if path.is_relative_to(cache_folder()) else "choose another"
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); make room or {remedy} folder"
                        ) from error


@contextmanager
def _moved_to(place: Path) -> Iterator[Path]:
    """A path beside ``place`` that is moved there at the end. What processes of this computer that were killed half-way
    left for the same place is removed."""
    temporary = place.with_name(f".{place.name}.{platform.node()}.{os.getpid()}.tmp")
    place.parent.mkdir(parents=True, exist_ok=True)
    for leftover in place.parent.glob(glob.escape(f".{place.name}.{platform.node()}.") + "*.tmp"):
        process = leftover.name.split(".")[-2]
        # In a container the process that was killed may have had this one's number.
        if process.isdecimal() and (int(process) == os.getpid() or not psutil.pid_exists(int(process))):
            remove(leftover)
    try:
        yield temporary
        os.replace(temporary, place)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a folder or file, as far as the system allows; another process may be removing it too."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _is_stream(path: Path) -> bool:
    """Whether ``path`` is a pipe, a device or what this process has open, which no file can take the place of."""
    return str(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")) or (
        path.exists() and not (path.is_file() or path.is_dir()))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def slug(name: str) -> str:
    """``name`` in letters and digits of any script, dots, underscores and hyphens: fit for a folder's name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"
