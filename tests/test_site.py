"""Pages of a report."""

import json

import nbformat
import pandas as pd

from covidcnn.report.site import formulas_to_mathml, write_index, write_page

RECORD = {
    "profile": {"name": "smoke", "image size": 32, "epochs": 2, "seeds": [0], "most training images": 96,
                "batch-norm momentum": 0.9, "bootstrap samples": 100},
    "data": {"name": "tiny", "identity": "These are test films.", "films": 3, "left out": []},
    "exploratory test openings": {"count": 0, "by notebook": {}},
    "notebooks": {"01_n": {"title": "01 · A title", "status": "done", "seconds": 1.0, "message": ""}},
}


def test_formulas_become_mathml_and_code_and_prices_stay():
    text = formulas_to_mathml("A $x_1$ and $$\\frac{a}{b}$$ but `$PATH` and 5 $ or 6 $.")
    assert text.count("<math") == 2
    assert 'display="block"' in text
    assert "`$PATH`" in text
    assert "5 $ or 6 $" in text
    assert "<mfrac>" in text
    assert "_" not in text.split("<math")[1].split("</math>")[0]


def test_page_folds_code_and_shows_output(tmp_path):
    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("print('once upon a time')")
    cell.outputs = [nbformat.v4.new_output("stream", text="once upon a time\n")]
    notebook.cells = [nbformat.v4.new_markdown_cell("# 01 · Title\n\n$$x^2 \\tag{3}$$"), cell]
    nbformat.write(notebook, tmp_path / "01_n.ipynb")
    write_page(tmp_path / "01_n.ipynb", tmp_path / "01_n.html")
    page = (tmp_path / "01_n.html").read_text(encoding="utf-8")
    assert "<title>01 · Title</title>" in page
    assert page.count("once upon a time") == 2
    assert 'id="toggle"' in page
    assert "<math" in page
    assert "<mn>3</mn>" in page


def test_index_lists_figures_and_tables_and_escapes_what_comes_from_files(tmp_path):
    hostile = "<img onerror=alert(1)>"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/fig_01.png").write_bytes(b"")
    (tmp_path / "tables").mkdir()
    pd.DataFrame({"path": [hostile], "n": [1]}).to_csv(tmp_path / "tables/t.csv", index=False)
    (tmp_path / "record").mkdir()
    (tmp_path / "record/01_n.json").write_text(json.dumps({
        "figures": [{"name": "fig_01", "file": "figures/fig_01.png", "caption": f"A caption {hostile}"}],
        "tables": [{"name": "t", "file": "tables/t.csv", "caption": "Numbers."}], "test openings": []}))
    record = RECORD | {"data": RECORD["data"] | {"left out": [{"path": hostile, "problem": "empty"}]}}
    write_index(tmp_path, record)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<img onerror" not in page
    assert page.count("&lt;img onerror") >= 3
    assert 'src="figures/fig_01.png"' in page
    assert "These are test films." in page
    assert "Not a medical device" in page
