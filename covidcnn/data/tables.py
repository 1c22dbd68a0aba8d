"""Labels and patients from a table of the user's own, with its columns as they come."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.data.facts import subtype_of
from covidcnn.data.folders import in_order
from covidcnn.errors import DataError
from covidcnn.task import PNEUMONIA, Task

MOST_CLASSES = 50
"""More are no labels but numbers or texts."""
_NOT_KNOWN = frozenset({"", "na", "n/a", "nan", "null", "unknown"})
"""What stands in tables in the place of a patient or a label that is not known."""


def assign_patients(images: pd.DataFrame, table: str | Path) -> pd.DataFrame:
    """Images with the patients of a table (see ``column_of``); a DataError if it leaves one without a patient."""
    found = column_of(images, table, "patient")[0].str.strip()
    unknown = images.loc[found.isna() | found.str.lower().isin(_NOT_KNOWN), "path"]
    if len(unknown):
        raise DataError(f"{table}: no patient for {len(unknown)} images, the first {unknown.iloc[0]}; add a line for "
                        "each with its path written so, or leave them out of the folder")
    return images.assign(patient=found)


def assign_labels(images: pd.DataFrame, table: str | Path, task: Task | None = None
                  ) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Images with the labels of a table (see ``column_of``), in letters of either case those of the task, if there is
    one, and what the table labels besides and is no image; images of which it says nothing are left out. A DataError if
    it names none of them, or has other labels."""
    given, others = column_of(images, table, "label")
    found = given.str.strip()
    # A class that is asked for by such a name is one.
    found = found.mask(found.str.lower().isin(_NOT_KNOWN - {name.lower() for name in (task.classes if task else ())}))
    if found.isna().all():
        raise DataError(f"{table}: no label for any image of the folder, the first {images['path'].iloc[0]}; name the "
                        "column with the labels, as in labels.csv:finding, and the images by their paths or names")
    spelt = {name.upper(): name for name in (task.classes if task else classes_of(found.dropna()))}
    labels = found.str.upper().map(spelt)
    other = found[found.notna() & labels.isna()]
    if len(other):
        raise DataError(f"{table}: the label '{other.iloc[0]}' is none of {', '.join(spelt.values())}; leave those "
                        "lines empty, or name all classes with --task")
    subtypes = images["subtype"].where(images["series"] != "", labels.fillna("").map(subtype_of))
    return images.assign(label=labels, subtype=subtypes)[found.notna()].reset_index(drop=True), others


def classes_of(labels: pd.Series) -> tuple[str, ...]:
    """The classes of a column of labels: the paper's if there are no others, else in the order of their names; a
    DataError if there is only one, or so many that they are no classes."""
    names = in_order({name.upper(): name for name in sorted(labels.unique(), reverse=True)}.values())
    if {name.upper() for name in names} <= set(PNEUMONIA.classes):
        return PNEUMONIA.classes
    if not 1 < len(names) <= MOST_CLASSES:
        raise DataError(f"{len(names):,} different labels, the first '{names[0]}': give a column with 2 to "
                        f"{MOST_CLASSES} classes, as in labels.csv:finding")
    return names


def column_of(images: pd.DataFrame, table: str | Path, usual: str) -> tuple[pd.Series, tuple[str, ...]]:
    """What a column of a CSV says of each image: str, NaN where no line is about an image; and of which others it says
    something.

    Columns are separated by comma, semicolon or tab, whichever the first line has most of. The images stand in the
    column ``path``, or without one in that which names most of them: by their paths within the data set's folder, or
    by their file names, with the ending or without, where those are unique; ``.\\NORMAL\\a.png`` is NORMAL/a.png.
    ``table`` is FILE or FILE:COLUMN; without a column ``usual`` is taken, in letters of either case, or the only other.

    Raises:
        DataError: the CSV cannot be read, has no such column or two, or says two things of one image.
    """
    file, column = file_and_column(table)
    given, wanted = _read(Path(file)), (column or usual).strip().lower()
    places = [name for name in given.columns if name == "path"] or [_naming(images, given, wanted, table)]
    others = [name for name in given.columns if name not in places]
    columns = [name for name in others if name == wanted] or (others if len(others) == 1 and not column else [])
    if places == [""] and len(columns) == 1:
        raise DataError(f"{table}: no column names an image of the folder, the first {images['path'].iloc[0]}, or "
                        f"there is no {usual} beside it; it has {', '.join(given.columns)}. Separate columns by comma, "
                        "semicolon or tab, and name images by their paths or file names")
    if len(places) != 1 or len(columns) != 1:
        raise DataError(f"{table}: no column {'path' if len(places) != 1 else column or usual}, or two; it has "
                        f"{', '.join(given.columns)}. Separate them by comma, semicolon or tab, and name the one to "
                        f"take, as in {file}:COLUMN")
    if any(own.str.lower().eq(_plain(places[0])).any() for own in _names(images)[:2]):
        raise DataError(f"{table}: its first line names an image; put the columns' names above it, as in "
                        f"path,{usual}")
    lines = pd.DataFrame({"path": given[places[0]].map(_plain), "value": given[columns[0]]}).query("path != ''")
    lines = lines.drop_duplicates()
    if lines["path"].duplicated().any():
        raise DataError(f"{table}: '{lines.loc[lines['path'].duplicated(), 'path'].iloc[0]}' is listed twice; give "
                        f"each image one {usual}")
    values, found = lines.set_index("path")["value"], pd.Series(np.nan, images.index, dtype=object)
    named = _names(images)
    for names in named:
        found = found.fillna(names.where(names != "").map(values))
    return found, tuple(values.index[(values.str.strip() != "") & ~values.index.isin(pd.concat(named))])


def file_and_column(table: str | Path) -> tuple[str, str]:
    """The two parts of FILE:COLUMN; the column is empty where none is named."""
    file, _, column = ("", "", "") if Path(table).is_file() else str(table).rpartition(":")
    return (file, column) if file else (str(table), "")


def as_cell(text: str) -> str:
    """A text as a cell of a CSV that no spreadsheet takes for a formula: one that begins like a formula gets an
    apostrophe before it, which tables that are read here lose again."""
    return f"'{text}" if re.match(r"'*[=+\-@\t\r]", text) else text


def _of_cell(text: str) -> str:
    return text[1:] if re.match(r"'+[=+\-@\t\r]", text) else text


def _read(file: Path) -> pd.DataFrame:
    try:
        # A first line 'sep=;' is Excel's own, and says to Excel what the line after it shows.
        text = re.sub(r"\Asep=.?\r?\n", "", file.read_text(encoding="utf-8-sig"))
        separator = max(",;\t", key=text.partition("\n")[0].count)
        # Where lines end in separators, as spreadsheets leave them, pandas would slide the columns by one.
        text = re.sub(rf"{separator}+[ \r]*$", "", text, flags=re.MULTILINE)
        # With the names as a row: as names pandas would tell two that are alike apart, and nobody would be told.
        given = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, header=None)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable CSV ({' '.join(str(error).split())}); give one in UTF-8 that names "
                        "images in one column") from error
    names = given.iloc[0].str.strip().str.lower()
    return given.iloc[1:].map(_of_cell).set_axis(names.to_list(), axis="columns").reset_index(drop=True)


def _naming(images: pd.DataFrame, given: pd.DataFrame, wanted: str, table: str | Path) -> str:
    """The column that names most images by their paths, of equals by file names, and then without their endings."""
    found: dict[str, tuple[int, ...]] = {}
    # A column that stands twice names nothing, and an empty cell neither: empty stands for what is not unique.
    for name in given.columns.drop_duplicates(keep=False).drop(wanted, errors="ignore"):
        values = set(given[name].map(_plain)) - {""}
        found[name] = tuple(int(own.isin(values).sum()) for own in _names(images))
    best = max(found.values(), default=(0,))
    winners = [name for name, counts in found.items() if counts == best and any(best)]
    if len(winners) > 1:
        raise DataError(f"{table}: the columns {' and '.join(winners)} name the images equally well; call the right "
                        "one path")
    return winners[0] if winners else ""


def _names(images: pd.DataFrame) -> list[pd.Series]:
    """Paths, and file names with and without their endings where those are unique (else empty)."""
    paths = images["path"].map(_plain)
    names = paths.str.rpartition("/")[2]
    stems = names.str.replace(r"\.[^.]*$", "", regex=True)
    return [paths, *(other.where(~other.duplicated(keep=False), "") for other in (names, stems))]


def _plain(path: str) -> str:
    """A path as it is written here, from one as Windows or a shell writes it."""
    return re.sub(r"^(\./+)+", "", path.strip().replace("\\", "/"))
