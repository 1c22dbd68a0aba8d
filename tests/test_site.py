"""Pages of a report, as text; tests/test_browser.py looks at them in a browser."""

import json
import re
from copy import deepcopy
from pathlib import Path

import pandas as pd
import pytest
from flit_core.common import Module
from nbconvert.filters import markdown2html
from report_files import HOSTILE, RECORD, make_report

from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.paths import NOTEBOOKS, PROJECT
from covidcnn.report.cells import GLOSSARY_PAGE, formulas_to_mathml, label
from covidcnn.report.explorer import explorer_choices
from covidcnn.report.notebooks import glossary_text, with_links_to
from covidcnn.report.site import duration, four_digits, write_site


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = make_report(tmp_path_factory.mktemp("report"))
    write_site(folder, RECORD)
    return folder


def page(folder, name):
    return (folder / name).read_text(encoding="utf-8")


def test_formulas_become_mathml_and_code_and_prices_stay():
    text = formulas_to_mathml("A $x_1$ and $$\\frac{a}{b}$$ but `$PATH` and 5 $ or 6 $, and $5 to $6 for $n$.")
    assert text.count("<math") == 3
    assert 'display="block"' in text
    assert "`$PATH`" in text
    assert "5 $ or 6 $" in text
    assert "$5 to $6" in text
    assert "<mfrac>" in text
    assert "_" not in text.split("<math")[1].split("</math>")[0]


@pytest.mark.parametrize(("name", "expected"), [
    ("fig_01", "Fig. 1"), ("fig_06_maps", "Fig. 6 maps"), ("tables_2_and_3", "Tables 2 and 3")])
def test_file_names_become_labels(name, expected):
    assert label(name) == expected


@pytest.mark.parametrize(("value", "expected"), [
    (0.5, "0.5000"), (0.92788, "0.9279"), (1234.56, "1235"), (9999.6, "10000"), (23456.7, "23457"),
    (1.5e-7, "1.500e-07")])
def test_numbers_have_four_digits(value, expected):
    assert four_digits(value) == expected


def test_duration_is_in_minutes_from_one_minute_on():
    assert [duration(59.4), duration(60), duration(200)] == ["59 s", "1 min 0 s", "3 min 20 s"]


def test_notebook_page_holds_formula_code_output_and_the_figure_with_its_files(report):
    text = page(report, "01_first.html")
    assert "<title>01 · First</title>" in text
    assert "once upon a time" in text
    assert "<mn>3</mn>" in text
    assert re.search('<a download="" href="figures/fig_01.svg">SVG', text)
    assert "described by its caption" in text


def test_notebook_pages_lead_to_each_other(report):
    first, second = page(report, "01_first.html"), page(report, "02_second.html")
    assert 'href="02_second.html" rel="next"' in first
    assert 'rel="prev"' not in first
    assert 'href="01_first.html" rel="prev"' in second
    assert 'rel="next"' not in second


def test_every_page_says_what_it_is_not(report):
    names = [path.name for path in report.glob("*.html")]
    assert sorted(names) == ["01_first.html", "02_second.html", "explorer.html", "glossary.html", "index.html"]
    for name in names:
        assert "Not a medical device" in page(report, name)
        assert "These are test images." in page(report, name)


def test_links_of_the_notebooks_lead_to_pages_of_the_report():
    texts = [with_links_to(path.read_text(encoding="utf-8"), GLOSSARY_PAGE, ".html")
             for path in NOTEBOOKS.glob("[0-9]*.ipynb")]
    found = {target for text in texts for target in re.findall(r"\]\(([\w./-]+\.(?:html|md|ipynb)[#\w-]*)\)", text)}
    words = set(re.findall(r'id="([^"]+)"', markdown2html(glossary_text())))
    pages = {f"{path.stem}.html" for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    assert {target.removeprefix(f"{GLOSSARY_PAGE}#") for target in found} <= words | pages
    assert f"{GLOSSARY_PAGE}#auc" in found
    assert "04_model_building.html" in found


def test_claims_lead_to_their_row_of_the_ledger(tmp_path):
    folder = make_report(tmp_path / "report")
    write_site(folder, deepcopy(RECORD))
    # Where no table holds a claim there is no page of claims.
    assert not (folder / "claims.html").exists()
    assert 'href="claims.html"' not in page(folder, "index.html")
    claims = pd.DataFrame([("ct", "contradicts itself")], columns=["name", "verdict"])
    claims.to_csv(folder / "tables/numbers.csv", index=False)
    write_site(folder, deepcopy(RECORD))
    assert '<td><a href="claims.html#ct">ct</a></td>' in page(folder, "index.html")
    ledger = page(folder, "claims.html")
    assert 'id="ct"' in ledger
    # Of its links only those are left that lead somewhere from here.
    assert set(re.findall(r'href="([^"#]+)', ledger)) <= {path.name for path in folder.iterdir()}


def test_index_lists_what_was_made_with_the_headline_table_first(report):
    text = page(report, "index.html")
    assert 'src="figures/fig_01.png"' in text
    assert "What is first?" in text
    assert text.index("Final metrics") < text.index('id="contents"') < text.index('id="table-numbers"')
    assert "1 of 2 failed" in text
    assert "they ran for 1 min 3 s in all" in text
    assert "1 figure, 2 tables" in text
    assert "not scored outside the paper profile" in text
    assert 'href="explorer.html"' in text


def test_index_counts_one_in_the_singular(tmp_path):
    folder = make_report(tmp_path / "report")
    record = RECORD | {"notebooks": {"01_first": RECORD["notebooks"]["01_first"]},
                       "exploratory test-set accesses": {"count": 1, "by notebook": {}}}
    write_site(folder, record)
    text = " ".join(page(folder, "index.html").split())
    assert "<dd>one, done; it ran for 1 min 1 s</dd>" in text
    assert "scored once outside the paper profile" in text


def test_text_from_files_is_escaped(report):
    for name in ("index.html", "explorer.html"):
        text = page(report, name)
        assert not any(hostile in text for hostile in HOSTILE[:2])
    assert page(report, "index.html").count("&lt;img src=x onerror") >= 5
    assert "<img src=x" not in page(report, "01_first.html")


def test_table_values_keep_their_digits_for_sorting_and_missing_ones_stay_empty(report):
    text = page(report, "index.html")
    assert '<td data-value="0.123456">0.1235</td>' in text
    # A whole number beside missing ones stays whole.
    assert "<td>100</td>" in text
    assert "nan" not in text.lower().split("<table")[2].split("</table>")[0]


def test_scripts_are_those_that_the_policy_names_and_nothing_comes_from_elsewhere(report):
    for path in report.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.split("script-src")[1]
        assert not re.search(r"<script[^>]+src|<link|@import|url\(|<img[^>]+src=.https?:", text)


def test_a_report_without_scores_has_no_explorer(tmp_path):
    folder = make_report(tmp_path / "report")
    for path in (folder / "scores").iterdir():
        path.unlink()
    write_site(folder, RECORD)
    assert not (folder / "explorer.html").exists()
    assert "explorer.html" not in page(folder, "index.html")


def test_what_is_gone_is_not_linked(tmp_path):
    folder = make_report(tmp_path / "report")
    for part in ("notebooks/02_second.ipynb", "figures/fig_01.png", "tables/numbers.csv", "record/02_second.json"):
        (folder / part).unlink()
    write_site(folder, deepcopy(RECORD))
    text = page(folder, "index.html")
    assert "02_second.html" not in text + page(folder, "01_first.html")
    assert "figures/fig_01.png" not in text
    assert "tables/numbers.csv" not in text


def test_explorer_knows_each_training_its_range_and_thresholds_that_no_test_image_chose(report):
    saved = json.loads(page(report, "record/01_first.json"))["scores"]
    odd, plain, hostile = explorer_choices(report, saved)
    assert (odd["name"], odd["range"], odd["marks"]) == (
        "all images", (-2, -1), [{"name": "fixed beforehand", "threshold": 0}])
    assert (plain["name"], plain["range"]) == ("recipe plain, seed 0", (0, 1))
    assert hostile["name"] == f"recipe {HOSTILE[1]}, seed 0"
    scores = pd.read_csv(report / "scores/trained.csv").query("recipe == 'plain'")
    validation = scores[scores["split"] == "validation"]
    assert [mark["threshold"] for mark in plain["marks"]] == [0.5, fix_threshold(validation, "youden")]
    normal = plain["splits"]["validation"]["negative"]
    assert normal == sorted(validation.loc[validation["label"] == "NORMAL", "score"])


def test_explorer_reads_classes_whose_names_are_numbers(tmp_path):
    rows = [f"{split},{split}/{name}.png,{label},{score},,{name},"
            for split in ("validation", "test") for name, label, score in (("007", 0, 0.2), ("008", 1, 0.9))]
    (tmp_path / "numbers.csv").write_text("\n".join(["split,path,label,score,subtype,patient,perturbation", *rows]))
    (choice,) = explorer_choices(tmp_path, [{
        "name": "numbers", "file": "numbers.csv", "caption": "", "threshold": 0.5, "classes": ["0", "1"]}])
    assert choice["splits"]["test"] == {"negative": [0.2], "positive": [0.9]}


def test_scripts_and_styles_are_in_the_wheel():
    packed = {Path(path).relative_to(PROJECT / "covidcnn").as_posix()
              for path in Module("covidcnn", PROJECT).iter_files()}
    assert {"report/static/site.css", "report/static/tables.js", "report/static/explorer.js", "report/static/code.js",
            "report/static/fold.js",
            "report/templates/base.html.j2"} <= packed
