"""covidcnn train: what a training leaves in its folder, and how a killed one goes on."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TINY_COUNTS

from covidcnn.data.dataset import open_dataset
from covidcnn.errors import UserError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.model_file import FILE_NAMES
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.training import fit
from covidcnn.training.fit import UNFINISHED, train
from covidcnn.training.recipe import Recipe
from covidcnn.training.result import Diverged
from covidcnn.trials.session import EVENTS, HISTORY, RUN, SCORES, train_into

pytestmark = pytest.mark.slow

RECIPE = Recipe(3, ImageSettings(16), PaperCnn(filters=(4, 8), batch_norm_momentum=0.5), batch_size=8,
                precision="float32", validation_fraction=0.3, augmentation="public recipe", schedule="plateau",
                choose_by="last", score_every_epoch=("validation", "test"))


@pytest.fixture(scope="module")
def data(tiny_tree):
    return open_dataset(tiny_tree)


def kill_in_epoch(monkeypatch, epoch):
    """As ``kill -9`` does: nothing is done after the last finished epoch."""
    class Killed(BaseException):
        pass

    class Dying(fit.Keeper):
        def on_epoch_begin(self, number, logs=None):
            if number == epoch:
                raise Killed
            super().on_epoch_begin(number, logs)

    monkeypatch.setattr(fit, "Keeper", Dying)
    return Killed


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An undisturbed training and its folder; while it runs, a second one in the same folder is refused."""
    folder, said = tmp_path_factory.mktemp("whole"), []

    def second(*_):
        with pytest.raises(UserError) as refusal:
            train_into(folder, data, RECIPE, 0)
        said.append(str(refusal.value))

    return train_into(folder, data, RECIPE, 0, report=second), folder, said


def test_killed_training_goes_on_in_its_folder_and_ends_as_an_undisturbed_one(data, tmp_path, monkeypatch, whole):
    undisturbed, folder, _ = whole
    with monkeypatch.context() as patch:
        killed = kill_in_epoch(patch, 2)
        with pytest.raises(killed):
            train_into(tmp_path / "killed", data, RECIPE, 0)
    assert (tmp_path / "killed" / UNFINISHED).is_file()
    assert not (tmp_path / "killed" / FILE_NAMES[0]).exists()
    epochs = []
    resumed = train_into(tmp_path / "killed", data, RECIPE, 0, report=lambda epoch, *_: epochs.append(epoch))
    assert epochs == [3]
    for one, two in zip(resumed.model.get_weights(), undisturbed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    for name in (HISTORY, SCORES):
        assert (tmp_path / "killed" / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "killed" / UNFINISHED).exists()


def test_folder_of_another_unfinished_training_is_refused_and_left_alone(data, tmp_path, refused):
    train(data, RECIPE, 0, tmp_path, identity="another")
    before = (tmp_path / UNFINISHED).read_bytes()
    with refused(tmp_path / UNFINISHED, "other settings"):
        train_into(tmp_path, data, RECIPE, 1)
    assert (tmp_path / UNFINISHED).read_bytes() == before


def test_training_that_diverges_leaves_nothing(data, tmp_path):
    with pytest.raises(Diverged):
        train_into(tmp_path, data, Recipe(**{**vars(RECIPE), "optimizer": "SGD", "learning_rate": 1e39}), 0)
    assert list(tmp_path.iterdir()) == []


def test_folder_holds_what_the_readme_says(whole):
    training, folder, _ = whole
    assert {path.name for path in folder.iterdir()} == {FILE_NAMES[0], HISTORY, SCORES, RUN, EVENTS}
    run = json.loads((folder / RUN).read_text())
    assert run["recipe"]["precision"] == "float32"
    assert run["best epoch"] == training.best_epoch == 3
    assert (run["augmentation"]["rotation"], run["schedule"]["patience"]) == (30, 2)
    assert run["recipe"]["learning_rate"] == 0.001
    assert run["optimizer"]["learning_rate"] == pytest.approx(0.001)
    assert "learning_rate" in pd.read_csv(folder / HISTORY)
    assert pd.read_csv(folder / SCORES).groupby("split")["epoch 3"].count().to_dict() == {
        "test": sum(TINY_COUNTS["test"]), "train": 0, "validation": training.scores["split"].eq("validation").sum()}
    assert len(pd.read_csv(folder / HISTORY)) == 3


@pytest.mark.parametrize("name", [FILE_NAMES[0], HISTORY, SCORES, RUN, EVENTS])
def test_folder_with_something_of_another_is_refused_and_left_alone(data, tmp_path, refused, name):
    (tmp_path / name).write_text("somebody else's")
    with refused(tmp_path / name, "there is one already", "--out"):
        train_into(tmp_path, data, RECIPE, 0)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "somebody else's"


def test_second_training_in_one_folder_is_refused(whole):
    _, folder, said = whole
    assert len(said) == 3
    assert all(str(folder) in line and "another training goes on there" in line for line in said)


@pytest.mark.parametrize("kind", ["killed", "interrupted"])
def test_training_that_ended_in_its_first_epoch_can_begin_again(data, tmp_path, monkeypatch, kind):
    with monkeypatch.context() as patch:
        killed = kill_in_epoch(patch, 0)
        with pytest.raises(killed):
            train_into(tmp_path, data, RECIPE, 0)
    assert list(tmp_path.iterdir()) == []
    if kind == "killed":
        # As it is left where nothing is done any more.
        (tmp_path / EVENTS / "train").mkdir(parents=True)
        (tmp_path / "unfinished.lock").touch()
    train_into(tmp_path, data, replace(RECIPE, epochs=1), 0)
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAMES[0], HISTORY, SCORES, RUN, EVENTS}
