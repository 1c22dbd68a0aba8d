"""An index of a folder of images: one row an image, every image decoded once to its end.

The published layout is ``train|val|test / NORMAL|PNEUMONIA / *.jpeg``; other classes are found likewise, split folders
may be missing (then ``split`` is 'all'), and letters may be of either case.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from covidcnn.data.facts import parse_name, subtype_of
from covidcnn.data.folders import files_under, find_layout, is_litter, is_mask, readable
from covidcnn.data.sources import PATIENTS, marked_source
from covidcnn.data.tables import assign_labels, assign_patients, classes_of
from covidcnn.errors import DataError
from covidcnn.imaging.files import is_image_file
from covidcnn.imaging.reading import Progress, in_threads, read_grey, read_header
from covidcnn.paths import cache_folder, replacing
from covidcnn.task import PNEUMONIA, Task

COLUMNS = ["path", "split", "label", "subtype", "series", "number", "patient", "width", "height", "mode",
           "sha256", "note", "problem"]

# Raised by hand when the table's columns or the reading of images change: old indexes are then remade.
_INDEX_VERSION = 4
_PUBLISHED_PLACES = ("", "NORMAL", "PNEUMONIA", "TRAIN", "VAL", "TEST")


@dataclass(frozen=True)
class Catalogue:
    """All image files of a folder, readable or not."""

    root: Path
    """The folder that holds the split folders, or the class folders."""
    task: Task
    """What is told apart: as asked for, or all classes that the folder has."""
    positive_is_known: bool
    """Whether the user said which of two classes is positive, or one is NORMAL, so that it is the other."""
    images: pd.DataFrame
    """Readable images, sorted by path, with the columns of ``COLUMNS`` (``problem`` empty)."""
    unreadable: pd.DataFrame
    """Files that cannot be used: ``path`` and ``problem``."""
    splits: tuple[str, ...]
    """Splits that have a folder, with images or without; 'all' where there are no split folders."""
    ignored: tuple[str, ...]
    """Files in class folders that are no images by their ending, and not marked as DICOM."""
    masks: tuple[str, ...]
    """Images in class folders that are masks by their name."""
    from_table: bool
    """Whether a table of labels says which image is of which class."""
    unlabelled: int
    """Images of which the table of labels says nothing; they are left out."""
    no_images: tuple[str, ...]
    """What the table of labels labels and is none of the images."""
    elsewhere: dict[str, int]
    """Images outside the class folders, or the splits': of each folder that is passed over or holds loose ones how
    many, most first."""


def index_folder(folder: Path, progress: Progress | None = None, task: Task | None = None, positive: str = "",
                 labels: str | Path = "", patients: str | Path | None = None) -> Catalogue:
    """Index every image under ``folder``; each is decoded once, later calls read the stored index.

    Args:
        folder: a folder in the published layout, or one around it.
        progress: of the decoding.
        task: what is to be told apart; without it what the folder, or the table of labels, holds.
        positive: of two classes the positive one; empty for the second.
        labels: a table that says each image's class, in the place of class folders (see ``tables.column_of``).
        patients: likewise of each image's patient. Of some sources that ``data fetch`` brings, task and patients are
            known without it.

    Raises:
        DataError: see :func:`find_layout` and the tables; or the name of an image is no text.
        UserError: ``positive`` is none of two classes.
    """
    if not task and (marked := marked_source(folder)):
        task = marked.task
    if task and labels:
        # The table says it, not the file names.
        task = replace(task, column="label")
    layout = find_layout(folder, task.classes if task and task.column == "label" else (), positive, bool(labels))
    if marked := marked_source(layout.root):
        task, table = task or marked.task, layout.root / PATIENTS
        patients = patients or (table if table.is_file() else None)
    listed, ignored, masks = [], [], []
    for split, label, class_folder in layout.folders:
        for path in files_under(class_folder):
            require_text(path)
            relative = path.relative_to(layout.root).as_posix()
            if not is_image_file(path):
                ignored.append(relative)
            elif is_mask(path.relative_to(class_folder)):
                masks.append(relative)
            else:
                listed.append((relative, split, label))
    table = _stored_index(layout.root, sorted(listed), progress)
    is_readable = table["problem"] == ""
    images = table[is_readable].reset_index(drop=True)
    if labels and images.empty:
        raise DataError(f"{layout.root}: no readable image to look up in {labels}; give the folder of its images")
    found, no_images = assign_labels(images, labels, task) if labels else (images, ())
    chosen = (task or Task(layout.classes or classes_of(found["label"]))).with_positive(positive)
    return Catalogue(
        root=layout.root,
        task=chosen,
        positive_is_known=bool(task or positive) or chosen.classes[0].upper() == PNEUMONIA.classes[0],
        images=assign_patients(found, patients) if patients and len(found) else found,
        unreadable=table.loc[~is_readable, ["path", "problem"]].reset_index(drop=True),
        splits=tuple(dict.fromkeys(split for split, _, _ in layout.folders)),
        # Beside images that a table labels anything may stand.
        ignored=() if labels else tuple(sorted(ignored)),
        masks=tuple(sorted(masks)),
        from_table=bool(labels),
        unlabelled=len(images) - len(found),
        no_images=no_images,
        # Without folders of splits a table is about all of the folder.
        elsewhere={} if layout.folders[0][2] == layout.root else _elsewhere(
            layout.root, [class_folder for _, _, class_folder in layout.folders],
            {relative for relative, _, _ in listed}),
    )


def content_hash(images: pd.DataFrame) -> str:
    """A SHA-256 over name, split, label, subtype, patient and content of every image: equal when the data are. Names
    count, because images are shuffled from the order of their names."""
    columns = images[["path", "split", "label", "subtype", "patient", "sha256"]].astype(str)
    return hashlib.sha256("\n".join(sorted(map("\t".join, columns.to_numpy().tolist()))).encode()).hexdigest()


def require_text(path: Path) -> None:
    """Raise a DataError unless the path is text on one line, as tables need it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{readable(path)}: its name is not UTF-8, as tables and pages are; rename it") from error
    # A line break would end the image's line in a table.
    if any(unicodedata.category(character) == "Cc" for character in str(path)):
        raise DataError(f"{str(path)!a}: a control character in its name; rename it")


def _elsewhere(root: Path, classes: list[Path], known: set[str]) -> dict[str, int]:
    """Images outside the class folders, by folder; not those of a copy of the set, as Kaggle's archive has one."""
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


def _stored_index(root: Path, listed: list[tuple[str, str, str]], progress: Progress | None) -> pd.DataFrame:
    """The index of these images, each listed by path, split and label; from the cache if no file has changed in size or
    time since."""
    listing = hashlib.sha256(f"{_INDEX_VERSION}\n{root.resolve()}\n".encode())
    for relative, split, label in listed:
        path = root / relative
        # Of a link only where what it leads to is missing, and is then listed as unreadable.
        status = path.stat() if path.exists() else path.lstat()
        listing.update(f"{relative}\t{split}\t{label}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    stored = cache_folder() / "index" / f"{listing.hexdigest()}.csv"
    # A damaged index is as good as none.
    with suppress(OSError, ValueError):
        # Names may be numbers, and 0001 is not 1.
        table = pd.read_csv(stored, dtype=dict.fromkeys(set(COLUMNS) - {"number", "width", "height"}, str),
                            keep_default_na=False)
        if list(table.columns) == COLUMNS and len(table) == len(listed):
            return table
    table = pd.DataFrame(in_threads(lambda image: _row(root, *image), listed, progress), columns=COLUMNS)
    with replacing(stored) as temporary:
        table.to_csv(temporary, index=False)
    return table


def _row(root: Path, relative: str, split: str, label: str) -> dict[str, object]:
    path = root / relative
    # In a folder of any other name, as one a patient, IM-0001-0001 is what viewers call the first image of each.
    name = parse_name(path.stem) if Path(relative).parent.name.upper() in _PUBLISHED_PLACES else None
    # A file of an unknown naming scheme is a patient of its own: the cautious reading would be one patient for all,
    # which no split survives.
    series, number, subtype, patient = name or ("", -1, subtype_of(label), f"file-{relative}")
    row: dict[str, object] = {
        "path": relative, "split": split, "label": label, "subtype": subtype, "series": series, "number": number,
        "patient": patient, "width": 0, "height": 0, "mode": "", "sha256": "", "note": "", "problem": ""}
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
