"""The images of the natural experiment: byte for byte the design's, whole or not at all."""

from functools import partial

import experiment
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_images import read_sample, write_small_images

from covidcnn.cli import main

command = partial(main, experiment.app, "experiment.py")


def paths_of(table):
    return table["split"] + "/" + table["class"] + "/" + table["file"]


def sample_of(folder):
    """All images of a folder as a sample."""
    parts = [path.relative_to(folder).parts for path in sorted(folder.rglob("*.jpeg"))]
    return pd.DataFrame(parts, columns=["split", "class", "file"]).assign(sample="other")


def test_sample_is_of_training_images_but_for_those_picked_by_hand():
    sample = read_sample()
    assert list(sample.columns) == ["split", "class", "file", "sample"]
    assert sample["sample"].value_counts().to_dict() == {"random 30 %": 1566, "other": 89}
    random = sample[sample["sample"] == "random 30 %"]
    assert set(random["split"]) == {"train"}
    assert random["class"].value_counts().to_dict() == {"NORMAL": 403, "PNEUMONIA": 1163}
    assert paths_of(sample).is_unique


def test_originals_become_the_images_of_the_design(shared_originals, shared_aspect, tmp_path):
    """The 56 originals that there are; of the others the hash in design.yaml tells."""
    sample = read_sample()
    own = sample[[(shared_originals / path).is_file() for path in paths_of(sample)]]
    assert len(own) == 56
    write_small_images(shared_originals, tmp_path / "small", own)
    for path in paths_of(own):
        assert (tmp_path / "small" / path).read_bytes() == (shared_aspect / path).read_bytes(), path
    theirs = pd.read_csv(shared_aspect / "manifest.csv")
    made = pd.read_csv(tmp_path / "small/manifest.csv")
    pd.testing.assert_frame_equal(made, theirs[paths_of(theirs).isin(paths_of(own))].reset_index(drop=True))


def test_sample_is_that_of_the_design(shared_aspect):
    columns = ["split", "class", "file", "sample"]
    pd.testing.assert_frame_equal(read_sample(), pd.read_csv(shared_aspect / "manifest.csv")[columns])


def test_copies_are_grey_and_never_enlarged(small_tree, tmp_path):
    sample, seen = sample_of(small_tree), []
    tall, *_, small = paths_of(sample)
    pixels = np.random.default_rng(0).integers(0, 256, (640, 400, 3), np.uint8)
    Image.fromarray(pixels).save(small_tree / tall, comment=b"somebody")
    write_small_images(small_tree, tmp_path / "copy", sample, lambda *done: seen.append(done))
    assert seen[-1] == (20, 20)
    with Image.open(tmp_path / "copy" / tall) as image:
        assert (image.mode, image.size) == ("L", (200, 320))
        assert "comment" not in image.info
    made = pd.read_csv(tmp_path / "copy/manifest.csv")
    made = made.set_index(paths_of(made))
    facts = ["original_width", "original_height", "mode", "width", "height", "sample"]
    assert made.loc[tall, facts].to_list() == [400, 640, "RGB", 200, 320, "other"]
    assert made.loc[small, facts].to_list() == [48, 40, "L", 48, 40, "other"]


@pytest.mark.parametrize("same", [True, False])
def test_command_says_whether_they_are_the_design_s(small_tree, tmp_path, run, monkeypatch, same):
    monkeypatch.setattr(experiment, "read_sample", lambda: sample_of(small_tree))
    write_small_images(small_tree, tmp_path / "first", sample_of(small_tree))
    content = experiment.open_dataset(tmp_path / "first").content_hash if same else "another"
    monkeypatch.setattr(experiment, "read_design", lambda: experiment.Design(content, 1, {}))
    code, out, err = run("images", small_tree, tmp_path / "second", main=command)
    first, *others = out.splitlines()
    assert (code, first) == (0, f"20 images of at most 320 px: {tmp_path / 'second'}")
    assert others == (["byte for byte those of the design"] if same else [])
    assert ("not byte for byte those of the design" in err) != same


@pytest.mark.parametrize(("target", "named"), [("copy", "are missing (test/NORMAL/IM-0027-0001.jpeg, "),
                                               ("small/copy", "lies among the images that are copied"),
                                               ("taken", "there is something already")])
def test_what_cannot_be_made_leaves_nothing(small_tree, tmp_path, run, target, named):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("images", small_tree, tmp_path / target, main=command)
    assert (code, out) == (2, "")
    assert err.startswith("experiment.py: ")
    assert named in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
