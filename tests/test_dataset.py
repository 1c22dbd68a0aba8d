"""Opening a data set."""

import json
import shutil

import pytest

from covidcnn.data import dataset as dataset_module
from covidcnn.data.dataset import open_dataset
from covidcnn.data.phantom import MARKER
from covidcnn.data.sources import CHEST_XRAY, OWN, PHANTOM
from covidcnn.errors import DataError


def test_sound_folder_opens_with_its_images_and_name(tiny_tree):
    data = open_dataset(tiny_tree)
    assert (data.root, data.name, len(data.images), len(data.left_out)) == (tiny_tree, "tiny", 104, 0)
    assert data.source is OWN
    assert data.warnings == ()


def test_name_is_fit_for_a_folder(small_tree, tmp_path):
    renamed = small_tree.rename(tmp_path / "my images (2024)")
    assert open_dataset(renamed).name == "my-images-2024"


def test_name_is_that_of_the_inner_folder(small_tree, tmp_path):
    (tmp_path / "download").mkdir()
    small_tree.rename(tmp_path / "download" / "chest_xray")
    assert open_dataset(tmp_path / "download").name == "chest_xray"


def test_folder_is_taken_from_the_environment_only_if_none_is_given(tiny_tree, small_tree, monkeypatch):
    monkeypatch.setenv("COVIDCNN_DATA", str(small_tree))
    assert open_dataset().root == small_tree
    assert open_dataset(str(tiny_tree)).root == tiny_tree


def test_missing_folder_is_refused(tmp_path, refused):
    with refused(tmp_path / "nowhere", "give the folder", error=DataError):
        open_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["garbage.jpeg", "truncated.jpeg", "empty.jpeg", "one-pixel.png", "bomb.png"])
def test_bad_file_is_refused_by_name_with_the_remedies(small_tree, bad_images, refused, name):
    (small_tree / "train" / "NORMAL" / name).write_bytes(bad_images[name])
    with refused(f"train/NORMAL/{name}", "remove it", "--skip-bad", error=DataError):
        open_dataset(small_tree)


def test_bad_files_are_left_out_and_listed_only_when_told(small_tree, bad_images):
    for name in ("empty.jpeg", "garbage.jpeg"):
        (small_tree / "train" / "NORMAL" / name).write_bytes(bad_images[name])
    data = open_dataset(small_tree, skip_bad=True)
    assert len(data.images) == 20
    assert data.left_out["path"].tolist() == ["train/NORMAL/empty.jpeg", "train/NORMAL/garbage.jpeg"]


def test_leaving_bad_files_out_does_not_excuse_other_errors(small_tree, bad_images, refused):
    (small_tree / "train" / "NORMAL" / "empty.jpeg").write_bytes(bad_images["empty.jpeg"])
    shutil.rmtree(small_tree / "test" / "NORMAL")
    with refused("test: no image of class NORMAL", error=DataError):
        open_dataset(small_tree, skip_bad=True)


def test_leaving_bad_files_out_does_not_excuse_an_empty_set(small_tree, bad_images, refused):
    for path in small_tree.rglob("*.jpeg"):
        path.write_bytes(bad_images["garbage.jpeg"])
    with refused(small_tree, "no readable image", error=DataError):
        open_dataset(small_tree, skip_bad=True)


def test_two_labels_for_one_image_are_refused(small_tree, refused):
    shutil.copy(small_tree / "train" / "NORMAL" / "IM-1000-0001.jpeg",
                small_tree / "train" / "PNEUMONIA" / "person1900_virus_99.jpeg")
    with refused("IM-1000-0001.jpeg", "person1900_virus_99.jpeg", "remove the wrong one", error=DataError):
        open_dataset(small_tree)


def test_several_errors_are_counted_in_one_line(small_tree, bad_images, refused):
    for name in ("empty.jpeg", "garbage.jpeg"):
        (small_tree / "train" / "NORMAL" / name).write_bytes(bad_images[name])
    with refused("empty.jpeg", "1 more error", "covidcnn data check", error=DataError):
        open_dataset(small_tree)


def test_patients_come_from_the_csv(small_tree, tmp_path):
    csv = tmp_path / "patients.csv"
    csv.write_text("path,patient\n" + "".join(f"{path.name},{path.parent.parent.name}-child\n"
                                              for path in sorted(small_tree.rglob("*.jpeg"))))
    data = open_dataset(small_tree, patients=csv)
    assert set(data.images["patient"]) == {"train-child", "val-child", "test-child"}
    assert data.content_hash != open_dataset(small_tree).content_hash


def test_marked_folder_is_a_phantom_and_says_so(small_tree):
    (small_tree / MARKER).write_text(json.dumps({"seed": 7}))
    data = open_dataset(small_tree)
    assert data.source is PHANTOM
    assert data.name == "phantom"
    assert "phantom" in data.identity
    assert "seed 7" in data.identity
    assert "no child" in data.identity


def test_phantom_images_are_drawn_once_where_no_folder_is_named(make_tree, tmp_path, monkeypatch):
    drawn = []

    def draw(folder, *args, **kwargs):
        drawn.append(folder)
        make_tree(folder, {"train": (4, 8), "val": (2, 2), "test": (2, 2)})
        (folder / MARKER).write_text(json.dumps({"seed": 0}))

    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset_module.phantom, "write_phantom", draw)
    assert open_dataset().source is PHANTOM
    assert open_dataset("").source is PHANTOM
    assert len(drawn) == 1
    assert tmp_path / "cache" in drawn[0].parents


def test_published_set_is_known_when_opened(shared_images, published):
    data = open_dataset(shared_images)
    assert data.source is CHEST_XRAY
    assert data.source.protects_test
    assert len(data.images) == 5856
    assert data.name == "chest_xray_224"
    assert "CC BY 4.0" in data.identity
