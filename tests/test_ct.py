"""Public sets of CT slices, on drawn stand-ins of their layout: from what is published to a report's data set."""

import io
import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidcnn.data.dataset import open_ct, open_dataset
from covidcnn.data.fetch import ct, downloads
from covidcnn.data.fetch.downloads import fetch_covid_ct
from covidcnn.data.phantom.ct import SLICES, write_ct
from covidcnn.data.sources import COVID_CT, CT_STAND_IN, MARKER, SARS_COV_2_CT, patient_of
from covidcnn.evaluation.combining import by_patient
from covidcnn.evaluation.scores import score_columns

NAMES = {"COVID": ["2020.01.24.919183-p27-{n}%0.png", "2020.01.24.919183-p28-{n}%1.png", "kjr-21 e{n} (l).png",
                   "PIIS01406736{n}%0.png"],
         "NonCOVID": ["{n}%0.jpg", "{n}%1.jpg", "{n}.png", "1{n} [a].png"]}
"""As the published files are named: an article's pages, a patient's slices, blanks and brackets."""


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    """As if so few slices had been published."""
    monkeypatch.setattr(ct, "COUNTS", dict.fromkeys(ct.COUNTS, (12, 12)))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A stand-in of COVID-CT's repository: RGBA and grey PNG and JPEG of several sizes, in its archives."""
    folder, generator = tmp_path_factory.mktemp("repository"), np.random.default_rng(0)
    for label, patterns in NAMES.items():
        archive = folder / f"{ct.IMAGES[label]}.zip"
        archive.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(archive, "w") as members:
            for number, split in enumerate(ct.COUNTS):
                names = [pattern.format(n=10 * number + repeat) for repeat in range(3) for pattern in patterns]
                listed = folder / ct.LISTS[split, label]
                listed.parent.mkdir(parents=True, exist_ok=True)
                # As they are published: Windows' line ends in some, an empty line at the end.
                listed.write_bytes("\r\n".join([*names, ""]).encode())
                for place, name in enumerate(names):
                    height, width = 40 + place, 60 - place
                    pixels = generator.integers(0, 200, (height, width), np.uint8) + 50 * (label == "COVID")
                    image = Image.fromarray(pixels.astype(np.uint8))
                    if name.endswith(".png") and place % 2:
                        image = image.convert("RGBA")
                    buffer = io.BytesIO()
                    image.save(buffer, "JPEG" if name.endswith("jpg") else "PNG")
                    members.writestr(f"CT_{label}/{name}", buffer.getvalue())
    return folder


@pytest.fixture
def arranged(repository, tmp_path):
    folder = tmp_path / "arranged/covid_ct"
    fetch_covid_ct(folder, repository)
    return folder


def test_copy_of_the_repository_becomes_a_data_set_with_its_split_classes_and_patients(arranged):
    dataset = open_dataset(arranged)
    assert dataset.source == COVID_CT
    assert dataset.task.classes == ("NonCOVID", "COVID")
    assert "no open licence" in dataset.identity
    counts = pd.crosstab(dataset.images["split"], dataset.images["label"])
    assert (counts == 12).all().all()
    assert not dataset.images["patient"].str.startswith("file-").any()
    assert {path.name for path in arranged.parent.iterdir()} == {"covid_ct"}
    # Opened from the folder around it, it is the same set with the same patients.
    assert open_dataset(arranged.parent).content_hash == dataset.content_hash
    around = open_dataset(arranged.parent, positive="COVID")
    assert (around.source, around.content_hash) == (COVID_CT, dataset.content_hash)


@pytest.mark.parametrize(("name", "patient"), [
    ("2020.01.24.919183-p27-132%0.png", "2020.01.24.919183"), ("2020.01.24.919183-p28-133.png", "2020.01.24.919183"),
    ("93%1.jpg", "93"), ("93.jpg", "93"), ("kjr-21-e24-g001-l-a.jpg", "kjr-21-e24-g001-l-a"),
    ("PIIS0140673620301549%0%1.png", "PIIS0140673620301549")])
def test_patient_is_read_from_the_name(name, patient):
    assert patient_of(name) == patient


def test_images_may_lie_in_folders_as_well(repository, arranged, tmp_path):
    copy = shutil.copytree(repository, tmp_path / "copy")
    for label in NAMES:
        with zipfile.ZipFile(copy / f"{ct.IMAGES[label]}.zip") as archive:
            archive.extractall(copy / "Images-processed")
        (copy / f"{ct.IMAGES[label]}.zip").unlink()
    fetch_covid_ct(tmp_path / "out", copy)
    assert open_dataset(tmp_path / "out").content_hash == open_dataset(arranged).content_hash


def test_it_is_fetched_file_by_file_and_goes_on_where_it_broke_off(repository, arranged, tmp_path, monkeypatch,
                                                                     refused):
    asked = []

    def download(remote, path, progress):
        place = remote.url.removeprefix(f"{ct.REPOSITORY}/")
        asked.append(place)
        if len(asked) == 4:
            raise KeyboardInterrupt
        shutil.copyfile(repository / place, path)

    monkeypatch.setattr(downloads, "download", download)
    with pytest.raises(KeyboardInterrupt):
        fetch_covid_ct(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with refused("whole copy"):
        fetch_covid_ct(tmp_path / "out", tmp_path)
    # A wrong copy takes nothing away from what has come.
    fetch_covid_ct(tmp_path / "out")
    assert len(asked) == 2 + 6 + 1
    assert asked[3] == asked[4]
    assert open_dataset(tmp_path / "out").content_hash == open_dataset(arranged).content_hash
    assert {path.name for path in tmp_path.iterdir()} == {"arranged", "out"}


def wrong_lists(copy, name):
    """The first entry of a list is another one."""
    path = copy / ct.LISTS["val", "COVID"]
    path.write_text("\n".join([name, *path.read_text(encoding="utf-8").split("\n")[1:]]), encoding="utf-8")


def wrong_archive(copy, member):
    with zipfile.ZipFile(copy / f"{ct.IMAGES['COVID']}.zip", "a") as archive:
        archive.writestr(member, b"no image")


def first_slice(copy):
    return (copy / ct.LISTS["val", "COVID"]).read_text(encoding="utf-8").split("\n")[0].strip()


@pytest.mark.parametrize(("damage", "words"), [
    (lambda copy: (copy / ct.LISTS["val", "COVID"]).unlink(), ("valCT_COVID.txt", "whole copy")),
    (lambda copy: wrong_lists(copy, "absent.png"), ("CT_COVID.zip", "absent.png")),
    (lambda copy: wrong_lists(copy, "../escaped.png"), ("valCT_COVID.txt", "../escaped.png")),
    (lambda copy: (copy / ct.LISTS["val", "COVID"]).write_text("one.png\n"), ("val", "published")),
    (lambda copy: (copy / ct.LISTS["val", "COVID"]).write_text("a.png\na.png\n"), ("valCT_COVID.txt", "twice")),
    (lambda copy: wrong_archive(copy, "../escaped.png"), ("CT_COVID.zip", "leads outside")),
    (lambda copy: wrong_archive(copy, f"again/{first_slice(copy)}"), ("CT_COVID.zip", "two files in it are called")),
    (lambda copy: (copy / f"{ct.IMAGES['COVID']}.zip").write_bytes(b"PK no zip"), ("CT_COVID.zip", "damaged")),
    (lambda copy: (copy / f"{ct.IMAGES['COVID']}.zip").unlink(), ("CT_COVID", "whole copy"))],
    ids=["no list", "no image", "list leads outside", "other counts", "listed twice", "archive leads outside",
         "one name twice", "no archive", "no images"])
def test_copy_that_is_not_whole_is_refused_and_leaves_nothing(repository, tmp_path, refused, damage, words):
    copy = shutil.copytree(repository, tmp_path / "copy")
    damage(copy)
    with refused(*words):
        fetch_covid_ct(tmp_path / "out", copy)
    assert {path.name for path in tmp_path.iterdir()} <= {"copy", ".out.lock"}


def test_check_finds_the_known_faults(repository, tmp_path, run):
    """One image under two labels and in two splits, and slices of one patient on both sides."""
    copy = shutil.copytree(repository, tmp_path / "copy")
    fetch_covid_ct(tmp_path / "out", copy)
    out = tmp_path / "out"
    shutil.copy(out / "train/COVID/2020.01.24.919183-p27-0%0.png", out / "test/NonCOVID/same.png")
    patients = pd.read_csv(out / "patients.csv", dtype=str)
    pd.concat([patients, pd.DataFrame([("test/NonCOVID/same.png", "same")], columns=patients.columns)]).to_csv(
        out / "patients.csv", index=False)
    code, text, _ = run("data", "check", out)
    assert code == 2
    assert "under two labels" in text
    assert "2020.01.24.919183" in text
    assert "stand in more than one split" in text
    assert "positive class: COVID" in text


def test_sars_cov_2_ct_has_classes_and_neither_split_nor_patients(tmp_path, run):
    generator, archive = np.random.default_rng(0), tmp_path / "archive"
    for label, name in (("COVID", "Covid ({n}).png"), ("non-COVID", "Non-Covid ({n}).png")):
        (archive / label).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 255, (40, 50), np.uint8)
            Image.fromarray(pixels).save(archive / label / name.format(n=number))
    code, text, err = run("data", "fetch", "sars-cov-2-ct", "--from", archive, "--out", tmp_path / "out")
    assert code == 0, err
    assert "does not say who is on which slice" in text
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.source, dataset.task.positive) == (SARS_COV_2_CT, "COVID")
    assert dataset.images["label"].value_counts().to_dict() == {"COVID": 6, "NonCOVID": 6}
    code, _, err = run("data", "fetch", "sars-cov-2-ct", "--from", tmp_path, "--out", tmp_path / "other")
    assert code == 2
    assert "COVID and non-COVID" in err
    (archive / "COVID/deeper").mkdir()
    shutil.copy(archive / "COVID/Covid (0).png", archive / "COVID/deeper")
    code, _, err = run("data", "fetch", "sars-cov-2-ct", "--from", archive, "--out", tmp_path / "other")
    assert code == 2
    assert "another image of this name" in err


def test_damaged_marker_is_refused(arranged, tmp_path, refused):
    folder = shutil.copytree(arranged, tmp_path / "copy")
    (folder / MARKER).write_text(json.dumps({"source": "unheard-of"}))
    with refused(MARKER, "fetch the images again"):
        open_dataset(folder)


# ---------------------------------------------------------------- one prediction a patient

def scores_of(patients, labels, scores):
    return pd.DataFrame({"split": "test", "path": [f"{number}.png" for number in range(len(scores))], "label": labels,
                         "score": scores, "subtype": "", "patient": patients, "perturbation": ""})[score_columns()]


def test_scores_of_a_patient_become_one():
    scores = scores_of(["a", "b", "a", "b"], ["COVID", "NonCOVID", "COVID", "NonCOVID"], [0.9, 0.2, 0.1, 0.4])
    assert by_patient(scores, "mean")[["patient", "label", "score"]].to_numpy().tolist() == [
        ["a", "COVID", 0.5], ["b", "NonCOVID", pytest.approx(0.3)]]
    assert by_patient(scores, "max")["score"].tolist() == [0.9, 0.4]
    assert by_patient(scores, "max").columns.tolist() == score_columns()
    after = scores.assign(**{"epoch 1": 1 - scores["score"]})
    assert by_patient(after, "mean")["epoch 1"].to_numpy() == pytest.approx(1 - by_patient(after, "mean")["score"])


def test_patient_with_two_labels_has_no_prediction(refused):
    with refused("patient a", "different labels"):
        by_patient(scores_of(["a", "a"], ["COVID", "NonCOVID"], [0.9, 0.2]), "mean")


@pytest.mark.slow
def test_set_goes_through_training_evaluation_by_patient_and_explanation(arranged, tmp_path, run):
    model = tmp_path / "model"
    code, _, err = run("train", "--data", arranged, "--size", 16, "--epochs", 1, "--out", model)
    assert code == 0, err
    assert json.loads((model / "run.json").read_text())["recipe"]["validation"] == "published"
    code, _, err = run("train", "--data", arranged, "--size", 16, "--epochs", 1, "--validation", "patient", "--out",
                       tmp_path / "by-patient")
    assert code == 0, err
    assert json.loads((tmp_path / "by-patient/run.json").read_text())["recipe"]["validation"] == "patient"
    images, patients, highest = (json.loads(run("evaluate", model / "model.keras", "--data", arranged, "--json",
                                                "--bootstrap-samples", 10, *more)[1])
                                 for more in ((), ("--per-patient", "mean"), ("--per-patient", "max")))
    assert (images["n"], images["per patient"]) == (24, "")
    assert patients["n"] == open_dataset(arranged).images.query("split == 'test'")["patient"].nunique() < 24
    assert images["classes"] == ["NonCOVID", "COVID"]
    # Nobody takes the highest of several without being told of how many.
    test = open_dataset(arranged).images.query("split == 'test'")
    counts = test["label"].value_counts() / test.groupby("label")["patient"].nunique()
    told = [one for one in highest["warnings"] if one.startswith("images a patient")]
    assert all(f"{name} {counts[name]:.1f}" in told[0] for name in images["classes"])
    assert not [one for one in patients["warnings"] if one.startswith("images a patient")]
    code, _, err = run("evaluate", model / "model.keras", "--data", arranged, "--per-patient", "median")
    assert code == 2
    assert "mean, max" in err
    code, out, _ = run("predict", model / "model.keras", arranged / "test/COVID", "--explain", tmp_path / "overlays")
    assert code == 0
    assert "COVID" in out


# ---------------------------------------------------------------- the stand-in

def test_drawn_slices_are_a_set_with_whole_patients_and_the_faults_of_public_ones(tmp_path, refused):
    write_ct(tmp_path / "ct", {"train": 40, "val": 6, "test": 8}, seed=3)
    dataset = open_dataset(tmp_path / "ct")
    assert dataset.source == CT_STAND_IN
    assert "no patient was imaged" in dataset.identity
    images = dataset.images
    patients = images.groupby("patient").agg({"split": "nunique", "label": "nunique", "path": "count"})
    assert (patients[["split", "label"]] == 1).all().all()
    with_covid, others = (patients.loc[images.groupby("patient")["label"].first() == name, "path"]
                          for name in ("COVID", "NonCOVID"))
    assert (len(with_covid), len(others)) == (27, 27)
    assert with_covid.eq(SLICES).all()
    assert others.between(1, SLICES).all()
    assert 1.8 < others.mean() < 3.2
    coloured = images["mode"].eq("RGBA").groupby(images["label"]).mean()
    assert coloured["COVID"] > coloured["NonCOVID"] + 0.1
    with refused("ct"):
        write_ct(tmp_path / "ct")
    write_ct(tmp_path / "again", {"train": 40, "val": 6, "test": 8}, seed=3)
    assert open_dataset(tmp_path / "again").content_hash == dataset.content_hash


def test_without_a_folder_the_stand_in_is_opened(tmp_path, monkeypatch, arranged):
    monkeypatch.setattr(write_ct, "__defaults__", ({"train": 4, "val": 2, "test": 2}, 0))
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path))
    assert open_ct().source == CT_STAND_IN
    assert open_ct(arranged).source == COVID_CT
