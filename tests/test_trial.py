"""The key of a trial: equal for equal trials, different for all others, the same tomorrow."""

import json
from dataclasses import replace

import pytest

from covidcnn import augment
from covidcnn.augment import Augmentation
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.efficientnet_lite0 import EfficientNetLite0
from covidcnn.models.five_block import FiveBlockCnn
from covidcnn.models.keras_applications import KerasApplication
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.models.residual import ResidualCnn
from covidcnn.training import precision, schedules
from covidcnn.training.recipe import Recipe
from covidcnn.trials.trial import RECIPE_VERSION, Trial, pin_trial

RECIPE = Recipe(epochs=4, images=ImageSettings(64), precision="float32", learning_rate=0.001)
TRIAL = pin_trial("a" * 64, RECIPE, 0)

OTHER_RECIPES = {
    "epochs": 5, "images": ImageSettings(64, "equalize"), "optimizer": "Adam", "learning_rate": 0.002,
    "augmentation": "paper", "balance": "oversample", "batch_size": 16, "model": PaperCnn((32, 64, 128)),
    "validation": "block", "validation_fraction": 0.2, "split_seed": 1,
    "max_training_images": 100, "training_draw": (50, 0.3), "schedule": "cosine", "weight_average": 0.9,
    "choose_by": "last", "precision": "bfloat16", "label_share": 0.5, "teacher": "hard", "min_confidence": 0.9,
    "score_every_epoch": ("validation",),
    "perturbations": ("height 1.10",),
}


def test_key_is_the_same_in_every_process_and_release():
    """Written down: a change of this key orphans every stored trial and must be meant."""
    assert TRIAL.key == "4b76b0e04220dfd0f14b"
    assert pin_trial("a" * 64, replace(RECIPE), 0).key == TRIAL.key


def test_every_setting_changes_the_key():
    assert set(OTHER_RECIPES) == set(Recipe.__dataclass_fields__)
    others = [pin_trial("a" * 64, replace(RECIPE, **{name: value}), 0) for name, value in OTHER_RECIPES.items()]
    others += [pin_trial("b" * 64, RECIPE, 0), pin_trial("a" * 64, RECIPE, 1), pin_trial("a" * 64, RECIPE, 0, True),
               replace(TRIAL, version=RECIPE_VERSION + 1)]
    keys = [trial.key for trial in others]
    assert len({*keys, TRIAL.key}) == len(keys) + 1


def test_every_setting_of_the_images_changes_the_key():
    others = [ImageSettings(65), ImageSettings(64, "invert"), ImageSettings(64, interpolation="linear"),
              ImageSettings(64, pad=True)]
    assert len({replace(TRIAL, recipe=replace(RECIPE, images=images)).key for images in others}) == len(others)


def test_every_model_and_every_option_changes_the_key():
    others = [PaperCnn((32, 64, 128)), PaperCnn(dropout=0.3), PaperCnn(batch_norm=False),
              PaperCnn(batch_norm_momentum=0.9), FiveBlockCnn(), FiveBlockCnn(0.9), ResidualCnn(), ResidualCnn((8, 16)),
              EfficientNetLite0(), EfficientNetLite0(pretrained=False), EfficientNetLite0(trainable="head"),
              KerasApplication(), KerasApplication(network="DenseNet121")]
    keys = {replace(TRIAL, recipe=replace(RECIPE, model=model)).key for model in others}
    assert len({*keys, TRIAL.key}) == len(others) + 1


def test_augmentation_counts_by_its_ranges_and_not_by_its_name(monkeypatch):
    trial = replace(TRIAL, recipe=replace(RECIPE, augmentation="paper"))
    before = trial.key
    monkeypatch.setitem(augment.AUGMENTATIONS, "paper", Augmentation(horizontal_flip=True, width_shift=0.2))
    assert trial.key != before


def test_schedule_counts_by_its_numbers_too(monkeypatch):
    trial = replace(TRIAL, recipe=replace(RECIPE, schedule="plateau"))
    before = trial.key
    monkeypatch.setitem(schedules.SCHEDULES, "plateau", schedules.Plateau("val_accuracy", patience=3))
    assert trial.key != before


def test_trials_of_the_first_study_keep_their_keys(first_study):
    """Each is stored under the key that it had then."""
    paths = sorted((first_study / "store" / "trials").glob("*.json"))
    assert len(paths) == 425
    for path in paths:
        assert Trial.from_dict(json.loads(path.read_text(encoding="utf-8"))["trial"]).key == path.stem


def test_test_images_are_not_scored_after_epochs_where_the_trial_scores_none(refused):
    recipe = replace(RECIPE, score_every_epoch=("test",))
    with refused("score_every_epoch", "score_test"):
        pin_trial("a" * 64, recipe, 0)
    assert pin_trial("a" * 64, recipe, 0, score_test=True).score_test


def test_precision_and_learning_rate_are_pinned(monkeypatch):
    monkeypatch.setattr(precision, "_machine_precision", lambda: "bfloat16")
    pinned = pin_trial("a" * 64, Recipe(epochs=1, optimizer="SGD"), 0)
    assert (pinned.recipe.precision, pinned.recipe.learning_rate) == ("bfloat16", 0.01)
    assert pinned.key == pin_trial("a" * 64, Recipe(epochs=1, optimizer="SGD", learning_rate=0.01,
                                                   precision="bfloat16"), 0).key


def test_trial_survives_json():
    trial = replace(TRIAL, recipe=replace(RECIPE, **OTHER_RECIPES), score_test=True)
    again = Trial.from_dict(json.loads(json.dumps(trial.to_dict())))
    assert again == trial
    assert again.key == trial.key


def test_trial_written_before_a_setting_existed_is_still_itself():
    value = TRIAL.to_dict()
    del value["recipe"]["balance"]
    assert Trial.from_dict(value | {"recipe": value["recipe"] | {"precision": "float32"}}) == TRIAL


def test_trial_that_leaves_something_to_the_machine_is_refused():
    for recipe in (replace(RECIPE, precision="auto"), replace(RECIPE, learning_rate=None)):
        with pytest.raises(ValueError, match="pinned"):
            Trial("a" * 64, recipe, 0)


def test_equal_recipes_have_equal_keys_however_they_are_written():
    written = replace(RECIPE, learning_rate=1, model=PaperCnn([4, 8], dropout=0))
    assert pin_trial("a" * 64, written, 0).key == pin_trial(
        "a" * 64, replace(RECIPE, learning_rate=1.0, model=PaperCnn((4, 8), dropout=0.0)), 0).key


def test_trial_of_unknown_settings_is_refused(refused):
    value = TRIAL.to_dict()
    value["recipe"]["colour"] = "red"
    with refused("colour: Unexpected"):
        Trial.from_dict(value)
