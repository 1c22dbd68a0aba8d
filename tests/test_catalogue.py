"""The index of a folder of images, whatever people have on disk."""

import errno
import hashlib
import itertools
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidcnn.data import index as catalogue_module
from covidcnn.data.folders import find_layout
from covidcnn.data.index import COLUMNS, content_hash, index_folder
from covidcnn.data.tables import assign_patients
from covidcnn.errors import DataError


def grey(width=48, height=40, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))


# ---------------------------------------------------------------- the table

def test_index_has_a_row_for_every_image_in_order_of_path(tiny_tree):
    images = index_folder(tiny_tree).images
    assert list(images.columns) == COLUMNS
    assert images["path"].tolist() == sorted(path.relative_to(tiny_tree).as_posix()
                                            for path in tiny_tree.rglob("*.jpeg"))
    assert images.groupby(["split", "label"]).size().to_dict() == {
        ("train", "NORMAL"): 24, ("train", "PNEUMONIA"): 40, ("val", "NORMAL"): 4, ("val", "PNEUMONIA"): 4,
        ("test", "NORMAL"): 12, ("test", "PNEUMONIA"): 20}


def test_row_says_what_name_and_file_say(tiny_tree):
    images = index_folder(tiny_tree).images.set_index("path")
    row = images.loc["train/PNEUMONIA/person1000_virus_3.jpeg"]
    content = (tiny_tree / row.name).read_bytes()
    assert row.to_dict() == {
        "split": "train", "label": "PNEUMONIA", "subtype": "virus", "series": "virus", "number": 1000,
        "patient": "virus-1000", "width": 48, "height": 40, "mode": "L",
        "sha256": hashlib.sha256(content).hexdigest(), "note": "", "problem": ""}


def test_published_original_is_indexed_with_its_size_and_mode(shared_originals):
    manifest = pd.read_csv(shared_originals / "manifest.csv").set_index("file")
    catalogue = index_folder(shared_originals)
    images = catalogue.images.set_index("path")
    assert len(catalogue.unreadable) == 0
    pd.testing.assert_frame_equal(images[["width", "height", "mode"]],
                                  manifest.loc[images.index, ["width", "height", "mode"]], check_names=False)


def test_unknown_name_makes_each_image_its_own_patient(small_tree):
    for split in ("train", "test"):
        grey(seed=len(split)).save(small_tree / split / "NORMAL" / "x1.png")
        grey(seed=9 + len(split)).save(small_tree / split / "PNEUMONIA" / "x1.png")
    images = index_folder(small_tree).images
    unknown = images[images["path"].str.endswith("x1.png")]
    assert unknown["patient"].nunique() == 4
    assert unknown.groupby("label")["subtype"].unique().map(list).to_dict() == {
        "NORMAL": ["normal"], "PNEUMONIA": ["unknown"]}
    assert (unknown["series"] == "").all()
    assert (unknown["number"] == -1).all()


# ---------------------------------------------------------------- layouts

def test_kaggle_archive_is_read_once_and_its_litter_passed_over(tiny_tree, tmp_path):
    outer = tmp_path / "chest_xray"
    shutil.copytree(tiny_tree, outer)
    shutil.copytree(tiny_tree, outer / "chest_xray")
    litter = outer / "__MACOSX" / "chest_xray" / "train" / "NORMAL"
    litter.mkdir(parents=True)
    (litter / "._IM-0115-0001.jpeg").write_bytes(b"x")
    for folder in (outer, outer / "train", outer / "train" / "NORMAL"):
        (folder / ".DS_Store").write_bytes(b"x")
    (outer / "train" / "NORMAL" / "._IM-1000-0001.jpeg").write_bytes(b"x")
    (outer / "train" / "NORMAL" / "Thumbs.db").write_bytes(b"x")
    catalogue = index_folder(outer)
    assert catalogue.root == outer
    assert len(catalogue.images) == 104
    assert len(catalogue.unreadable) == 0
    assert catalogue.ignored == ()


@pytest.mark.parametrize("nesting", ["chest_xray", "archive/chest_xray"])
def test_folder_around_the_data_set_will_do(small_tree, tmp_path, nesting):
    root = tmp_path / "download" / nesting
    root.parent.mkdir(parents=True)
    small_tree.rename(root)
    assert find_layout(tmp_path / "download").root == root


def test_macosx_folder_alone_is_no_data_set(small_tree, tmp_path, refused):
    (tmp_path / "download").mkdir()
    small_tree.rename(tmp_path / "download" / "__MACOSX")
    with refused(tmp_path / "download", "NORMAL and PNEUMONIA", error=DataError):
        find_layout(tmp_path / "download")


def test_folder_without_splits_is_split_all(small_tree):
    images = index_folder(small_tree / "train").images
    assert set(images["split"]) == {"all"}
    assert images["path"].str.split("/").str[0].value_counts().to_dict() == {"PNEUMONIA": 8, "NORMAL": 4}


def test_case_of_folders_and_endings_does_not_matter(small_tree):
    (small_tree / "train").rename(small_tree / "Train")
    (small_tree / "Train" / "NORMAL").rename(small_tree / "Train" / "normal")
    image = small_tree / "Train" / "normal" / "IM-1000-0001.jpeg"
    image.rename(image.with_suffix(".JPG"))
    images = index_folder(small_tree).images.set_index("path")
    row = images.loc["Train/normal/IM-1000-0001.JPG"]
    assert (row["split"], row["label"], row["patient"]) == ("train", "NORMAL", "IM-1000")
    assert len(images) == 20


def test_images_in_folders_within_a_class_are_found(small_tree):
    deeper = small_tree / "train" / "NORMAL" / "more"
    deeper.mkdir()
    grey().save(deeper / "IM-1999-0001.png")
    row = index_folder(small_tree).images.set_index("path").loc["train/NORMAL/more/IM-1999-0001.png"]
    assert (row["split"], row["label"]) == ("train", "NORMAL")


def test_files_that_are_no_images_by_their_ending_are_listed(small_tree):
    (small_tree / "train" / "NORMAL" / "notes.txt").write_text("x")
    (small_tree / "readme.txt").write_text("beside the classes nothing is looked at")
    catalogue = index_folder(small_tree)
    assert catalogue.ignored == ("train/NORMAL/notes.txt",)
    assert len(catalogue.images) == 20


def test_images_outside_the_class_folders_are_counted_by_folder(small_tree):
    shutil.copytree(small_tree / "train/PNEUMONIA", small_tree / "train/COVID19")
    shutil.copytree(small_tree / "val", small_tree / "valid")
    grey().save(small_tree / "train/loose.png")
    grey().save(small_tree / "loose.png")
    # None of these is an image of this set that goes unused: litter, texts, a link to what is read, a copy of the set.
    for name in ("__MACOSX", ".git", "notes"):
        (small_tree / name).mkdir()
    grey().save(small_tree / "__MACOSX/a.png")
    grey().save(small_tree / ".git/a.png")
    (small_tree / "notes/a.txt").write_text("x")
    (small_tree / "validation").symlink_to(small_tree / "val")
    shutil.copytree(small_tree / "train", small_tree / "copy/train")
    catalogue = index_folder(small_tree)
    assert catalogue.elsewhere == {"copy": 9, "train/COVID19": 8, "valid": 4, ".": 1, "train": 1}
    assert list(catalogue.elsewhere) == ["copy", "train/COVID19", "valid", ".", "train"]
    assert len(catalogue.images) == 20


@pytest.mark.parametrize("path", ["masks/a.png", "Lung Masks/a.png", "leftMask/b/a.png", "a_mask.png", "mask_a.png",
                                  "Segmentations/a.png", "p0_mask1.png", "mask_png/a.png", "manual_masks/a.png",
                                  "p0_seg.png", "p0-msk.png", "GT/a.png", "ground_truth/a.png", "lungmask.png"])
def test_masks_are_no_images(small_tree, path):
    image = small_tree / "train/NORMAL" / path
    image.parent.mkdir(parents=True, exist_ok=True)
    grey().save(image)
    catalogue = index_folder(small_tree)
    assert catalogue.masks == (f"train/NORMAL/{path}",)
    assert len(catalogue.images) == 20


def test_name_that_only_sounds_like_a_mask_is_read(small_tree):
    (small_tree / "train/NORMAL/masked").mkdir()
    grey().save(small_tree / "train/NORMAL/masked/unmasked-lung.png")
    catalogue = index_folder(small_tree)
    assert (len(catalogue.images), catalogue.masks) == (21, ())


@pytest.mark.parametrize(("name", "words"), [("images.zip", "unzip images.zip"),
                                             ("images.tar.gz", "tar -xf images.tar.gz"),
                                             ("pneumoniamnist.npz", "fetch pneumoniamnist --from pneumoniamnist.npz")])
def test_archive_is_to_be_unpacked(tmp_path, refused, name, words):
    (tmp_path / "a.png").write_bytes(b"x")
    if name.endswith(".tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.add(tmp_path / "a.png", "a.png")
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(tmp_path / "a.png", "a.png")
    with refused(tmp_path / name, "an archive", words, error=DataError):
        index_folder(tmp_path / name)
    if not name.endswith("npz"):
        with refused(tmp_path, f"unpack {name}", error=DataError):
            index_folder(tmp_path)


def test_archive_that_broke_off_is_no_data_set_and_no_crash(tmp_path, refused):
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as archive:
        archive.add(__file__, "a.py")
    (tmp_path / "scan.nii.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:200])
    (tmp_path / "whole.tar.gz").unlink()
    with refused("no data set here", error=DataError):
        index_folder(tmp_path)


def test_missing_folder_is_refused(tmp_path, refused):
    with refused(tmp_path / "nowhere", "no such folder", "give the folder", error=DataError):
        index_folder(tmp_path / "nowhere")


def test_file_instead_of_a_folder_is_refused(tmp_path, refused):
    (tmp_path / "chest_xray.zip").write_bytes(b"x")
    with refused("chest_xray.zip", "give the folder", error=DataError):
        index_folder(tmp_path / "chest_xray.zip")


def test_folder_that_is_no_data_set_is_refused(tmp_path, refused):
    (tmp_path / "holiday" / "beach").mkdir(parents=True)
    with refused(tmp_path / "holiday", "train, val and test", error=DataError):
        index_folder(tmp_path / "holiday")


# ---------------------------------------------------------------- bad and odd files

@pytest.mark.parametrize("name", ["garbage.jpeg", "text.png", "truncated.jpeg", "truncated.png", "headless.jpeg",
                                  "empty.jpeg", "one-pixel.png", "bomb.png", "cut-in-second-frame.gif"])
def test_bad_file_is_listed_and_the_others_are_read(small_tree, bad_images, name):
    (small_tree / "train" / "NORMAL" / name).write_bytes(bad_images[name])
    catalogue = index_folder(small_tree)
    assert len(catalogue.images) == 20
    assert catalogue.unreadable["path"].tolist() == [f"train/NORMAL/{name}"]
    problem = catalogue.unreadable["problem"].iloc[0]
    assert "remove it" in problem
    assert str(small_tree) not in problem
    assert "\n" not in problem


def test_image_that_a_link_leads_to_is_seen_when_it_changes(small_tree, tmp_path):
    elsewhere, link = tmp_path / "elsewhere.png", small_tree / "train" / "NORMAL" / "link.png"
    link.symlink_to(elsewhere)
    for grey in (0, 200):
        Image.fromarray(np.full((40, 40 + grey), grey, np.uint8)).save(elsewhere)
        images = index_folder(small_tree).images.set_index("path")
        assert images.loc["train/NORMAL/link.png", "width"] == 40 + grey


def test_link_to_nothing_is_listed_as_unreadable(small_tree):
    (small_tree / "train" / "NORMAL" / "gone.jpeg").symlink_to(small_tree / "moved-away.jpeg")
    catalogue = index_folder(small_tree)
    assert catalogue.unreadable["path"].tolist() == ["train/NORMAL/gone.jpeg"]
    assert len(catalogue.images) == 20


@pytest.mark.parametrize(("name", "image", "mode"), [
    ("a.png", grey().convert("RGBA"), "RGBA"),
    ("b.jpg", grey().convert("CMYK"), "CMYK"),
    ("c.png", Image.fromarray(np.full((40, 48), 4000, np.uint16)), "I;16"),
    ("d.tiff", grey(), "L"),
    ("e.bmp", grey(), "L"),
    ("f.webp", grey().convert("RGB"), "RGB"),
])
def test_image_of_any_usual_kind_is_indexed(small_tree, name, image, mode):
    image.save(small_tree / "train" / "NORMAL" / name)
    row = index_folder(small_tree).images.set_index("path").loc[f"train/NORMAL/{name}"]
    assert (row["width"], row["height"], row["mode"], row["note"]) == (48, 40, mode, "")


def test_animated_file_is_indexed_with_a_note(small_tree):
    path = small_tree / "train" / "NORMAL" / "moving.gif"
    grey().save(path, save_all=True, append_images=[grey(seed=1), grey(seed=2)])
    row = index_folder(small_tree).images.set_index("path").loc["train/NORMAL/moving.gif"]
    assert row["note"] == "3 frames, only the first is read"


# ---------------------------------------------------------------- the stored index

def test_second_call_reads_the_stored_index_and_gives_the_same_table(small_tree, bad_images, monkeypatch):
    # Mode '1' looks like a number in the stored table.
    grey().convert("1").save(small_tree / "train" / "NORMAL" / "black and, white.png")
    (small_tree / "train" / "NORMAL" / "empty.jpeg").write_bytes(bad_images["empty.jpeg"])
    first = index_folder(small_tree)
    monkeypatch.setattr(catalogue_module, "read_grey", None)
    second = index_folder(small_tree)
    assert second.images.to_dict() == first.images.to_dict()
    assert second.unreadable.to_dict() == first.unreadable.to_dict()


def test_names_that_are_numbers_stay_text_in_the_stored_index(tmp_path):
    (tmp_path / "set").mkdir()
    for number in range(4):
        grey(seed=number).save(tmp_path / "set" / f"000{number}", "PNG")
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"000{number},{number % 2}\n" for number in range(4)))
    first, second = (index_folder(tmp_path / "set", labels=tmp_path / "labels.csv").images for _ in range(2))
    assert second["path"].tolist() == ["0000", "0001", "0002", "0003"]
    pd.testing.assert_frame_equal(first, second)


def test_changed_added_and_removed_images_are_seen(small_tree):
    before = index_folder(small_tree).images.set_index("path")["sha256"]
    grey(50, 44).save(small_tree / "train" / "NORMAL" / "IM-1000-0001.jpeg")
    grey(seed=3).save(small_tree / "train" / "NORMAL" / "IM-1500-0001.jpeg")
    (small_tree / "test" / "NORMAL" / "IM-0001-0001.jpeg").unlink()
    after = index_folder(small_tree).images.set_index("path")["sha256"]
    assert set(after.index) - set(before.index) == {"train/NORMAL/IM-1500-0001.jpeg"}
    assert set(before.index) - set(after.index) == {"test/NORMAL/IM-0001-0001.jpeg"}
    both = before.index.intersection(after.index)
    assert both[before[both] != after[both]].tolist() == ["train/NORMAL/IM-1000-0001.jpeg"]


def test_progress_counts_up_to_all_images(small_tree):
    seen = []
    index_folder(small_tree, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 20) for done in range(1, 21)]


def test_full_disk_is_refused_and_leaves_no_half_index(small_tree, tmp_path, monkeypatch, refused):
    def fails_half_way(table, path, **options):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pd.DataFrame, "to_csv", fails_half_way)
    with refused(tmp_path / "cache", "No space left on device", "COVIDCNN_CACHE"):
        index_folder(small_tree)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_cache_that_is_a_file_is_refused(small_tree, tmp_path, monkeypatch, refused):
    (tmp_path / "cache").write_text("x")
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "cache"))
    with refused(tmp_path / "cache", "COVIDCNN_CACHE"):
        index_folder(small_tree)


# ---------------------------------------------------------------- patients from a CSV

@pytest.fixture
def unnamed(tmp_path):
    """Four images of an unknown naming scheme; one file name occurs twice."""
    for path in ("train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/NORMAL/c.png", "test/PNEUMONIA/b.png"):
        (tmp_path / "set" / path).parent.mkdir(parents=True)
        grey(seed=hash(path) % 1000).save(tmp_path / "set" / path)
    return index_folder(tmp_path / "set").images


def write(path, text):
    path.write_text(text)
    return path


def test_csv_gives_patients_by_path_and_by_unique_file_name(unnamed, tmp_path):
    csv = write(tmp_path / "p.csv", "path,patient\na.png,007\nc.png,007\ntrain/PNEUMONIA/b.png,8\n"
                                    "test/PNEUMONIA/b.png,nil\n")
    given = assign_patients(unnamed, csv).set_index("path")["patient"]
    assert given.to_dict() == {"train/NORMAL/a.png": "007", "test/NORMAL/c.png": "007",
                               "train/PNEUMONIA/b.png": "8", "test/PNEUMONIA/b.png": "nil"}


@pytest.mark.parametrize("text", [
    "path;patient\n{};1\n", "\ufeffPath\tPATIENT\n{}\t1\n", "Age, Path , Patient\n3, {} , 1 \n",
    "path,patient\n{},1,\n", "sep=;\npath;patient\n{};1\n", "path,patient\n./{},1\n", "path,patient\nWINDOWS{},1\n",
])
def test_csv_is_read_as_programs_write_it(unnamed, tmp_path, text):
    *head, line = text.splitlines()
    lines = [line.replace("WINDOWS{}", ".\\" + path.replace("/", "\\")).replace("{}", path) for path in unnamed["path"]]
    csv = tmp_path / "p.csv"
    csv.write_text("\n".join([*head, *lines]), encoding="utf-8")
    assert assign_patients(unnamed, csv)["patient"].tolist() == ["1"] * 4


def test_csv_leaves_the_images_it_was_given_untouched(unnamed, tmp_path):
    before = unnamed.copy()
    csv = write(tmp_path / "p.csv", "path,patient\n" + "".join(f"{path},1\n" for path in unnamed["path"]))
    assert set(assign_patients(unnamed, csv)["patient"]) == {"1"}
    pd.testing.assert_frame_equal(unnamed, before)


@pytest.mark.parametrize(("text", "words"), [
    ("path,age,child\na.png,3,1\n", ("no column patient", "it has path, age, child", "patients.csv:COLUMN")),
    ("path,patient\na.png,1\na.png,2\n", ("'a.png' is listed twice",)),
    ("path,patient\na.png,1\n", ("no patient for 3 images", "test/NORMAL/c.png", "add a line")),
    ("path,patient\na.png,1\nc.png,2\nb.png,3\n", ("no patient for 2 images", "test/PNEUMONIA/b.png")),
    ("path,patient\na.png,\nc.png,2\ntrain/PNEUMONIA/b.png,3\ntest/PNEUMONIA/b.png,3\n",
     ("no patient for 1 images", "train/NORMAL/a.png")),
    ("path,patient\na.png,NA\nc.png,N/A\ntrain/PNEUMONIA/b.png,unknown\ntest/PNEUMONIA/b.png,3\n",
     ("no patient for 3 images",)),
    ("", ("not a readable CSV",)),
    ("path|patient\na.png|1\n", ("no column names an image", "it has path|patient", "comma, semicolon or tab")),
    ("Path,path,patient\na.png,a.png,1\n", ("no column path, or two",)),
    ("path,patient\na.png,1\n./a.png,2\n", ("'a.png' is listed twice",)),
    ("path,patient,patient\na.png,1,2\n", ("no column patient, or two",)),
    ("path,path,patient\na.png,c.png,2\n", ("no column path, or two",)),
    ("path,patient\na.png,1,2\n", ("not a readable CSV", "line 2")),
])
def test_faulty_csv_of_patients_is_refused(unnamed, tmp_path, refused, text, words):
    csv = write(tmp_path / "patients.csv", text)
    with refused(csv, *words, error=DataError):
        assign_patients(unnamed, csv)


def test_missing_csv_of_patients_is_refused(unnamed, tmp_path, refused):
    with refused("nowhere.csv", error=DataError):
        assign_patients(unnamed, tmp_path / "nowhere.csv")


# ---------------------------------------------------------------- content hash

def test_content_hash_follows_content_and_not_place_or_order(small_tree, tmp_path):
    images = index_folder(small_tree).images
    moved = shutil.copytree(small_tree, tmp_path / "elsewhere")
    assert content_hash(index_folder(moved).images) == content_hash(images)
    assert content_hash(images.sample(frac=1, random_state=0)) == content_hash(images)


@pytest.mark.parametrize("column", ["split", "label", "patient", "sha256"])
def test_content_hash_changes_with_what_decides_a_result(small_tree, column):
    images = index_folder(small_tree).images
    changed = images.copy()
    changed.loc[0, column] = "other"
    assert content_hash(changed) != content_hash(images)
    for column in ("path", "subtype", "patient"):
        other = images.copy()
        other.loc[0, column] = "another"
        assert content_hash(other) != content_hash(images)


@pytest.mark.parametrize("damage", ["", "a,b\n1,2\n"])
def test_damaged_index_is_made_again(small_tree, own_cache, damage):
    before = index_folder(small_tree).images
    newest = max((own_cache / "index").glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_text(damage)
    pd.testing.assert_frame_equal(index_folder(small_tree).images, before)


def test_name_that_is_no_text_is_named_and_refused(tiny_tree, tmp_path, refused):
    """Tables and pages are UTF-8: a name that is not would break them half-way."""
    tree = shutil.copytree(tiny_tree, tmp_path / "tree")
    source = next((tree / "train" / "NORMAL").iterdir())
    try:
        source.rename(source.with_name(os.fsdecode(b"image-\xff.jpeg")))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with refused(r"image-\xff.jpeg", "not UTF-8", "rename it"):
        index_folder(tree)


@pytest.mark.parametrize("name", ["line\rbreak.jpeg", "line\nbreak.jpeg", "escape\x1b[31m.jpeg"])
def test_name_with_a_control_character_is_refused(tiny_tree, tmp_path, refused, name):
    tree = shutil.copytree(tiny_tree, tmp_path / "tree")
    source = next((tree / "train" / "NORMAL").iterdir())
    source.rename(source.with_name(name))
    with refused(ascii(name)[1:-1], "control character", "rename it"):
        index_folder(tree)


def test_images_behind_links_to_folders_are_found_once(tiny_tree, tmp_path):
    tree = shutil.copytree(tiny_tree, tmp_path / "tree")
    before = len(index_folder(tree).images)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(next((tree / "train" / "NORMAL").iterdir()), elsewhere / "IM-9999-0001.jpeg")
    # Two links to one folder, and two that lead back up.
    for link, target in (("study", elsewhere), ("same", elsewhere), ("loop", tree / "train" / "NORMAL"),
                         ("up", tree / "train")):
        (tree / "train" / "NORMAL" / link).symlink_to(target)
    found = set(index_folder(tree).images["path"])
    assert len(found) == before + 1
    assert "train/NORMAL/same/IM-9999-0001.jpeg" in found


def test_names_of_viewers_in_a_folder_a_patient_are_no_patients_of_the_published_set(tmp_path):
    """IM-0001-0001 is what viewers call the first image of whichever patient."""
    for label, patient in itertools.product(("COVID", "NonCOVID"), "abc"):
        folder = tmp_path / "test" / label / patient
        folder.mkdir(parents=True)
        for number in (1, 2):
            Image.fromarray(np.full((20, 20), number, np.uint8)).save(folder / f"IM-0001-000{number}.png")
    catalogue = index_folder(tmp_path)
    assert catalogue.images["patient"].nunique() == 12
    assert set(catalogue.images["subtype"]) == {"unknown"}


def test_first_line_that_names_an_image_is_no_line_of_names(unnamed, tmp_path, refused):
    csv = write(tmp_path / "patients.csv", "a.png,1\nc.png,2\n")
    with refused(csv, "its first line names an image", error=DataError):
        assign_patients(unnamed, csv)
