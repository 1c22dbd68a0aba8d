"""An executed notebook as HTML: formulas, highlighted code, outputs, and figures with their caption and files."""

import re
from functools import cache
from pathlib import Path

import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from covidcnn.report.notebooks import with_links_to

GLOSSARY_PAGE = "glossary.html"

# Code is left as it is; `$$…$$` before `$…$`. Pandoc's rule for the latter keeps prices text: no blank after the
# opening dollar, none before the closing one and no digit after it.
_FORMULA = re.compile(r"(?P<code>```.*?```|`[^`\n]+`)|\$\$(?P<display>.+?)\$\$"
                      r"|\$(?P<inline>\S(?:[^$\n]*?\S)??)\$(?!\d)", re.DOTALL)
_TEMPLATE = Path(__file__).parent / "templates" / "cells.html.j2"


def notebook_html(executed: Path) -> str:
    """Every cell of an executed notebook, as part of a page; see ``templates/cells.html.j2``."""
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_links_to(formulas_to_mathml(cell.source), GLOSSARY_PAGE, ".html")
    return _exporter().from_notebook_node(notebook)[0]


def formulas_to_mathml(markdown: str) -> str:
    """Replace ``$…$`` and ``$$…$$`` by MathML, which browsers draw themselves, where MathJax would be
    fetched from the network."""

    def replacement(match: re.Match[str]) -> str:
        if match["code"]:
            return match["code"]
        display = "block" if match["display"] else "inline"
        # A number in the margin is a table to latex2mathml and stands close; here it follows at a distance.
        source = re.sub(r"\\tag\{(.+?)\}", r"\\qquad (\1)", match["display"] or match["inline"])
        formula = latex2mathml.converter.convert(source.strip(), display=display)
        # Markdown must not take a formula's stars and underscores for emphasis.
        return formula.replace("*", "&#x2a;").replace("_", "&#x5f;")

    return _FORMULA.sub(replacement, markdown)


def label(name: str) -> str:
    """A file's name as a person would write it: 'fig_01' is 'Fig. 1', 'tables_2_and_3' is 'Tables 2 and 3'."""
    words = re.sub(r"^fig_0*(\d+)", r"Fig. \1", name).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


@cache
def _exporter() -> HTMLExporter:
    # Made once: compiling its templates takes longer than most notebooks do.
    return HTMLExporter(template_file=str(_TEMPLATE), filters={"label": label}, exclude_anchor_links=True,
                        exclude_input_prompt=True, exclude_output_prompt=True)


def code_colours() -> str:
    """Style rules for highlighted code, light and dark."""
    # The element in front outweighs the rules that IPython ships inside an output.
    light, dark = (HtmlFormatter(style=style).get_style_defs("main .highlight") for style in ("default", "github-dark"))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}"
