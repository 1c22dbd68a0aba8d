"""``covidcnn label``: a table of suggested labels, and its way through a spreadsheet back into a training."""

import csv
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidcnn.data.index import index_folder
from covidcnn.data.tables import as_cell
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.model_file import ModelFacts, save_model
from covidcnn.models.paper_cnn import paper_cnn
from covidcnn.prediction.label import label_table
from covidcnn.prediction.score import Predictions
from covidcnn.task import PNEUMONIA, SUBTYPE

NAMES = ["=1+1.png", "+2.png", "-3.png", "@sum.png", "'=quoted.png", "''@twice.png", "a, b; \"c\".png", "plain.png",
         "deep/=cmd|'/c calc'!A0.png", "ünï (1).png"]
"""What a spreadsheet would take for a formula, what looks like a neutralised one, and what a CSV has to quote."""


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for name in NAMES:
        path = tmp_path / "unlabelled" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (40, 48), np.uint8)).save(path)
    return tmp_path / "unlabelled"


def read(path):
    return pd.read_csv(path, keep_default_na=False)


def predictions(**columns):
    count = len(next(iter(columns.values())))
    return Predictions(pd.DataFrame({"path": [f"/there/{number}.png" for number in range(count)], **columns,
                                     "warnings": [[]] * count}), (), (), ())


def test_only_sure_labels_are_entered_and_the_least_sure_stand_first(tmp_path):
    table = label_table(predictions(probability=[0.99, 0.6, 0.04, 0.3],
                                    predicted=["PNEUMONIA", "PNEUMONIA", "NORMAL", "NORMAL"]),
                        PNEUMONIA, tmp_path.joinpath("/there"), 0.95)
    assert table["confidence"].tolist() == pytest.approx([0.6, 0.7, 0.96, 0.99])
    assert table["label"].tolist() == ["", "", "NORMAL", "PNEUMONIA"]
    assert table["suggested"].tolist() == ["PNEUMONIA", "NORMAL", "NORMAL", "PNEUMONIA"]
    assert table["path"].tolist() == ["1.png", "3.png", "2.png", "0.png"]


def test_of_three_classes_the_score_of_the_predicted_one_counts(tmp_path):
    table = label_table(predictions(**{"probability NORMAL": [0.1, 0.5], "probability BACTERIA": [0.8, 0.3],
                                       "probability VIRUS": [0.1, 0.2]}, predicted=["BACTERIA", "NORMAL"]),
                        SUBTYPE, tmp_path.joinpath("/there"), 0.6)
    assert table["confidence"].tolist() == [0.5, 0.8]
    assert table["label"].tolist() == ["", "BACTERIA"]


def test_no_cell_is_a_formula_and_every_image_is_found_again(tiny_model, folder, tmp_path, run):
    out = tmp_path / "labels.csv"
    code, _, err = run("label", tiny_model, folder, "--out", out, "--min-confidence", 0)
    assert code == 0
    assert "left to you: 0" in err
    assert f"covidcnn train --data {folder} --labels {out} --positive PNEUMONIA --out DIR" in err
    with out.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    labelled = index_folder(folder, labels=out, task=PNEUMONIA).images
    assert sorted(labelled["path"]) == sorted(NAMES)


def test_what_a_person_corrects_in_a_spreadsheet_is_read_back(tiny_model, folder, tmp_path, run):
    out = tmp_path / "labels.csv"
    run("label", tiny_model, folder, "--out", out)
    table = read(out)
    wanted = dict(zip(table["path"], ["NORMAL", "PNEUMONIA", ""] * 4, strict=False))
    table["label"] = table["path"].map(wanted)
    # As a spreadsheet in another language saves it: a byte order mark, semicolons, other line ends.
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, sep=";", lineterminator="\r\n")
    saved = tmp_path / "corrected.csv"
    saved.write_bytes(b"\xef\xbb\xbf" + buffer.getvalue().encode())
    images = index_folder(folder, labels=saved).images
    assert {as_cell(path): label for path, label in zip(images["path"], images["label"], strict=True)} == {
        path: label for path, label in wanted.items() if label}


def test_a_table_that_is_there_is_not_overwritten(tiny_model, folder, tmp_path, run):
    out = tmp_path / "labels.csv"
    out.write_text("corrected by hand")
    code, _, err = run("label", tiny_model, folder, "--out", out)
    assert code == 2
    assert "choose another name" in err
    assert out.read_text() == "corrected by hand"


def test_bad_input_leaves_no_table(tiny_model, folder, tmp_path, run):
    out = tmp_path / "labels.csv"
    (folder / "broken.png").write_bytes(b"no image")
    for arguments, words in (((tiny_model, folder), "--skip-bad"), ((tiny_model, folder / "plain.png"), "no folder"),
                             ((folder / "plain.png", folder), "plain.png")):
        code, _, err = run("label", *arguments, "--out", out)
        assert code == 2
        assert words in err
        assert len(err.strip().splitlines()) == 1
        assert not out.exists()
    code, _, err = run("label", tiny_model, folder, "--out", out, "--skip-bad")
    assert code == 0
    assert "broken.png" in err
    assert len(read(out)) == len(NAMES)


@pytest.mark.slow
def test_corrected_labels_train_the_next_model(make_tree, tmp_path, run):
    """The whole way: a model labels a folder, and the table is what the next one learns from."""
    tree = make_tree(tmp_path / "tree", {"train": (12, 12)})
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, path in enumerate(sorted(tree.rglob("*.jpeg"))):
        shutil.copy(path, folder / f"{number:02}.jpeg")
    model, out = tmp_path / "model.keras", tmp_path / "labels.csv"
    save_model(model, paper_cnn(16, filters=(4, 8)), ModelFacts(ImageSettings(16), 0.5, "0.5", {"seed": 0}))
    assert run("label", model, folder, "--out", out, "--min-confidence", 0)[0] == 0
    table = read(out).sort_values("path", ignore_index=True)
    table["label"] = ["NORMAL"] * 12 + ["PNEUMONIA"] * 12
    table.to_csv(out, index=False)
    code, _, err = run("train", "--data", folder, "--labels", out, "--out", tmp_path / "next", "--size", 16,
                       "--epochs", 1)
    assert code == 0, err
    scores = read(tmp_path / "next/scores.csv")
    assert len(scores) == 24
    assert scores["label"].tolist() == ["NORMAL"] * 12 + ["PNEUMONIA"] * 12
    assert json.loads((tmp_path / "next/run.json").read_text())["data"]["tables"] == {"labels": "labels.csv"}
