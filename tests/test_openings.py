"""When test images may be scored, what freezes then, and that every scoring is entered."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_protocol import VALUE, run_arm, write_protocol
from stub import stub_trainer

from covidcnn.study.access_log import log_access, open_store, permit, read_access_log, require_as_frozen
from covidcnn.study.protocol import read_protocol, write_selection
from covidcnn.training.result import Diverged
from covidcnn.trials.store import TrialStore


@pytest.fixture
def protocol(tmp_path):
    return write_protocol(tmp_path)


@pytest.fixture
def store(protocol, committed):
    opened = open_store(protocol.path.parent / "store")
    opened.prepare()
    return opened


@pytest.fixture
def selected(protocol, store):
    run_arm(protocol, store, "tuning")
    write_selection(protocol, "tuning", store)


@pytest.fixture
def frozen(protocol, store, selected):
    """After the first test score."""
    store.run(None, protocol.trials("plain")[0], trainer=stub_trainer)


def changed(protocol, arms=None, **parts):
    """The protocol with other arms or parts, and the store beside it."""
    return write_protocol(protocol.path.parent, VALUE | parts | {"arms": VALUE["arms"] | (arms or {})}), open_store(
        protocol.path.parent / "store")


LATE = VALUE["arms"]["plain"] | {"sweep": VALUE["arms"]["plain"]["sweep"] | {"seeds": [7, 8]}}


@pytest.mark.usefixtures("selected")
def test_test_scores_are_computed_only_for_trials_of_an_arm(protocol, store, refused):
    (allowed, _) = protocol.trials("plain")
    assert store.run(None, allowed, trainer=stub_trainer).trial == allowed
    for other in (replace(allowed, seed=2), replace(allowed, recipe=replace(allowed.recipe, optimizer="SGD")),
                  replace(allowed, data="b" * 64)):
        with refused(protocol.path, "exploratory"):
            store.run(None, other, trainer=stub_trainer)
        assert not store.is_finished(other)
        # Validation alone may always be looked at.
        store.run(None, replace(other, score_test=False), trainer=stub_trainer)


def test_store_without_a_protocol_beside_it_is_free(tmp_path, protocol):
    trial = replace(protocol.trials("plain")[0], seed=9)
    free = open_store(tmp_path / "elsewhere" / "store")
    free.prepare()
    assert free.run(None, trial, trainer=stub_trainer)


def test_no_test_image_is_scored_before_all_is_selected(protocol, store, refused):
    # Not even for an arm that takes up no selection: what is chosen must not know any test score.
    trial = protocol.trials("plain")[0]
    with refused("before 'tuning' has selected", "covidcnn evidence select tuning"):
        store.run(None, trial, trainer=stub_trainer)
    assert not store.is_finished(trial)


@pytest.mark.usefixtures("selected")
def test_no_test_image_is_scored_by_code_that_is_not_committed(protocol, store, refused, monkeypatch):
    monkeypatch.setattr("covidcnn.study.access_log.git_commit", lambda *results: "0" * 40 + " + changes")
    with refused("are committed", "commit them"):
        store.run(None, protocol.trials("plain")[0], trainer=stub_trainer)
    assert read_access_log(protocol).empty


@pytest.mark.usefixtures("selected")
def test_selection_that_its_trials_do_not_make_is_refused(protocol, store, refused):
    path = protocol.path.with_name("selections.yaml")
    path.write_text(path.read_text().replace("learning_rate: 0.01", "learning_rate: 0.001", 1))
    with refused(path, "'tuning' is not what its trials select"):
        store.run(None, protocol.trials("plain")[0], trainer=stub_trainer)
    assert not protocol.path.with_name("frozen.json").exists()


@pytest.mark.usefixtures("selected")
def test_openings_are_entered_and_stay(protocol, store):
    assert read_access_log(protocol).empty
    trials = protocol.trials("plain")
    for trial in trials:
        store.run(None, trial, trainer=stub_trainer)
    # Removed and run again: opened again.
    (store.folder / "trials" / f"{trials[0].key}.json").unlink()
    store.run(None, trials[0], trainer=stub_trainer)
    log_access(protocol, "ridge, 16 x 16 pixels", "8-floor")
    entered = read_access_log(protocol)
    assert entered["scored"].tolist() == [trials[0].key, trials[1].key, trials[0].key, "ridge, 16 x 16 pixels"]
    assert entered["arm"].tolist() == ["plain"] * 3 + ["8-floor"]
    assert entered["precision"].tolist() == ["float32"] * 3 + [""]


@pytest.mark.usefixtures("frozen")
def test_arm_that_is_added_later_is_exploratory(protocol, refused):
    late, store = changed(protocol, {"late": LATE})
    trial = late.trials("late")[0]
    with refused("'late'", "added after the first test score", "exploratory: true"):
        store.run(None, trial, trainer=stub_trainer)
    assert not store.is_finished(trial)
    marked, store = changed(protocol, {"late": LATE | {"exploratory": True}})
    assert store.run(None, marked.trials("late")[0], trainer=stub_trainer)
    # What the protocol had from the start goes on.
    assert store.run(None, marked.trials("plain")[1], trainer=stub_trainer)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("arms", [
    {"plain": LATE}, {"plain": VALUE["arms"]["plain"] | {"exploratory": True}},
    {"plain": LATE | {"exploratory": True}}, {"tuning": VALUE["arms"]["tuning"] | {"select": "all"}}])
def test_arm_that_was_there_stays_as_it_was(protocol, refused, arms):
    other, _ = changed(protocol, arms)
    with refused(f"'{next(iter(arms))}'", "changed or taken away", "arm of its own"):
        require_as_frozen(other, TrialStore(protocol.path.parent / "store"))


@pytest.mark.usefixtures("frozen")
def test_rules_and_data_stay_as_they_were_and_notes_may_be_added(protocol, refused):
    for parts in ({"rules": {"epoch": "the last"}}, {"data": "b" * 64}, {"floor": {"question": "?"}}):
        other, _ = changed(protocol, **parts)
        with refused(protocol.path, "rules changed after the first test score", "'notes'"):
            require_as_frozen(other, TrialStore(protocol.path.parent / "store"))
    noted, _ = changed(protocol, notes=["the machine was replaced"], **{"budget in hours": {"plain": 2}})
    require_as_frozen(noted, TrialStore(protocol.path.parent / "store"))


@pytest.mark.usefixtures("frozen")
def test_selections_stay_as_they_were(protocol, store, refused):
    selections = protocol.path.with_name("selections.yaml")
    selections.write_text(selections.read_text().replace("0.01", "0.02"))
    with refused("selections.yaml", "changed after the first test score"):
        store.run(None, protocol.trials("fair")[0], trainer=stub_trainer)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", ["frozen.json", "openings.csv"])
def test_file_that_is_gone_is_missed(protocol, store, refused, name):
    protocol.path.with_name(name).unlink()
    with refused(name, "back as it was"):
        permit(protocol, store)
    with refused(name, "back as it was"):
        require_as_frozen(protocol, store)


@pytest.mark.usefixtures("frozen")
def test_damaged_list_of_openings_is_refused(protocol, refused):
    protocol.path.with_name("openings.csv").write_text("a,b\n1,2\n")
    with refused("openings.csv", "bring it back"):
        read_access_log(protocol)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
def test_damaged_digests_are_refused(protocol, store, refused, text):
    protocol.path.with_name("frozen.json").write_text(text)
    with refused("frozen.json", "bring it back"):
        require_as_frozen(protocol, store)


@pytest.mark.usefixtures("selected")
def test_precision_changes_for_a_whole_arm_before_it_begins_and_not_after(protocol, store, refused):
    def in_bfloat16(name):
        arm = VALUE["arms"][name]
        sweep = arm["sweep"] | {"recipe": arm["sweep"]["recipe"] | {"precision": "bfloat16"}}
        return changed(protocol, {name: arm | {"sweep": sweep}})

    store.run(None, protocol.trials("plain")[0], trainer=stub_trainer)
    begun, store = in_bfloat16("plain")
    with refused("'plain' was begun in float32"):
        store.run(None, begun.trials("plain")[1], trainer=stub_trainer)
    other, store = in_bfloat16("fair")
    assert store.run(None, other.trials("fair")[0], trainer=stub_trainer)


def test_freezing_keeps_digests_of_all_that_is_pinned(protocol, store, selected):
    permit(protocol, store)
    state = json.loads(protocol.path.with_name("frozen.json").read_text())
    assert set(state["arms"]) == set(VALUE["arms"])
    assert set(state) == {"arms", "rules", "selections", "commit"}
    assert read_access_log(protocol).empty
    # Written once: what it was then is compared ever after.
    before = protocol.path.with_name("frozen.json").read_bytes()
    permit(read_protocol(protocol.path), store)
    assert protocol.path.with_name("frozen.json").read_bytes() == before


@pytest.mark.usefixtures("selected")
def test_store_is_guarded_however_its_folder_is_named(protocol, store, refused, monkeypatch, tmp_path):
    late = replace(protocol.trials("plain")[0], seed=9)
    (tmp_path / "link").symlink_to(store.folder, target_is_directory=True)
    monkeypatch.chdir(store.folder)
    for name in (Path(), tmp_path / "link", Path("..") / "store"):
        with refused("exploratory"):
            open_store(name).run(None, late, trainer=stub_trainer)


@pytest.mark.usefixtures("frozen")
def test_test_score_that_was_not_entered_is_found(protocol, store, refused):
    """A line taken out, both files taken away, or a score brought in from a store without a guard."""
    log = protocol.path.with_name("openings.csv")
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(lines[0])
    with refused(log, "is not in the log"):
        require_as_frozen(protocol, store)
    for name in ("openings.csv", "frozen.json"):
        protocol.path.with_name(name).unlink()
    with refused(log, "is not in the log"):
        permit(protocol, store)
    assert not protocol.path.with_name("frozen.json").exists()


@pytest.mark.usefixtures("selected")
def test_protocol_that_changed_under_a_running_process_is_not_frozen(protocol, store, refused):
    changed(protocol, rules={"epoch": "the last"})
    with refused(protocol.path, "changed since this process began"):
        store.run(None, protocol.trials("plain")[0], trainer=stub_trainer)
    assert not protocol.path.with_name("frozen.json").exists()


def killed(*arguments):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("selected")
def test_training_is_entered_before_it_scores_so_that_one_that_is_thrown_away_leaves_a_trace(protocol, store):
    trial = protocol.trials("plain")[0]

    def entered_by_now(*arguments):
        assert read_access_log(protocol)["scored"].tolist() == [trial.key]
        return killed()

    with pytest.raises(KeyboardInterrupt):
        store.run(None, trial, trainer=entered_by_now)
    # It had not finished an epoch, so that it begins anew.
    store.run(None, trial, trainer=stub_trainer)
    assert read_access_log(protocol)["scored"].tolist() == [trial.key] * 2


@pytest.mark.usefixtures("selected")
def test_training_that_goes_on_is_entered_once(protocol, store):
    trial = protocol.trials("plain")[0]

    def killed_later(dataset, trial, folder, report):
        stub_trainer(dataset, trial, folder, lambda *report: killed())

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            store.run(None, trial, trainer=killed_later)
    store.run(None, trial, trainer=stub_trainer)
    assert read_access_log(protocol)["scored"].tolist() == [trial.key]


@pytest.mark.usefixtures("selected")
def test_training_killed_while_it_wrote_its_first_state_begins_anew_and_is_entered_again(protocol, store):
    trial = protocol.trials("plain")[0]

    def killed_while_writing(dataset, trial, folder, report):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".unfinished.npz.host.1.tmp").touch()
        killed()

    with pytest.raises(KeyboardInterrupt):
        store.run(None, trial, trainer=killed_while_writing)
    store.run(None, trial, trainer=stub_trainer)
    assert read_access_log(protocol)["scored"].tolist() == [trial.key] * 2


@pytest.mark.usefixtures("selected")
def test_training_that_diverges_is_entered_too(protocol, store):
    """It may have scored test images after an epoch."""
    def diverging(*arguments):
        raise Diverged("no number")

    store.run(None, protocol.trials("plain")[0], trainer=diverging)
    assert len(read_access_log(protocol)) == 1
    require_as_frozen(protocol, store)
