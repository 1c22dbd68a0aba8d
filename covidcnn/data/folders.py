"""What lies in a folder: where the splits and classes of a data set are, and what is passed over."""

import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from covidcnn.errors import DataError, few
from covidcnn.imaging.files import is_image_file
from covidcnn.task import PNEUMONIA, names_of

SPLITS = ("train", "val", "test")
_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "dicomdir"}
_MASKS = ("mask", "masks", "msk", "seg", "segmentation", "segmentations", "annotation", "annotations", "gt")


@dataclass(frozen=True)
class Layout:
    """The folders of a data set."""

    root: Path
    """The folder that holds the split folders, or the class folders."""
    classes: tuple[str, ...]
    """Names of the classes in their order; empty where a table says which image is of which class."""
    folders: tuple[tuple[str, str, Path], ...]
    """(split, class, folder): 'all' where there are no split folders; the class is empty where a table says it."""


def find_layout(folder: Path, classes: Sequence[str] = (), positive: str = "", from_table: bool = False) -> Layout:
    """The data set in ``folder``, or in a folder within it, two levels deep, as Kaggle's archive nests it.

    Args:
        folder: in the layout train, val, test with a folder a class in each, or just with a folder a class.
        classes: their names. Without them NORMAL and PNEUMONIA where there is a PNEUMONIA, else all folders with images
            in train, val and test, NORMAL first.
        positive: one of the classes, by which a folder without splits is known that has other classes.
        from_table: a table says which image is of which class: there are no class folders.

    Raises:
        DataError: there is no such folder, nothing in it has the layout, or several have.
    """
    names = tuple(classes) or PNEUMONIA.classes
    if command := unpack_command(folder):
        source = "pneumoniamnist" if folder.suffix == ".npz" else "chest-xray"
        fetch = f", or for the published one: covidcnn data fetch {source} --from {folder.name}"
        raise DataError(f"{folder}: an archive; unpack it ({command} {folder.name}) and give the folder"
                        f"{fetch if command == 'unzip' else ''}")
    if not folder.is_dir():
        what = "no folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}; give the folder that holds train, val and test (or {names_of(names)})")
    if from_table:
        splits = tuple((child.name.lower(), "", child) for child in _subfolders(folder) if child.name.lower() in SPLITS)
        return Layout(folder, (), splits or (("all", "", folder),))
    named = _searched(folder, lambda place: _named(place, names))
    if not classes and not (named and PNEUMONIA.positive in {name for _, name, _ in named.folders}):
        named = _searched(folder, lambda place: _any_classes(place, positive)) or named
    if named:
        return named
    packed = [child.name for child in sorted(folder.iterdir())
              if child.suffix != ".npz" and not is_image_file(child) and unpack_command(child)]
    raise DataError(f"{folder}: no data set here; expected folders train, val and test with {names_of(names)} in each, "
                    f"or {names_of(names)} alone; classes of your own in train, val and test, or named with --task"
                    + (f"; unpack {few(packed)} if they are in there" if packed else ""))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and not is_litter(child.name))
    except OSError as error:
        raise _unopened(error) from error


def _searched(folder: Path, layout_of: Callable[[Path], Layout | None]) -> Layout | None:
    level = [folder]
    for _ in range(3):
        found = [layout for place in level if (layout := layout_of(place))]
        if len(found) > 1:
            places = ", ".join(str(layout.root.relative_to(folder)) for layout in found)
            raise DataError(f"{folder}: {len(found)} data sets in here ({places}); give one of them")
        if found:
            return found[0]
        level = [child for parent in level for child in _subfolders(parent)]
    return None


def _named(root: Path, names: Sequence[str]) -> Layout | None:
    """The layout with classes of these names, in letters of either case."""
    by_name = {name.upper(): name for name in names}
    splits = [(split.name.lower(), split) for split in _subfolders(root) if split.name.lower() in SPLITS]
    for places in (splits, [("all", root)]):
        folders = tuple((split, by_name[child.name.upper()], child)
                        for split, place in places for child in _subfolders(place) if child.name.upper() in by_name)
        if folders:
            return Layout(root, tuple(names), folders)
    return None


def _any_classes(root: Path, positive: str) -> Layout | None:
    """The layout with all classes that have images in the split folders, or beside the positive one's."""
    children = _subfolders(root)
    splits = [child for child in children if child.name.lower() in SPLITS]
    if not splits and positive.upper() not in {child.name.upper() for child in children}:
        return None
    found = {child.name.upper(): child.name for parent in splits or [root] for child in _subfolders(parent)
             if not is_mask(Path(child.name, "image")) and any(map(is_image_file, files_under(child)))}
    return _named(root, in_order(found.values())) if len(found) > 1 else None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes: NORMAL first, the others by the alphabet."""
    return tuple(sorted(names, key=lambda name: (name.upper() != PNEUMONIA.classes[0], name.upper())))


def files_under(folder: Path) -> Iterable[Path]:
    """Every file at any depth in the order of names, but for what systems leave behind; each folder once, though
    several links lead to it. A DataError if a folder cannot be opened."""

    def stop(error: OSError) -> None:
        # os.walk would pass over the folder in silence, and its images with it.
        raise _unopened(error) from error

    # What lies above is no part of it, should a link lead there.
    real = Path(os.path.realpath(folder))
    seen = {str(real), *map(str, real.parents)}
    for parent, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        # Of several links to one folder the first by name.
        first = {os.path.realpath(Path(parent, name)): name for name in sorted(folders, reverse=True)
                 if not is_litter(name)}
        folders[:] = sorted(first[place] for place in first.keys() - seen)
        seen |= first.keys()
        yield from (Path(parent, name) for name in sorted(names) if not is_litter(name))


def _unopened(error: OSError) -> DataError:
    return DataError(f"{error.filename}: cannot be opened ({error.strerror}); change its permissions or move it away")


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
    # Of one that broke off tarfile says EOFError.
    with suppress(OSError, EOFError):
        if path.is_file():
            return ("unzip" if zipfile.is_zipfile(path) else "tar -xf" if tarfile.is_tarfile(path) else
                    "7z x" if path.suffix.lower() in (".7z", ".rar") else "")
    return ""


def readable(path: Path) -> str:
    """A path as text; bytes that are none are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")
