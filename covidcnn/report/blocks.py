"""Numbers in prose: blocks between two marks, made from the tables of ``reports/paper`` and never typed.

    <!-- from claims -->                                       the ledger's summary: verdicts, and what is to be said
    <!-- from 1-as-published | optimizer | new run, low -->    columns of tables/1-as-published.csv
    <!-- from models/results | model | accuracy -->            the same of another study's, here of reports/models
    <!-- from sentence Nadam reaches {1-as-published / Nadam / accuracy / .1%}. -->    a cell, by its row's first entry
    ...
    <!-- end -->

``covidcnn evidence numbers`` makes them anew, in README.md, in ``docs/``, and in the notebooks' text.
"""

import re
from pathlib import Path

import nbformat
import pandas as pd

from covidcnn.errors import UserError
from covidcnn.paper.study_folders import LEDGER
from covidcnn.paths import NOTEBOOKS, PROJECT, replacing
from covidcnn.study.ledger import findings, read_ledger, remarks, summary

_CELL = re.compile(r"\{((?:\w+/)?[^{}/]+) / ([^{}/]+) / ([^{}/]+) / ([^{}/]+)\}")
_BLOCK = re.compile(r"(<!-- from ([^\n]+?) -->\n)(?:(?!<!-- from ).)*?(\n?<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every file that may hold such blocks."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), *sorted(NOTEBOOKS.glob("*.md")),
            *sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))]


def refresh(path: Path) -> bool:
    """Make the blocks of a page anew; whether any was stale.

    Raises:
        UserError: a block asks for what is not there, or the page cannot be written.
    """
    before = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        notebook = nbformat.reads(before, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _fresh(cell.source, path)
        after = nbformat.writes(notebook).rstrip("\n") + "\n"
    else:
        after = _fresh(before, path)
    if after == before:
        return False
    with replacing(path) as draft:
        draft.write_text(after, encoding="utf-8")
    return True


def _fresh(text: str, path: Path) -> str:
    def made(block: re.Match[str]) -> str:
        try:
            return block[1] + _content(block[2]) + "\n" + block[3].lstrip()
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{path}: no block can be made from '{block[2]}' ({error}); mend its first mark") from error

    fresh, blocks = _BLOCK.subn(made, text)
    # A mark that is misspelt or lacks its end would else swallow text, or go stale unseen.
    if any(text.count(mark) != blocks or fresh.count(mark) != blocks for mark in ("<!-- from ", "<!-- end -->")):
        raise UserError(f"{path}: {blocks} blocks, but another number of marks; give each '<!-- from … -->' a line and "
                        "an '<!-- end -->'")
    return fresh


def _content(source: str) -> str:
    if source.startswith("sentence "):
        # Percent signs stand apart, as everywhere here.
        return _CELL.sub(_cell, source.removeprefix("sentence ")).replace("%", " %").replace("  %", " %")
    name, *columns = source.split(" | ")
    if name == "claims":
        ledger = read_ledger(LEDGER)
        counts = summary(findings(ledger)).T
        return f"{counts.assign(all=counts.sum(axis=1)).to_markdown(index=False)}\n\n{remarks(ledger)}"
    table = _table(name)[columns].astype(object)
    return table.where(table.notna(), "").to_markdown(index=False, floatfmt=".3f")


def _cell(place: re.Match[str]) -> str:
    """A number of a table, found by the first entry of its row and by its column, in a format as Python's."""
    name, row, column, form = place.groups()
    table = _table(name)
    return f"{float(table.set_index(table.columns[0]).at[row, column]):{form}}"


def _table(name: str) -> pd.DataFrame:
    """A table of ``reports/paper``, or of the study that stands before it, or the ledger, which is called claims."""
    study, _, table = name.rpartition("/")
    folder = LEDGER.parents[1] / study if study else LEDGER.parent
    # The first column names the rows, as it is written: 'None' is a word, and 5 is no number.
    return pd.read_csv(LEDGER if name == "claims" else folder / "tables" / f"{table}.csv", converters={0: str})
