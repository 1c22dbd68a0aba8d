"""Numbers in prose are those of the tables."""

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from covidcnn.paper.study_folders import LEDGER
from covidcnn.paths import NOTEBOOKS
from covidcnn.report.blocks import pages, refresh
from covidcnn.study.ledger import findings, read_ledger, remarks

SENTENCE, TABLE = "<!-- from claims -->\n", "<!-- from 8-floor | model | accuracy | AUC -->\n"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_block_is_stale(page, tmp_path):
    copy = Path(shutil.copy(page, tmp_path))
    assert not refresh(copy), f"covidcnn evidence numbers makes {page.name} anew"
    assert copy.read_bytes() == page.read_bytes()


def test_a_block_is_made_from_its_table_and_the_text_around_it_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{SENTENCE}an old number\n<!-- end -->\n\nBetween 3 and 4.\n\n"
                    f"{TABLE}<!-- end -->\nAfter.\n")
    assert refresh(page)
    text = page.read_text()
    summary = text.partition(SENTENCE)[2].partition("\n<!-- end -->")[0].splitlines()
    counted = findings(read_ledger(LEDGER))
    verdicts, counts = ([cell.strip() for cell in row.strip("|").split("|")] for row in summary[:3:2])
    assert dict(zip(verdicts, map(int, counts), strict=True)) == counted["verdict"].value_counts().to_dict() | {
        "all": len(counted)}
    assert summary[3:] == ["", remarks(read_ledger(LEDGER))]
    assert text.endswith("|\n<!-- end -->\nAfter.\n")
    assert "old number" not in text
    assert "Between 3 and 4." in text
    (header, _, *rows) = text.partition(TABLE)[2].partition("\n<!-- end -->")[0].splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["model", "accuracy", "AUC"]
    assert len(rows) == 4
    assert not refresh(page)


def test_a_block_can_name_a_table_of_another_study(tmp_path, monkeypatch):
    monkeypatch.setattr("covidcnn.report.blocks.LEDGER", tmp_path / "reports/paper/claims.csv")
    (tmp_path / "reports/models/tables").mkdir(parents=True)
    (tmp_path / "reports/models/tables/results.csv").write_text("model,accuracy,px\nforest,0.5,\nlite0,0.75,224\n")
    page = tmp_path / "page.md"
    page.write_text("<!-- from models/results | model | accuracy | px -->\n<!-- end -->\n\n"
                    "<!-- from sentence It reaches {models/results / forest / accuracy / .1%}. -->\n<!-- end -->\n")
    assert refresh(page)
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in page.read_text().splitlines()[3:5]] == [
        ["forest", "0.500", ""], ["lite0", "0.750", "224.000"]]
    assert "It reaches 50.0 %." in page.read_text()


def test_a_sentence_takes_its_numbers_from_the_cells_it_names(tmp_path):
    page = tmp_path / "page.md"
    mark = ("<!-- from sentence Nadam has {1-as-published / Nadam / new run, low / .1%}, by the ledger "
            "{claims / nadam-accuracy / value / .3f}, not 50 %. -->\n")
    page.write_text(f"{mark}<!-- end -->\n")
    assert refresh(page)
    low = pd.read_csv(LEDGER.parent / "tables/1-as-published.csv").set_index("optimizer").at["Nadam", "new run, low"]
    value = read_ledger(LEDGER).at["nadam-accuracy", "value"]
    said = f"Nadam has {100 * low:.1f} %, by the ledger {value:.3f}, not 50 %."
    assert page.read_text() == f"{mark}{said}\n<!-- end -->\n"
    assert not refresh(page)


def test_a_block_in_a_notebook_is_made_in_its_text_and_not_in_its_code(tmp_path):
    page = tmp_path / "01.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"{SENTENCE}<!-- end -->"),
                                               nbformat.v4.new_code_cell(f"'''{SENTENCE}<!-- end -->'''")])
    nbformat.write(notebook, page)
    assert refresh(page)
    text, code = (cell["source"] for cell in json.loads(page.read_text())["cells"])
    assert remarks(read_ledger(LEDGER)) in "".join(text)
    assert remarks(read_ledger(LEDGER)) not in "".join(code)


@pytest.mark.parametrize("text", [
    f"{SENTENCE}old\n\nProse.\n\n{SENTENCE}old\n<!-- end -->\n", f"{SENTENCE}old\n",
    "<!-- from claims --> old <!-- end -->\n", f"{SENTENCE}<!-- end -->\n<!-- end -->\n"])
def test_a_mark_without_its_other_is_refused_and_swallows_nothing(tmp_path, refused, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with refused(page, "marks"):
        refresh(page)
    assert page.read_text() == text


@pytest.mark.parametrize("mark", [
    "<!-- from nowhere | a -->", "<!-- from 8-floor | colour -->",
    "<!-- from sentence {claims / nobody / value / .1f} -->", "<!-- from sentence {claims / ct / value / q} -->"])
def test_a_block_of_what_is_not_there_is_refused(tmp_path, refused, mark):
    page = tmp_path / "page.md"
    page.write_text(f"{mark}\n<!-- end -->\n")
    with refused(page, mark[10:-4]):
        refresh(page)
    assert page.read_text() == f"{mark}\n<!-- end -->\n"


def test_notebooks_and_readme_are_among_the_pages():
    names = {page.name for page in pages()}
    assert {"README.md", *(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))} <= names


def test_command_says_which_pages_it_made_anew(tmp_path, monkeypatch, run):
    page = tmp_path / "page.md"
    page.write_text(f"{SENTENCE}an old number\n<!-- end -->\n")
    monkeypatch.setattr("covidcnn.report.blocks.pages", lambda: [page])
    assert run("evidence", "numbers")[:2] == (0, "made anew: page.md\n")
    assert run("evidence", "numbers")[:2] == (0, "all as in the tables\n")
