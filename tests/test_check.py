"""What is found wrong with, or worth knowing of, a data set."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidcnn.data.check import counts_table, duplicate_groups, examine, patients_across_splits, shortcut_warnings
from covidcnn.data.index import index_folder
from covidcnn.data.phantom import MARKER
from covidcnn.data.tables import assign_patients


def look(folder):
    return examine(index_folder(folder))


def only(lines, *words):
    """The one line that holds all of these words."""
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, lines
    assert "\n" not in found[0]
    return found[0]


def test_sound_data_set_gives_neither_errors_nor_warnings(tiny_tree):
    findings = look(tiny_tree)
    assert findings.errors == ()
    assert findings.warnings == ()
    assert "not the published set" in findings.identity


def test_counts_stand_in_the_published_order_with_totals(tiny_tree):
    counts = counts_table(index_folder(tiny_tree).images)
    assert list(counts.index) == ["train", "val", "test"]
    assert list(counts.columns) == ["NORMAL", "PNEUMONIA", "total"]
    assert counts.to_numpy().tolist() == [[24, 40, 64], [4, 4, 8], [12, 20, 32]]


def test_copies_within_a_class_are_one_warning(small_tree):
    normal = small_tree / "train" / "NORMAL"
    shutil.copy(normal / "IM-1000-0001.jpeg", normal / "IM-1000-0003.jpeg")
    shutil.copy(normal / "IM-1000-0001.jpeg", normal / "IM-1000-0004.jpeg")
    findings = look(small_tree)
    assert findings.errors == ()
    assert findings.warnings == (
        "1 groups of identical files, 2 surplus copies, the first train/NORMAL/IM-1000-0001.jpeg = "
        "train/NORMAL/IM-1000-0003.jpeg = train/NORMAL/IM-1000-0004.jpeg",)
    assert duplicate_groups(index_folder(small_tree).images)["group"].tolist() == [1, 1, 1]


def test_of_many_copies_the_first_few_are_named(small_tree):
    for label in ("NORMAL", "PNEUMONIA"):
        first = next((small_tree / "train" / label).iterdir())
        for number in range(100):
            shutil.copy(first, first.with_name(f"copy-{number}{first.suffix}"))
    assert "and 98 more" in only(look(small_tree).warnings, "groups of identical files")
    shutil.copy(first, small_tree / "train/NORMAL/other.jpeg")
    error = only(look(small_tree).errors, "two labels", "and 99 more")
    assert error.startswith("train/NORMAL/other.jpeg and train/PNEUMONIA/")
    assert all(len(line) < 300 for line in look(small_tree).warnings)


def test_copies_in_two_splits_are_warned_of(small_tree):
    shutil.copy(small_tree / "train" / "NORMAL" / "IM-1000-0001.jpeg",
                small_tree / "test" / "NORMAL" / "IM-0500-0001.jpeg")
    only(look(small_tree).warnings, "1 groups of identical files lie in more than one split", "too good")


def test_identical_files_under_two_labels_are_an_error_that_names_both(small_tree):
    shutil.copy(small_tree / "train" / "NORMAL" / "IM-1000-0001.jpeg",
                small_tree / "train" / "PNEUMONIA" / "person1900_virus_99.jpeg")
    assert only(look(small_tree).errors, "two labels") == (
        "train/NORMAL/IM-1000-0001.jpeg and train/PNEUMONIA/person1900_virus_99.jpeg: the same image under two "
        "labels; remove the wrong one")


def test_patient_in_two_splits_is_warned_of(small_tree):
    (small_tree / "test" / "NORMAL" / "IM-0001-0001.jpeg").rename(
        small_tree / "test" / "NORMAL" / "IM-1000-0009.jpeg")
    findings = look(small_tree)
    assert findings.errors == ()
    only(findings.warnings, "1 patients stand in more than one split", "IM-1000")
    across = patients_across_splits(index_folder(small_tree).images)
    assert across["path"].tolist() == ["test/NORMAL/IM-1000-0009.jpeg", "train/NORMAL/IM-1000-0001.jpeg",
                                       "train/NORMAL/IM-1000-0002.jpeg"]


def test_unknown_names_are_warned_of_until_a_csv_gives_the_patients(small_tree, tmp_path):
    (small_tree / "test" / "NORMAL" / "IM-0001-0001.jpeg").rename(small_tree / "test" / "NORMAL" / "scan7.jpeg")
    catalogue = index_folder(small_tree)
    only(examine(catalogue).warnings, "1 file names", "test/NORMAL/scan7.jpeg", "--patients CSV")
    csv = tmp_path / "patients.csv"
    catalogue.images[["path", "patient"]].assign(patient=lambda table: "child-" + table["patient"]).to_csv(
        csv, index=False)
    assert examine(replace(catalogue, images=assign_patients(catalogue.images, csv))).warnings == ()


def test_name_that_contradicts_its_folder_is_warned_of(small_tree):
    (small_tree / "train" / "PNEUMONIA" / "person1000_bacteria_1.jpeg").rename(
        small_tree / "train" / "NORMAL" / "person1000_bacteria_1.jpeg")
    only(look(small_tree).warnings, "train/NORMAL/person1000_bacteria_1.jpeg", "bacteria", "NORMAL")


def test_animated_and_unknown_files_are_warned_of(small_tree):
    still, moved = (Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48), np.uint8))
                    for seed in (0, 1))
    still.save(small_tree / "train" / "NORMAL" / "IM-1900-0001.gif", save_all=True, append_images=[moved])
    (small_tree / "train" / "NORMAL" / "notes.txt").write_text("x")
    findings = look(small_tree)
    assert findings.errors == ()
    only(findings.warnings, "train/NORMAL/IM-1900-0001.gif", "2 frames, only the first is read")
    only(findings.warnings, "1 files", "train/NORMAL/notes.txt")


def test_images_that_are_passed_over_are_warned_of(small_tree):
    shutil.copytree(small_tree / "train/PNEUMONIA", small_tree / "train/COVID19")
    shutil.copytree(small_tree / "train/NORMAL", small_tree / "train/NORMAL/masks")
    findings = look(small_tree)
    assert findings.errors == ()
    only(findings.warnings, "8 images lie outside", "8 in train/COVID19")
    only(findings.warnings, "4 images are masks", "train/NORMAL/masks/", "and 1 more")


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_missing_or_empty_class_is_an_error(small_tree, how):
    shutil.rmtree(small_tree / "test" / "NORMAL")
    if how == "empty":
        (small_tree / "test" / "NORMAL").mkdir()
    only(look(small_tree).errors, "test", "no image of class NORMAL", "add")


def test_split_folder_with_two_empty_classes_is_an_error(small_tree):
    for label in ("NORMAL", "PNEUMONIA"):
        shutil.rmtree(small_tree / "test" / label)
        (small_tree / "test" / label).mkdir()
    assert any(error.startswith("test") for error in look(small_tree).errors)


def test_missing_class_without_split_folders_is_an_error(small_tree):
    shutil.rmtree(small_tree / "train" / "PNEUMONIA")
    only(look(small_tree / "train").errors, "no image of class PNEUMONIA")


def test_bad_file_is_an_error_with_its_path_and_remedy(small_tree, bad_images):
    (small_tree / "train" / "NORMAL" / "IM-1.jpeg").write_bytes(bad_images["empty.jpeg"])
    assert look(small_tree).errors == (
        "train/NORMAL/IM-1.jpeg: the file is empty; copy it again or remove it",)


def test_folder_of_bad_files_only_is_an_error_and_no_crash(small_tree, bad_images):
    for path in small_tree.rglob("*.jpeg"):
        path.write_bytes(bad_images["garbage.jpeg"])
    findings = look(small_tree)
    assert len(findings.errors) == 21
    only(findings.errors, "no readable image in any class folder")
    assert findings.counts.to_numpy().sum() == 0
    (table := small_tree.parent / "p.csv").write_text("path,patient\nIM-1.jpeg,1\n")
    only(examine(index_folder(small_tree, patients=table)).errors, "no readable image in any class folder")


def test_files_without_an_ending_are_one_format():
    """And not one each, as of names that are numbers joined by dots."""
    images = pd.DataFrame({"path": [f"1.2.{number}" if number < 60 else f"{number}.png" for number in range(120)],
                           "split": "train", "label": ["NORMAL"] * 60 + ["PNEUMONIA"] * 60, "width": 9, "height": 9,
                           "mode": "L"})
    assert [line.split(" alone")[0] for line in shortcut_warnings(images)] == [
        "file format (none)", "file format (png)"]


def test_damaged_phantom_marker_is_an_error_and_no_crash(small_tree):
    (small_tree / MARKER).write_text("{")
    only(look(small_tree).errors, MARKER, "damaged")


def test_published_set_has_its_30_duplicate_groups_as_a_warning_and_no_error(published):
    findings = examine(published)
    assert findings.errors == ()
    only(findings.warnings, "30 groups of identical files (known of the published set: 30)", "32 surplus")
    assert not any("more than one split" in warning for warning in findings.warnings)
    groups = duplicate_groups(published.images).groupby("group")
    assert groups["split"].first().value_counts().to_dict() == {"train": 24, "test": 6}
    assert groups["label"].nunique().max() == 1
    assert findings.counts["total"].to_dict() == {"train": 5216, "val": 16, "test": 624}
    pd.testing.assert_series_equal(findings.counts.loc["train", ["NORMAL", "PNEUMONIA"]],
                                   pd.Series({"NORMAL": 1341, "PNEUMONIA": 3875}), check_names=False)
