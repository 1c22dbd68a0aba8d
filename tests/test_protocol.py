"""The protocol: what it allows, what it selects, what it refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from stub import stub_trainer

from covidcnn.config import PROFILES
from covidcnn.evidence.protocol import (
    PROTOCOL,
    Protocol,
    open_store,
    pilot,
    read_protocol,
    selection_table,
    write_selection,
)
from covidcnn.training.optimizers import OPTIMIZERS
from covidcnn.training.recipe import profile_recipe
from covidcnn.training.result import Diverged, Training
from covidcnn.trials.trial import pin_trial

VALUE = {
    "data": "a" * 64,
    "arms": {
        "tuning": {"question": "Which rate?", "select": "optimizer", "sweep": {
            "seeds": [100, 101], "recipe": {"epochs": 3, "precision": "float32"},
            "grid": {"optimizer": ["Nadam", "SGD"], "learning_rate": [0.1, 0.01, 0.001]}}},
        "fair": {"question": "Who is best?", "selected_from": "tuning", "sweep": {
            "seeds": [0, 1], "score_test": True, "recipe": {"epochs": 4, "precision": "float32"}}},
        "plain": {"question": "As it is.", "sweep": {
            "seeds": [0, 1], "score_test": True, "recipe": {"epochs": 5, "precision": "float32"}}},
    },
}


@pytest.fixture
def protocol(tmp_path):
    path = tmp_path / "protocol.yaml"
    path.write_text(yaml.safe_dump(VALUE, sort_keys=False))
    return read_protocol(path)


@pytest.fixture
def store(protocol):
    opened = open_store(protocol.path.parent / "store")
    opened.prepare()
    return opened


BEST = {"Nadam": 0.01, "SGD": 0.1}


def tuned(dataset, trial, folder, report):
    """Losses that are lowest at a known learning rate; the highest one of Nadam diverges."""
    if (trial.recipe.optimizer, trial.recipe.learning_rate) == ("Nadam", 0.1):
        raise Diverged("no number")
    distance = abs(np.log10(trial.recipe.learning_rate / BEST[trial.recipe.optimizer]))
    history = pd.DataFrame({"loss": [1, 1, 1], "val_loss": np.array([3, 1, 2]) + distance + trial.seed / 1000},
                           index=pd.RangeIndex(1, 4, name="epoch"))
    return Training(None, history, stub_trainer(dataset, trial, folder, report).scores, interrupted=False)


def run_arm(protocol, store, name, trainer=tuned):
    for trial in protocol.sweep(name).trials(protocol.data):
        store.run(None, trial, trainer=trainer)


def test_test_scores_are_computed_only_for_trials_of_an_arm(protocol, store, refused):
    run_arm(protocol, store, "tuning")
    write_selection(protocol, "tuning", store)
    (allowed, _) = protocol.sweep("plain").trials(protocol.data)
    assert store.run(None, allowed, trainer=stub_trainer).trial == allowed
    for other in (replace(allowed, seed=2), replace(allowed, recipe=replace(allowed.recipe, optimizer="SGD")),
                  replace(allowed, data="b" * 64)):
        with refused(protocol.path, "exploratory"):
            store.run(None, other, trainer=stub_trainer)
        assert not store.is_finished(other)
        # Validation alone may always be looked at.
        store.run(None, replace(other, score_test=False), trainer=stub_trainer)


def test_openings_of_the_test_set_are_entered_and_stay(protocol, store):
    run_arm(protocol, store, "tuning")
    write_selection(protocol, "tuning", store)
    assert protocol.openings() == 0
    trials = protocol.sweep("plain").trials(protocol.data)
    for trial in trials:
        store.run(None, trial, trainer=stub_trainer)
    assert protocol.openings() == len(trials) == 2
    # Removed and run again: opened again.
    (store.folder / "trials" / f"{trials[0].key}.json").unlink()
    store.run(None, trials[0], trainer=stub_trainer)
    assert protocol.openings() == 3


def test_arm_that_is_added_or_changed_after_the_first_test_score_is_exploratory(protocol, store, refused):
    run_arm(protocol, store, "tuning")
    write_selection(protocol, "tuning", store)
    store.run(None, protocol.sweep("plain").trials(protocol.data)[0], trainer=stub_trainer)
    late = VALUE["arms"]["plain"] | {"sweep": VALUE["arms"]["plain"]["sweep"] | {"seeds": [7]}}

    def reopened(arms):
        protocol.path.write_text(yaml.safe_dump(VALUE | {"arms": arms}, sort_keys=False))
        changed = read_protocol(protocol.path)
        return changed, open_store(store.folder)

    for name in ("late", "plain"):
        changed, again = reopened(VALUE["arms"] | {name: late})
        trial = changed.sweep(name).trials(changed.data)[0]
        with refused(name, "after the first test score", "exploratory: true"):
            again.run(None, trial, trainer=stub_trainer)
        assert not again.is_finished(trial)
    changed, again = reopened(VALUE["arms"] | {"late": late | {"exploratory": True}})
    assert again.run(None, changed.sweep("late").trials(changed.data)[0], trainer=stub_trainer)
    # What the protocol had from the start goes on.
    assert again.run(None, changed.sweep("plain").trials(changed.data)[1], trainer=stub_trainer)
    selections = protocol.path.with_name("selections.yaml")
    selections.write_text(selections.read_text().replace("0.01", "0.02"))
    with refused("selections.yaml", "changed after the first test score"):
        again.run(None, changed.sweep("fair").trials(changed.data)[0], trainer=stub_trainer)


def test_store_without_a_protocol_beside_it_is_free(tmp_path, protocol):
    trial = replace(protocol.sweep("plain").trials(protocol.data)[0], seed=9)
    free = open_store(tmp_path / "elsewhere" / "store")
    free.prepare()
    assert free.run(None, trial, trainer=stub_trainer)


def test_selection_is_made_on_validation_within_each_group(protocol, store):
    run_arm(protocol, store, "tuning")
    table = write_selection(protocol, "tuning", store)
    assert {row.optimizer: row.learning_rate for row in table[table["selected"]].itertuples()} == BEST
    diverged = table[(table["optimizer"] == "Nadam") & (table["learning_rate"] == 0.1)]
    assert diverged["mean loss"].tolist() == [float("inf")]
    chosen = protocol.sweep("fair").recipes
    assert {recipe.optimizer: recipe.learning_rate for recipe in chosen} == BEST
    assert {recipe.epochs for recipe in chosen} == {4}
    trial = protocol.sweep("fair").trials(protocol.data)[0]
    assert store.run(None, trial, trainer=stub_trainer).trial == trial


def test_what_is_not_selected_yet_cannot_be_run_or_scored(protocol, store, refused):
    with refused("fair", "select tuning"):
        protocol.sweep("fair")
    # Not even an arm that takes up no selection: what is chosen must not know any test score.
    trial = protocol.sweep("plain").trials(protocol.data)[0]
    with refused("before 'tuning' has selected", "covidcnn evidence select tuning"):
        store.run(None, trial, trainer=stub_trainer)
    assert not store.is_finished(trial)


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
    assert selection_table(one, "tuning", store)["selected"].sum() <= 2


def test_pilot_is_one_seed_two_epochs_and_no_test_film(protocol):
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


def test_arm_with_a_mistake_is_refused_when_the_protocol_is_read(protocol, refused):
    value = VALUE | {"arms": {"a": {"question": "?", "sweep": {"seeds": [0], "recipe": {"epoch": 1}}}}}
    protocol.path.write_text(yaml.safe_dump(value))
    with refused("epoch", "did you mean epochs?"):
        read_protocol(protocol.path)


# ---------------------------------------------------------------- the paper's

@pytest.fixture(scope="module")
def paper() -> Protocol:
    return read_protocol(PROTOCOL)


def test_papers_protocol_is_about_the_published_films(paper, shared_films):
    from covidcnn.data.dataset import open_dataset

    assert open_dataset(shared_films).content_hash == paper.data


def test_precision_is_pinned_in_every_arm(paper):
    for arm in paper.arms.values():
        assert arm.value["recipe"]["precision"] in ("float32", "bfloat16")


def test_arms_that_choose_score_no_test_film(paper):
    for arm in paper.arms.values():
        assert bool(arm.value.get("score_test")) != bool(arm.select)


def test_every_optimizer_has_as_many_tries(paper):
    variants = pd.DataFrame(paper.arm("2a-tuning").value["variants"])
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
        allowed = {trial.key for trial in paper.sweep(arm).trials(paper.data)}
        seeds = (profile if arm.startswith("1") else profile.many_seeds).seeds
        assert {pin_trial(paper.data, recipe, seed, True).key for recipe in recipes for seed in seeds} <= allowed


def test_arms_of_one_size_have_one_precision(paper):
    precisions = {(arm.value["recipe"]["size"], arm.value["recipe"]["precision"]) for arm in paper.arms.values()}
    assert len(precisions) == len({size for size, _ in precisions})


def test_paper_has_as_many_seeds_as_it_promises(paper):
    least = {"1-as-published": 5, "2b-fair": 10, "3-preprocessing": 10, "4a-treatments": 10, "4b-shares": 10,
             "4c-treatments-224": 5, "7b-recipe": 5}
    assert {name: len(paper.arm(name).value["seeds"]) for name in least} == least
