"""What is told apart: two classes of one's own, three classes, labels from a table; end to end by the command line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_tree
from PIL import Image
from test_trial import RECIPE

from covidcnn.data.check import examine
from covidcnn.data.dataset import open_dataset
from covidcnn.data.folders import find_layout
from covidcnn.data.index import index_folder
from covidcnn.data.splits import assign_roles
from covidcnn.data.tables import assign_labels
from covidcnn.errors import DataError, UserError
from covidcnn.models.model_file import load_model
from covidcnn.prediction.explain import GradCam
from covidcnn.task import PNEUMONIA, SUBTYPE, Task, labelled, task_named
from covidcnn.trials.trial import Trial, pin_trial

COVID = Task(("NonCOVID", "COVID"))
FAST = ("--size", 16, "--epochs", 1, "--batch-norm-momentum", 0.5, "--precision", "float32")


def rename(root, names):
    """Give class folders other names, and files names that say nothing."""
    for split in ("train", "val", "test"):
        for old, new in names.items():
            (root / split / old).rename(root / split / new)
            for number, path in enumerate(sorted((root / split / new).iterdir())):
                path.rename(path.with_name(f"{split} ({new}) {number}.jpeg"))
    return root


@pytest.fixture(scope="module")
def covid_tree(tmp_path_factory):
    """Two classes of other names; the bright spot is COVID's."""
    tree = make_tree(tmp_path_factory.mktemp("covid") / "ct")
    return rename(tree, {"NORMAL": "NonCOVID", "PNEUMONIA": "COVID"})


@pytest.fixture(scope="module")
def covid_model(covid_tree, tmp_path_factory, own_cache):
    from typer.testing import CliRunner

    from covidcnn.cli import app

    folder = tmp_path_factory.mktemp("trained") / "covid"
    result = CliRunner().invoke(app, list(map(str, ("train", "--data", covid_tree, "--positive", "covid", "--out",
                                                    folder, *FAST, "--threshold", "youden"))))
    assert result.exit_code == 0, result.output
    return folder / "model.keras"


@pytest.fixture(scope="module")
def subtype_model(tiny_tree, tmp_path_factory, own_cache):
    from typer.testing import CliRunner

    from covidcnn.cli import app

    folder = tmp_path_factory.mktemp("trained") / "subtype"
    result = CliRunner().invoke(app, list(map(str, ("train", "--data", tiny_tree, "--task", "subtype", "--out", folder,
                                                    *FAST, "--balance", "oversample"))))
    assert result.exit_code == 0, result.output
    return folder / "model.keras"


# ---------------------------------------------------------------- the value

def test_names_become_places_and_unknown_ones_are_refused():
    assert COVID.encode(pd.Series(["COVID", "NonCOVID", "COVID"])).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="'PNEUMONIA' is not among NonCOVID, COVID"):
        COVID.encode(pd.Series(["COVID", "PNEUMONIA"]))


def test_of_two_classes_the_threshold_decides_and_of_three_the_most_probable():
    two = PNEUMONIA.probabilities(np.array([[0.3], [0.7], [0.699]]))
    np.testing.assert_allclose(two.sum(axis=1), 1)
    assert PNEUMONIA.predict(two, 0.7).tolist() == [0, 1, 0]
    assert SUBTYPE.predict(np.array([[0.4, 0.35, 0.25], [0.1, 0.2, 0.7]])).tolist() == [0, 2]


@pytest.mark.parametrize(("positive", "classes"), [
    ("covid", ("NonCOVID", "COVID")), ("NonCOVID", ("COVID", "NonCOVID")), ("", ("NonCOVID", "COVID"))])
def test_either_of_two_classes_can_be_the_positive_one(positive, classes):
    assert COVID.with_positive(positive).classes == classes


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Task(("A",)), "at least two names"), (lambda: Task(("A", "a")), "each once"),
    (lambda: Task(("A", "")), "at least two names"), (lambda: Task(("A", "B,C")), "without a comma or outer blanks"),
    (lambda: Task(("A", "B\nC")), "on one line"), (lambda: Task(("A", " B")), "outer blanks"),
    (lambda: Task(("A", "B"), "path"), "unknown column"),
    (lambda: COVID.with_positive("flu"), "not among the classes; choose NonCOVID or COVID"),
    (lambda: SUBTYPE.with_positive("VIRUS"), "there are 3 classes, NORMAL, BACTERIA, VIRUS"),
    (lambda: task_named("lungs"), "unknown task 'lungs'; choose pneumonia, subtype, covid")])
def test_what_is_no_task_is_refused(make, words, refused):
    with refused(words):
        make()


@pytest.mark.parametrize("task", [PNEUMONIA, SUBTYPE, COVID, Task(("a b", "c", "d"))])
def test_a_task_is_read_as_it_is_written(task):
    assert task_named(str(task)) == task


def test_key_of_a_trial_follows_its_task_and_that_of_the_papers_task_is_as_it_was():
    plain = pin_trial("data", RECIPE, 0)
    keys = {pin_trial("data", RECIPE, 0, task=task).key for task in (PNEUMONIA, COVID, COVID.with_positive("NonCOVID"),
                                                                     SUBTYPE)}
    assert len(keys) == 4
    assert plain.key in keys
    assert Trial.from_dict(json.loads(json.dumps(pin_trial("data", RECIPE, 0, task=COVID).to_dict()))).task == COVID
    older = {name: value for name, value in plain.to_dict().items() if name != "task"}
    assert Trial.from_dict(json.loads(json.dumps(older))).key == plain.key


# ---------------------------------------------------------------- folders

def test_classes_of_ones_own_are_found_in_the_split_folders(covid_tree):
    catalogue = index_folder(covid_tree, positive="COVID")
    assert catalogue.task == COVID
    assert catalogue.images.groupby(["split", "label"]).size().to_dict() == {
        ("train", "NonCOVID"): 24, ("train", "COVID"): 40, ("val", "NonCOVID"): 4, ("val", "COVID"): 4,
        ("test", "NonCOVID"): 12, ("test", "COVID"): 20}


def test_normal_comes_first_and_is_the_negative_class(covid_tree, tmp_path):
    shutil.copytree(covid_tree, tmp_path / "set")
    for split in ("train", "val", "test"):
        (tmp_path / "set" / split / "NonCOVID").rename(tmp_path / "set" / split / "normal")
    assert open_dataset(tmp_path / "set").task.classes == ("normal", "COVID")


def test_without_splits_classes_of_ones_own_have_to_be_named(covid_tree, refused):
    with refused(covid_tree / "train", "NORMAL and PNEUMONIA", "--task", error=DataError):
        find_layout(covid_tree / "train")
    for named in ({"positive": "COVID"}, {"classes": ("NonCOVID", "COVID")}):
        assert {split for split, _, _ in find_layout(covid_tree / "train", **named).folders} == {"all"}


def test_folders_that_are_no_classes_are_none(tmp_path, refused):
    for folder in ("train/images", "train/masks", "val/images"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (40, 40)).save(tmp_path / folder / "a.png")
    (tmp_path / "train/labels").mkdir()
    (tmp_path / "train/labels/a.txt").write_text("0 0.5 0.5 1 1")
    with refused("no data set here", error=DataError):
        find_layout(tmp_path)


def test_two_classes_of_which_neither_is_normal_need_a_positive_one(covid_tree, run):
    code, _, err = run("train", "--data", covid_tree, "--out", covid_tree.parent / "out", *FAST)
    assert code == 2
    assert "which of COVID and NonCOVID is the positive class? Add --positive" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--positive", "COVID"), ("--task", "NonCOVID,COVID")])
def test_check_counts_the_classes_there_are_and_names_the_positive_one(covid_tree, run, arguments):
    code, out, _ = run("data", "check", covid_tree, "--json", *arguments)
    assert code == 0
    counts = json.loads(out)["counts"]
    assert (counts["train"]["NonCOVID"], counts["train"]["COVID"]) == (24, 40)
    assert list(counts["train"]) == ["NonCOVID", "COVID", "total"]
    assert json.loads(out)["positive class"] == "COVID"
    assert "positive class: COVID (--positive chooses)" in run("data", "check", covid_tree, *arguments)[1]


def test_check_asks_for_the_positive_class_as_training_does(covid_tree, run):
    code, out, _ = run("data", "check", covid_tree, "--json")
    assert code == 2
    found = json.loads(out)
    assert list(found["counts"]["train"]) == ["COVID", "NonCOVID", "total"]
    assert found["positive class"] is None
    assert found["errors"] == [
        "which of COVID and NonCOVID is the positive class? Add --positive COVID or --positive NonCOVID, the one with "
        "the finding"]


def test_split_that_lacks_a_class_is_refused_in_one_line(covid_tree, tmp_path, run):
    shutil.copytree(covid_tree, tmp_path / "set")
    shutil.rmtree(tmp_path / "set/test/COVID")
    code, _, err = run("train", "--data", tmp_path / "set", "--positive", "COVID", "--out", tmp_path / "out", *FAST)
    assert code == 2
    assert "test: no image of class COVID" in err
    assert len(err.splitlines()) == 1


def test_a_third_class_beside_the_papers_two_is_told_of(tiny_tree, tmp_path, run):
    shutil.copytree(tiny_tree, tmp_path / "set")
    shutil.copytree(tmp_path / "set/train/NORMAL", tmp_path / "set/train/COVID")
    _, out, _ = run("data", "check", tmp_path / "set")
    assert "24 images lie outside the folders NORMAL and PNEUMONIA" in out
    assert "name all classes with --task" in out


# ---------------------------------------------------------------- three classes from published names

def test_subtypes_are_read_from_the_names_and_the_data_stay_the_same(tiny_tree):
    two, three = open_dataset(tiny_tree), open_dataset(tiny_tree, task=SUBTYPE)
    assert three.images["label"].value_counts().to_dict() == {"NORMAL": 40, "BACTERIA": 32, "VIRUS": 32}
    assert two.content_hash == three.content_hash
    assert two.images["label"].value_counts().to_dict() == {"PNEUMONIA": 64, "NORMAL": 40}


def test_validation_that_lacks_a_class_is_refused(tiny_tree, tmp_path, refused):
    """As the published val folder has no virus."""
    shutil.copytree(tiny_tree, tmp_path / "set")
    for path in (tmp_path / "set/val/PNEUMONIA").glob("*virus*"):
        path.unlink()
    dataset = open_dataset(tmp_path / "set", task=SUBTYPE)
    assert set(assign_roles(dataset.images, "patient", 0.3, task=SUBTYPE)["role"]) == {
        "train", "validation", "test", "unused"}
    with refused("design 'published' leaves no VIRUS image", error=DataError):
        assign_roles(dataset.images, "published", task=SUBTYPE)


def test_names_that_do_not_tell_the_subtype_are_refused(tiny_tree, tmp_path, refused):
    shutil.copytree(tiny_tree, tmp_path / "set")
    (path := next((tmp_path / "set/train/PNEUMONIA").iterdir())).rename(path.with_name("scan.jpeg"))
    with refused("1 images whose subtype their names do not tell", "scan.jpeg", "--labels", error=DataError):
        open_dataset(tmp_path / "set", task=SUBTYPE)
    with refused("scan.jpeg", error=DataError):
        labelled(index_folder(tmp_path / "set").images, SUBTYPE)


# ---------------------------------------------------------------- labels from a table

@pytest.fixture
def flat(tmp_path):
    """Twelve images in one folder, without a word of their classes in their names."""
    (tmp_path / "scans").mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / f"scans/{number:03d}.png")
    return tmp_path / "scans"


@pytest.mark.parametrize("column", ["", ":Finding"])
def test_labels_and_patients_come_from_columns_as_they_are(flat, column):
    head, names = ("Image Index,Finding", "Image Index,Age,Finding")[bool(column)], ("covid", "healthy")
    rows = [f"{number:03d}.png,{'3,' if column else ''}{names[number % 2]}" for number in range(12)]
    (flat.parent / "labels.csv").write_text("\n".join([head, *rows]))
    (flat.parent / "who.csv").write_text("study;person\n" + "\n".join(
        f"{number:03d};p{number // 3}" for number in range(12)))
    dataset = open_dataset(flat, labels=f"{flat.parent / 'labels.csv'}{column}", patients=flat.parent / "who.csv",
                           positive="covid")
    assert dataset.task.classes == ("healthy", "covid")
    assert dataset.images["label"].tolist() == ["covid", "healthy"] * 6
    assert dataset.images["patient"].tolist() == [f"p{number // 3}" for number in range(12)]
    assert set(dataset.images["split"]) == {"all"}


def test_images_without_a_label_are_left_out_and_counted(flat):
    (flat.parent / "labels.csv").write_text("path,label\n" + "\n".join(
        f"{number:03d}.png,{('NORMAL', 'pneumonia', '')[number % 3]}" for number in range(9)))
    dataset = open_dataset(flat, labels=flat.parent / "labels.csv")
    assert dataset.task == PNEUMONIA
    assert dataset.images["label"].tolist() == ["NORMAL", "PNEUMONIA"] * 3
    assert "6 images have no label in the table and are left out" in dataset.warnings
    assert not any("name no image" in warning for warning in dataset.warnings)


def test_what_tables_write_for_nothing_is_no_label_unless_it_is_asked_for(flat):
    """As R and pandas write a missing value."""
    names = ("NORMAL", "COVID", "NA", "nan", "unknown", "")
    (table := flat.parent / "labels.csv").write_text("path,label\n" + "\n".join(
        f"{number:03d}.png,{names[number % 6]}" for number in range(12)))
    assert index_folder(flat, labels=table).images["label"].tolist() == ["NORMAL", "COVID"] * 2
    asked = index_folder(flat, labels=table, task=task_named("NORMAL,unknown,COVID")).images
    assert asked["label"].tolist() == ["NORMAL", "COVID", "unknown"] * 2


def test_images_beside_the_splits_are_told_and_not_taken_for_mistyped_lines(flat):
    (flat / "train").mkdir()
    (flat / "test").mkdir()
    for number in range(8):
        (flat / f"{number:03d}.png").rename(flat / ("train" if number < 4 else "test") / f"{number:03d}.png")
    (table := flat.parent / "labels.csv").write_text("path,label\n" + "\n".join(
        f"{number:03d}.png,{('NORMAL', 'COVID')[number % 2]}" for number in range(12)))
    dataset = open_dataset(flat, labels=table)
    assert len(dataset.images) == 8
    assert any(warning.startswith("4 images lie outside the folders test and train and are passed over: 4 in .")
               for warning in dataset.warnings), dataset.warnings
    assert not any("a spreadsheet" in warning for warning in dataset.warnings)


@pytest.mark.parametrize(("table", "task", "remedy"), [
    (True, None, "label some in the table as NORMAL"), (False, None, "add a folder NORMAL with images"),
    (False, SUBTYPE, "add images whose names say NORMAL")])
def test_class_that_a_split_lacks_has_a_remedy_that_helps(small_tree, table, task, remedy):
    labels = ""
    if table:
        (labels := small_tree / "labels.csv").write_text("path,label\n" + "\n".join(
            f"{one.path},{'PNEUMONIA' if one.split == 'test' else one.label}"
            for one in index_folder(small_tree).images.itertuples()))
    else:
        for path in (small_tree / "test/NORMAL").iterdir():
            path.unlink()
    assert f"test: no image of class NORMAL; {remedy}" in examine(index_folder(
        small_tree, labels=labels, task=task)).errors


def test_same_image_under_two_subtypes_is_an_error(small_tree):
    first = next((small_tree / "train/PNEUMONIA").glob("*bacteria*"))
    shutil.copy(first, first.with_name("person1900_virus_99.jpeg"))
    assert not examine(index_folder(small_tree)).errors
    errors = examine(index_folder(small_tree, task=SUBTYPE)).errors
    assert sum("the same image under two labels" in error for error in errors) == 1


def test_lines_that_name_no_image_are_told(flat):
    """As after a spreadsheet, which makes 3 of 003: a correction would be lost without a word."""
    (table := flat.parent / "labels.csv").write_text(
        "path,label\n000.png,NORMAL\n001.png,COVID\n3,NORMAL\nzzz.png,COVID\n9,\n")
    dataset = open_dataset(flat, labels=table)
    assert len(dataset.images) == 2
    (told,) = [warning for warning in dataset.warnings if "name no image" in warning]
    assert told.startswith("2 lines of the table name no image of the folder: 3, zzz.png")


@pytest.mark.parametrize(("text", "column", "task", "words"), [
    ("path,label\n000.png,a\n001.png,b\n", "", "NORMAL,COVID", ("the label 'a' is none of NORMAL, COVID",)),
    ("path,label\n000.png,a\n000.png,b\n", "", "", ("'000.png' is listed twice",)),
    ("path,label\nother.png,a\n", "", "", ("no label for any image", "000.png")),
    ("path,label,age\n000.png,a,3\n", ":sex", "", ("no column sex", "it has path, label, age")),
    ("path,label\n000.png,a\n001.png,a\n", "", "", ("1 different labels, the first 'a'",)),
    ("subject,file,label\n000,001,a\n001,000,b\n", "", "", ("the columns subject and file name the images equally",)),
])
def test_faulty_table_of_labels_is_refused(flat, refused, text, column, task, words):
    (flat.parent / "labels.csv").write_text(text)
    with refused(*words, error=DataError):
        index_folder(flat, labels=f"{flat.parent / 'labels.csv'}{column}", task=task_named(task) if task else None)


def test_lines_without_an_image_are_about_none(flat):
    (table := flat.parent / "labels.csv").write_text("path,label\n000.png,a\n001.png,b\n,a\n,b\n")
    assert index_folder(flat, labels=table).images["label"].tolist() == ["a", "b"]


def test_labels_of_either_case_are_the_tasks(flat):
    (table := flat.parent / "labels.csv").write_text("path,label\n000.png,Covid\n001.png,NONCOVID\n")
    images = index_folder(flat, labels=table).images
    assert assign_labels(images, table, COVID)[0]["label"].tolist() == ["COVID", "NonCOVID"]


def test_images_are_named_by_file_names_sooner_than_by_numbers_that_look_like_them(flat):
    (flat.parent / "meta.csv").write_text("subject,file,finding\n" + "\n".join(
        f"{11 - number:03d},{number:03d}.png,{'ab'[number % 2]}" for number in range(12)))
    images = index_folder(flat, labels=f"{flat.parent / 'meta.csv'}:finding",
                         patients=f"{flat.parent / 'meta.csv'}:subject").images
    assert images["label"].tolist() == ["a", "b"] * 6
    assert images["patient"].tolist() == [f"{11 - number:03d}" for number in range(12)]


def test_empty_cells_name_no_image_though_file_names_repeat(flat):
    """Names that are not unique are left out, and an empty cell is not one of them."""
    for split in ("train", "test"):
        (flat / split).mkdir()
        for path in sorted(flat.glob("*.png")):
            shutil.copy(path, flat / split)
    for path in flat.glob("*.png"):
        path.unlink()
    paths = [f"{split}/{number:03d}.png" for split in ("train", "test") for number in range(12)]
    (flat.parent / "labels.csv").write_text("remark,place,label\n" + "\n".join(
        f",{path},{'ab'[number % 2]}" for number, path in enumerate(paths)))
    assert index_folder(flat, labels=flat.parent / "labels.csv").images["label"].value_counts().to_dict() == {
        "a": 12, "b": 12}


def test_table_of_labels_for_a_folder_without_images_is_refused(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels.csv").write_text("path,label\na.png,a\nb.png,b\n")
    with refused(tmp_path / "empty", "no readable image", error=DataError):
        index_folder(tmp_path / "empty", labels=tmp_path / "labels.csv")


# ---------------------------------------------------------------- end to end

def test_two_classes_of_ones_own_from_folder_to_explained_prediction(covid_model, covid_tree, tmp_path, run):
    facts = load_model(covid_model)[1]
    assert facts.task == COVID
    assert pd.read_csv(covid_model.with_name("scores.csv"))["label"].unique().tolist() == ["COVID", "NonCOVID"]
    code, out, _ = run("evaluate", covid_model, "--data", covid_tree, "--json", "--bootstrap-samples", 20)
    assert code == 0
    result = json.loads(out)
    matrix = pd.DataFrame(result["confusion matrix"]).set_index(["class", "predicted"])["images"]
    assert matrix.groupby("class").sum().to_dict() == {"COVID": 20, "NonCOVID": 12}
    assert result["metrics"]["sensitivity"]["value"] == matrix["COVID", "COVID"] / 20
    code, out, err = run("predict", covid_model, covid_tree / "test/COVID", "--json", "--explain", tmp_path / "maps")
    assert (code, json.loads(out)["probability"]) == (0, "of COVID"), err
    assert len(list((tmp_path / "maps").iterdir())) == 20
    assert {image["predicted"] for image in json.loads(out)["images"]} <= {"COVID", "NonCOVID"}


def test_three_classes_are_evaluated_class_by_class(subtype_model, tiny_tree, run):
    code, out, _ = run("evaluate", subtype_model, "--data", tiny_tree, "--json", "--bootstrap-samples", 20)
    assert code == 0
    result = json.loads(out)
    assert result["classes"] == list(SUBTYPE.classes)
    assert {"accuracy", "macro auc", *(f"{metric}, {name}" for metric in ("sensitivity", "specificity", "auc")
                                       for name in SUBTYPE.classes)} == result["metrics"].keys()
    matrix = pd.DataFrame(result["confusion matrix"])
    right = matrix[matrix["class"] == matrix["predicted"]]["images"].sum()
    assert result["metrics"]["accuracy"]["value"] == right / 32
    code, out, _ = run("evaluate", subtype_model, "--data", tiny_tree, "--bootstrap-samples", 20)
    assert "the most probable class" in out
    scores = pd.read_csv(subtype_model.with_name("scores.csv"))
    np.testing.assert_allclose(scores[SUBTYPE.score_columns].sum(axis=1), 1, atol=1e-6)


def test_three_classes_are_predicted_and_explained_for_a_chosen_class(subtype_model, tiny_tree, tmp_path, run):
    folder = tiny_tree / "test/PNEUMONIA"
    code, out, err = run("predict", subtype_model, folder, "--csv", "--explain", tmp_path / "maps", "--explain-class",
                         "VIRUS")
    assert code == 0, err
    (tmp_path / "out.csv").write_text(out)
    images = pd.read_csv(tmp_path / "out.csv")
    columns = [f"probability {name}" for name in SUBTYPE.classes]
    assert (images[columns].to_numpy().argmax(axis=1) == SUBTYPE.encode(images["predicted"])).all()
    assert "threshold" not in images
    code, _, err = run("predict", subtype_model, folder, "--explain", tmp_path / "more", "--explain-class", "flu")
    assert (code, "the model's classes are NORMAL, BACTERIA, VIRUS" in err) == (2, True)


def test_heat_maps_of_a_class_follow_its_own_output(subtype_model):
    model, facts = load_model(subtype_model)
    images = np.random.default_rng(0).integers(0, 256, (2, facts.images.size, facts.images.size), np.uint8)
    maps = [GradCam(model).heat(images, output) for output in range(3)]
    assert not np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[1], maps[2])


def test_what_speaks_against_the_positive_class_is_another_map(covid_model):
    model, facts = load_model(covid_model)
    images = np.random.default_rng(0).integers(0, 256, (1, facts.images.size, facts.images.size), np.uint8)
    assert not np.array_equal(GradCam(model).heat(images), GradCam(model).heat(images, sign=-1))


def test_sweep_over_three_classes_lists_accuracy_and_macro_auc(tiny_tree, tmp_path, run):
    spec = tmp_path / "sweep.yaml"
    spec.write_text("seeds: [0]\nscore_test: true\nrecipe: {epochs: 1, size: 16, precision: float32}\n")
    code, out, err = run("sweep", spec, "--store", tmp_path / "store", "--data", tiny_tree, "--task", "subtype")
    assert code == 0, err
    code, out, _ = run("trials", tmp_path / "store", "--csv")
    (tmp_path / "trials.csv").write_text(out)
    (trial,) = pd.read_csv(tmp_path / "trials.csv").to_dict("records")
    assert trial["task"] == "subtype"
    assert 0 <= trial["test accuracy"] <= 1
    assert 0 <= trial["test AUC"] <= 1
    assert np.isnan(trial["test sensitivity"])


@pytest.mark.parametrize(("arguments", "words"), [
    (("--threshold", "youden"), "of 3 classes the most probable is predicted"),
    (("--score-every-epoch", "validation"), "score_every_epoch is of two classes"),
    (("--positive", "VIRUS"), "there are 3 classes, NORMAL, BACTERIA, VIRUS")])
def test_what_needs_two_classes_is_refused_of_three(tiny_tree, tmp_path, run, arguments, words):
    code, _, err = run("train", "--data", tiny_tree, "--task", "subtype", "--out", tmp_path / "out", *FAST, *arguments)
    assert code == 2
    assert words in err
    assert not (tmp_path / "out" / "model.keras").exists()


def test_a_share_of_the_first_class_is_of_two_classes(tiny_tree, refused):
    from covidcnn.training.fit import select_images

    images = open_dataset(tiny_tree, task=SUBTYPE).images
    with refused("training_draw is of two classes, and there are 3", error=UserError):
        select_images(images, replace(RECIPE, training_draw=(10, 0.5)), task=SUBTYPE)


def test_report_takes_two_classes(tiny_tree, tmp_path, run):
    code, _, err = run("report", "--data", tiny_tree, "--task", "subtype", "--profile", "smoke", "--out",
                       tmp_path / "report")
    assert (code, "a report tells two classes apart, and there are 3" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.long
def test_report_on_other_classes_leaves_the_published_images_out(covid_tree, tmp_path, run):
    folder = tmp_path / "report"
    code, _, err = run("report", "--data", covid_tree, "--positive", "COVID", "--profile", "smoke", "--only", "10",
                       "--out", folder)
    assert code == 0, err
    code, _, err = run("report", "--data", covid_tree, "--positive", "COVID", "--profile", "smoke", "--only", "04",
                       "--out", folder)
    assert code == 0, err
    made = {path.name for path in (folder / "tables").iterdir()}
    assert {"table_1.csv", "receptive_fields.csv"} <= made
    # Of the evidence on the published images.
    assert not {"evidence_assumptions.csv", "claims_04.csv"} & made
