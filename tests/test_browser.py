"""Pages of a report in a real browser: Debian's chromium, driven by Playwright, from disk and without a network."""

import io
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from report_files import HOSTILE, RECORD, image_scores, make_report, numbers_table

from covidcnn.evaluation.metrics import confusion, proportion_estimates, wilson
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.report.site import write_site

pytestmark = pytest.mark.slow

PAGES = ("index.html", "01_first.html", "02_second.html", "explorer.html")
PHONE = {"width": 360, "height": 740}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    # A name that links must not stumble over.
    folder = make_report(tmp_path_factory.mktemp("reports") / "100% of a report #1")
    write_site(folder, RECORD)
    return folder


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not executable:
        pytest.skip("no Chromium here; on Debian: apt install chromium")
    # Chromium's sandbox refuses root, as whom containers run.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, report):
    """``visit('index.html')`` opens a page; afterwards nothing may have been fetched, said or refused by it."""
    contexts, heard = [], []

    def open_page(name, expected=(), folder=report, fragment="", **options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or heard.append(request.url))
        page.on("dialog", lambda dialog: (heard.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("console", lambda message: any(word in message.text for word in expected) or heard.append(message.text))
        page.goto((folder / name).as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert heard == []


def visit_any(visit, name, **options):
    """Any of ``PAGES``; the second notebook's output tries what the policy refuses."""
    return visit(name, expected=["Content Security Policy", "ERR_FILE_NOT_FOUND"] if name == "02_second.html" else (),
                 **options)


def column(page, table, number):
    return page.eval_on_selector_all(f"{table} tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent)")


def contrast(first, second):
    """The contrast ratio of WCAG 2 of two colours 'rgb(r, g, b)'."""
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_from_disk_and_shows_hostile_text_as_text(visit, name):
    page = visit_any(visit, name)
    assert page.locator("h1").count() == 1
    assert page.title() != "taken over"
    if name != "02_second.html":
        assert page.locator("img[src='x']").count() == 0
    if name == "index.html":
        page.locator(".part > summary").first.click()
        text = page.inner_text("main")
        assert all(hostile in text for hostile in HOSTILE)
        page.get_by_text("Files left out").click()
        assert page.get_by_text(f"{HOSTILE[1]}: empty").is_visible()


def test_what_a_notebook_put_out_cannot_run_a_script(visit):
    page = visit_any(visit, "02_second.html")
    page.get_by_text("bold", exact=True).click()
    page.get_by_text("link", exact=True).click()
    assert page.title() == "02 · Second"


def test_tables_sort_by_click_as_numbers_with_missing_values_last(visit):
    page = visit("index.html", fragment="#table-numbers")
    header = page.locator("#table-numbers th", has_text="share")
    original = column(page, "#table-numbers", 2)
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    # By their exact values, although two show the same digits.
    assert column(page, "#table-numbers", 2) == ["-1.500e-07", "0.1235", "0.1235", "0.5000", "23457", ""]
    assert column(page, "#table-numbers", 0)[1:3] == ["image10.jpeg", HOSTILE[1]]
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, "#table-numbers", 2) == ["23457", "0.5000", "0.1235", "0.1235", "-1.500e-07", ""]
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") is None
    assert column(page, "#table-numbers", 2) == original


def test_sorting_keeps_the_order_of_equal_rows_and_knows_words_from_numbers(visit):
    page = visit("index.html", fragment="#table-numbers")

    def sorted_by(name, number):
        page.locator("#table-numbers").get_by_role("button", name=name, exact=True).click()
        return column(page, "#table-numbers", number)

    assert sorted_by("n", 1) == ["1", "9", "9", "10", "100", ""]
    assert column(page, "#table-numbers", 0)[1:3] == [HOSTILE[1], "image10.jpeg"]
    assert sorted_by("range", 3) == ["0.09 (0.01 to 0.20)", "0.2 (0 to 1)", "0.5 (0.1 to 0.9)", "0.913 (0.88 to 0.94)",
                                     "1.000 (1.0 to 1.0)", ""]
    # Numbers within words count too.
    assert [name for name in sorted_by("path", 0) if name.startswith("image")] == ["image9.jpeg", "image10.jpeg"]
    aligned = page.eval_on_selector_all("#table-numbers tbody tr:first-child td",
                                        "cells => cells.map(cell => getComputedStyle(cell).textAlign)")
    assert aligned == ["left", "right", "right", "right"]


def test_tables_sort_by_keyboard(visit):
    page = visit("index.html", fragment="#table-numbers")
    page.locator("#table-numbers .scroll").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "n"
    page.keyboard.press("Enter")
    assert column(page, "#table-numbers", 1)[:2] == ["1", "9"]
    page.keyboard.press("Space")
    assert column(page, "#table-numbers", 1)[:2] == ["100", "10"]


def test_index_unfolds_what_a_link_leads_to_and_prints_none_of_it(visit):
    table = visit("index.html", fragment="#table-numbers").locator("#table-numbers")
    expect(table).to_be_visible()
    page = visit("index.html")
    assert not page.locator("#table-numbers").is_visible()
    page.get_by_role("link", name="below: 1 figure, 2 tables").click()
    assert page.locator("#table-numbers").is_visible()
    page.emulate_media(media="print")
    assert not page.locator("#table-numbers").is_visible()
    assert page.locator("#table-final_metrics").is_visible()


def test_tables_of_pandas_sort_too_under_one_row_of_names(visit):
    page = visit("01_first.html")
    assert page.eval_on_selector_all(".dataframe thead th", "cells => cells.map(cell => cell.textContent)") == [
        "path / what", *numbers_table().columns[1:]]
    page.locator(".dataframe thead").get_by_role("button", name="n", exact=True).click()
    assert column(page, ".dataframe", 1) == ["1", "9", "9", "10", "100", "<NA>"]
    assert column(page, ".dataframe", 0)[1] == HOSTILE[1]


def test_code_is_folded_until_asked_for(visit):
    page = visit("01_first.html")
    code = page.get_by_text("once upon a time")
    assert not code.is_visible()
    page.get_by_role("button", name="Show code").click()
    assert code.is_visible()
    page.get_by_role("button", name="Hide code").click()
    assert not code.is_visible()


def shown_metrics(page):
    """What the explorer shows: (matrix, metrics), as text."""
    matrix = [page.inner_text(f"#{name}") for name in
              ("trueNegatives", "falsePositives", "falseNegatives", "truePositives")]
    metrics = {name: page.locator(f"#{name} td").all_inner_texts()
               for name in ("sensitivity", "specificity", "accuracy", "precision")}
    return matrix, metrics


def expected_metrics(images, threshold):
    matrix = confusion(images, threshold)
    normal, pneumonia = matrix.true_negatives + matrix.false_positives, matrix.false_negatives + matrix.true_positives
    counts = [(matrix.true_negatives, normal), (matrix.false_positives, normal), (matrix.false_negatives, pneumonia),
              (matrix.true_positives, pneumonia)]
    metrics = {
        name: ([f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"] if trials else ["undefined", ""])
        + [f"{successes} of {trials}"]
        for (name, estimate), (successes, trials) in zip(
            proportion_estimates(matrix).items(), matrix.proportions.values(), strict=True)}
    return [f"{count} ({100 * count / total:.1f} %)" for count, total in counts], metrics


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("recipe", ["plain", HOSTILE[1]])
def test_explorer_counts_as_the_library_does(visit, recipe, split):
    page = visit("explorer.html")
    page.select_option("#scores", label=f"Trained: recipe {recipe}, seed 0")
    page.select_option("#split", split)
    images = image_scores().query("recipe == @recipe and split == @split")
    # 0.5, 0.61 and 1 are scores themselves.
    for threshold in (0, 0.25, 0.5, 0.61, 0.615, 1):
        page.fill("#number", str(threshold))
        assert shown_metrics(page) == expected_metrics(images, threshold), threshold


def test_intervals_are_those_of_statsmodels(visit):
    page = visit("explorer.html")
    for successes, trials in ((0, 1), (1, 1), (0, 624), (390, 390), (3, 7), (374, 390), (99_999, 100_000)):
        expected = wilson(successes, trials)
        found = page.evaluate("([successes, trials]) => wilson(successes, trials)", [successes, trials])
        assert found == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_predictive_values_follow_the_share_of_positive_images(visit):
    page = visit("explorer.html")
    page.select_option("#scores", label="Trained: recipe plain, seed 0")
    page.select_option("#split", "test")
    images = image_scores().query("recipe == 'plain' and split == 'test'")
    matrix = confusion(images, 0.5)
    # Where the share is that of the images themselves, the positive predictive value is the precision.
    page.fill("#number", "0.5")
    share = matrix.true_positives + matrix.false_negatives
    assert page.inner_text("#share") == f"{100 * share / len(images):.1f} %"
    precision = matrix.true_positives / (matrix.true_positives + matrix.false_positives)
    assert f"Of those predicted PNEUMONIA, {100 * precision:.1f} % are PNEUMONIA." in page.inner_text("#use")
    sensitivity, specificity = matrix.true_positives / share, matrix.true_negatives / (len(images) - share)
    page.fill("#prevalence", "0.1")
    expected = 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity))
    assert page.inner_text("#use").endswith(f"Of those predicted NORMAL, {100 * expected:.1f} % are NORMAL.")
    assert page.inner_text("#share") == "10.0 %"
    # Chosen once, it stays for other images; where none is predicted, nothing is said of it.
    page.select_option("#split", "validation")
    assert page.inner_text("#share") == "10.0 %"
    page.fill("#number", "0")
    assert page.inner_text("#use").endswith("None is predicted NORMAL.")


def test_slider_moves_by_keyboard_and_takes_everything_along(visit):
    page = visit("explorer.html")
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    assert page.input_value("#number") == "0.5"
    page.keyboard.press("ArrowRight")
    assert page.input_value("#number") == "0.501"
    assert slider.get_attribute("aria-valuetext") == "0.501"
    assert page.get_attribute("#line", "x1") == "300.6"
    page.keyboard.press("End")
    matrix, metrics = shown_metrics(page)
    assert matrix[1].startswith("0 (")
    assert metrics["specificity"][0] == "1.000"
    assert metrics["precision"] == ["1.000", "0.207 to 1.000", "1 of 1"]
    assert page.evaluate("[dot.cx.baseVal.value, dot.cy.baseVal.value]") == [0, 97.5]
    page.keyboard.press("Home")
    assert page.evaluate("[dot.cx.baseVal.value, dot.cy.baseVal.value]") == [100, 0]
    # Said once, when the movement has ended.
    expect(page.get_by_role("status")).to_contain_text("threshold 0: sensitivity 1.000, specificity 0.000")


def test_axes_of_the_roc_curve_have_names_and_numbers_in_the_drawing(visit):
    page = visit("explorer.html", viewport=PHONE)
    texts = page.locator("#roc text")
    assert texts.all_text_contents() == ["0", "0", "0.5", "0.5", "1", "1", "1 − specificity", "sensitivity"]
    frame = page.locator("#roc").bounding_box()
    for box in [text.bounding_box() for text in texts.all()]:
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
        assert box["y"] + box["height"] <= frame["y"] + frame["height"]


def test_bars_hold_every_image_of_both_classes(visit):
    page = visit("explorer.html")
    total = "bars => bars.reduce((sum, bar) => sum + bar.height.baseVal.value, 0)"
    heights = [page.eval_on_selector_all(f"rect.{name}", total)
               for name in ("negative", "positive")]
    # As shares of their class both add up to one, the highest score's image among them.
    assert heights[0] == pytest.approx(heights[1])
    assert heights[0] > 0


def test_stored_thresholds_are_taken_to_the_last_digit(visit):
    page = visit("explorer.html")
    validation = image_scores().query("recipe == 'plain' and split == 'validation'")
    threshold = fix_threshold(validation, "youden")
    page.select_option("#split", "validation")
    page.get_by_role("button", name="Youden's, from validation images").click()
    assert shown_metrics(page) == expected_metrics(validation, threshold)
    assert float(page.input_value("#number")) == pytest.approx(threshold, abs=1e-6)
    page.get_by_role("button", name="fixed beforehand: 0.5").click()
    assert shown_metrics(page) == expected_metrics(validation, 0.5)


def test_threshold_outside_the_scale_or_no_number_does_no_harm(visit):
    page = visit("explorer.html")
    page.fill("#number", "7")
    page.locator("#number").blur()
    assert page.input_value("#number") == "1"
    page.fill("#number", "")
    # Left without a change.
    page.locator("#number").dispatch_event("blur")
    assert page.input_value("#number") == "1"


def test_explorer_copes_with_one_class_and_equal_scores_outside_0_to_1(visit):
    page = visit("explorer.html")
    page.select_option("#scores", label="Odd: all images")
    assert page.locator("#axis span").all_inner_texts() == ["-2", "-1.75", "-1.5", "-1.25", "-1"]
    assert "one class" in page.inner_text("#roc-note")
    page.fill("#number", "-2")
    matrix, metrics = shown_metrics(page)
    assert matrix == ["no images", "no images", "0 (0.0 %)", "5 (100.0 %)"]
    assert metrics["specificity"] == ["undefined", "", "0 of 0"]
    assert metrics["sensitivity"][2] == "5 of 5"
    # Back to probabilities: the threshold of the other scale is not kept.
    page.select_option("#scores", label="Trained: recipe plain, seed 0")
    assert page.input_value("#number") == "0.5"


def test_explorer_counts_a_hundred_thousand_images(visit, tmp_path):
    images = image_scores(50_000)
    folder = make_report(tmp_path / "large")
    images.to_csv(folder / "scores/trained.csv", index=False, float_format="%.7g")
    write_site(folder, RECORD)
    page = visit("explorer.html", folder=folder)
    page.select_option("#split", "test")
    page.fill("#number", "0.61")
    assert shown_metrics(page) == expected_metrics(images.query("recipe == 'plain' and split == 'test'"), 0.61)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_schemes(visit, name, scheme):
    page = visit_any(visit, name, color_scheme=scheme)
    if name == "01_first.html":
        page.get_by_role("button", name="Show code").click()
    page.eval_on_selector_all("details", "all => all.forEach(details => details.open = true)")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (contrast(ground, "rgb(0, 0, 0)") > 10) == (scheme == "light")
    pairs = page.evaluate("""() => [...document.querySelectorAll("body *")].filter((element) =>
        element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
    ).map((element) => {
        let behind = element;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        return [element.textContent.trim().slice(0, 30), getComputedStyle(element).color,
                getComputedStyle(behind).backgroundColor];
    })""")
    assert len(pairs) > 5
    assert [pair for pair in pairs if contrast(*pair[1:]) < 4.5] == []


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(visit, name):
    page = visit_any(visit, name, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_shadow_marks_the_edge_where_columns_are_cut_off(visit, scheme):
    page = visit("01_first.html", viewport=PHONE, color_scheme=scheme)
    table = page.locator(".scroll")

    def shadows():
        # Along the table's bottom, under its last line of text.
        picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
        row = [picture.getpixel((x, picture.height - 24)) for x in range(picture.width)]
        ground = picture.getpixel((picture.width // 2, picture.height - 24))
        return abs(row[1] - ground) > 20, abs(row[-2] - ground) > 20

    table.evaluate("table => table.querySelectorAll('td, th').forEach(cell => cell.style.color = 'transparent')")
    assert shadows() == (False, True)
    table.evaluate("table => table.scrollLeft = 40")
    assert shadows() == (True, True)
    table.evaluate("table => table.scrollLeft = table.scrollWidth")
    assert shadows() == (True, False)


def test_a_picture_leads_to_its_file(visit):
    page = visit("01_first.html", viewport=PHONE)
    page.get_by_role("link", name="Fig. 1, described by its caption").click()
    assert page.url.endswith("/figures/fig_01.png")


@pytest.mark.parametrize("name", PAGES)
def test_structure_serves_screen_readers(visit, name):
    page = visit_any(visit, name)
    assert page.get_attribute("html", "lang") == "en"
    assert [page.locator(landmark).count() for landmark in ("header", "main", "footer")] == [1, 1, 1]
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(heading => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.eval_on_selector_all("[id]", "all => all.length - new Set(all.map(one => one.id)).size") == 0
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node.get("role", {}).get("value") in
                {"button", "link", "slider", "spinbutton", "combobox", "navigation"} and not node["ignored"]]
    assert controls
    assert [node["role"]["value"] for node in controls if not node.get("name", {}).get("value")] == []
    assert page.locator("[tabindex='0']:not([aria-label], [aria-labelledby])").count() == 0


def test_first_tab_offers_to_skip_to_the_content(visit):
    page = visit("index.html", viewport={"width": 900, "height": 700})
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    assert link.evaluate("link => link === document.activeElement && link.getBoundingClientRect().width > 50")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    # What the keyboard reaches shows that it did.
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_what_is_there(visit, report, name):
    page = visit_any(visit, name)
    links = {urlsplit(link) for link in page.eval_on_selector_all("a[href^='file:'], a[href]:not([href*=':'])",
                                                                  "all => all.map(link => link.href)")}
    assert len(links) > 2
    for link in links:
        target = Path(unquote(link.path))
        # The runner writes the run record, which was not at work here.
        assert target.is_file() or target.name == "run-record.json", target
        assert target.parent.is_relative_to(report)
        assert not link.fragment or f'id="{unquote(link.fragment)}"' in target.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_page_prints_in_black_on_white_without_controls(visit, name):
    page = visit_any(visit, name, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("header").is_visible()
    controls = page.locator("button:visible, select:visible, input:visible")
    assert controls.count() == page.locator("th button:not(.part *)").count()
    if name == "explorer.html":
        assert page.locator("#status").inner_text().startswith("Trained: recipe plain, seed 0, validation images")
    document = page.pdf(format="A4")
    assert document.startswith(b"%PDF-")
    assert len(document) > 5000


def add_rows(page, table, rows):
    """Fill a table with so many rows 'row 0', 'row 1', after a paragraph that takes most of a page."""
    page.evaluate("""([table, rows]) => {
        const body = document.querySelector(`${table} tbody`);
        const row = body.rows[0];
        body.replaceChildren(...Array.from({ length: rows }, (_, i) => {
            const copy = row.cloneNode(true);
            for (const cell of copy.cells) cell.textContent = "";
            copy.cells[0].textContent = `row ${i}`;
            return copy;
        }));
        const before = document.createElement("div");
        before.style.height = "22cm";
        document.getElementById("main").replaceChildren(before, document.createElement("p"), body.closest(".scroll"));
    }""", [table, rows])


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="no pdftotext here; on Debian: apt install poppler-utils")
def test_short_tables_are_printed_whole_and_long_ones_repeat_their_header(visit, tmp_path):
    def printed(rows):
        page = visit("01_first.html")
        add_rows(page, ".dataframe", rows)
        page.pdf(format="A4", path=tmp_path / "page.pdf")
        text = subprocess.run(["pdftotext", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True)
        return [(sheet.count("path / what"), sheet.count("row ")) for sheet in text.stdout.split("\f")
                if "row " in sheet]

    assert printed(15) == [(1, 15)]
    headers, rows = zip(*printed(80), strict=True)
    assert len(rows) > 2
    assert sum(rows) == 80
    assert set(headers) == {1}


def test_names_of_rows_stand_at_the_top_of_their_row(visit):
    page = visit("01_first.html")
    assert set(page.eval_on_selector_all(".dataframe tbody :is(th, td)",
                                         "cells => cells.map(cell => getComputedStyle(cell).verticalAlign)")) == {"top"}
