"""Nowhere does the library read what could run code, nor hand text to a shell."""

import ast

import pytest

from covidcnn.paths import PROJECT

SOURCES = sorted((PROJECT / "covidcnn").rglob("*.py"))
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))

MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "jsonpickle", "torch"}
NAMES = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "unsafe_load", "full_load", "unsafe_load_all", "full_load_all", "system",
           "popen", "enable_unsafe_deserialization"}
# joblib.Parallel draws phantom images: its workers are processes of our own, to which it hands our own functions
# pickled. Nothing that comes from a file goes that way; joblib's own files would.
CALLS = {("joblib", "load"), ("joblib", "dump"), ("yaml", "load"), ("yaml", "load_all"), ("yaml", "Loader"),
         ("yaml", "UnsafeLoader"), ("yaml", "FullLoader")}
ALLOWED = {"yaml_files.py: yaml.load(text, _Loader)", "torch_weights.py: import pickle"}
"""``_Loader`` is a SafeLoader that is stricter still. The unpickler of ``torch_weights`` knows tensors alone, and reads
what has the SHA-256 of the published file; tests/test_torch_weights.py has it refuse the rest."""


def found_in(source: str) -> list[str]:
    """Every part of Python code that could run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [node for name in names if name.name.split(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module), names=names):
                found += [node for name in names if module.split(".")[0] in MODULES
                          or (module, name.name) in CALLS or name.name in METHODS]
            case ast.Call(func=ast.Name(id=name)) if name in NAMES:
                found.append(node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (module, name) in CALLS:
                found.append(node)
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                found.append(node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="load"), keywords=keywords):
                if "allow_pickle" not in {word.arg for word in keywords}:
                    found.append(node)
            case ast.keyword(arg="safe_mode" | "shell" | "allow_pickle", value=value):
                if ast.unparse(value) != ("True" if node.arg == "safe_mode" else "False"):
                    found.append(node)
            case ast.Call(func=ast.Attribute(attr="load_model"), keywords=keywords):
                if "safe_mode" not in {word.arg for word in keywords}:
                    found.append(node)
    return [ast.unparse(node) for node in found]


@pytest.mark.parametrize("code", [
    "import pickle", "from pickle import loads", "import torch", "from joblib import load", "joblib.dump(x, 'f')",
    "np.load(path)", "np.load(path, allow_pickle=True)", "numpy.load('f', 'r')", "pd.read_pickle('f')",
    "yaml.load(text)", "from yaml import load", "yaml.unsafe_load(text)", "eval('1')", "exec(text)", "os.system('ls')",
    "subprocess.run('ls', shell=True)", "keras.models.load_model(path)", "keras.models.load_model(p, safe_mode=False)",
    "keras.config.enable_unsafe_deserialization()"])
def test_what_could_run_code_is_known(code):
    assert found_in(code)


def test_no_source_runs_what_it_reads():
    assert len(SOURCES) > 50
    found = {f"{path.name}: {part}" for path in SOURCES for part in found_in(path.read_text(encoding="utf-8"))}
    assert found == ALLOWED


def test_no_notebook_does():
    import nbformat

    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert found_in(cell.source) == [], path.name
                assert not cell.source.lstrip().startswith(("!", "%")), path.name
