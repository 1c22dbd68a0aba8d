"""The project's own files: dependencies in step, style, types, nothing of the machine."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml

from covidcnn.paths import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]
SCRIPTS = [*(PROJECT / "reports").glob("*/*.py")]
"""Code that stands beside the results of its one analysis and is held to the library's rules."""
LOCK = (PROJECT / "requirements.lock").read_text(encoding="utf-8")


def tracked_files():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git clone: no list of tracked files")
    return [PROJECT / name for name in listing.stdout.split("\0") if name]


def test_environment_and_pyproject_name_the_same_packages():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    by_pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert sorted(by_pip) == sorted(DECLARED)
    assert f"python{PYPROJECT['project']['requires-python']}" in environment["dependencies"]


def test_every_import_is_of_a_declared_package():
    """What only another package brings along may go when that one changes."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (*(PROJECT / "covidcnn").rglob("*.py"), *SCRIPTS)]
    imported = {alias.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names}
    imported |= {node.module for tree in trees for node in ast.walk(tree)
                 if isinstance(node, ast.ImportFrom) and node.level == 0}
    packages = packages_distributions()
    optional = {re.match(r"[A-Za-z0-9_-]+", one)[0].replace("-", "_")
                for extra in PYPROJECT["project"]["optional-dependencies"].values() for one in extra}
    needed = {packages[name][0].lower() for name in {name.split(".")[0] for name in imported}
              - set(sys.stdlib_module_names) - {"covidcnn", *(path.stem for path in SCRIPTS)} - optional}
    assert needed <= {re.match(r"[A-Za-z0-9_-]+", one)[0].lower() for one in PYPROJECT["project"]["dependencies"]}


LAYERS = ("errors paths yaml_files quiet backend config task", "imaging", "data augment perturbations provenance",
          "models", "evaluation", "training", "trials", "prediction plots", "study", "paper", "report", "cli")
"""Packages, and modules beside them, from the ground up: each imports from its own layer and from lower ones."""


def test_no_import_runs_up():
    height = {name: place for place, names in enumerate(LAYERS) for name in names.split()}
    up = []
    for path in sorted((PROJECT / "covidcnn").rglob("*.py")):
        own = path.relative_to(PROJECT / "covidcnn").with_suffix("").parts[0]
        if own in ("__init__", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = ([f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom)
                     else [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
            up += [f"{path.name}:{node.lineno} {name}" for name in names if name.startswith("covidcnn.")
                   and height.get(name.split(".")[1], 0) > height[own]]
    assert not up, up


def test_every_dependency_has_its_reason_beside_it():
    lines = (PROJECT / "environment.yml").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line.startswith("      - ")]
    assert len(packages) == len(DECLARED)
    assert all(re.search(r"  # \w+", line) for line in packages)


def test_lock_pins_every_dependency_with_hashes_and_names_no_index():
    pinned = set(re.findall(r"^([a-z0-9-]+)==", LOCK, flags=re.MULTILINE))
    for requirement in DECLARED:
        assert re.match(r"[A-Za-z0-9_-]+", requirement)[0].lower().replace("_", "-") in pinned
    entries = [entry for entry in re.split(r"\n(?=[a-z])", LOCK) if not entry.startswith("#")]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links", LOCK)


def test_lock_names_all_that_its_packages_need():
    """It is installed with --no-deps: pip 23 would otherwise refuse coverage, which pytest-cov needs with an extra,
    from the day on which a newer one than the lock's is released."""
    assert "install --quiet --no-deps --require-hashes" in (PROJECT / "Makefile").read_text(encoding="utf-8")
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("words", "code", "expected"), [
    ("No known vulnerabilities found", 0, "No known vulnerabilities found"),
    ("Found 2 known vulnerabilities in 1 package", 1, "Found 2 known vulnerabilities in 1 package"),
    ("Traceback (most recent call last):\n  …\nrequests.exceptions.ConnectionError: no route", 1, "audit: not done"),
    ("ERROR:pip_audit._cli:keras: Dependency not found", 1, "audit: not done")])
def test_audit_says_in_one_line_what_came_of_it(tmp_path, words, code, expected):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "words").write_text(words + "\n", encoding="utf-8")
    (tmp_path / "bin/pip-audit").write_text(f"#!/bin/sh\ncat {tmp_path / 'words'} >&2\nexit {code}\n")
    (tmp_path / "bin/pip-audit").chmod(0o755)
    (tmp_path / "ready").touch()
    # As if started by hand, also where the tests are: a make within make speaks otherwise.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "--silent", "audit", f"VENV={tmp_path}"], cwd=PROJECT, capture_output=True,
                          text=True, check=False, env=environment)
    assert done.returncode == (2 if code else 0)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1
    assert lines[0].startswith(expected)


def test_style_is_kept():
    subprocess.run([sys.executable, "-m", "ruff", "check", "covidcnn", "tests", "benchmarks", "reports"],
                   cwd=PROJECT, check=True)


def test_types_are_sound():
    subprocess.run([sys.executable, "-m", "mypy"], cwd=PROJECT, check=True)


def test_importing_the_package_does_not_load_tensorflow():
    code = "import sys, covidcnn, covidcnn.cli; sys.exit('tensorflow' in sys.modules or 'pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [
    ["trials", "store"], ["evidence", "status"]], ids=" ".join)
def test_commands_that_train_nothing_do_not_load_tensorflow(arguments, tmp_path):
    (tmp_path / "store/trials").mkdir(parents=True)
    code = (f"import sys; sys.argv[1:] = {arguments}\nfrom covidcnn.cli import main\n"
            "try:\n    main()\nfinally:\n    print(sorted({'tensorflow', 'keras'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_module_is_longer_than_300_lines():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines())
               for path in (*(PROJECT / "covidcnn").rglob("*.py"), *SCRIPTS)}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_glossary_is_in_order_and_its_places_are_there():
    terms = (PROJECT / "docs/glossary.md").read_text(encoding="utf-8").split("## Verdicts")[0]
    words = re.findall(r"^\| <a id=[^>]+></a>([^|]+) \|", terms, re.MULTILINE)
    assert len(words) > 60
    assert words == sorted(words, key=str.lower)
    places = set(re.findall(r"`((?:covidcnn|reports)/[^`]+)`", terms))
    assert len(places) > 20
    assert [place for place in places if not (PROJECT / place).exists()] == []


def test_no_image_and_no_machine_path_is_tracked():
    suspicious = re.compile(r"/(?:home|root|Users|work|tmp|opt)/[a-z]")
    for path in tracked_files():
        assert path.suffix.lower() not in {".jpeg", ".jpg", ".dcm", ".npy"}, path
        if path.suffix in {".py", ".md", ".toml", ".yml", ".lock", ".ipynb", ".cff", ".json", ".csv", ""}:
            found = suspicious.search(path.read_text(encoding="utf-8"))
            assert path.name == "test_project.py" or not found, f"{path.name}: {found}"


def test_reports_are_ignored_but_for_the_paper_profile_without_images_and_pages():
    def ignored(path):
        return subprocess.run(["git", "check-ignore", "--quiet", path], cwd=PROJECT, check=False).returncode == 0

    tracked_files()
    assert ignored("reports/quick-phantom/tables/a.csv")
    assert not ignored("reports/paper/tables/a.csv")
    assert not ignored("reports/paper/figures/fig_11.png")
    assert ignored("reports/paper/figures/images/fig_01.png")
    assert ignored("reports/paper/notebooks/01_data_inspection.ipynb")
    assert ignored("reports/paper/index.html")


def test_every_protocol_is_committed():
    """One that git ignores would count as unchanged, though no history says when it was written."""
    protocols = set((PROJECT / "reports").glob("*/protocol.yaml"))
    assert {path.parent.name for path in protocols} >= {"paper", "recipe", "models", "subtype"}
    assert protocols <= set(tracked_files())
