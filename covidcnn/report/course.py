"""The exercises as a course: nbgrader's two editions of them, beside the lessons that they belong to."""

import os
import sysconfig
from pathlib import Path

from covidcnn.errors import UserError
from covidcnn.paths import GLOSSARY, NOTEBOOKS, replacing_folder
from covidcnn.report.notebooks import find_notebooks, glossary_text, with_links_to

EXERCISES = NOTEBOOKS / "exercises"
SOURCE, RELEASE = "source", "release"
"""Folders of nbgrader's: the teacher's edition, and the students', which lacks solutions and hidden tests."""
_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "covidcnn"
# Seconds a cell: the first one loads Keras.
c.Execute.timeout = 300
# A check that a student has deleted is put back.
c.OverwriteCells.add_missing_cells = True
"""


def build_course(folder: Path) -> list[str]:
    """Leave a course in nbgrader's layout, from which its own commands go on: zip_collect, autograde, export.

    Args:
        folder: new or empty. Then in it: ``source`` and ``release`` with the lessons and a folder of exercises a
            lesson, ``nbgrader_config.py``, and ``gradebook.db``, a database that knows every exercise and its points.

    Returns:
        The names of the lessons that have exercises.

    Raises:
        UserError: nbgrader is missing or refuses an exercise, there are no notebooks, or the folder is not empty.
    """
    try:
        from nbgrader.apps import NbGraderAPI
        from traitlets.config import Config
    except ModuleNotFoundError as error:
        raise UserError("a course is built by nbgrader, which is not installed; pip install 'covidcnn[course]', from a "
                        "clone --editable '.[course]'") from error
    lessons = find_notebooks()
    names = [notebook.name for notebook in find_notebooks(EXERCISES)]
    # It starts a command, alembic, that lies where Python's own do.
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    with replacing_folder(folder) as course:
        (course / "nbgrader_config.py").write_text(_CONFIG, encoding="utf-8")
        api = NbGraderAPI(config=Config(CourseDirectory={"root": str(course), "course_id": "covidcnn"}))
        for name in names:
            _copy(EXERCISES / f"{name}.ipynb", course / SOURCE / name, f"../{GLOSSARY.name}")
            made = api.generate_assignment(name)
            if not made["success"]:
                reason = made["log"].strip().splitlines()[-1]
                raise UserError(f"{name}: nbgrader makes no students' edition of it: {reason}")
        for edition in (SOURCE, RELEASE):
            (course / edition / GLOSSARY.name).write_text(glossary_text(), encoding="utf-8")
            for lesson in lessons:
                _copy(lesson.path, course / edition, GLOSSARY.name)
    return names


def _copy(notebook: Path, folder: Path, glossary: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = notebook.read_text(encoding="utf-8")
    (folder / notebook.name).write_text(with_links_to(text, glossary), encoding="utf-8")
