"""What lies in a folder: what is looked at, what is passed over, and how it is named to the user."""

import os
import re
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from covidcnn.errors import DataError

_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "dicomdir"}
_MASKS = ("mask", "masks", "msk", "seg", "segmentation", "segmentations", "annotation", "annotations", "gt")


def files_under(folder: Path) -> Iterable[Path]:
    """Every file at any depth in the order of names, but for what systems leave behind; each folder once, though
    several links lead to it.

    Raises:
        DataError: a folder cannot be opened.
    """

    def stop(error: OSError) -> None:
        # os.walk would pass over the folder in silence, and its images with it.
        raise unopened(error) from error

    # What lies above is no part of it, should a link lead there.
    real = Path(os.path.realpath(folder))
    seen = {str(real), *map(str, real.parents)}
    for parent, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        # Of several links to one folder the first by name.
        first = {os.path.realpath(Path(parent, name)): name for name in sorted(folders, reverse=True)
                 if not is_litter(name)}
        folders[:] = sorted(first[place] for place in first.keys() - seen)
        seen |= first.keys()
        for name in sorted(names):
            if not is_litter(name):
                yield Path(parent, name)


def is_litter(name: str) -> bool:
    """Hidden files, and the `._*`, `__MACOSX` and `Thumbs.db` that systems leave in archives."""
    return name.startswith(".") or name.lower() in _LITTER


def is_mask(path: PurePath) -> bool:
    """Whether an image is a mask, and no radiograph, by its name or that of a folder in ``path``: one whose first or
    last word is mask, msk, seg, segmentation, annotation or gt (numbers aside), or ends in mask or segmentation, as in
    'lungmask', or that says ground truth."""
    for name in (*path.parts[:-1], path.stem):
        words = re.findall("[a-z]+", name.lower())
        if words and (words[0] in _MASKS or words[-1] in _MASKS or words[-1].endswith(_MASKS[:2] + _MASKS[4:6])
                      or re.search("ground[^a-z]?truth", name.lower())):
            return True
    return False


def unpack_command(path: Path) -> str:
    """The command that unpacks an archive; empty for any other file."""
    with suppress(OSError):
        if path.is_file():
            return ("unzip" if zipfile.is_zipfile(path) else "tar -xf" if tarfile.is_tarfile(path) else
                    "7z x" if path.suffix.lower() in (".7z", ".rar") else "")
    return ""


def few(names: Sequence[str], joint: str = ", ") -> str:
    """The first three of some names, and how many more there are."""
    return joint.join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def unopened(error: OSError) -> DataError:
    """What to raise when a folder cannot be opened."""
    return DataError(f"{error.filename}: cannot be opened ({error.strerror}); change its permissions or move it away")


def readable(path: Path) -> str:
    """A path as text; bytes that are none are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")
