"""The notebook series: which there are, what they are about, and whether one can be run strictly."""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import nbformat
from pydantic import TypeAdapter, conlist

from covidcnn.augment import AUGMENTATIONS
from covidcnn.errors import UserError, named
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.registry import NETWORKS
from covidcnn.paths import GLOSSARY, NOTEBOOKS
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.optimizers import optimizer_name

PARAMETERS_TAG = "parameters"
CHEST_XRAY_TAG = "chest-xray"
"""On cells about the published images, or the phantom ones that stand for them: text, evidence, guesses at either."""
_LEFT_OUT = ("*These images have other classes than the paper's. What this notebook has on the published images, with "
             "any evidence on them, is left out here; the text above may still speak of it.*")
OPTIONS = {"PROFILE": "--profile", "DATA": "--data", "OUT": "--out", "TASK": "--task"}
"""Parameters of every notebook that covidcnn report has an option for."""
_KNOWN_VALUES: dict[str, Callable[[Any], object]] = {
    "OPTIMIZER": optimizer_name, "CONTENDERS": lambda names: [optimizer_name(name) for name in names],
    "MODEL": lambda name: named(NETWORKS, name, "network"),
    "AUGMENTATION": lambda name: named(AUGMENTATIONS, name, "augmentation"),
    "PREPROCESS": lambda name: ImageSettings(preprocess=name)}
"""What refuses a wrong value, before a notebook is run: half a report later it would be found out too late."""


@dataclass(frozen=True)
class Notebook:
    """One notebook of the series."""

    path: Path
    title: str
    question: str = ""
    """What the notebook asks, in the words of its head."""

    @property
    def name(self) -> str:
        """The file name without ending, for example '05_optimizer_comparison'."""
        return self.path.stem


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Notebook]:
    """All notebooks named ``NN_topic.ipynb``, in their order.

    Raises:
        UserError: there is none: the project was installed without its notebooks.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise UserError(f"{folder}: no notebooks here; run from a clone of the project, installed with "
                        "pip install --editable")
    return [Notebook(path, *_head(path)) for path in paths]


def with_links_to(text: str, glossary: str, ending: str = ".ipynb") -> str:
    """A notebook's text, or that of its file, with links that hold in another place: to the glossary as it is reached
    from there, and to other notebooks, which have this ending there."""
    text = re.sub(r"\]\((?:\.\./)+docs/glossary\.md", f"]({glossary}", text)
    return re.sub(r"(\]\([\w./-]+)\.ipynb", rf"\1{ending}", text)


def glossary_text() -> str:
    """docs/glossary.md without what is of no use in a report or a course: links, and the column of places."""
    text = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", GLOSSARY.read_text(encoding="utf-8"))
    return re.sub(r"^(\|[^|\n]*\|[^|\n]*\|)[^|\n]*\|$", r"\1", text, flags=re.MULTILINE)


def cells_for(notebook: Path, task: Task) -> nbformat.NotebookNode:
    """A notebook as a report of a task shows it: with other classes than the paper's without what is tagged
    ``CHEST_XRAY_TAG``, and with a line that says so where there is any."""
    content = nbformat.read(notebook, as_version=4)
    kept = [cell for cell in content.cells if CHEST_XRAY_TAG not in cell.metadata.get("tags", [])]
    if task != PNEUMONIA and len(kept) < len(content.cells):
        content.cells = [kept[0], nbformat.v4.new_markdown_cell(_LEFT_OUT, id="left-out"), *kept[1:]]
    return content


def select_notebooks(notebooks: list[Notebook], only: str = "", first: str = "") -> list[Notebook]:
    """The notebooks that ``--only`` or ``--from`` name, by number ('05') or by name.

    Raises:
        UserError: no such notebook.
    """
    if only and first:
        raise UserError("--only and --from exclude each other; give one")
    if not only and not first:
        return notebooks
    numbers = {notebook.name.split("_")[0]: notebook.name for notebook in notebooks}
    places = {notebook.name: place for place, notebook in enumerate(notebooks)}
    place = named(places, numbers.get((only or first).zfill(2), only or first), "notebook")
    return [notebooks[place]] if only else notebooks[place:]


def read_parameters(notebooks: Sequence[Notebook], given: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What ``--parameter NAME=VALUE`` means: each goes to the notebooks that have a parameter of that name.

    Text is taken as it is, anything else as Python writes it: ``SEED=3``, ``CONTENDERS=['SGD']``.

    Returns:
        The parameters of each of the ``notebooks`` that gets any, by its name.

    Raises:
        UserError: not of this form, given twice, an option of its own, known to no notebook, or of another type.
    """
    known = {notebook.name: _defaults(notebook.path) for notebook in notebooks}
    taken: dict[str, dict[str, Any]] = {}
    seen = set()
    for entry in given:
        name, equals, text = entry.partition("=")
        if not equals or not text.isprintable():
            raise UserError(f"--parameter {entry}: give NAME=VALUE on one line, for example OPTIMIZER=SGD")
        if name in OPTIONS or name in seen:
            raise UserError(f"--parameter {name}: give it {f'with {OPTIONS[name]}' if name in OPTIONS else 'once'}")
        seen.add(name)
        owners = [notebook for notebook, defaults in known.items() if name in defaults]
        if not owners:
            names = sorted({own for defaults in known.values() for own in defaults} - OPTIONS.keys())
            near = get_close_matches(name, names, 1)
            raise UserError(f"--parameter {name}: no such parameter in the notebooks that are run; "
                            + (f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"))
        for notebook in owners:
            value = _value(notebook, name, text, known[notebook][name])
            if name in _KNOWN_VALUES:
                try:
                    _KNOWN_VALUES[name](value)
                except UserError as error:
                    raise UserError(f"--parameter {name}: {error}") from error
            taken.setdefault(notebook, {})[name] = value
    return taken


def check_parameters(notebook: Path, parameters: dict[str, Any]) -> None:
    """Refuse what papermill would let pass: it only logs a warning for a parameter that the notebook does
    not have, and overwrites given values where no cell, or more than one, is tagged.

    Raises:
        UserError: the notebook has not exactly one parameters cell, or lacks a parameter.
    """
    known = _defaults(notebook)
    for name in parameters:
        if name not in known:
            raise UserError(f"{notebook.name}: no parameter '{name}'; it has {', '.join(known)}")


def _defaults(notebook: Path) -> dict[str, Any]:
    """The parameters of a notebook with their defaults, which stand in its one tagged cell."""
    from papermill import inspect_notebook

    cells = nbformat.read(notebook, as_version=4).cells
    tagged = sum(PARAMETERS_TAG in cell.metadata.get("tags", []) for cell in cells)
    if tagged != 1:
        raise UserError(f"{notebook.name}: {tagged} cells are tagged '{PARAMETERS_TAG}'; tag exactly one")
    try:
        return {name: ast.literal_eval(parameter["default"])
                for name, parameter in inspect_notebook(str(notebook)).items()}
    except (ValueError, SyntaxError) as error:
        raise UserError(f"{notebook.name}: a parameter's default is no plain value ({error}); write it out") from error


def _typed(value: Any, default: Any) -> Any:
    """A value of the default's type: of a list, one or more entries of the type of its first; whole numbers are floats
    where the default is one. Else a ``ValidationError`` is raised."""
    kind: Any = conlist(type(default[0]), min_length=1) if isinstance(default, list) else type(default)
    return TypeAdapter(kind).validate_python(value, strict=True)


def _value(notebook: str, name: str, text: str, default: Any) -> Any:
    try:
        return text if isinstance(default, str) else _typed(ast.literal_eval(text), default)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise UserError(f"--parameter {name}={text[:100]}: it is {type(default).__name__} in {notebook}; give for "
                        f"example {name}={default!r}") from error


def _head(path: Path) -> tuple[str, str]:
    """Title and question of a notebook."""
    head = nbformat.read(path, as_version=4).cells[0].source
    question = re.search(r"\*\*Question\.\*\* (.+)", head)
    return head.partition("\n")[0].lstrip("# "), question[1] if question else ""
