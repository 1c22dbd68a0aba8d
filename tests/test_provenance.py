"""What is said of the code that made a result."""

import os
import subprocess

import pytest

from covidcnn import provenance


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with code and results, all committed."""
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True,
                       capture_output=True)

    for name in ("covidcnn/code.py", "reports/paper/openings.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("a\n")
    git("init")
    git("add", ".")
    git("commit", "--message", "all")
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "changed"), [
    ("covidcnn/code.py", True), ("reports/paper/openings.csv", False), ("covidcnn/image.png", False)])
def test_changed_code_is_said_and_results_and_new_files_are_no_change_of_it(clone, name, changed):
    assert len(provenance.git_commit()) == 40
    (clone / name).write_text("b\n")
    assert provenance.git_commit().endswith(provenance.CHANGED) == changed


def test_results_are_asked_about_where_they_are_to_be_committed_and_new_modules_are_changes(clone, tmp_path_factory):
    log, new = clone / "reports/paper/openings.csv", clone / "reports/paper/selections.yaml"
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "protocol.yaml"
    elsewhere.write_text("a\n")
    assert not provenance.git_commit(log, elsewhere).endswith(provenance.CHANGED)
    new.write_text("a\n")
    assert provenance.git_commit(log, new).endswith(provenance.CHANGED)
    new.unlink()
    (clone / "covidcnn/new.py").write_text("b\n")
    assert provenance.git_commit().endswith(provenance.CHANGED)


def test_outside_a_clone_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    assert provenance.git_commit() == "unknown"


def test_commit_is_not_that_of_a_project_in_which_this_one_is_installed(clone, monkeypatch):
    (installed := clone / ".venv" / "site-packages").mkdir(parents=True)
    monkeypatch.setattr(provenance, "PROJECT", installed)
    assert provenance.git_commit() == "unknown"


def test_facts_say_how_many_threads_add_up(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert provenance.software_facts()["threads"] == 3
    for not_a_number in ("", "0", "many"):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", not_a_number)
        assert 1 <= provenance.software_facts()["threads"] <= os.cpu_count()


def test_facts_name_the_processor_and_no_path():
    facts = provenance.software_facts()
    assert facts["processor"]
    assert set(facts) == {"versions", "git commit", "processor", "threads"}


def test_copy_without_its_history_says_the_commit_that_it_was_told(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    monkeypatch.setenv("COVIDCNN_COMMIT", "1" * 40)
    assert provenance.git_commit() == "1" * 40
