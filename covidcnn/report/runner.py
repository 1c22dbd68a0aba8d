"""The report runner: strict papermill over the notebook series, one folder a report."""

import json
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, TextIO
from uuid import uuid4

import nbformat
from filelock import AcquireReturnProxy, FileLock, Timeout
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

from covidcnn.config import Profile
from covidcnn.data.dataset import DATA_VARIABLE, DataSet
from covidcnn.data.tables import file_and_column
from covidcnn.errors import UserError
from covidcnn.paths import CACHE_VARIABLE, MANIFEST, NOTEBOOKS, PROJECT, REPORTS, cache_folder, replacing
from covidcnn.provenance import software_facts
from covidcnn.report.notebook_run import LABELS_VARIABLE, OUT_VARIABLE, PATIENTS_VARIABLE, SKIP_BAD_VARIABLE
from covidcnn.report.notebooks import Notebook, cells_for, check_parameters
from covidcnn.report.record import LOCK, read_record, run_facts, write_record
from covidcnn.report.site import write_site, write_unfinished_index
from covidcnn.task import PNEUMONIA, Task

# Papermill warns that a temporary file does not end in .ipynb.
warnings.filterwarnings("ignore", module=r"papermill\.")

# Seconds for a kernel to start, and to hand over what a cell shows when the cell is done. The defaults, 60 and 4, fail
# sound notebooks on a burdened machine.
_PATIENCE = 600


class _LocalKernels(AsyncKernelManager):
    """Talks to kernels through files that only this user can open: over TCP, others on a shared machine
    could listen, and the kernel warns of it at every start."""

    transport = "ipc"

    @default("ip")
    def _socket(self) -> str:
        # The class's own default is one name in the working folder, which kernels at the same time would share.
        return str(Path(tempfile.gettempdir()) / f"kernel-{uuid4().hex[:12]}")


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended."""

    notebook: str
    status: str
    """'done', 'failed', or 'kept' when ``--resume`` found it done; 'unfinished' in the record of a killed run."""
    seconds: float = 0.0
    message: str = ""
    """For a failure: the cell and the error, in one line."""


def run_series(notebooks: list[Notebook], profile: Profile, dataset: DataSet, folder: Path, resume: bool = False,
               report: Callable[[str], None] = print, jobs: int = 2, patients: str = "", labels: str = "",
               parameters: Mapping[str, dict[str, Any]] | None = None) -> list[Outcome]:
    """Execute the notebooks; a failed one does not keep the others from running.

    Args:
        notebooks: in the order to run.
        profile: goes to every notebook as its parameter ``PROFILE``.
        dataset: already opened, so that bad data are refused before the first notebook starts.
        folder: the report's folder; what other notebooks left there stays.
        resume: keep what is done with the same notebook, library, parameters and data.
        report: receives lines of progress.
        jobs: notebooks at a time; besides training most of what they do keeps one core busy.
        patients, labels: the tables that ``dataset`` was opened with.
        parameters: of notebooks, by their names, besides ``PROFILE``.

    Returns:
        One outcome a notebook. The run record in ``folder`` holds them, and all earlier ones.

    Raises:
        UserError: a notebook does not have exactly one parameters cell, or lacks a parameter; the folder cannot be
            written, or another report is being written there.
    """
    # Here, once: papermill changes the working folder of the whole process while a notebook runs.
    folder = folder.absolute()
    shared = {"PROFILE": profile.name} | ({} if dataset.task == PNEUMONIA else {"TASK": str(dataset.task)})
    given = {notebook.name: shared | (parameters or {}).get(notebook.name, {}) for notebook in notebooks}
    for notebook in notebooks:
        check_parameters(notebook.path, given[notebook.name])
    with _lock(folder):
        record, facts, software = read_record(folder), run_facts(profile, dataset), software_facts()
        if any(record.get(part) != fact for part, fact in facts.items()):
            # Made at another scale, or from other images: what is left of it is no part of this report.
            record = {"notebooks": {}}
        record |= facts
        total = len(notebooks)
        statuses = {notebook.title: "unfinished" for notebook in notebooks}
        # No earlier run's index stands for what this one has not made.
        write_unfinished_index(folder, record, statuses)
        writing = Lock()

        def enter(notebook: Notebook, key: str, outcome: Outcome) -> None:
            with writing:
                record["notebooks"][notebook.name] = {
                    "title": notebook.title, "question": notebook.question, "status": outcome.status,
                    "seconds": round(outcome.seconds, 1), "message": outcome.message,
                    "parameters": given[notebook.name], "key": key, **software,
                    "finished": datetime.now(UTC).isoformat("T", "seconds")}
                write_record(folder, record)
                statuses[notebook.title] = outcome.status
                write_unfinished_index(folder, record, statuses)

        def run(number: int, notebook: Notebook) -> Outcome:
            key, place = _key(notebook, given[notebook.name], dataset), f"[{number}/{total}] {notebook.name}"
            earlier = record["notebooks"].get(notebook.name, {})
            if resume and earlier.get("status") == "done" and earlier.get("key") == key:
                report(f"{place}: done before, kept")
                statuses[notebook.title] = "done"
                return Outcome(notebook.name, "kept", earlier["seconds"])
            report(f"{place}: running")
            # Should this process be killed, no earlier run's word stands for what is then half-made.
            enter(notebook, key, Outcome(notebook.name, "unfinished"))
            outcome = _execute(notebook, given[notebook.name], dataset.task, folder, number)
            enter(notebook, key, outcome)
            report(f"{place}: {outcome.status} in {outcome.seconds:.0f} s"
                   + (f"; {outcome.message}" if outcome.message else ""))
            return outcome

        pool = ThreadPoolExecutor(jobs)
        with _environment(dataset, folder, patients, labels):
            try:
                outcomes = list(pool.map(run, range(1, total + 1), notebooks))
            finally:
                # After an interrupt nobody waits for notebooks that run, which may take hours: the process is then to
                # end at once, before they write on.
                pool.shutdown(wait=False, cancel_futures=True)
        write_record(folder, record)
        write_site(folder, record)
        return outcomes


def _lock(folder: Path) -> AcquireReturnProxy:
    """Make a report's folder, and keep other processes from writing theirs there while a block with this runs."""
    try:
        for part in ("notebooks", "logs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        # The system frees it when the process dies.
        return FileLock(folder / LOCK, timeout=0).acquire()
    except Timeout as error:
        raise UserError(f"{folder}: another report is being written there; wait for it, or choose another folder for "
                        "--out") from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another folder for --out") from error


def _execute(notebook: Notebook, parameters: dict[str, Any], task: Task, folder: Path, position: int) -> Outcome:
    executed, page = folder / "notebooks" / notebook.path.name, folder / f"{notebook.name}.html"
    log = folder / "logs" / f"{notebook.name}.txt"
    start, message = time.monotonic(), ""
    # The disk may be full: the other notebooks still run, and this one says why it did not.
    try:
        for earlier in (executed, page):
            earlier.unlink(missing_ok=True)
        with log.open("w", encoding="utf-8") as file:
            message = _run_cells(notebook, parameters, task, executed, file, position)
        with replacing(log) as draft:
            draft.write_text(without_machine_paths(log.read_text(encoding="utf-8")), encoding="utf-8")
    except (OSError, UserError) as error:
        message = message or _in_one_line(error)
    return Outcome(notebook.name, "failed" if message else "done", time.monotonic() - start,
                   without_machine_paths(message))


def _run_cells(notebook: Notebook, parameters: dict[str, Any], task: Task, executed: Path, log: TextIO,
               position: int) -> str:
    """Execute a notebook into ``executed``, as far as it comes; says in one line why it failed, if it did."""
    import papermill

    progress = {"desc": notebook.name, "position": position, "leave": False} if sys.stderr.isatty() else False
    message = ""
    try:
        with replacing(executed) as draft:
            try:
                papermill.execute_notebook(
                    cells_for(notebook.path, task), str(draft), parameters, cwd=str(NOTEBOOKS), kernel_name="python3",
                    progress_bar=progress, stdout_file=log, stderr_file=log, autosave_cell_every=0,
                    kernel_manager_class=_LocalKernels, start_timeout=_PATIENCE, iopub_timeout=_PATIENCE)
            except papermill.PapermillExecutionError as error:
                message = f"cell {error.exec_count}: {error.ename}: {error.evalue}".splitlines()[0]
            _drop_traces_of_the_run(draft)
    # A kernel that died, for example: what it had executed is lost.
    except Exception as error:
        message = _in_one_line(error)
    return message


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def without_machine_paths(text: str) -> str:
    """Replace the folders of this machine by what they are: a report can be given away."""
    folders = {str(PROJECT): "<project>", sys.prefix: "<environment>", sys.base_prefix: "<python>",
               str(Path.home()): "~", os.environ.get(DATA_VARIABLE) or "\0": "<data>",
               os.environ.get(OUT_VARIABLE) or "\0": "<report>"}
    known = sorted((path for path in folders if len(path) > 1), key=len, reverse=True)
    # Pictures are passed over: their base64 may happen to spell a short path such as /usr.
    pattern = r'"image/[\w.+-]+": "[^"]*"|' + "|".join(map(re.escape, known))
    return re.sub(pattern, lambda found: folders.get(found[0], found[0]), text)


def _drop_traces_of_the_run(executed: Path) -> None:
    """Take times and paths out: what is left is equal whenever the results are."""
    notebook = nbformat.reads(without_machine_paths(executed.read_text(encoding="utf-8")), as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for entry in ("papermill", "execution"):
            cell.metadata.pop(entry, None)
        # Papermill draws its name at random.
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    nbformat.write(notebook, executed)


@contextmanager
def _environment(dataset: DataSet, folder: Path, patients: str, labels: str) -> Iterator[None]:
    """Tell the notebooks' kernels, whose working folder is another, where data, report and cache are."""
    values = {DATA_VARIABLE: str(dataset.root.resolve()), OUT_VARIABLE: str(folder.resolve()),
              CACHE_VARIABLE: str(cache_folder().absolute()),
              SKIP_BAD_VARIABLE: "1" if len(dataset.left_out) else "",
              PATIENTS_VARIABLE: _absolute(patients), LABELS_VARIABLE: _absolute(labels),
              "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))}
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _absolute(table: str) -> str:
    """FILE:COLUMN as another working folder finds it; empty where there is none."""
    file, column = file_and_column(table)
    return str(Path(file).resolve()) + (f":{column}" if column else "") if table else ""


def _key(notebook: Notebook, parameters: dict[str, Any], dataset: DataSet) -> str:
    """What a notebook's result follows from: itself, the library, its parameters, the data, the evidence it shows."""
    digest = sha256(json.dumps([parameters, dataset.content_hash], sort_keys=True).encode())
    shown = [*REPORTS.glob(f"*/{MANIFEST}"), *REPORTS.glob("*/*.csv"), *(PROJECT / "benchmarks/results").glob("*.json")]
    code = [path for ending in ("py", "yaml") for path in (PROJECT / "covidcnn").rglob(f"*.{ending}")]
    for source in [notebook.path, *sorted(code), *sorted(shown)]:
        digest.update(source.read_bytes())
    return digest.hexdigest()
