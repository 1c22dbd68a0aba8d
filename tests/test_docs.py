"""Pages that people read: their links lead somewhere, and the page of commands is that of the commands."""

import re
import subprocess
import sys

import nbformat
import pytest

from covidcnn.paths import NOTEBOOKS, PROJECT

PAGES = [PROJECT / "README.md", *PROJECT.glob("docs/*.md"), NOTEBOOKS / "README.md", *NOTEBOOKS.glob("[0-9]*.ipynb"),
         *NOTEBOOKS.glob("exercises/*.ipynb"), *PROJECT.glob("docs/report/*"),
         PROJECT / "benchmarks/README.md", PROJECT / "reports/paper/claims.md", PROJECT / "reports/paper/checklist.md"]


def text_of(page):
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors_of(page):
    """As GitHub makes them of headings, and those that stand in the text."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return ({re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            | set(re.findall(r'<a id="([^"]+)"', text)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:|mailto:", target):
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors_of(linked), target


def test_the_page_of_commands_is_that_of_the_commands():
    made = subprocess.run([sys.executable, "-m", "typer", "covidcnn.cli", "utils", "docs", "--name", "covidcnn",
                           "--title", "Command line"], capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    page = (PROJECT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert page == made, "make docs makes it anew"
