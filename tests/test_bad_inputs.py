"""Bad inputs of every kind, through the command line: one line, exit code 2, no traceback, nothing half-written."""

import shutil
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import encoded, png_chunk, png_that_claims
from dicom_files import POISONED_BYTES, write_dicom
from model_files import altered, pickled, with_facts, with_layer
from PIL import Image
from test_dicom import REFUSED as REFUSED_DICOM

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
PNG, TIFF = encoded(Image.fromarray(NOISE), "PNG"), encoded(Image.fromarray(NOISE), "TIFF")
WEBP = encoded(Image.fromarray(NOISE), "WEBP")

# Each case makes its input in ``it.folder`` and gives the arguments; what is to be written goes to ``it.out``.
CASES = {}


def case(name):
    def add(make):
        CASES[name] = make
        return make
    return add


# ---------------------------------------------------------------- images

IMAGES = {
    "zeros.jpeg": b"\0" * 5000,
    "page.jpeg": b"<!DOCTYPE html><html><body>404</body></html>",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>",
    "unknown-chunk.png": PNG.replace(b"IDAT", b"IDAX", 1),
    "directory-beyond-the-end.tiff": TIFF[:4] + b"\xff\xff\xff\x7f" + TIFF[8:],
    "cut.tiff": TIFF[: len(TIFF) // 3],
    "cut.webp": WEBP[: len(WEBP) // 2],
    "header-only.png": PNG[:33],
    "wide.png": png_that_claims(200_000, 600),
    "large.png": png_that_claims(12_000, 10_000),
    "no-width.png": png_that_claims(0, 100),
    "line.png": encoded(Image.new("L", (3000, 1)), "PNG"),
    "header-only.bmp": encoded(Image.fromarray(NOISE), "BMP")[:54],
    "pdf.jpeg": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "text-that-swells.png": (
        PNG[:33] + png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 100_000_000)) + PNG[33:]),
    "mark-alone.dcm": b"\0" * 128 + b"DICM",
    "mark-and-noise.dcm": b"\0" * 128 + b"DICM" + np.random.default_rng(3).bytes(3000),
    "no-mark.dcm": b"\0" * 400,
}
for _name, _content in IMAGES.items():
    CASES[f"image {_name}"] = lambda it, name=_name, content=_content: (
        "predict", it.model, it.write(name, content), "--out", it.out / "a.csv", "--explain", it.out / "overlays")

for _name in ("truncated.jpeg", "bomb.png"):
    CASES[f"image {_name}"] = lambda it, name=_name: (
        "predict", it.model, it.write(name, it.bad_images[name]), "--explain", it.out / "overlays")

# The other kinds of DICOM, YAML and model files are refused by the same doors (test_dicom.py, test_sweep.py,
# test_guard.py, test_model_file.py): here one of each kind goes through the command line.
CASES["DICOM cut short"] = lambda it: (
    "predict", it.model, REFUSED_DICOM["cut"][0](it.folder / "image.dcm"), "--out", it.out / "a.json")


@case("DICOM index")
def _(it):
    return "predict", it.model, it.write("DICOMDIR", b"\0" * 128 + b"DICM"), "--out", it.out / "a.json"


@case("image: its own table")
def _(it):
    return "predict", it.model, it.write("a.png", PNG), "--csv", "--out", "a.png"


@case("folder: a link to itself")
def _(it):
    (it.folder / "loop").symlink_to("loop")
    return "data", "phantom", "loop"


@case("folder: a link to itself, to fetch into")
def _(it):
    (it.folder / "loop").symlink_to("loop")
    return "data", "fetch", "sars-cov-2-ct", "--from", "x", "--out", "loop"


@case("image that leads nowhere")
def _(it):
    (it.folder / "image.png").symlink_to(it.folder / "gone.png")
    return "predict", it.model, it.folder / "image.png", "--out", it.out / "a.json"


@case("sound image before a bad one")
def _(it):
    it.write("1.png", PNG)
    it.write("2.png", b"bad")
    return "predict", it.model, it.folder, "--out", it.out / "a.json", "--explain", it.out / "overlays"


# ---------------------------------------------------------------- names and options of predict

CASES |= {
    "no such image": lambda it: ("predict", it.model, it.folder / "nowhere.png", "--out", it.out / "a.csv"),
    "name beyond any length": lambda it: ("predict", it.model, "x" * 5000, "--out", it.out / "a.csv"),
    "empty folder": lambda it: ("predict", it.model, it.folder, "--out", it.out / "a.csv"),
    "empty list": lambda it: ("predict", it.model, "-", "--out", it.out / "a.csv"),
    "two forms at once": lambda it: ("predict", it.model, it.write("a.png", PNG), "--csv", "--json"),
    "form unknown": lambda it: ("predict", it.model, it.write("a.png", PNG), "--out", it.out / "a.xlsx"),
    "output is a folder": lambda it: ("predict", it.model, it.write("a.png", PNG), "--csv", "--out", it.folder),
    "output below a file": lambda it: (
        "predict", it.model, it.write("a.png", PNG), "--out", it.write("file", b"x") / "a.csv"),
    "overlays over other files": lambda it: (
        "predict", it.model, it.write("a.png", PNG), "--explain", it.write("mine/file", b"x").parent),
    "overlays below a file": lambda it: (
        "predict", it.model, it.write("a.png", PNG), "--explain", it.write("file", b"x") / "overlays"),
}


@case("list with a zero byte")
def _(it):
    it.stdin = b"image\0.png\n"
    return "predict", it.model, "-", "--out", it.out / "a.csv"


@case("list that is no list")
def _(it):
    it.stdin = PNG
    return "predict", it.model, "-", "--out", it.out / "a.csv"


# ---------------------------------------------------------------- folders and CSV

def training(it, *options):
    return "train", "--data", it.folder, "--out", it.out, "--size", 16, "--epochs", 1, *options


@case("folder of another layout")
def _(it):
    it.write("images/a.png", PNG)
    return training(it)


@case("folder with one class")
def _(it):
    it.write("train/NORMAL/a.png", PNG)
    return training(it)


@case("folder with bad DICOM")
def _(it):
    shutil.copytree(it.tree, it.folder, dirs_exist_ok=True)
    write_dicom(it.folder / "train/NORMAL/a.dcm", NOISE, PixelData=None)
    return training(it)


@case("one image under two labels")
def _(it):
    shutil.copytree(it.tree, it.folder, dirs_exist_ok=True)
    for label in ("NORMAL", "PNEUMONIA"):
        it.write(f"train/{label}/a.png", PNG)
    return training(it)


@case("two data sets in a folder")
def _(it):
    for name in "ab":
        it.write(f"{name}/train/NORMAL/a.png", PNG)
    return training(it)


@case("folder is a file")
def _(it):
    return "train", "--data", it.write("image.png", PNG), "--out", it.out, "--size", 16


for _name, _content in {"no CSV": PNG, "empty CSV": b"", "CSV of other columns": b"image,child\na,b\n",
                        "CSV with a line twice": b"path,patient\na,b\na,c\n",
                        "CSV without most": b"path,patient\na,b\n",
                        "CSV of ragged lines": b'path,patient\na,b,c,d\n"'}.items():
    CASES[f"patients: {_name}"] = lambda it, content=_content: (
        "train", "--data", it.tree, "--out", it.out, "--size", 16, "--patients", it.write("p.csv", content))

# ---------------------------------------------------------------- YAML

LAUGHS = b"a0: &a0 [1, 1]\n" + b"".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n".encode() for n in range(1, 40)) + b"seeds: *a39\n"
SWEEPS = {
    "no YAML": b"seeds: [0\nrecipe: {", "of bytes": PNG, "empty": b"",
    "unknown setting": b"seeds: [0]\nrecipe: {epochs: 1, sise: 64}",
    "a date for a number": b"seeds: [0]\nrecipe: {epochs: 2020-01-01}", "a date of no calendar": b"seeds: [2020-13-45]",
    "Python objects": b"seeds: !!python/object/apply:os.system ['touch ran']\nrecipe: {epochs: 1}",
    "a billion laughs": LAUGHS, "an endless loop": b"seeds: &a [*a]\nrecipe: {epochs: 1}",
    "deep": b"seeds: " + b"[" * 20_000, "tab": b"seeds:\n\t- 0\n",
    "a setting twice": b"seeds: [0]\nrecipe: {epochs: 1, size: 32, size: 64}",
    "billions of combinations": b"seeds: [0]\nrecipe: {epochs: 1}\ngrid: {" + b", ".join(
        name + b": [" + b"1," * 99 + b"1]" for name in (b"dropout", b"learning_rate", b"batch_size", b"split_seed",
                                                        b"validation_fraction")) + b"}",
    "number as a name": b"seeds: [0]\nrecipe: {1: 2}",
    "test images after epochs, but not to be scored": b"seeds: [0]\nrecipe: {epochs: 1, score_every_epoch: [test]}",
}
for _name, _content in SWEEPS.items():
    CASES[f"sweep: {_name}"] = lambda it, content=_content: (
        "sweep", it.write("s.yaml", content), "--store", it.out, "--data", it.tree)
CASES["sweep: no file"] = lambda it: ("sweep", it.folder / "s.yaml", "--store", it.out, "--data", it.tree)
CASES["sweep: a folder"] = lambda it: ("sweep", it.folder, "--store", it.out, "--data", it.tree)

# ---------------------------------------------------------------- model files

MODELS = {
    "no archive": lambda it: it.write("m.keras", b"no model"),
    "missing": lambda it: it.folder / "m.keras",
    "a folder": lambda it: it.folder,
    "a pickle": lambda it: it.write("m.keras", pickled(it.folder / "ran")),
    "deep facts": lambda it: altered(it.model, it.folder / "m.keras", covidcnn=b"[" * 200_000),
    "size": lambda it: altered(it.model, it.folder / "m.keras", covidcnn=with_facts(images={"size": 32})),
    "Lambda": lambda it: altered(it.model, it.folder / "m.keras", config=with_layer(class_name="Lambda")),
    "other layer sizes": lambda it: altered(
        it.model, it.folder / "m.keras", config=lambda text: text.replace(b'"filters": 8', b'"filters": 9')),
}
for _name, _make in MODELS.items():
    CASES[f"model: {_name}"] = lambda it, make=_make: (
        "predict", make(it), it.write("image.png", PNG), "--out", it.out / "a.csv", "--explain", it.out / "overlays")


@case("model: encrypted")
def _(it):
    content = bytearray(it.model.read_bytes())
    with zipfile.ZipFile(it.model) as archive:
        start = archive.start_dir
    # The flag of encryption, in the directory entry of every member.
    while (start := content.find(b"PK\x01\x02", start)) >= 0:
        content[start + 8] |= 1
        start += 4
    return "evaluate", it.write("m.keras", bytes(content)), "--data", it.tree


# ---------------------------------------------------------------- parameters of the notebooks, options of train

CASES |= {
    "report: unknown profile": lambda it: ("report", "--data", it.tree, "--out", it.out, "--profile", "huge"),
    "report: paper without its data": lambda it: ("report", "--data", it.tree, "--out", it.out, "--profile", "paper"),
    "report: unknown notebook": lambda it: ("report", "--data", it.tree, "--out", it.out, "--only", "77"),
    "report: notebook of text": lambda it: ("report", "--data", it.tree, "--out", it.out, "--from", "../05"),
    "report: both at once": lambda it: ("report", "--out", it.out, "--from", "03", "--only", "05"),
    "report: no test images": lambda it: ("report", "--data", it.tree / "train", "--out", it.out),
    "report: no data": lambda it: ("report", "--data", it.folder / "nowhere", "--out", it.out),
    "train: size": lambda it: ("train", "--data", it.tree, "--out", it.out, "--size", 8),
    "train: optimizer": lambda it: ("train", "--data", it.tree, "--out", it.out, "--optimizer", "../sgd"),
    "train: learning rate": lambda it: ("train", "--data", it.tree, "--out", it.out, "--learning-rate", "nan"),
    "evaluate: split": lambda it: ("evaluate", it.model, "--data", it.tree, "--split", "validation"),
    "trials: no store": lambda it: ("trials", it.folder),
    "folder: a name too long": lambda it: ("data", "check", "x" * 300),
    "folder: of nobody's home": lambda it: ("report", "--data", "~nobody-here/images", "--out", it.out),
    "train: one setting by two options": lambda it: (
        "train", "--data", it.tree, "--out", it.out, "--epochs", 5, "--option", "epochs=7"),
    "train: an option twice": lambda it: (
        "train", "--data", it.tree, "--out", it.out, "--option", "dropout=0.3", "--option", "dropout=0.5"),
    "trials: a setting twice": lambda it: ("trials", it.folder, "--where", "seed=1", "--where", "seed=2"),
    "sweep: what every training refuses": lambda it: (
        "sweep", it.write("sweep.yaml", b"seeds: [0]\nrecipe: {epochs: 1, min_confidence: 0.9}\n"), "--data", it.tree,
        "--store", it.out, "--dry-run"),
    "folder: the root": lambda it: ("data", "fetch", "chest-xray", "--from", it.folder, "--out", "/"),
    "model: its own export": lambda it: ("export", it.write("m.keras", it.model.read_bytes()), "--out", "m.keras"),
    "model: a name too long": lambda it: ("evaluate", "x" * 300, "--data", it.tree),
}

PARAMETERS = {
    "no value": "SEED", "nothing": "", "unknown": "COLOUR=red", "nearly known": "SEEED=3", "of another case": "seed=3",
    "a word for a number": "SEED=three", "a float for a whole number": "SEED=1.5", "a number for a list": "PATCH=0.1",
    "a list of words": "PATCH=['a', 'b']", "a list of lists": "PATCH=[[0.1]]", "an empty list": "CONTENDERS=[]",
    "no literal": "SEED=__import__('os').system('touch ran')", "a call": "PATCH=[print(1)]", "open": "PATCH=[0.1",
    "deep": "PATCH=" + "[" * 9000, "endless": "SEED=" + "9" * 9000, "nan": "SATURATION=nan",
    "a line break": "OPTIMIZER=SGD\nimport os", "the profile": "PROFILE=smoke", "the data": "DATA=.",
    "the folder": "OUT=.", "an expression": "SEED=1+1",
    "no optimizer": "OPTIMIZER=Foo", "one of them no optimizer": "CONTENDERS=['SGD', 'Foo']",
    "no augmentation": "AUGMENTATION=mirrors", "no preprocessing": "PREPROCESS=sharpen",
}
for _name, _given in PARAMETERS.items():
    CASES[f"parameter: {_name}"] = lambda it, given=_given: (
        "report", "--data", it.tree, "--out", it.out, "--profile", "smoke", "--parameter", given)
CASES["parameter: twice"] = lambda it: (
    "report", "--data", it.tree, "--out", it.out, "--parameter", "SEED=1", "--parameter", "SEED=2")
CASES["parameter: of a notebook that is not run"] = lambda it: (
    "report", "--data", it.tree, "--out", it.out, "--only", "06", "--parameter", "CONTENDERS=['SGD']")


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gives_one_line_and_code_2_and_leaves_nothing(name, tmp_path, tiny_model, tiny_tree, bad_images, run,
                                                                caplog, recwarn, monkeypatch):
    folder, out = tmp_path / "input", tmp_path / "output"
    folder.mkdir()

    def write(name: str, content: bytes) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return folder / name

    monkeypatch.chdir(folder)
    it = SimpleNamespace(folder=folder, out=out, model=tiny_model, tree=tiny_tree, bad_images=bad_images, write=write,
                         stdin=b"")
    arguments = CASES[name](it)
    before = sorted(folder.rglob("*"))
    recwarn.clear()
    caplog.clear()
    code, printed, err = run(*arguments, stdin=it.stdin)
    assert (code, printed) == (2, "")
    assert err.startswith("covidcnn: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 1000 or "x" * 1000 in err
    assert "Traceback" not in err
    for word in POISONED_BYTES:
        assert word.decode() not in err
    # The filter that keeps Pillow's own from the user is not in force under pytest.
    assert not [warning for warning in recwarn if "PIL" not in warning.filename]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]
    assert not list(out.rglob("*"))
    assert sorted(folder.rglob("*")) == before
    assert not (folder / "ran").exists()

