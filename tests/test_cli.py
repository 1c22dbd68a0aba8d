"""The command line as a user meets it: what it prints, what it leaves, and how it refuses."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from covidcnn import __version__
from covidcnn.cli import app
from covidcnn.data.dataset import open_dataset


@pytest.fixture(scope="module")
def trained(tiny_tree, tmp_path_factory):
    """A model trained by the command, in a process of its own."""
    folder = tmp_path_factory.mktemp("trained")
    subprocess.run([sys.executable, "-m", "covidcnn", "train", "--data", str(tiny_tree), "--out", str(folder),
                    "--size", "32", "--epochs", "2", "--optimizer", "adam", "--preprocess", "equalize",
                    "--augment", "paper", "--balance", "class-weight", "--threshold", "youden", "--seed", "3",
                    "--batch-norm-momentum", "0.9"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("arguments", [[], ["report"], ["train"], ["evaluate"], ["predict"], ["lab"], ["data"],
                                       ["data", "check"], ["data", "phantom"]])
def test_help_explains(arguments):
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_train_leaves_what_it_says(trained):
    assert {path.name for path in trained.iterdir()} == {
        "model.keras", "history.csv", "scores.csv", "run.json", "tensorboard"}
    history = pd.read_csv(trained / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    scores = pd.read_csv(trained / "scores.csv")
    assert list(scores.columns[:4]) == ["split", "path", "label", "score"]
    assert set(scores["split"]) == {"train", "validation", "test"}
    assert scores["score"].between(0, 1).all()
    record = json.loads((trained / "run.json").read_text())
    assert record["seed"] == 3
    assert record["recipe"]["optimizer"] == "Adam"
    assert record["threshold rule"] == "youden, on validation"
    assert record["counts"]["test"] == {"PNEUMONIA": 20, "NORMAL": 12}
    with zipfile.ZipFile(trained / "model.keras") as archive:
        facts = json.loads(archive.read("covidcnn.json"))
    assert facts["images"]["preprocess"] == "equalize"
    assert facts["threshold"] == record["threshold"]


def test_unknown_threshold_rule_is_refused_before_anything_is_trained(tiny_tree, tmp_path, run):
    code, _, err = run("train", "--data", tiny_tree, "--out", tmp_path / "out", "--threshold", "0.7", "--size", 32)
    assert code == 2
    assert "unknown threshold rule '0.7'" in err
    assert not (tmp_path / "out").exists()


def test_train_does_not_overwrite_a_model(trained, tiny_tree, run):
    before = (trained / "model.keras").read_bytes()
    code, _, err = run("train", "--data", tiny_tree, "--out", trained, "--size", 32, "--epochs", 1)
    assert code == 2
    assert "model.keras: there is one already" in err
    assert (trained / "model.keras").read_bytes() == before


def test_evaluate_prints_json_alone(trained, tiny_tree, run):
    code, out, _ = run("evaluate", trained / "model.keras", "--data", tiny_tree, "--json", "--bootstrap-samples", 50)
    assert code == 0
    result = json.loads(out)
    assert result["n"] == 32
    assert result["split"] == "test"
    assert result["threshold"] == json.loads((trained / "run.json").read_text())["threshold"]
    expected = {"accuracy", "sensitivity", "specificity", "precision", "f1", "auc", "average precision",
                "brier score", "calibration error"}
    assert expected <= result["metrics"].keys()
    for estimate in result["metrics"].values():
        assert estimate["low"] - 1e-9 <= estimate["value"] <= estimate["high"] + 1e-9


def test_evaluate_prints_null_for_what_is_no_number(trained, tiny_tree, run, monkeypatch):
    """NaN is no JSON: other programs refuse it."""
    def nothing_called(*arguments):
        return {"metrics": {"precision": {"value": float("nan")}}, "scores": None}

    monkeypatch.setattr("covidcnn.evaluation.folder.evaluate_model", nothing_called)
    _, out, _ = run("evaluate", trained / "model.keras", "--data", tiny_tree, "--json")
    assert json.loads(out, parse_constant=pytest.fail)["metrics"]["precision"]["value"] is None


def test_evaluate_agrees_with_the_scores_that_training_left(trained, tiny_tree, run):
    _, out, _ = run("evaluate", trained / "model.keras", "--data", tiny_tree, "--json", "--bootstrap-samples", 10)
    result = json.loads(out)
    scores = pd.read_csv(trained / "scores.csv").query("split == 'test'")
    called = scores["score"] >= result["threshold"]
    assert result["metrics"]["accuracy"]["value"] == pytest.approx((called == (scores["label"] == "PNEUMONIA")).mean())


def test_evaluate_takes_a_folder_without_splits(trained, tiny_tree, run):
    code, out, _ = run("evaluate", trained / "model.keras", "--data", tiny_tree / "train", "--json",
                       "--bootstrap-samples", 10)
    assert code == 0
    assert (json.loads(out)["n"], json.loads(out)["split"]) == (64, "all")


def test_evaluate_prints_a_table_and_the_disclaimer(trained, tiny_tree, run):
    code, out, _ = run("evaluate", trained / "model.keras", "--data", tiny_tree, "--bootstrap-samples", 10)
    assert code == 0
    assert "specificity" in out
    assert "Not a medical device" in out


def test_data_check_passes_sound_images(tiny_tree, run):
    code, out, _ = run("data", "check", tiny_tree, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["counts"]["train"] == {"NORMAL": 24, "PNEUMONIA": 40, "total": 64}
    assert result["errors"] == []
    assert result["content hash"] == open_dataset(tiny_tree).content_hash


def test_data_check_lists_errors_and_exits_with_2(small_tree, run):
    (small_tree / "train/NORMAL/IM-0900-0001.jpeg").write_bytes(b"")
    code, out, _ = run("data", "check", small_tree)
    assert code == 2
    assert "error: train/NORMAL/IM-0900-0001.jpeg: the file is empty" in out


def test_skip_bad_goes_on_and_lists_what_was_left_out(small_tree, trained, run):
    (small_tree / "test/NORMAL/IM-0900-0001.jpeg").write_bytes(b"")
    refused_code, _, refusal = run("evaluate", trained / "model.keras", "--data", small_tree)
    assert refused_code == 2
    assert "--skip-bad" in refusal
    code, out, _ = run("evaluate", trained / "model.keras", "--data", small_tree, "--skip-bad", "--json",
                       "--bootstrap-samples", 10)
    assert code == 0
    assert json.loads(out)["left out"][0]["path"] == "test/NORMAL/IM-0900-0001.jpeg"


def test_version(run):
    assert run("--version") == (0, f"{__version__}\n", "")


def command(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "covidcnn", *map(str, arguments)], stderr=subprocess.PIPE, text=True,
                          check=False, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_one_line_and_exit_code_2():
    with Path("/dev/full").open("w") as full:
        done = command("--version", stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("covidcnn: the output cannot be written")
    assert done.stderr.count("\n") == 1


def test_reader_that_goes_away_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = command("--version", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("closed", "word"), [(0, "standard input is closed"), (1, "standard output is closed")])
def test_closed_stream_is_one_line_and_exit_code_2(tiny_model, closed, word):
    """As a shell closes it with <&- or >&-."""
    done = subprocess.run([sys.executable, "-m", "covidcnn", "predict", str(tiny_model), "-"], text=True, check=False,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.close(closed))
    assert done.returncode == 2
    assert done.stderr.startswith("covidcnn: ")
    assert word in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_the_terminal_cannot_show_is_escaped():
    done = command("predict", "m.keras", "a.png", "--out", "ü.xlsx", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert r"covidcnn: \xfc.xlsx: what to write" in done.stderr


def test_shortcut_in_the_header_is_warned_of_by_data_check(tmp_path, make_tree, run):
    tree = make_tree(tmp_path / "tree", {"train": (30, 30)})
    assert "shortcut" not in run("data", "check", tree)[1]
    for radiograph in (tree / "train/NORMAL").iterdir():
        with Image.open(radiograph) as image:
            image.resize((96, 80)).save(radiograph.with_suffix(".png"))
        radiograph.unlink()
    warnings = [line for line in run("data", "check", tree)[1].splitlines() if "shortcut" in line]
    assert [line.split(" alone")[0] for line in warnings] == [
        "warning: size in pixels", "warning: file format (png)", "warning: file format (jpeg)"]
    assert all("AUC 1.00" in line for line in warnings)


@pytest.mark.slow
def test_phantom_draws_as_many_as_asked(tmp_path, run):
    code, _, _ = run("data", "phantom", tmp_path / "images", "--images", 40, "--seed", 5)
    assert code == 0
    assert len(list((tmp_path / "images").rglob("*.jpeg"))) == 40


@pytest.mark.parametrize(("arguments", "words"), [
    (["report", "--profile", "huge"], ["unknown profile 'huge'", "quick"]),
    (["report", "--only", "77"], ["unknown notebook '77'"]),
    (["report", "--data", "nowhere"], ["nowhere: no such folder"]),
    (["report", "--only", "05", "--from", "03"], ["--only and --from exclude each other"]),
    (["train", "--out", "o", "--optimizer", "lion"], ["unknown optimizer 'lion'", "Nadam"]),
    (["train", "--out", "o", "--augment", "mixup"], ["unknown augmentation 'mixup'"]),
    (["train", "--out", "o", "--preprocess", "blur"], ["unknown preprocessing 'blur'"]),
    (["train", "--out", "o", "--size", "8"], ["image size 8"]),
    (["train", "--out", "o", "--model", "ridge", "--size", "5000"], ["image size 5000", "at most 4096"]),
    (["evaluate", "missing.keras", "--data", "nowhere"], ["missing.keras: no such model file"]),
    (["data", "check", "nowhere"], ["nowhere: no such folder"]),
])
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("covidcnn: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_report_needs_test_images(tiny_tree, run):
    code, _, err = run("report", "--data", tiny_tree / "train")
    assert code == 2
    assert "no test split" in err


def test_report_folder_that_cannot_be_one_is_refused(tiny_tree, tmp_path, run):
    (tmp_path / "file").write_text("mine")
    code, _, err = run("report", "--data", tiny_tree, "--profile", "smoke", "--out", tmp_path / "file")
    assert code == 2
    assert "file: there is something already; choose a new or empty folder" in err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("facts", "words"), [
    ({"threshold": 7}, "damaged"), ({"threshold": "high"}, "damaged"),
    ({"task": {"classes": ["PNEUMONIA", "PNEUMONIA"]}}, "damaged"),
    ({"images": {"size": 64, "preprocess": "plain", "interpolation": "area", "pad": False}}, "disagree on image size"),
])
def test_model_file_with_other_facts_is_refused(trained, tiny_tree, tmp_path, run, facts, words):
    with zipfile.ZipFile(trained / "model.keras") as source, zipfile.ZipFile(tmp_path / "m.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "covidcnn.json":
                content = json.dumps(json.loads(content) | facts).encode()
            target.writestr(name, content)
    code, _, err = run("evaluate", tmp_path / "m.keras", "--data", tiny_tree)
    assert code == 2
    assert words in err


def test_files_that_are_no_models_are_refused(tmp_path, tiny_tree, run):
    (tmp_path / "model.keras").write_bytes(b"no model")
    for name, words in (("model.keras", "not a model file"), ("absent.keras", "no such model file")):
        code, _, err = run("evaluate", tmp_path / name, "--data", tiny_tree)
        assert code == 2
        assert words in err


def test_model_says_how_its_training_images_looked(trained, tiny_tree):
    from covidcnn.models.model_file import load_model

    appearance = load_model(trained / "model.keras")[1].appearance
    scores = pd.read_csv(trained / "scores.csv")
    assert appearance.images == (scores["split"] == "train").sum()
    assert appearance.ranges["aspect ratio"] == (1.2, 1.2)
    assert appearance.ranges["shorter side"] == (40, 40)
    # Equalised images have half their pixels above the middle grey.
    assert 120 < appearance.ranges["mean grey"][0] <= appearance.ranges["mean grey"][1] < 135
    assert appearance.colour_share == 0


def test_evaluate_says_how_far_another_hospital_is(trained, tiny_tree, tmp_path, make_tree, run):
    make_tree(tmp_path / "other", {"test": (4, 4)}, size=(90, 50))
    options = ("--bootstrap-samples", 10)
    _, out, _ = run("evaluate", trained / "model.keras", "--data", tmp_path / "other", "--json", *options)
    distance = json.loads(out)["distance from the training images"]
    # All training images are of one size, which then says nothing.
    assert distance["measures"].keys() == {"mean grey", "contrast"}
    assert distance["in colour"] == {"training": 0.0, "here": 0.0}
    _, out, _ = run("evaluate", trained / "model.keras", "--data", tmp_path / "other", *options)
    assert "How like the" in out
    assert "Size and aspect ratio are left out" in out
    assert "warning" not in out
    _, out, _ = run("evaluate", trained / "model.keras", "--data", tiny_tree / "train", "--json", *options)
    assert json.loads(out)["distance from the training images"]["measures"]["mean grey"]["share outside"] < 0.1


def test_evaluate_says_how_many_images_the_model_was_trained_on(trained, tiny_tree, run):
    options = ("--data", tiny_tree, "--split", "train", "--bootstrap-samples", 10)
    _, out, _ = run("evaluate", trained / "model.keras", *options, "--json")
    scores = pd.read_csv(trained / "scores.csv")
    counts = {role: int((scores["split"] == role).sum()) for role in ("train", "validation")}
    result = json.loads(out)
    assert result["known to the model"] == counts
    assert f"trained on {counts['train']} of these 64 images" in result["warnings"][0]
    assert f"{counts['validation']} of these" in result["warnings"][1]
    _, out, _ = run("evaluate", trained / "model.keras", *options)
    assert f"warning: {result['warnings'][0]}" in out
    _, out, _ = run("evaluate", trained / "model.keras", *options[:2], "--json", *options[4:])
    assert (json.loads(out)["known to the model"], json.loads(out)["warnings"]) == ({"train": 0, "validation": 0}, [])


def test_evaluate_takes_a_model_file_of_before(trained, tiny_tree, tmp_path, run):
    with zipfile.ZipFile(trained / "model.keras") as source, zipfile.ZipFile(tmp_path / "m.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "covidcnn.json":
                facts = json.loads(content)
                del facts["appearance"], facts["image_hashes"]
                content = json.dumps(facts).encode()
            target.writestr(name, content)
    code, out, _ = run("evaluate", tmp_path / "m.keras", "--data", tiny_tree, "--json", "--bootstrap-samples", 10)
    assert code == 0
    assert json.loads(out)["distance from the training images"] is None
    assert json.loads(out)["known to the model"] is None
    assert "cannot be told" in json.loads(out)["warnings"][0]
    code, out, _ = run("evaluate", tmp_path / "m.keras", "--data", tiny_tree, "--bootstrap-samples", 10)
    assert "does not say how its training images looked" in out
