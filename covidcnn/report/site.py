"""Pages of a report: each executed notebook as HTML, and an index. They work from disk, with no network."""

import json
import re
from pathlib import Path
from typing import Any

import latex2mathml.converter
import nbformat
import pandas as pd
from jinja2 import Environment, PackageLoader
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from covidcnn.config import DISCLAIMER
from covidcnn.paths import replacing
from covidcnn.report.run import record_path

_TEMPLATES = Environment(loader=PackageLoader("covidcnn.report"), autoescape=True, trim_blocks=True)
# Code is left as it is; `$$…$$` before `$…$`; no blank after the opening dollar, so that prices stay text.
_FORMULA = re.compile(r"(?P<code>```.*?```|`[^`\n]+`)|\$\$(?P<display>.+?)\$\$|\$(?P<inline>\S[^$\n]*?)\$", re.DOTALL)


def write_page(executed: Path, page: Path) -> None:
    """Render an executed notebook as one self-contained page; code cells are folded behind a button."""
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = formulas_to_mathml(cell.source)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    title = notebook.cells[0].source.splitlines()[0].lstrip("# ") if notebook.cells else executed.stem
    _write(page, "notebook.html.j2", title=title, body=body, highlighting=_highlighting())


def write_index(folder: Path, record: dict[str, Any]) -> None:
    """Write ``index.html``: how the run went, and every notebook, figure and table with its caption."""
    parts = []
    for name, entry in sorted(record["notebooks"].items()):
        made = record_path(folder, name)
        entered = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {"figures": [], "tables": []}
        tables = [table | {"html": _table_html(folder / table["file"])} for table in entered["tables"]
                  if (folder / table["file"]).is_file()]
        figures = [figure | {"svg": str(Path(figure["file"]).with_suffix(".svg"))}
                   for figure in entered["figures"] if (folder / figure["file"]).is_file()]
        parts.append(entry | {"name": name, "figures": figures, "tables": tables,
                              "page": f"{name}.html" if (folder / f"{name}.html").is_file() else ""})
    _write(folder / "index.html", "index.html.j2", record=record, parts=parts, disclaimer=DISCLAIMER)


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


def _table_html(path: Path) -> str:
    table = pd.read_csv(path, keep_default_na=False)
    return table.to_html(index=False, border=0, float_format="{:.4g}".format, escape=True)


def _highlighting() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}"


def _write(path: Path, template: str, **values: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(_TEMPLATES.get_template(template).render(**values), encoding="utf-8")

