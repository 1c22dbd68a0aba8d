"""An index of a folder of films: one row an image, every image decoded once to its end.

The published layout is ``train|val|test / NORMAL|PNEUMONIA / *.jpeg``. Split folders may be missing
(then ``split`` is 'all'), letters may be of either case, and what archives and operating systems leave
behind is passed over.
"""

import hashlib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from covidcnn.data.folders import few, files_under, is_litter, is_mask, readable, unopened, unpack_command
from covidcnn.data.naming import parse_name
from covidcnn.data.threads import in_threads
from covidcnn.errors import DataError
from covidcnn.imaging.files import is_image_file
from covidcnn.imaging.reading import read_grey, read_header
from covidcnn.paths import cache_folder, replacing

SPLITS = ("train", "val", "test")
LABELS = ("NORMAL", "PNEUMONIA")
COLUMNS = ["path", "split", "label", "subtype", "series", "number", "patient", "width", "height", "mode",
           "sha256", "note", "problem"]

_NOBODY = ("", "na", "n/a", "nan", "null", "unknown")
"""What stands in tables in the place of a patient that is not known; unrelated children would be taken for one."""

# Raised by hand when the table's columns or the reading of images change: old indexes are then remade.
_INDEX_VERSION = 2


@dataclass(frozen=True)
class Catalogue:
    """All image files of a folder, readable or not."""

    root: Path
    """The folder that holds the split folders, or the class folders."""
    films: pd.DataFrame
    """Readable images, sorted by path, with the columns of ``COLUMNS`` (``problem`` empty)."""
    unreadable: pd.DataFrame
    """Files that cannot be used: ``path`` and ``problem``."""
    splits: tuple[str, ...]
    """Splits that have a folder, with films or without; 'all' where there are no split folders."""
    ignored: tuple[str, ...]
    """Paths of files in class folders that are no images by their ending, and not marked as DICOM."""
    masks: tuple[str, ...]
    """Paths of images in class folders that are masks by their name."""
    elsewhere: dict[str, int]
    """Images outside the class folders: of each folder that is passed over or holds loose ones how many, most first."""


def find_root(folder: Path) -> Path:
    """The folder within ``folder`` that holds split or class folders.

    The Kaggle archive nests ``chest_xray/chest_xray/``; a folder around the data set is looked into,
    two levels deep.

    Raises:
        DataError: there is no such folder, nothing in it has the published layout, or several have.
    """
    if command := unpack_command(folder):
        source = "pneumoniamnist" if folder.suffix == ".npz" else "chest-xray"
        fetch = f", or for the published one: covidcnn data fetch {source} --from {folder.name}" if (
            command == "unzip") else ""
        raise DataError(f"{folder}: an archive; unpack it ({command} {folder.name}) and give the folder{fetch}")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: no folder; give the folder that holds train, val and test (or NORMAL and "
                        "PNEUMONIA)")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder that holds train, val and test "
                        "(or NORMAL and PNEUMONIA)")
    level = [folder]
    for _ in range(3):
        candidates = [candidate for candidate in level if _class_folders(candidate)]
        if len(candidates) > 1:
            names = ", ".join(str(candidate.relative_to(folder)) for candidate in candidates)
            raise DataError(f"{folder}: {len(candidates)} data sets in here ({names}); give one of them")
        if candidates:
            return candidates[0]
        level = [child for parent in level for child in _subfolders(parent)]
    packed = [child.name for child in sorted(folder.iterdir())
              if child.suffix != ".npz" and not is_image_file(child) and unpack_command(child)]
    raise DataError(f"{folder}: no data set here; expected folders train, val and test with NORMAL and "
                    "PNEUMONIA in each, or NORMAL and PNEUMONIA alone"
                    + (f"; unpack {few(packed)} if they are in there" if packed else ""))


def index_folder(folder: Path, progress: Callable[[int, int], None] | None = None) -> Catalogue:
    """Index every film under ``folder``; each is decoded once, later calls read the stored index.

    Args:
        folder: a folder in the published layout, or one around it.
        progress: called with (images done, images in all).

    Raises:
        DataError: see :func:`find_root`; or the name of a film is not UTF-8, or holds a control character.
    """
    root = find_root(folder)
    classes = _class_folders(root)
    images, ignored, masks = [], [], []
    for split, label, class_folder in classes:
        for path in files_under(class_folder):
            _require_text(path)
            relative = path.relative_to(root).as_posix()
            if not is_image_file(path):
                ignored.append(relative)
            elif is_mask(path.relative_to(class_folder)):
                masks.append(relative)
            else:
                images.append((relative, split, label))
    table = _stored_index(root, sorted(images), progress)
    readable = table["problem"] == ""
    return Catalogue(
        root,
        table[readable].reset_index(drop=True),
        table.loc[~readable, ["path", "problem"]].reset_index(drop=True),
        tuple(dict.fromkeys(split for split, _, _ in classes)),
        tuple(sorted(ignored)),
        tuple(sorted(masks)),
        _elsewhere(root, [class_folder for _, _, class_folder in classes], {relative for relative, _, _ in images}),
    )


def assign_patients(films: pd.DataFrame, csv: Path) -> pd.DataFrame:
    """Replace the patient keys by those of a CSV with the columns ``path`` and ``patient``, in letters of either case.

    Its columns are separated by comma, semicolon or tab, whichever its first line has most of. ``path`` is relative to
    the data set's folder, or a bare file name where that is unique; ``.\\NORMAL\\a.png`` is NORMAL/a.png.

    Raises:
        DataError: the CSV cannot be read, lacks a column, or leaves an image without a patient.
    """
    try:
        text = csv.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        # Where lines end in separators, as spreadsheets leave them, pandas would slide the columns by one.
        text = re.sub(rf"{separator}+[ \r]*$", "", text, flags=re.MULTILINE)
        given = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{csv}: not a readable CSV ({error}); give one with columns path and patient, in UTF-8"
                        ) from error
    given.columns = given.columns.str.strip().str.lower()
    missing = [name for name in ("path", "patient") if list(given.columns).count(name) != 1]
    if missing:
        raise DataError(f"{csv}: no column {' and '.join(missing)}, or two; it needs path and patient in its first "
                        "line, separated by comma, semicolon or tab")
    paths = given["path"].map(_plain)
    if paths.duplicated().any():
        raise DataError(f"{csv}: '{paths[paths.duplicated()].iloc[0]}' is listed twice; give each image one patient")
    patients = dict(zip(paths, given["patient"].str.strip(), strict=True))
    own = films["path"].map(_plain)
    names = own.map(lambda path: path.rsplit("/", 1)[-1])
    unique = ~names.duplicated(keep=False)
    found = own.map(patients).fillna(names.where(unique).map(patients))
    unknown = films.loc[found.isna() | found.str.lower().isin(_NOBODY), "path"]
    if len(unknown):
        raise DataError(f"{csv}: no patient for {len(unknown)} images, the first {unknown.iloc[0]}; add a line for "
                        "each with its path written so, or leave them out of the folder")
    return films.assign(patient=found)


def _plain(path: str) -> str:
    """A path as it is written here, from one as Windows or a shell writes it."""
    return re.sub(r"^(\./+)+", "", path.strip().replace("\\", "/"))


def content_hash(films: pd.DataFrame) -> str:
    """A SHA-256 over name, split, label, subtype, patient and content of every film: equal when the data are.

    Names count, because films are shuffled from the order of their names.
    """
    lines = sorted("\t".join(film) for film in films[["path", "split", "label", "subtype", "patient", "sha256"]]
                   .astype(str).itertuples(index=False))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and not is_litter(child.name))
    except OSError as error:
        raise unopened(error) from error


def _require_text(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{readable(path)}: its name is not UTF-8, as tables and pages are; rename it") from error
    # A line break would end the film's line in a table.
    if any(unicodedata.category(character) == "Cc" for character in str(path)):
        raise DataError(f"{str(path)!a}: a control character in its name; rename it")


def _elsewhere(root: Path, classes: list[Path], known: set[str]) -> dict[str, int]:
    """Images outside the class folders, by folder; not those of a copy of the data set within it, as Kaggle's archive
    has one."""
    parents = {root, *(folder.parent for folder in classes)}
    read = {os.path.realpath(folder) for folder in (*classes, *parents)}
    found: Counter[str] = Counter()
    for parent in parents:
        for child in parent.iterdir():
            if is_litter(child.name) or os.path.realpath(child) in read:
                continue
            place, files = (child, files_under(child)) if child.is_dir() else (parent, [child])
            # What is passed over need not be open to the user: lost+found is not.
            with suppress(DataError):
                found[readable(place.relative_to(root))] += sum(
                    is_image_file(path) and not is_mask(path.relative_to(parent))
                    and path.relative_to(child).as_posix() not in known for path in files)
    return {folder: number for folder, number in sorted(found.items(), key=lambda one: (-one[1], one[0])) if number}


def _class_folders(root: Path) -> list[tuple[str, str, Path]]:
    """(split, label, folder) of every class folder in the published layout, or without splits."""
    by_split = [
        (child.name.lower(), grandchild.name.upper(), grandchild)
        for child in _subfolders(root) if child.name.lower() in SPLITS
        for grandchild in _subfolders(child) if grandchild.name.upper() in LABELS
    ]
    return by_split or [("all", child.name.upper(), child)
                        for child in _subfolders(root) if child.name.upper() in LABELS]


def _stored_index(root: Path, images: list[tuple[str, str, str]],
                  progress: Callable[[int, int], None] | None) -> pd.DataFrame:
    """The index of these images, from the cache if no file changed in size or time since."""
    listing = hashlib.sha256(f"{_INDEX_VERSION}\n{root.resolve()}\n".encode())
    for relative, _, _ in images:
        path = root / relative
        # Of a link only where what it leads to is missing, and is then listed as unreadable.
        status = path.stat() if path.exists() else path.lstat()
        listing.update(f"{relative}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    stored = cache_folder() / "index" / f"{listing.hexdigest()}.csv"
    # A damaged index is as good as none.
    with suppress(OSError, ValueError):
        table = pd.read_csv(stored, dtype={"patient": str}, keep_default_na=False)
        if list(table.columns) == COLUMNS and len(table) == len(images):
            return table
    rows = []
    for done, row in enumerate(in_threads(lambda image: _row(root, *image), images), start=1):
        rows.append(row)
        if progress:
            progress(done, len(images))
    table = pd.DataFrame(rows, columns=COLUMNS)
    with replacing(stored) as temporary:
        table.to_csv(temporary, index=False)
    return table


def _row(root: Path, relative: str, split: str, label: str) -> dict[str, object]:
    path = root / relative
    name = parse_name(path.stem)
    row: dict[str, object] = {
        "path": relative, "split": split, "label": label,
        "subtype": name.subtype if name else ("normal" if label == "NORMAL" else "unknown"),
        "series": name.series if name else "", "number": name.number if name else -1,
        # A file of an unknown naming scheme is a patient of its own: the cautious reading would be one
        # patient for all, which no split survives.
        "patient": name.patient if name else f"file-{relative}",
        "width": 0, "height": 0, "mode": "", "sha256": "", "note": "", "problem": "",
    }
    try:
        header = read_header(path)
        read_grey(path)
        row |= {"width": header.width, "height": header.height, "mode": header.mode,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        if header.frames > 1:
            row["note"] = f"{header.frames} frames, only the first is read"
    except DataError as error:
        row["problem"] = str(error).removeprefix(f"{path}: ")
    return row
