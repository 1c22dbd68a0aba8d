"""Pages of a report: an index, each executed notebook, a threshold explorer, the claims ledger, and the glossary.

They work from disk, with no network: style, scripts and data stand in the page itself, and a content security
policy lets a browser run those scripts and no other, whatever a file name or a notebook's output may hold.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from nbconvert.filters import markdown2html
from PIL import Image

from covidcnn.config import DISCLAIMER
from covidcnn.paper.study_folders import LEDGER
from covidcnn.paths import replacing
from covidcnn.report.cells import GLOSSARY_PAGE, code_colours, label, notebook_html
from covidcnn.report.explorer import explorer_choices
from covidcnn.report.notebooks import glossary_text
from covidcnn.report.record import MADE, entered

INDEX, EXPLORER, LEDGER_PAGE = "index.html", "explorer.html", "claims.html"
FIGURE_SCALE = 1.5
"""Pixels of a saved figure for each pixel of a page: ``savefig.dpi`` over the 100 that its size is meant for."""
_STATIC = Path(__file__).parent / "static"


def write_site(folder: Path, record: dict[str, Any]) -> None:
    """Write every page of a report folder from its run record and from what the notebooks left there."""
    parts = [_part(folder, name, entry) for name, entry in sorted(record["notebooks"].items())]
    choices = explorer_choices(folder, [entry for part in parts for entry in part["scores"]])
    has_claims = any("link" in cell
                     for part in parts for table in part["tables"] for row in table["rows"] for cell in row)
    shared = {"record": record, "parts": parts, "explorer": EXPLORER if choices else "",
              "ledger": LEDGER_PAGE if has_claims else ""}
    pages = [part for part in parts if part["page"]]
    for before, part, after in zip([None, *pages], pages, [*pages[1:], None], strict=False):
        _write(folder / part["page"], "notebook.html.j2", ["tables.js", "code.js"], **shared, part=part, before=before,
               after=after, body=notebook_html(folder / "notebooks" / f"{part['name']}.ipynb"),
               code_colours=code_colours())
    if choices:
        captions = {entry["name"]: entry["caption"] for part in parts for entry in part["scores"]}
        _write(folder / EXPLORER, "explorer.html.j2", ["explorer.js"], **shared, choices=choices, captions=captions)
    if has_claims:
        _write(folder / LEDGER_PAGE, "text.html.j2", [], **shared, here="ledger", title="Claims ledger",
               body=_ledger_html({part["page"] for part in pages}))
    _write(folder / GLOSSARY_PAGE, "text.html.j2", [], **shared, here="glossary", title="Glossary",
           body=markdown2html(glossary_text()))
    _write(folder / INDEX, "index.html.j2", ["tables.js", "fold.js"], **shared)


def write_unfinished_index(folder: Path, record: dict[str, Any], notebooks: dict[str, str]) -> None:
    """Write an index that says that the run is not at its end, with the status of each notebook by its title;
    ``write_site`` replaces it."""
    _write(folder / INDEX, "unfinished.html.j2", [], record=record, notebooks=notebooks)


def _part(folder: Path, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """What the pages say of one notebook: its entry in the run record, and what it made that is still there."""
    made = entered(folder, name)
    figures, tables, scores = ([one for one in made[kind] if (folder / one["file"]).is_file()] for kind in MADE)
    for figure in figures:
        with Image.open(folder / figure["file"]) as picture:
            figure["width"] = round(picture.width / FIGURE_SCALE)
    return entry | {
        "name": name,
        "page": f"{name}.html" if (folder / "notebooks" / f"{name}.ipynb").is_file() else "",
        "figures": figures,
        "tables": [table | _columns_and_rows(folder / table["file"]) for table in tables],
        "scores": scores,
    }


def _columns_and_rows(path: Path) -> dict[str, Any]:
    """A table as text for people; numbers keep their exact value beside it, to be sorted by."""
    # Only an empty field is missing: 'None' and 'NA' are words. Whole numbers stay whole beside missing ones.
    table = pd.read_csv(path, keep_default_na=False, na_values=[""]).convert_dtypes()
    rows = [[{"text": ""} if pd.isna(value) else
             {"text": four_digits(value), "value": value} if isinstance(value, float) else {"text": str(value)}
             for value in row] for row in table.itertuples(index=False)]
    if "verdict" in table and table.columns[0] == "name" and LEDGER.with_suffix(".md").is_file():
        for name, *_ in rows:
            name["link"] = f"{LEDGER_PAGE}#{name['text']}"
    return {"columns": list(table.columns), "rows": rows}


def _ledger_html(pages: set[str]) -> str:
    """The committed ledger; of its links those that lead to pages of the report."""
    def linked(match: re.Match[str]) -> str:
        page = f"{Path(match['target'].partition('#')[0]).stem}.html"
        return f"[{match['text']}]({page})" if page in pages else match["text"]

    text = LEDGER.with_suffix(".md").read_text(encoding="utf-8")
    html = markdown2html(re.sub(r"\[(?P<text>[^]]+)\]\((?P<target>[^)#][^)]*)\)", linked, text))
    return (html.replace("<table>", '<div class="scroll" role="group" tabindex="0" aria-label="Claims"><table>')
            .replace("</table>", "</table></div>"))


def four_digits(value: float) -> str:
    """Four significant digits, and all digits before the point: 0.5 is '0.5000', 23456.7 is '23457'."""
    return f"{value:.0f}" if abs(value) >= 9999.5 else f"{value:#.4g}".rstrip(".")


def duration(seconds: float) -> str:
    """'59 s' or '3 min 20 s'."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def counted(number: int, thing: str) -> str:
    """'1 figure' or '2 figures'."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _write(path: Path, template: str, scripts: list[str], **values: Any) -> None:
    sources = [(_STATIC / script).read_text(encoding="utf-8") for script in scripts]
    hashes = " ".join(f"'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'" for source in sources)
    style = (_STATIC / "site.css").read_text(encoding="utf-8")
    page = _TEMPLATES.get_template(template).render(
        **values, style=style, scripts=sources, script_hashes=hashes, disclaimer=DISCLAIMER)
    with replacing(path) as temporary:
        # Line ends as they are: the hashes are of the scripts with these.
        temporary.write_text(page, encoding="utf-8", newline="\n")


_TEMPLATES = Environment(loader=PackageLoader("covidcnn.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
_TEMPLATES.filters |= {"label": label, "duration": duration, "counted": counted}
