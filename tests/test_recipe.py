"""Recipes."""

import pytest

from covidcnn.config import PROFILES
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.models.registry import MODELS
from covidcnn.training.recipe import Recipe, fields_of, profile_recipe, recipe_of, settings_of


def test_defaults_are_the_papers_or_stated_assumptions():
    recipe = Recipe(epochs=1)
    assert (recipe.optimizer, recipe.batch_size, recipe.model) == (
        "Nadam", 32, PaperCnn((32, 64, 128, 256), 0.2, True, 0.99))
    assert recipe.images == ImageSettings(size=224, preprocess="plain")
    assert (recipe.validation, recipe.augmentation, recipe.balance) == ("patient", "none", "none")


def test_optimizer_is_spelt_as_in_the_paper():
    assert Recipe(epochs=1, optimizer="rmsPROP").optimizer == "RMSprop"


@pytest.mark.parametrize(("change", "words"), [
    ({"optimizer": "lion"}, ("'lion'", "Nadam")),
    ({"augmentation": "rotate"}, ("'rotate'", "paper")), ({"schedule": "step"}, ("'step'", "plateau")),
    ({"choose_by": "best"}, ("'best'", "last")), ({"score_every_epoch": ("val",)}, ("'val'", "validation")),
    ({"balance": "smote"}, ("'smote'", "class-weight")),
    ({"validation": "fold"}, ("'fold'", "patient")),
    ({"epochs": 0}, ("epochs", "greater than or equal to 1", "not 0")),
    ({"batch_size": 0}, ("batch_size", "greater than or equal to 1", "not 0")),
    ({"epochs": "2"}, ("epochs", "'2'", "write it without quotes")), ({"epochs": 1.5}, ("epochs", "1.5")),
    ({"epoch": 1}, ("epoch: Unexpected",)),
    ({"images": ImageSettings(16), "model": PaperCnn((4, 4, 4, 4, 4))}, ("image size 16", "at least 32")),
])
def test_value_that_cannot_work_is_refused_when_the_recipe_is_written(change, words, refused):
    with refused(*words):
        Recipe(**{"epochs": 1} | change)


def test_roles_count_once_and_in_no_order():
    assert Recipe(1, score_every_epoch=("test", "validation", "test")) == Recipe(
        1, score_every_epoch=("validation", "test"))


@pytest.mark.parametrize("change", [{"dropout": 1.5}, {"validation_fraction": 0.0}, {"validation_fraction": 1.0},
                                    {"learning_rate": -0.1}, {"batch_norm_momentum": 1.5},
                                    {"max_training_images": 0}])
def test_number_out_of_its_range_is_refused_when_the_recipe_is_written(change, refused):
    with refused(str(next(iter(change.values())))):
        recipe_of({"epochs": 1} | change)


def test_profile_recipe_takes_the_profiles_scale_and_the_changes():
    recipe = profile_recipe(PROFILES["quick"], preprocess="equalize", optimizer="sgd", balance="oversample")
    assert (recipe.epochs, recipe.images, recipe.max_training_images) == (12, ImageSettings(32, "equalize"), 800)
    assert (recipe.optimizer, recipe.balance) == ("SGD", "oversample")


@pytest.mark.parametrize("name", MODELS)
def test_a_recipe_is_known_by_its_settings_whatever_its_model(name):
    recipe = Recipe(epochs=2, images=ImageSettings(32, "clahe"), model=MODELS[name](), balance="oversample")
    assert recipe_of(settings_of(recipe)) == recipe


def test_no_option_of_a_model_is_called_as_another_setting():
    others = {*fields_of(Recipe), *fields_of(ImageSettings), "model", "seed", "task"}
    for options in MODELS.values():
        assert others.isdisjoint(fields_of(options))


def test_profile_lowers_the_momentum_of_models_that_have_one():
    assert profile_recipe(PROFILES["quick"], model="five-block").model == MODELS["five-block"](0.9)
