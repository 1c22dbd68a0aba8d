"""The exercises: what they are made of, and that nbgrader makes and grades both editions."""

import re
import shutil
import sys

import nbformat
import pytest

from covidcnn.paths import NOTEBOOKS
from covidcnn.report.course import EXERCISES, RELEASE, SOURCE, build_course

PATHS = sorted(EXERCISES.glob("*.ipynb"))
api = pytest.importorskip("nbgrader.api")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "built"
    build_course(folder)
    return folder


def grading_of(cell):
    return cell.metadata.get("nbgrader", {})


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_has_exercises_of_rising_difficulty_and_one_of_thought(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    headings = [line for cell in notebook.cells if cell.cell_type == "markdown"
                for line in cell.source.splitlines() if line.startswith("## ")]
    difficulty = [heading.rpartition("(")[2].rstrip(")") for heading in headings]
    order = ["easy", "harder", "hard", "to think"]
    assert len(difficulty) >= 4
    assert [order.index(one) for one in difficulty] == sorted(order.index(one) for one in difficulty)
    assert set(difficulty) == set(order)
    by_hand = [cell for cell in notebook.cells if grading_of(cell).get("grade") and grading_of(cell).get("solution")]
    assert len(by_hand) == difficulty.count("to think")
    assert f"(../{path.name})" in notebook.cells[0].source
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_every_lesson_has_exercises():
    assert [path.name for path in PATHS] == [path.name for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))]


def test_the_students_edition_holds_no_solution_and_no_hidden_test(course):
    for path in PATHS:
        edition = (course / RELEASE / path.stem / path.name).read_text(encoding="utf-8")
        assert "SOLUTION" not in edition
        assert "HIDDEN TESTS" not in edition
        solutions = [cell.source for cell in nbformat.reads(edition, 4).cells if grading_of(cell).get("solution")]
        assert solutions
        assert all("YOUR CODE HERE" in source or "YOUR ANSWER HERE" in source for source in solutions)
        assert "BEGIN SOLUTION" in (course / SOURCE / path.stem / path.name).read_text(encoding="utf-8")


def test_links_of_a_course_hold_where_it_lies(course):
    notebooks = sorted(course.rglob("*.ipynb"))
    assert len(notebooks) == 4 * len(PATHS)
    for path in notebooks:
        for target in re.findall(r"\]\(([\w./-]+\.(?:md|ipynb))", path.read_text(encoding="utf-8")):
            assert (path.parent / target).is_file(), f"{path}: {target}"


def test_a_course_is_not_built_over_something_or_without_nbgrader(tmp_path, monkeypatch, refused):
    (tmp_path / "mine").write_text("something")
    with refused(tmp_path, "choose a new or empty folder"):
        build_course(tmp_path)
    monkeypatch.setitem(sys.modules, "nbgrader.apps", None)
    with refused("nbgrader", "covidcnn[course]"):
        build_course(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", [path.stem for path in PATHS])
def test_every_check_passes_on_the_solution_and_fails_on_the_empty_answer(course, name):
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    api = NbGraderAPI(config=Config(CourseDirectory={"root": str(course), "course_id": "covidcnn"},
                                    Execute={"timeout": 300}))
    for student, edition in (("knows", SOURCE), ("empty", RELEASE)):
        handed_in = course / "submitted" / student / name
        handed_in.mkdir(parents=True)
        shutil.copy(course / edition / name / f"{name}.ipynb", handed_in)
        assert api.autograde(name, student)["success"]
    with api.gradebook as book:
        grades = {submission.student.id: [(grade.name, grade.auto_score, grade.max_score, grade.needs_manual_grade)
                                          for notebook in submission.notebooks for grade in notebook.grades]
                  for submission in book.assignment_submissions(name)}
    checks = [(cell, got, most) for cell, got, most, by_hand in grades["knows"] if not by_hand]
    assert len(checks) >= 3
    assert [cell for cell, got, most in checks if got != most] == []
    assert [cell for cell, got, _, _ in grades["empty"] if got] == []


def test_command_builds_into_no_folder_that_has_something(tmp_path, run):
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = run("course", "build", tmp_path)
    assert code == 2
    assert str(tmp_path) in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
