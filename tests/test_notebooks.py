"""The structure of the notebooks: what a reader, papermill and a course rely on."""

import ast
import builtins
import re
import statistics

import nbformat
import pytest

from covidcnn.paper.claims import CLAIMS
from covidcnn.paths import NOTEBOOKS
from covidcnn.report.notebooks import CHEST_XRAY_TAG, cells_for
from covidcnn.task import COVID, PNEUMONIA

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
TAUGHT = {"05_optimizer_comparison": ["gradient", "sgd", "momentum", "adagrad", "rmsprop", "adadelta", "adam"]}
"""Functions that a notebook defines because it teaches them."""
PAPER_ITEMS = [f"fig_{number:02}" for number in range(1, 13)] + ["table_1", "tables_2_and_3"]


def cells_of(path, kind="code"):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_the_series_is_numbered_without_gaps():
    assert [path.stem[:3] for path in PATHS] == [f"{number:02}_" for number in range(1, len(PATHS) + 1)]
    assert len(PATHS) >= 6


def test_notebook_is_valid_and_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in cells_of(path):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_notebook_has_one_cell_of_literal_parameters(path):
    tagged = [cell for cell in cells_of(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    assert {"PROFILE": "quick", "DATA": "", "OUT": ""}.items() <= values.items()
    assert all(isinstance(value, (int, float, str, bool, list)) for value in values.values())
    # papermill's reader stumbles over a second equals sign, even in a comment.
    assert all(line.count("=") <= 1 for line in tagged[0].source.splitlines())


def test_head_is_in_the_house_form(path):
    head = cells_of(path, "markdown")[0].source
    assert head.startswith(f"# {path.stem[:2]} · ")
    for part in ("**Question.**", "**Learning goals.**", "**What it does not show.**", "**Reads**", "**Writes**"):
        assert part in head, part


def test_imports_stand_in_the_first_code_cell_alone(path):
    def imports(cell):
        return [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, (ast.Import, ast.ImportFrom))]

    first, *rest = cells_of(path)
    assert imports(first)
    assert not any(imports(cell) for cell in rest)


def test_every_import_is_used(path):
    trees = [ast.parse(cell.source) for cell in cells_of(path)]
    imported = {alias.asname or alias.name.split(".")[0] for tree in trees for node in ast.walk(tree)
                if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported <= used


def test_code_cells_are_short_and_define_only_what_is_taught(path):
    lengths, defined = [], []
    for cell in cells_of(path)[1:]:
        lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        lengths.append(len(lines))
        defined += [node.name for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef)]
    assert max(lengths) <= 20
    assert statistics.median(lengths) <= 8
    assert defined == TAUGHT.get(path.stem, [])


def test_notebook_opens_its_own_part_of_the_record(path):
    assert any(f'open_run("{path.stem}", PROFILE, DATA, OUT, TASK' in cell.source for cell in cells_of(path))


def test_notebook_shows_the_claims_that_the_ledger_says_it_shows(path):
    belongs = any(claim.cell.startswith(f"{path.stem}#") for claim in CLAIMS)
    assert belongs == any(f'rows_of("{path.stem}", LEDGER)' in cell.source for cell in cells_of(path))


def test_report_on_other_classes_leaves_out_what_is_about_the_published_images(path):
    whole, left = cells_for(path, PNEUMONIA).cells, cells_for(path, COVID).cells
    assert {tag for cell in whole for tag in cell.metadata.get("tags", [])} <= {"parameters", CHEST_XRAY_TAG}
    about = [cell.id for cell in whole if CHEST_XRAY_TAG in cell.metadata.get("tags", [])]
    said = ["left-out"] if about else []
    assert [cell.id for cell in left] == ["head", *said, *(cell.id for cell in whole[1:] if cell.id not in about)]
    assert not re.search(r"(?i)\bchild|radiograph", " ".join(cell.source for cell in left))
    # What is left runs: no name comes from a cell that is not there.
    nodes = [node for cell in left if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]
    defined = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} | {
        alias.asname or alias.name for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names} | {node.name for node in nodes if isinstance(node, ast.FunctionDef)} | {
        node.arg for node in nodes if isinstance(node, ast.arg)}
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert used - defined <= {*dir(builtins), "display"}


@pytest.mark.parametrize("item", PAPER_ITEMS)
def test_every_figure_and_table_of_the_paper_is_saved_under_its_number(item):
    assert any(f'"{item}"' in cell.source for path in PATHS for cell in cells_of(path))


@pytest.mark.parametrize("number", range(1, 11))
def test_every_equation_of_the_paper_is_written_out(number):
    assert any(rf"\tag{{{number}}}" in cell.source for path in PATHS for cell in cells_of(path, "markdown"))
