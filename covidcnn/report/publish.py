"""A report to be read where nothing is run: executed notebooks, small enough for a repository that shows them."""

from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image

from covidcnn.config import DISCLAIMER
from covidcnn.data.sources import CT_STAND_IN, PHANTOM
from covidcnn.errors import UserError
from covidcnn.paths import GLOSSARY, replacing
from covidcnn.report.notebooks import with_links_to
from covidcnn.report.record import FURTHER_DATA, entered, read_record

_COLOURS = 256
"""Enough for figures and for grey images, which fewer would tint; a picture then takes less than half of the space."""


def publish(report: Path, folder: Path) -> None:
    """Copy the executed notebooks of a report on phantom images, with pictures of few colours, and a page that lists
    them.

    Args:
        report: a report folder whose notebooks are all done.
        folder: where to; notebooks and ``README.md`` there are replaced.

    Raises:
        UserError: it is no finished report, or it is on other images, which may not be given away.
    """
    record = read_record(report)
    unfinished = [name for name, entry in record["notebooks"].items() if entry["status"] != "done"]
    if unfinished or not record["notebooks"]:
        missing = unfinished[0] if unfinished else "its first notebook"
        raise UserError(f"{report}: not a finished report, {missing} is not done; make it with covidcnn report")
    if record["data"].get("source") != PHANTOM.name:
        raise UserError(f"{report}: a report on {record['data']['name']}; only one on phantom images is published")
    for name in record["notebooks"]:
        for further in entered(report, name)[FURTHER_DATA]:
            if further["source"] != CT_STAND_IN.name:
                raise UserError(f"{report}: {name} shows {further['name']}, which may not be given away; run "
                                "that notebook without it")
    profile = record["profile"]
    lines = ["# A report to read", "", f"{record['data']['identity']} {DISCLAIMER}", "",
             f"Made by `make publish` in the profile '{profile['name']}': {profile['image size']} px, "
             f"{len(profile['seeds'])} seeds. Pictures have {_COLOURS} colours to keep the files small. "
             "`make report` makes it anew, in full, with an index of all figures and tables.", ""]
    for name, entry in sorted(record["notebooks"].items()):
        notebook = nbformat.read(report / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            cell.source = with_links_to(cell.source, f"../{GLOSSARY.name}")
            if cell.cell_type == "code":
                # What TensorFlow writes to stderr names processes and source files.
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
                for output in cell.outputs:
                    if picture := output.get("data", {}).get("image/png"):
                        output["data"]["image/png"] = _with_few_colours(picture)
        with replacing(folder / f"{name}.ipynb") as draft:
            nbformat.write(notebook, draft)
        lines.append(f"- [{entry['title']}]({name}.ipynb). {entry['question']}")
    with replacing(folder / "README.md") as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _with_few_colours(picture: str) -> str:
    """A PNG in base64, likewise, with as few colours as ``_COLOURS`` and no dither, which would be noise. The method is
    the one that keeps a colour of few pixels, such as a thin line's."""
    small = BytesIO()
    image = Image.open(BytesIO(b64decode(picture))).convert("RGB")
    image.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return b64encode(small.getvalue()).decode()
