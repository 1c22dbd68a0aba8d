"""The store of trials: nothing run twice, nothing half-written, nothing lost."""

import errno
import gzip
import hashlib
import json
import multiprocessing
import os
import stat
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from stub import stub_trainer

from covidcnn.data.dataset import open_dataset
from covidcnn.errors import DataError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.training.fit import train
from covidcnn.training.recipe import Recipe
from covidcnn.training.result import Diverged
from covidcnn.trials import work
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import run_sweep
from covidcnn.trials.trial import pin_trial

RECIPE = Recipe(3, ImageSettings(16), PaperCnn(filters=(4, 8), batch_norm_momentum=0.5), batch_size=8,
                precision="float32", learning_rate=0.01, validation_fraction=0.3)
TRIAL = pin_trial("a" * 64, RECIPE, 0)

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders too")


@pytest.fixture
def store(tmp_path):
    made = TrialStore(tmp_path / "store")
    made.prepare()
    return made


def run(store, trial=TRIAL, **options):
    return store.run(None, trial, trainer=stub_trainer, **options)


def files(store):
    return sorted(path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file())


def test_finished_trial_is_one_small_json_and_one_scores_file(store):
    result = run(store)
    assert files(store) == [f"scores/{TRIAL.key}.csv.gz", f"trials/{TRIAL.key}.json"]
    assert (store.folder / "trials" / f"{TRIAL.key}.json").stat().st_size < 5000
    assert result.trial == TRIAL
    assert result.best_epoch == 1
    assert result.history.index.tolist() == [1, 2, 3]
    assert result.facts["versions"]["tensorflow"]
    assert result.facts["seconds"] >= 0


def test_what_is_read_is_what_was_computed_to_the_bit(store):
    computed = stub_trainer(None, TRIAL, store.folder / "other", None)
    stored = run(store)
    pd.testing.assert_frame_equal(stored.history, computed.history, check_exact=True)
    pd.testing.assert_frame_equal(stored.scores, computed.scores, check_exact=True)


def test_patient_named_by_digits_stays_text(store):
    def numbered(*arguments):
        training = stub_trainer(*arguments)
        return replace(training, scores=training.scores.assign(patient=["001", "2"]))

    assert store.run(None, TRIAL, trainer=numbered).scores["patient"].tolist() == ["001", "2"]


def test_trial_is_admitted_before_it_is_computed(store):
    admitted = []

    def killed(*arguments):
        assert admitted == [TRIAL]
        raise KeyboardInterrupt

    watched = replace(store, admit=admitted.append)
    with pytest.raises(KeyboardInterrupt):
        watched.run(None, TRIAL, trainer=killed)
    run(watched)
    # What is finished is read, and needs no leave.
    run(watched)
    assert admitted == [TRIAL, TRIAL]


def test_scores_of_every_epoch_and_of_perturbed_images_come_back_as_they_were(store):
    def scored(*arguments):
        scores = stub_trainer(*arguments).scores
        scores = scores.assign(**{"epoch 1": [np.float32(0.1), np.nan], "epoch 2": [np.float32(1 / 3), np.nan]})
        perturbed = scores.head(1).assign(perturbation="contrast 0.7", **{"epoch 1": np.nan, "epoch 2": np.nan})
        return replace(stub_trainer(*arguments), scores=pd.concat([scores, perturbed], ignore_index=True))

    stored = store.run(None, TRIAL, trainer=scored).scores
    pd.testing.assert_frame_equal(stored, scored(None, TRIAL, store.folder / "other", None).scores, check_exact=True)


def test_perturbation_in_the_name_of_a_split_is_read_as_one(store):
    """As files of the first study have it."""
    run(store)
    path = store.folder / "scores" / f"{TRIAL.key}.csv.gz"
    packed = gzip.compress(gzip.decompress(path.read_bytes()).replace(b"validation,1", b'"validation, gamma 1.4",1'))
    path.write_bytes(packed)
    facts = store.folder / "trials" / f"{TRIAL.key}.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"scores sha256": hashlib.sha256(packed).hexdigest()}))
    scores = store.read(TRIAL.key).scores
    assert scores["split"].tolist() == ["validation", "validation"]
    assert scores["perturbation"].tolist() == ["", "gamma 1.4"]


def test_code_that_is_recorded_is_that_of_the_beginning(store, monkeypatch):
    commit = ["before"]
    monkeypatch.setattr(work, "software_facts", lambda: {"git commit": commit[0]})

    def committed_meanwhile(*arguments):
        commit[0] = "after"
        return stub_trainer(*arguments)

    assert store.run(None, TRIAL, trainer=committed_meanwhile).facts["git commit"] == "before"


def test_finished_trial_is_not_run_again(store):
    run(store)

    def fail(*_):
        raise AssertionError("run again")

    assert store.run(None, TRIAL, trainer=fail).trial == TRIAL


@pytest.mark.slow
def test_test_images_are_scored_only_where_the_trial_says_so(store, tiny_tree):
    """With the real training."""
    data = open_dataset(tiny_tree)
    trial = pin_trial(data.content_hash, replace(RECIPE, epochs=1), 0)
    assert set(store.run(data, trial).scores["split"]) == {"validation"}
    assert set(store.run(data, replace(trial, score_test=True)).scores["split"]) == {"validation", "test"}


@pytest.mark.slow
def test_stored_scores_are_those_of_a_training_outside_the_store(store, tiny_tree):
    data = open_dataset(tiny_tree)
    trial = pin_trial(data.content_hash, replace(RECIPE, epochs=1), 0)
    outside = train(data, trial.recipe, 0, score_roles=("validation",))
    pd.testing.assert_series_equal(store.run(data, trial).scores["score"].astype(np.float32),
                                   outside.scores["score"].astype(np.float32), check_exact=True)


def test_training_that_diverges_is_a_result_and_is_not_run_again(store):
    calls = []

    def diverge(*_):
        calls.append(1)
        raise Diverged("the loss is no number any more")

    for _ in range(2):
        result = store.run(None, TRIAL, trainer=diverge)
    assert (result.diverged, len(result.scores), len(calls)) == ("the loss is no number any more", 0, 1)


def test_trial_that_goes_on_on_another_processor_names_both(store, monkeypatch):
    def interrupt(epoch, epochs, logs):
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "processor", lambda: "EPYC")
    with pytest.raises(KeyboardInterrupt):
        run(store, report=interrupt)
    monkeypatch.setattr(work, "processor", lambda: "Xeon")
    assert run(store).facts["processor"] == "EPYC and Xeon"


def test_interrupted_trial_stays_unfinished_and_goes_on(store):
    def interrupt(epoch, epochs, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, report=interrupt)
    assert not store.is_finished(TRIAL)
    epochs = []
    result = run(store, report=lambda epoch, *_: epochs.append(epoch))
    assert epochs == [3]
    pd.testing.assert_frame_equal(result.history, stub_trainer(None, TRIAL, store.folder / "other", None).history)


def test_what_a_kill_between_result_and_clearing_left_is_cleared(store):
    run(store)
    other = replace(TRIAL, seed=1)
    for trial in (TRIAL, other):
        store.unfinished(trial).mkdir()
        (store.unfinished(trial) / "unfinished.npz").write_text("x")
        (store.folder / "unfinished" / f"{trial.key}.lock").touch()
    store.prepare()
    assert sorted(path.name for path in (store.folder / "unfinished").iterdir()) == [other.key, f"{other.key}.lock"]


# ---------------------------------------------------------------- two processes

def _hold(folder, held, end):
    with TrialStore(folder).claim(TRIAL):
        held.set()
        end.wait(20)


@pytest.fixture
def holder(store):
    """Another process that holds the trial."""
    context = multiprocessing.get_context("fork")
    held, end = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(store.folder, held, end))
    process.start()
    assert held.wait(20)
    yield process, end
    process.kill()
    process.join()


def test_trial_that_another_process_runs_is_left_to_it(store, holder):
    trials = [TRIAL, replace(TRIAL, seed=1)]
    end = run_sweep(trials, store, None, lambda progress: None, stub_trainer)
    assert (end.done, end.before, end.elsewhere, end.left) == (1, 0, 1, 1)
    end = run_sweep(trials, store, None, lambda progress: None, stub_trainer)
    assert (end.done, end.before, end.elsewhere, end.left) == (1, 1, 1, 1)
    assert not store.is_finished(TRIAL)


def test_claim_of_a_killed_process_is_taken_over(store, holder):
    process, _ = holder
    process.kill()
    process.join()
    assert run(store).trial == TRIAL


def test_who_waits_gets_the_trial_when_the_other_process_ends(store, holder):
    _, end = holder
    end.set()
    assert run(store).trial == TRIAL


def test_two_processes_at_once_run_each_trial_once(store, tmp_path):
    trials = [replace(TRIAL, seed=seed) for seed in range(12)]

    def slowly(dataset, trial, folder, report):
        with (tmp_path / "log").open("a") as log:
            log.write(f"{trial.key}\n")
        return stub_trainer(dataset, trial, folder, report, pause=0.005)

    def work():
        for trial in trials:
            store.run(None, trial, trainer=slowly)

    processes = [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ran = (tmp_path / "log").read_text().split()
    assert sorted(ran) == sorted(trial.key for trial in trials)
    assert len(files(store)) == 24


# ---------------------------------------------------------------- faults

def damage(store, kind):
    json_file, scores_file = (store.folder / part / f"{TRIAL.key}{ending}"
                              for part, ending in (("trials", ".json"), ("scores", ".csv.gz")))
    value = json.loads(json_file.read_text())
    match kind:
        case "json cut short":
            json_file.write_bytes(json_file.read_bytes()[:300])
        case "json empty":
            json_file.write_bytes(b"")
        case "json of another trial":
            json_file.write_text(json.dumps(value | {"trial": value["trial"] | {"seed": 5}}))
        case "json a list":
            json_file.write_text("[]")
        case "json without history":
            del value["history"]
            json_file.write_text(json.dumps(value))
        case "json with an unknown optimizer":
            value["trial"]["recipe"]["optimizer"] = "Magic"
            json_file.write_text(json.dumps(value))
        case "scores cut short":
            scores_file.write_bytes(scores_file.read_bytes()[:-9])
        case "scores changed":
            scores_file.write_bytes(scores_file.read_bytes()[:-1] + b"x")
        case "scores gone":
            scores_file.unlink()
    return scores_file if kind.startswith("scores") else json_file


@pytest.mark.parametrize("kind", [
    "json cut short", "json empty", "json of another trial", "json a list", "json without history",
    "json with an unknown optimizer", "scores cut short", "scores changed", "scores gone"])
def test_damaged_result_gets_one_line_and_loses_nothing_else(store, refused, kind):
    other = replace(TRIAL, seed=1)
    run(store)
    run(store, other)
    file = damage(store, kind)
    with refused(file, "remove", "run again", error=DataError):
        store.read(TRIAL.key)
    results, problems = store.read_all()
    assert [result.trial for result in results] == [other]
    assert len(problems) == 1
    (store.folder / "trials" / f"{TRIAL.key}.json").unlink()
    assert run(store).trial == TRIAL


def test_full_disk_is_refused_and_loses_nothing(store, refused, monkeypatch):
    run(store, replace(TRIAL, seed=1))
    before = files(store)

    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.folder), "write_bytes", full)
        with refused("No space left on device", TRIAL.key):
            run(store)
    kept = [name for name in files(store) if not name.startswith("unfinished/")]
    assert kept == before
    # The training itself is not lost: its last epoch is there to go on from.
    epochs = []
    run(store, report=lambda epoch, *_: epochs.append(epoch))
    assert epochs == []


@as_root
def test_read_only_folder_is_refused(tmp_path, refused):
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with refused(tmp_path / "store", "cannot be written"):
        TrialStore(tmp_path / "store").prepare()


def test_folder_that_cannot_be_made_is_refused(tmp_path, refused):
    (tmp_path / "file").write_text("")
    with refused(tmp_path / "file", "choose another folder"):
        TrialStore(tmp_path / "file").prepare()


def test_read_only_file_system_is_refused(store, refused, monkeypatch):
    def read_only(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(work.tempfile, "TemporaryFile", read_only)
    with refused(store.folder, "Read-only file system"):
        store.prepare()
