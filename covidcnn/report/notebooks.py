"""The notebook series: which there are, what they are about, and whether one can be run strictly."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from covidcnn.errors import UserError
from covidcnn.paths import NOTEBOOKS

PARAMETERS_TAG = "parameters"


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


def select_notebooks(notebooks: list[Notebook], only: str = "", first: str = "") -> list[Notebook]:
    """The notebooks that ``--only`` or ``--from`` name, by number ('05') or by name.

    Raises:
        UserError: no such notebook.
    """
    names = [notebook.name for notebook in notebooks]

    def position(wanted: str) -> int:
        matches = [name for name in names if name == wanted or name.split("_")[0] == wanted.zfill(2)]
        if not matches:
            raise UserError(f"unknown notebook '{wanted}'; choose one of {', '.join(names)}")
        return names.index(matches[0])

    if only and first:
        raise UserError("--only and --from exclude each other; give one")
    if only:
        return [notebooks[position(only)]]
    return notebooks[position(first) :] if first else notebooks


def check_parameters(notebook: Path, parameters: dict[str, Any]) -> None:
    """Refuse what papermill would let pass: it only logs a warning for a parameter that the notebook does
    not have, and overwrites given values where no cell, or more than one, is tagged.

    Raises:
        UserError: the notebook has not exactly one parameters cell, or lacks a parameter, or has it with
            a value of another type.
    """
    from papermill import inspect_notebook

    cells = nbformat.read(notebook, as_version=4).cells
    tagged = sum(PARAMETERS_TAG in cell.metadata.get("tags", []) for cell in cells)
    if tagged != 1:
        raise UserError(f"{notebook.name}: {tagged} cells are tagged '{PARAMETERS_TAG}'; tag exactly one")
    known = inspect_notebook(str(notebook))
    for name, value in parameters.items():
        if name not in known:
            raise UserError(f"{notebook.name}: no parameter '{name}'; it has {', '.join(known)}")
        default = ast.literal_eval(known[name]["default"])
        if type(default) is not type(value):
            raise UserError(f"{notebook.name}: parameter '{name}' is {type(default).__name__}, "
                            f"not {type(value).__name__}")


def _head(path: Path) -> tuple[str, str]:
    """Title and question of a notebook."""
    head = nbformat.read(path, as_version=4).cells[0].source
    question = re.search(r"\*\*Question\.\*\* (.+)", head)
    return head.splitlines()[0].lstrip("# "), question[1] if question else ""
