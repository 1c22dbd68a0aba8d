"""The exercises as a course: nbgrader's two editions of them, beside the lessons that they belong to."""

import os
import shutil
import sysconfig
from pathlib import Path

from covidcnn.errors import UserError
from covidcnn.paths import NOTEBOOKS, replacing_folder
from covidcnn.report.notebooks import find_notebooks

EXERCISES = NOTEBOOKS / "exercises"
SOURCE, RELEASE = "source", "release"
"""Folders of nbgrader's: the teacher's edition, and the students', which lacks solutions and hidden tests."""
_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "covidcnn"
# Seconds a cell: the first one loads Keras.
c.Execute.timeout = 300
"""


def build_course(folder: Path) -> list[str]:
    """Leave a course in nbgrader's layout, from which its own commands go on: zip_collect, autograde, export.

    Args:
        folder: new or empty. Then in it: ``source`` and ``release`` with the lessons and a folder of exercises a
            lesson, ``nbgrader_config.py``, and the database ``gradebook.db``, which knows every exercise and its points.

    Returns:
        The names of the lessons that have exercises.

    Raises:
        UserError: nbgrader is not installed, it refuses an exercise, there are no notebooks, or the folder is not empty.
    """
    try:
        from nbgrader.apps import NbGraderAPI
        from traitlets.config import Config
    except ModuleNotFoundError as error:
        raise UserError("a course is built by nbgrader, which is not installed; pip install 'covidcnn[course]', or "
                        "see docs/teaching.md") from error
    lessons = find_notebooks()
    names = [notebook.name for notebook in find_notebooks(EXERCISES)]
    # It starts a command, alembic, that lies where Python's own do.
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    with replacing_folder(folder) as course:
        (course / "nbgrader_config.py").write_text(_CONFIG, encoding="utf-8")
        api = NbGraderAPI(config=Config(CourseDirectory={"root": str(course), "course_id": "covidcnn"}))
        for name in names:
            (course / SOURCE / name).mkdir(parents=True)
            shutil.copy(EXERCISES / f"{name}.ipynb", course / SOURCE / name)
            made = api.generate_assignment(name)
            if not made["success"]:
                raise UserError(f"{name}: nbgrader makes no students' edition of it: {made['log'].strip().splitlines()[-1]}")
        for edition in (SOURCE, RELEASE):
            for lesson in lessons:
                shutil.copy(lesson.path, course / edition)
    return names
