"""Profiles."""


import pytest

from covidcnn.config import PROFILES, profile_named
from covidcnn.training.recipe import profile_recipe, settings_of


@pytest.mark.parametrize("name", ["smoke", "quick", "paper"])
def test_profile_is_found_by_its_name(name):
    assert profile_named(name).name == name


def test_unknown_profile_is_refused_with_the_known_ones(refused):
    with refused("'fast'", "smoke, quick, paper"):
        profile_named("fast")


def test_quick_profile_keeps_to_its_limits():
    quick = PROFILES["quick"]
    assert (quick.image_size, len(quick.seeds), quick.max_training_images) == (32, 5, 800)
    assert quick.epochs <= 12
    assert quick.source == ""


def test_paper_profile_is_the_papers_size_on_all_published_images():
    paper = PROFILES["paper"]
    assert (paper.image_size, paper.max_training_images, paper.source) == (224, None, "chest-xray")
    assert len(paper.seeds) >= 5


def test_only_short_profiles_lower_the_batch_norm_momentum():
    assert {name: profile.batch_norm_momentum for name, profile in PROFILES.items()} == {
        "smoke": 0.9, "quick": 0.9, "paper": 0.99}


def test_profile_changes_nothing_but_scale_and_momentum():
    smoke, paper = (profile_recipe(PROFILES[name]) for name in ("smoke", "paper"))
    assert {name for name, value in settings_of(smoke).items() if value != settings_of(paper)[name]} == {
        "epochs", "size", "batch_norm_momentum", "max_training_images", "precision"}


def test_conditions_are_compared_over_more_seeds_at_a_smaller_size():
    paper = PROFILES["paper"]
    many = paper.many_seeds
    assert (many.name, many.image_size) == ("paper", 64)
    assert len(many.seeds) >= 10
    assert set(paper.seeds) <= set(many.seeds)
    assert {name: profile.many_seeds for name, profile in PROFILES.items() if name != "paper"} == {
        "smoke": None, "quick": None}
