"""Open a data set: the one door through which notebooks and commands get their images."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from covidcnn.data import phantom
from covidcnn.data.check import examine
from covidcnn.data.index import content_hash, index_folder
from covidcnn.data.phantom import ct as phantom_ct
from covidcnn.data.sources import MARKER, PHANTOM, Source
from covidcnn.data.tables import file_and_column
from covidcnn.errors import DataError, UserError
from covidcnn.imaging.reading import Progress
from covidcnn.paths import cache_folder, slug
from covidcnn.task import Task

DATA_VARIABLE = "COVIDCNN_DATA"
"""The environment variable that names the data folder, so that no executed notebook holds a path of the machine."""


@dataclass(frozen=True)
class DataSet:
    """A folder of images that passed its examination."""

    root: Path
    name: str
    """'phantom', or the folder's name: part of the report folder's name."""
    task: Task
    """What its labels tell apart."""
    images: pd.DataFrame
    """Readable images as ``Catalogue.images``; ``label`` is the task's class."""
    left_out: pd.DataFrame
    """Unreadable files that the user chose to go on without: ``path`` and ``problem``."""
    warnings: tuple[str, ...]
    identity: str
    source: Source
    """What is known of where it comes from."""
    content_hash: str
    tables: Mapping[str, str] = field(default_factory=dict)
    """The files, and columns, from which ``labels`` and ``patients`` were read, where a table gave them."""


def open_dataset(folder: str | Path = "", skip_bad: bool = False, patients: str | Path | None = None,
                 progress: Progress | None = None, task: Task | None = None, positive: str = "", labels: str | Path = ""
                 ) -> DataSet:
    """Index and examine a folder in the published layout, or one with classes of its own.

    Args:
        folder: the data set; if empty, what ``COVIDCNN_DATA`` names, else the embedded phantom images.
        skip_bad: go on without files that cannot be read; they are listed in ``left_out``.
        patients, progress, task, positive, labels: see :func:`index_folder`.

    Raises:
        DataError: the folder is no data set, or has an error that ``covidcnn data check`` lists.
    """
    chosen = str(folder) or os.environ.get(DATA_VARIABLE, "")
    # An unknown ~name stays as it is, and is no folder.
    path = Path(os.path.expanduser(chosen)) if chosen else _drawn(  # noqa: PTH111
        f"phantom-{phantom.GENERATOR_VERSION}", phantom.MARKER, phantom.write_phantom)
    catalogue = index_folder(path, progress, task, positive, labels, patients)
    findings = examine(catalogue)
    unreadable = len(catalogue.unreadable)
    if errors := findings.errors[unreadable if skip_bad else 0 :]:
        more = f" (and {len(errors) - 1} more errors: covidcnn data check lists them)" if len(errors) > 1 else ""
        remedy = "; --skip-bad goes on without unreadable files" if unreadable and not skip_bad else ""
        raise DataError(f"{catalogue.root}: {errors[0]}{more}{remedy}")
    name = PHANTOM.name if findings.source is PHANTOM else slug(catalogue.root.resolve().name)
    return DataSet(catalogue.root, name, catalogue.task, findings.images, catalogue.unreadable, findings.warnings,
                   findings.identity, findings.source, content_hash(catalogue.images),
                   {what: _without_folder(table) for what, table in (("labels", labels), ("patients", patients))
                    if table})


def _without_folder(table: str | Path) -> str:
    """FILE or FILE:COLUMN, without the file's folder."""
    file, column = file_and_column(table)
    return Path(file).name + (f":{column}" if column else "")


def open_ct(folder: str | Path = "") -> DataSet:
    """A folder of CT slices that ``covidcnn data fetch`` made; without one the drawn stand-in. Raises as
    ``open_dataset``."""
    return open_dataset(folder or _drawn(f"ct-{phantom_ct.VERSION}", MARKER, phantom_ct.write_ct))


def _drawn(name: str, marker: str, write: Callable[[Path], None]) -> Path:
    """A folder of the cache, drawn if it is not there."""
    folder = cache_folder() / name
    if not (folder / marker).is_file():
        try:
            write(folder)
        except UserError:
            # Another process may have drawn the same images meanwhile.
            if not (folder / marker).is_file():
                raise
    return folder
