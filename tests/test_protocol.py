"""The protocol: what it allows, what it selects, what it refuses."""

from dataclasses import replace

import pandas as pd
import pytest
import yaml
from small_protocol import BEST, VALUE, run_arm, tuned, write_protocol
from stub import stub_trainer

from covidcnn.config import PROFILES
from covidcnn.models.registry import name_of
from covidcnn.paper.study_folders import PROTOCOL
from covidcnn.study.protocol import (
    Protocol,
    pilot,
    read_protocol,
    selection_table,
    write_selection,
)
from covidcnn.training.optimizers import OPTIMIZERS
from covidcnn.training.recipe import profile_recipe
from covidcnn.training.result import Diverged
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import pin_trial


@pytest.fixture
def protocol(tmp_path):
    return write_protocol(tmp_path)


@pytest.fixture
def store(protocol):
    opened = TrialStore(protocol.path.parent / "store")
    opened.prepare()
    return opened


def test_selection_is_made_on_validation_within_each_group(protocol, store):
    run_arm(protocol, store, "tuning")
    table = write_selection(protocol, "tuning", store)
    assert {row.optimizer: row.learning_rate for row in table[table["selected"]].itertuples()} == BEST
    diverged = table[(table["optimizer"] == "Nadam") & (table["learning_rate"] == 0.1)]
    assert diverged["mean loss"].tolist() == [float("inf")]
    chosen = protocol.sweep("fair").recipes
    assert {recipe.optimizer: recipe.learning_rate for recipe in chosen} == BEST
    assert {recipe.epochs for recipe in chosen} == {4}


def test_what_is_not_selected_yet_cannot_be_run(protocol, refused):
    with refused("fair", "select tuning"):
        protocol.sweep("fair")


def test_of_equal_variants_the_first_is_selected_and_of_none_nothing(protocol, store, refused):
    def equal(dataset, trial, folder, report):
        if trial.recipe.optimizer == "SGD":
            raise Diverged("no number")
        return tuned(None, replace(trial, recipe=replace(trial.recipe, learning_rate=0.01)), folder, report)

    tuning = VALUE["arms"]["tuning"]
    one = write_protocol(protocol.path.parent, VALUE | {"arms": {"tuning": tuning | {"select": "all"}}})
    run_arm(one, store, "tuning", equal)
    table = selection_table(one, "tuning", store)
    assert table.index[table["selected"]].tolist() == [0]
    assert table["mean loss"].nunique() == 2
    with refused("tuning", "trainings of every variant diverged"):
        selection_table(protocol, "tuning", store)


def test_selection_needs_all_trials(protocol, store, refused):
    with refused("2 trials", "not finished"):
        selection_table(protocol, "tuning", store)


def test_selection_on_test_scores_is_refused(protocol, store, refused):
    value = VALUE | {"arms": {"a": VALUE["arms"]["plain"] | {"select": "all"}}}
    protocol.path.write_text(yaml.safe_dump(value))
    with refused("validation alone"):
        selection_table(read_protocol(protocol.path), "a", store)
    with refused("selects nothing"):
        selection_table(protocol, "plain", store)


def test_selection_is_never_replaced_by_another(protocol, store, refused):
    run_arm(protocol, store, "tuning")
    write_selection(protocol, "tuning", store)
    write_selection(protocol, "tuning", store)
    path = protocol.path.with_name("selections.yaml")
    value = yaml.safe_load(path.read_text())
    value["tuning"]["variants"][0]["learning_rate"] = 0.5
    path.write_text(yaml.safe_dump(value))
    with refused("selected before"):
        write_selection(protocol, "tuning", store)


def test_one_choice_among_all(protocol, store):
    value = VALUE | {"arms": {"tuning": VALUE["arms"]["tuning"] | {"select": "all"}}}
    protocol.path.write_text(yaml.safe_dump(value, sort_keys=False))
    one = read_protocol(protocol.path)
    run_arm(one, store, "tuning")
    assert selection_table(one, "tuning", store)["selected"].sum() == 1


def test_pilot_is_one_seed_two_epochs_and_no_test_image(protocol):
    trials = pilot(protocol.sweep("plain")).trials(protocol.data)
    assert [(trial.seed, trial.recipe.epochs, trial.score_test) for trial in trials] == [(0, 2, False)]


def test_unknown_arm_is_refused(protocol, refused):
    with refused("no arm 'none'", "tuning, fair, plain"):
        protocol.arm("none")


@pytest.mark.parametrize("text", ["", "data: x", "data: x\narms: [a]", "data: x\narms: {a: {question: b}}", "a: [",
                                  "data: x\ndata: y\narms: {}"])
def test_file_that_is_no_protocol_is_refused(tmp_path, text, refused):
    (tmp_path / "protocol.yaml").write_text(text)
    with refused(tmp_path / "protocol.yaml"):
        read_protocol(tmp_path / "protocol.yaml")


def test_arm_of_one_seed_gives_no_interval_and_is_refused(protocol, refused):
    arm = VALUE["arms"]["plain"]
    alone = arm | {"sweep": arm["sweep"] | {"seeds": [0]}}
    with refused(protocol.path, "'plain' has one seed", "two or more"):
        write_protocol(protocol.path.parent, VALUE | {"arms": {"plain": alone}})


def test_arm_with_a_mistake_is_refused_when_the_protocol_is_read(protocol, refused):
    value = VALUE | {"arms": {"a": {"question": "?", "sweep": {"seeds": [0], "recipe": {"epoch": 1}}}}}
    protocol.path.write_text(yaml.safe_dump(value))
    with refused("epoch", "did you mean epochs?"):
        read_protocol(protocol.path)


@pytest.mark.parametrize(("change", "word"), [({"selected_form": "tuning"}, "selected_form"),
                                              ({"exploratory": "false"}, "exploratory: Input should be a valid bool")])
def test_misspelt_or_quoted_part_of_an_arm_is_refused(protocol, change, word, refused):
    with refused(protocol.path, word):
        write_protocol(protocol.path.parent, VALUE | {"arms": {"plain": VALUE["arms"]["plain"] | change}})


@pytest.mark.parametrize("select", ["optimizr", "batch_size"])
def test_selection_by_what_the_variants_do_not_set_is_refused(protocol, select, refused):
    with refused(protocol.path, f"'{select}'", "'tuning'"):
        write_protocol(protocol.path.parent, VALUE | {"arms": VALUE["arms"] | {
            "tuning": VALUE["arms"]["tuning"] | {"select": select}}})


def test_selection_leaves_whole_numbers_whole(protocol, store):
    """Of models some have an option that others lack: beside what is missing a number would become a float."""
    tuning = {"question": "Which?", "select": "model", "sweep": {
        "seeds": [100], "recipe": {"epochs": 1, "size": 16},
        "variants": [{"model": "forest", "trees": 30}, {"model": "svm", "c": 1.0}]}}
    fair = VALUE["arms"]["fair"] | {"sweep": {"seeds": [0, 1], "score_test": True, "recipe": {"epochs": 1, "size": 16}}}
    one = write_protocol(protocol.path.parent, VALUE | {"arms": {"tuning": tuning, "fair": fair}})
    run_arm(one, store, "tuning", stub_trainer)
    write_selection(one, "tuning", store)
    assert one.selections()["tuning"]["variants"] == [{"model": "forest", "trees": 30}, {"model": "svm", "c": 1.0}]
    assert [name_of(recipe.model) for recipe in read_protocol(one.path).sweep("fair").recipes] == ["forest", "svm"]


# ---------------------------------------------------------------- the paper's

@pytest.fixture(scope="module")
def paper() -> Protocol:
    return read_protocol(PROTOCOL)


@pytest.mark.slow
def test_papers_protocol_is_about_the_published_images(paper, shared_images):
    from covidcnn.data.dataset import open_dataset

    assert open_dataset(shared_images).content_hash == paper.data


def test_precision_is_pinned_in_every_arm(paper):
    for arm in paper.arms.values():
        assert arm.sweep["recipe"]["precision"] in ("float32", "bfloat16")


def test_arms_that_choose_score_no_test_image(paper):
    for arm in paper.arms.values():
        assert bool(arm.sweep.get("score_test")) != bool(arm.select)


def test_every_optimizer_has_as_many_tries(paper):
    variants = pd.DataFrame(paper.arm("2a-tuning").sweep["variants"])
    assert variants["optimizer"].value_counts().tolist() == [5] * 6


def test_what_notebooks_train_at_the_paper_profile_stands_in_its_arms(paper):
    """So that a report of the paper profile reads its trainings from the store, and trains nothing of its own."""
    profile = PROFILES["paper"]
    wanted = {"1-as-published": [profile_recipe(profile, optimizer=optimizer, augmentation="paper")
                                 for optimizer in OPTIMIZERS],
              "4a-treatments": [profile_recipe(profile.many_seeds, **changes) for changes in (
                  {}, {"balance": "class-weight"}, {"balance": "oversample"}, {"augmentation": "paper"},
                  {"augmentation": "intensity"})]}
    for arm, recipes in wanted.items():
        allowed = {trial.key for trial in paper.trials(arm)}
        seeds = (profile if arm.startswith("1") else profile.many_seeds).seeds
        assert {pin_trial(paper.data, recipe, seed, True).key for recipe in recipes for seed in seeds} <= allowed


def test_arms_of_one_size_have_one_precision(paper):
    precisions = {(arm.sweep["recipe"]["size"], arm.sweep["recipe"]["precision"]) for arm in paper.arms.values()}
    assert len(precisions) == len({size for size, _ in precisions})


def test_paper_has_as_many_seeds_as_it_promises(paper):
    least = {"1-as-published": 5, "2b-fair": 10, "3-preprocessing": 10, "4a-treatments": 10, "4b-shares": 10,
             "4c-treatments-224": 5, "7b-recipe": 5}
    assert {name: len(paper.arm(name).sweep["seeds"]) for name in least} == least
