"""The report runner: strictness, failures, resuming, and the whole series at the profile 'smoke'."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from filelock import FileLock

from covidcnn.config import PROFILES
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.sources import OWN, PHANTOM
from covidcnn.errors import UserError
from covidcnn.paths import NOTEBOOKS, PROJECT, write_json
from covidcnn.report import runner
from covidcnn.report.notebook_run import open_run, report_folder
from covidcnn.report.notebooks import Notebook, check_parameters, find_notebooks, read_parameters, select_notebooks
from covidcnn.report.runner import run_series, without_machine_paths
from covidcnn.task import PNEUMONIA

SMOKE = PROFILES["smoke"]
TINY = DataSet(Path("tiny"), "tiny", PNEUMONIA, pd.DataFrame(), pd.DataFrame(), (), "", OWN, "b" * 64)
"""A data set of which nothing but its name and hash is looked at."""


def write_notebook(path: Path, *cells: str, parameters: str = 'PROFILE = "quick"') -> Notebook:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}"), nbformat.v4.new_code_cell(parameters),
                      *map(nbformat.v4.new_code_cell, cells)]
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.cells[1].metadata["tags"] = ["parameters"]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return Notebook(path, path.stem)


@pytest.fixture(scope="session")
def smoke_report(phantom_images, tmp_path_factory):
    """The whole series, run once for all tests."""
    folder = tmp_path_factory.mktemp("report")
    outcomes = run_series(find_notebooks(), SMOKE, open_dataset(phantom_images), folder, report=lambda line: None)
    return folder, outcomes


@pytest.fixture
def tiny(tiny_tree):
    return open_dataset(tiny_tree)


@pytest.mark.slow
def test_whole_series_succeeds(smoke_report):
    _, outcomes = smoke_report
    assert [(outcome.notebook, outcome.status, outcome.message) for outcome in outcomes] == [
        (notebook.name, "done", "") for notebook in find_notebooks()]


def test_every_item_of_the_paper_is_left_in_the_report(smoke_report):
    folder, _ = smoke_report
    for number in range(1, 13):
        for ending in ("png", "svg"):
            assert list(folder.glob(f"figures/**/fig_{number:02}.{ending}")), f"fig_{number:02}.{ending}"
    for table in ("table_1", "tables_2_and_3"):
        assert (folder / "tables" / f"{table}.csv").is_file()
        assert (folder / "tables" / f"{table}.md").is_file()


def test_every_figure_made_from_phantoms_says_so(smoke_report):
    folder, _ = smoke_report
    schemata = {"fig_10", "parameters", "nadam_steps"}
    figures = [path for path in folder.glob("figures/**/*.svg") if path.stem not in schemata]
    assert figures
    silent = [path.name for path in figures if not re.search(
        "Phantom images, no patients|Evidence of the studies", path.read_text(encoding="utf-8"))]
    assert silent == []


def test_nothing_written_holds_a_path_of_the_machine(smoke_report, phantom_images):
    folder, _ = smoke_report
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".png":
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
            for machine in (str(PROJECT), str(folder), str(phantom_images), sys.prefix, str(Path.home())):
                assert machine not in text, f"{path.name} holds {machine}"


def test_pages_work_without_network_and_hold_their_formulas(smoke_report):
    folder, _ = smoke_report
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<script[^>]+src|<link|@import|url\(|<img[^>]+src=.https?:", text)
    assert (folder / "06_evaluation.html").read_text(encoding="utf-8").count("<math") > 6


def test_run_record_tells_what_was_run(smoke_report):
    folder, _ = smoke_report
    record = json.loads((folder / "run-record.json").read_text(encoding="utf-8"))
    assert record["profile"]["name"] == "smoke"
    assert record["data"]["images"] == 200
    assert len(record["data"]["content hash"]) == 64
    for entry in record["notebooks"].values():
        assert entry["status"] == "done"
        assert {"python", "tensorflow", "keras", "covidcnn"} <= entry["versions"].keys()
    assert record["exploratory test-set accesses"]["count"] == 0


@pytest.mark.long
@pytest.mark.slow
def test_executed_notebooks_give_the_same_again_from_empty_caches(smoke_report, phantom_images, tmp_path):
    """nbval executes every cell again and compares: a test that results are repeatable to the digit. Of a notebook that
    trains a model in plain sight and one that reads trials from the store; the first of the series is compared byte by
    byte elsewhere (test_faults.py)."""
    folder, _ = smoke_report
    again = [str(folder / "notebooks" / f"{name}.ipynb") for name in ("04_model_building", "06_evaluation")]
    environment = os.environ | {
        "COVIDCNN_DATA": str(phantom_images), "COVIDCNN_OUT": str(tmp_path / "out"),
        "COVIDCNN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "--no-cov",
                           *again], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
def test_kernel_that_hands_over_late_fails_no_notebook(tmp_path, tiny):
    """By default four seconds are enough to fail it, as happens on a burdened machine."""
    stall = ("import sys, time; sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0; "
             "get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(6))")
    outcomes = run_series([write_notebook(tmp_path / "01_late.ipynb", stall)], SMOKE, tiny, tmp_path / "out",
                          report=lambda line: None)
    assert [(outcome.status, outcome.message) for outcome in outcomes] == [("done", "")]


def test_failed_notebook_leaves_the_others_and_a_message(tmp_path, tiny):
    notebooks = [write_notebook(tmp_path / "01_breaks.ipynb", "open('/nowhere')"),
                 write_notebook(tmp_path / "02_works.ipynb", "print(PROFILE)")]
    first, second = run_series(notebooks, SMOKE, tiny, tmp_path / "out", report=lambda line: None)
    assert (first.status, second.status) == ("failed", "done")
    assert first.message.startswith("cell ")
    assert "FileNotFoundError" in first.message
    assert "smoke" in (tmp_path / "out/notebooks/02_works.ipynb").read_text(encoding="utf-8")
    assert "FileNotFoundError" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_folders_that_are_relative_are_the_callers_whatever_runs_at_once(tmp_path, small_tree, monkeypatch):
    """Papermill changes the process's folder to the notebooks' while one runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COVIDCNN_CACHE", "cache")
    cells = ("import time; time.sleep(1)", "from covidcnn.data.dataset import open_dataset; open_dataset().name",
             "from covidcnn.report.notebook_run import open_run; open_run('x', PROFILE).folder.is_absolute()")
    notebooks = [write_notebook(tmp_path / f"0{number}_n.ipynb", *cells) for number in (1, 2, 3)]
    before = sorted(NOTEBOOKS.iterdir())
    outcomes = run_series(notebooks, SMOKE, open_dataset("small"), Path("out"), report=lambda line: None, jobs=2)
    assert [(outcome.status, outcome.message) for outcome in outcomes] == [("done", "")] * 3
    assert len(list((tmp_path / "out/notebooks").iterdir())) == 3
    assert len(list((tmp_path / "cache/index").iterdir())) == 1
    assert sorted(NOTEBOOKS.iterdir()) == before


def test_stderr_of_a_notebook_is_kept(tmp_path, tiny):
    notebook = write_notebook(tmp_path / "01_speaks.ipynb", "import sys; print('a quiet word', file=sys.stderr)")
    run_series([notebook], SMOKE, tiny, tmp_path / "out", report=lambda line: None)
    assert "a quiet word" in (tmp_path / "out/logs/01_speaks.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_resume_keeps_what_is_done_and_runs_what_changed(tmp_path, tiny):
    def series(*sources):
        notebooks = [write_notebook(tmp_path / f"0{number}_n.ipynb", source)
                     for number, source in enumerate(sources, start=1)]
        return [outcome.status for outcome in
                run_series(notebooks, SMOKE, tiny, tmp_path / "out", resume=True, report=lambda line: None)]

    assert series("1", "1 / 0") == ["done", "failed"]
    assert series("1", "2") == ["kept", "done"]
    assert series("3", "2") == ["done", "kept"]


@pytest.mark.parametrize("shown", ["reports/paper/manifest.json", "reports/ct/manifest.json", "reports/ct/measures.csv",
                                   "reports/aspect/contrasts.csv", "benchmarks/results/edge.json",
                                   "covidcnn/paper/published_results.yaml", "covidcnn/evaluation/metrics.py"])
def test_resume_runs_again_what_may_show_something_else(tmp_path, tiny, monkeypatch, shown):
    monkeypatch.setattr(runner, "PROJECT", tmp_path)
    monkeypatch.setattr(runner, "REPORTS", tmp_path / "reports")
    (tmp_path / shown).parent.mkdir(parents=True)
    notebook = write_notebook(tmp_path / "01_n.ipynb", "1")
    keys = []
    for content in ("{}", '{"trials": 1}'):
        (tmp_path / shown).write_text(content)
        keys.append(runner._key(notebook, {}, tiny))
    assert keys[0] != keys[1]


def test_unknown_parameter_is_refused(tmp_path, refused):
    notebook = write_notebook(tmp_path / "01_n.ipynb")
    with refused("01_n.ipynb", "no parameter 'PROFIL'", "PROFILE"):
        check_parameters(notebook.path, {"PROFIL": "smoke"})


def test_parameter_whose_default_has_to_be_computed_is_refused(tmp_path, refused):
    notebook = write_notebook(tmp_path / "01_n.ipynb", parameters='PROFILE = "quick"\nSIZES = list(range(3))')
    with refused("01_n.ipynb", "write it out"):
        check_parameters(notebook.path, {"PROFILE": "smoke"})


def test_parameters_go_to_the_notebooks_that_have_them(tmp_path):
    notebooks = [write_notebook(tmp_path / "01_n.ipynb", parameters='PROFILE = "quick"\nSEED = 0\nIMAGE = ""'),
                 write_notebook(tmp_path / "02_n.ipynb",
                                parameters='PROFILE = "quick"\nIMAGE = 3\nSHARES = [0.5, 0.1]')]
    assert read_parameters(notebooks, []) == {}
    assert read_parameters(notebooks, ["SEED=7", "IMAGE=5", "SHARES=[1, 0.25]"]) == {
        "01_n": {"SEED": 7, "IMAGE": "5"}, "02_n": {"IMAGE": 5, "SHARES": [1.0, 0.25]}}
    assert read_parameters(notebooks[:1], ["IMAGE=a = 'b'"]) == {"01_n": {"IMAGE": "a = 'b'"}}


@pytest.mark.slow
def test_parameters_reach_the_notebook_and_its_record_and_are_part_of_what_resume_looks_at(tmp_path, tiny):
    notebook = write_notebook(tmp_path / "01_n.ipynb", "print(WORD, SEED + 1)",
                              parameters='PROFILE = "quick"\nSEED = 0\nWORD = "none"')

    def series(*given):
        (outcome,) = run_series([notebook], SMOKE, tiny, tmp_path / "out", resume=True, report=lambda line: None,
                                parameters=read_parameters([notebook], given))
        return outcome.status

    both = 'WORD=a "b"', "SEED=4"
    assert [series(*both), series(*both), series("SEED=4"), series(*both)] == ["done", "kept", "done", "done"]
    executed = nbformat.read(tmp_path / "out/notebooks/01_n.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == 'a "b" 5\n'
    record = json.loads((tmp_path / "out/run-record.json").read_text(encoding="utf-8"))
    assert record["notebooks"]["01_n"]["parameters"] == {"PROFILE": "smoke", "SEED": 4, "WORD": 'a "b"'}


@pytest.mark.parametrize("tagged", [0, 2])
def test_notebook_without_exactly_one_parameters_cell_is_refused(tmp_path, refused, tagged):
    path = write_notebook(tmp_path / "01_n.ipynb", "1").path
    notebook = nbformat.read(path, as_version=4)
    for cell, tags in zip(notebook.cells[1:], [["parameters"]] * tagged + [[]] * 2, strict=False):
        cell.metadata["tags"] = tags
    nbformat.write(notebook, path)
    with refused(f"{tagged} cells are tagged"):
        check_parameters(path, {"PROFILE": "smoke"})


def test_notebooks_are_selected_by_number_or_name(refused):
    notebooks = find_notebooks()
    names = [notebook.name for notebook in notebooks]
    assert [notebook.name for notebook in select_notebooks(notebooks, only="5")] == ["05_optimizer_comparison"]
    assert [n.name for n in select_notebooks(notebooks, only="06_evaluation")] == ["06_evaluation"]
    assert [notebook.name for notebook in select_notebooks(notebooks, first="03")] == names[2:]
    assert select_notebooks(notebooks) == notebooks
    with refused("unknown notebook '99'", "05_optimizer_comparison"):
        select_notebooks(notebooks, only="99")


def test_report_folder_names_profile_and_data():
    assert report_folder(SMOKE, TINY).parts[-2:] == ("reports", "smoke-tiny")
    assert report_folder(PROFILES["paper"], TINY).parts[-2:] == ("reports", "paper")


def test_report_on_other_images_of_the_same_name_stands_beside_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr("covidcnn.report.notebook_run.REPORTS", tmp_path)
    write_json(tmp_path / "smoke-tiny/run-record.json", {"notebooks": {}, "data": {"content hash": "a" * 64}})
    assert report_folder(SMOKE, TINY).name == f"smoke-tiny-{'b' * 8}"
    assert report_folder(SMOKE, replace(TINY, content_hash="a" * 64)).name == "smoke-tiny"
    # Phantom images of another version replace the older ones.
    assert report_folder(SMOKE, replace(TINY, source=PHANTOM)).name == "smoke-tiny"


@pytest.mark.parametrize("inside", ["", "figures", "../paper"])
def test_only_the_paper_profile_may_write_into_its_folder(refused, inside):
    with refused("kept for the paper profile"):
        report_folder(SMOKE, TINY, PROJECT / "reports" / "paper" / inside)


def test_paper_profile_needs_the_published_images(tiny_tree, tmp_path, refused):
    with refused("needs the published data set", error=UserError):
        open_run("01_x", "paper", str(tiny_tree), str(tmp_path))


@pytest.mark.slow
def test_notebooks_of_another_scale_are_no_part_of_a_report(tiny, tmp_path):
    first, second = (write_notebook(tmp_path / f"{name}.ipynb", "1 + 1") for name in ("01_first", "02_second"))
    for notebook, profile, listed in ((first, SMOKE, ["01_first"]), (second, SMOKE, ["01_first", "02_second"]),
                                      (second, replace(SMOKE, epochs=3), ["02_second"])):
        run_series([notebook], profile, tiny, tmp_path / "out", report=lambda line: None)
        record = json.loads((tmp_path / "out/run-record.json").read_text(encoding="utf-8"))
        assert (sorted(record["notebooks"]), record["profile"]["epochs"]) == (listed, profile.epochs)


def test_machine_paths_are_replaced(monkeypatch):
    monkeypatch.setenv("COVIDCNN_DATA", "/data/of/mine")
    text = without_machine_paths(f"{NOTEBOOKS}/x {sys.prefix}/lib /data/of/mine/train")
    assert text == "<project>/notebooks/x <environment>/lib <data>/train"


def test_picture_that_happens_to_spell_a_path_stays_whole(monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    text = '{"image/png": "iVBORw0K/usrBBBB", "text/plain": "/usr/lib"}'
    assert without_machine_paths(text) == '{"image/png": "iVBORw0K/usrBBBB", "text/plain": "<python>/lib"}'


def test_second_report_into_one_folder_is_refused_and_writes_nothing(tmp_path, tiny, refused):
    notebook = write_notebook(tmp_path / "01_n.ipynb", "1")
    folder = tmp_path / "out"
    (folder / "logs").mkdir(parents=True)
    with FileLock(folder / "logs" / "report.lock"):
        with refused(folder, "another report is being written there", "--out"):
            run_series([notebook], SMOKE, tiny, folder, report=lambda line: None)
        assert not (folder / "index.html").exists()
    # What a killed process left of its lock holds nothing.
    assert run_series([notebook], SMOKE, tiny, folder, report=lambda line: None)[0].status == "done"


@pytest.mark.parametrize("inside", [["notebooks/01_n.ipynb", "README.md"], ["index.html"]])
def test_folder_with_something_else_is_no_report_folder(tmp_path, refused, inside):
    """In the clone itself a report would take the place of the notebooks that it is made from."""
    for name in inside:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with refused(tmp_path, "there is something already", error=UserError):
        report_folder(SMOKE, TINY, tmp_path)
    assert all((tmp_path / name).read_text() == "mine" for name in inside)


def test_report_goes_on_in_its_own_folder(tmp_path, tiny):
    notebook = write_notebook(tmp_path / "01_n.ipynb", "1")
    assert report_folder(SMOKE, tiny, tmp_path / "out") == tmp_path / "out"
    run_series([notebook], SMOKE, tiny, tmp_path / "out", report=lambda line: None)
    assert report_folder(SMOKE, tiny, tmp_path / "out") == tmp_path / "out"


@pytest.mark.slow
def test_each_notebook_says_with_what_it_was_made(tmp_path, tiny, monkeypatch):
    first, second = (write_notebook(tmp_path / f"{name}.ipynb", "1") for name in ("01_first", "02_second"))
    for commit, notebook in (("before", first), ("after", second)):
        monkeypatch.setattr(runner, "software_facts", lambda commit=commit: {"git commit": commit})
        run_series([notebook], SMOKE, tiny, tmp_path / "out", report=lambda line: None)
    record = json.loads((tmp_path / "out/run-record.json").read_text(encoding="utf-8"))
    assert {name: entry["git commit"] for name, entry in record["notebooks"].items()} == {
        "01_first": "before", "02_second": "after"}


def test_interrupt_waits_for_no_running_notebook(tmp_path, tiny, monkeypatch):
    running, let_go = threading.Event(), threading.Event()

    def execute(notebook, *_):
        running.set()
        # As Ctrl-C: it wakes the main thread, which waits for this one.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        let_go.wait(60)
        return runner.Outcome(notebook.name, "done")

    monkeypatch.setattr(runner, "_execute", execute)
    # Ignored where tests run in the background of a shell.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_series([write_notebook(tmp_path / "01_n.ipynb", "1")], SMOKE, tiny, tmp_path / "out",
                       report=lambda line: None)
        assert running.is_set()
        assert not let_go.is_set()
    finally:
        let_go.set()
        signal.signal(signal.SIGINT, before)
