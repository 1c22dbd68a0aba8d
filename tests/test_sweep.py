"""Sweeps: what a YAML file means, and that no kill loses or changes anything."""

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml
from stub import stub_trainer

from covidcnn.errors import DataError
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.training.recipe import Recipe
from covidcnn.training.result import Diverged
from covidcnn.trials.spec import parse_sweep, read_sweep
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import LocalProcesses, run_sweep, shard

DATA = "a" * 64
GRID = {"seeds": [0, 1, 2], "recipe": {"epochs": 3, "size": 32, "precision": "float32"},
        "grid": {"optimizer": ["Nadam", "SGD"], "learning_rate": [0.1, 0.01]}}


# ---------------------------------------------------------------- what a file means

def test_grid_is_every_combination_with_every_seed():
    trials = parse_sweep(GRID).trials(DATA)
    assert len(trials) == 12
    assert {(trial.recipe.optimizer, trial.recipe.learning_rate, trial.seed) for trial in trials} == {
        (name, rate, seed) for name in ("Nadam", "SGD") for rate in (0.1, 0.01) for seed in range(3)}
    assert {trial.recipe.images for trial in trials} == {ImageSettings(32)}
    assert not any(trial.score_test for trial in trials)


def test_seed_by_seed_so_that_a_comparison_is_complete_early():
    assert [trial.seed for trial in parse_sweep(GRID).trials(DATA)] == [0] * 4 + [1] * 4 + [2] * 4


def test_variants_are_taken_one_by_one_and_times_the_grid():
    sweep = parse_sweep({"seeds": [0], "recipe": {"epochs": 1}, "variants": [
        {"augmentation": "none"}, {"augmentation": "paper", "balance": "class-weight"}]})
    assert [(recipe.augmentation, recipe.balance) for recipe in sweep.recipes] == [
        ("none", "none"), ("paper", "class-weight")]
    times = parse_sweep({"seeds": [0], "recipe": {"epochs": 1}, "grid": {"dropout": [0, 0.5]},
                         "variants": [{"balance": "none"}, {"balance": "oversample"}]})
    assert len(times.recipes) == 4


def test_file_says_the_same_as_its_value(tmp_path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(GRID | {"score_test": True}, sort_keys=False))
    sweep = read_sweep(tmp_path / "sweep.yaml")
    assert sweep.score_test
    assert sweep.recipes == parse_sweep(GRID).recipes


def test_equal_trials_are_one():
    sweep = parse_sweep({"seeds": [0, 0], "recipe": {"epochs": 1},
                         "variants": [{"learning_rate": 0.001}, {"optimizer": "nadam"}]})
    assert len(sweep.trials(DATA)) == 1


def test_filters_are_a_list():
    sweep = parse_sweep({"seeds": [0], "recipe": {"epochs": 1, "filters": [8, 16]}})
    assert sweep.recipes == (Recipe(epochs=1, model=PaperCnn((8, 16))),)


@pytest.mark.parametrize(("change", "words"), [
    ({"seeds": []}, ["seeds"]),
    ({"seeds": [-1]}, ["seeds"]),
    ({"seeds": "three"}, ["seeds", "three"]),
    ({"seeds": [0.5]}, ["seeds", "0.5"]),
    ({"seeds": [2**32]}, ["seeds", "4294967295"]),
    ({"recipe": {"epochs": 3, "filters": [8, "x"]}}, ["filters", "'x'"]),
    ({"recipe": {"epochs": 3, "filters": [8, 0]}}, ["filters", "greater than or equal to 1"]),
    ({"recipe": {"epochs": 3, "filters": []}}, ["filters"]),
    ({"grid": {"learning_rate": ["1e-3"]}}, ["learning_rate", "without quotes"]),
    ({"recipe": {"epochs": "1"}}, ["epochs", "without quotes"]),
    ({"grid": {"learning_rate": [float("inf")]}}, ["learning_rate", "inf"]),
    ({"score_test": "yes"}, ["score_test", "yes", "write true or false"]),
    ({"grids": {}}, ["grids", "did you mean grid?"]),
    ({"recipe": {"epochs": 3, "optimiser": "SGD"}}, ["optimiser", "did you mean optimizer?"]),
    ({"recipe": {"epochs": 3, "images": {}}}, ["images"]),
    ({"recipe": {}}, ["give epochs"]),
    ({"recipe": {"epochs": "many"}}, ["epochs", "many"]),
    ({"recipe": {"epochs": 0}}, ["epochs", "greater than or equal to 1"]),
    ({"recipe": {"epochs": 3, "dropout": "0.2"}}, ["dropout", "0.2"]),
    ({"recipe": {"epochs": 3, "size": 224.5}}, ["size", "224.5"]),
    ({"grid": {"optimizer": ["Magic"]}}, ["Magic", "Nadam"]),
    ({"recipe": {"epochs": 3, "dropout": float("nan")}}, ["dropout"]),
    ({"recipe": {"epochs": 3, "learning_rate": 1}}, ["learning_rate", "given twice"]),
    ({"recipe": {"epochs": 3, "split_seed": {1, 2}}}, ["split_seed", "{1, 2}"]),
    ({"recipe": ["epochs"]}, ["recipe"]),
    ({"grid": {"optimizer": "SGD"}}, ["grid", "list"]),
    ({"grid": {"optimizer": []}}, ["grid", "at least 1 item, not []"]),
    ({"variants": {}}, ["variants"]),
    ({"variants": []}, ["variants"]),
])
def test_wrong_name_or_value_is_refused(change, words, refused):
    with refused(*words):
        parse_sweep(GRID | change)


def test_validation_is_the_data_sets_where_the_file_names_none(tmp_path):
    path = tmp_path / "sweep.yaml"
    for asked, found in (({}, "published"), ({"validation": "patient"}, "patient")):
        path.write_text(yaml.safe_dump({"seeds": [0], "recipe": {"epochs": 1, **asked}}))
        assert [recipe.validation for recipe in read_sweep(path, validation="published").recipes] == [found]
    path.write_text(yaml.safe_dump({"seeds": [0], "recipe": {"epochs": 1}, "grid": {"validation": ["image", "block"]}}))
    assert [recipe.validation for recipe in read_sweep(path, validation="published").recipes] == ["image", "block"]


@pytest.mark.parametrize("text", ["seeds: [0", "- a\n- b\n", "", "\0", "!!python/object/apply:os.system ['true']"])
def test_file_that_is_no_sweep_is_refused(tmp_path, text, refused):
    (tmp_path / "sweep.yaml").write_text(text)
    with refused(tmp_path / "sweep.yaml"):
        read_sweep(tmp_path / "sweep.yaml")


def test_missing_file_is_refused(tmp_path, refused):
    with refused(tmp_path / "none.yaml", "cannot be read"):
        read_sweep(tmp_path / "none.yaml")


@pytest.mark.parametrize("parts", [1, 3, 8, 20])
def test_shards_share_the_trials_out_evenly(parts):
    trials = parse_sweep(GRID).trials(DATA)
    shares = [shard(trials, f"{part}/{parts}") for part in range(1, parts + 1)]
    assert sorted(trial.key for share in shares for trial in share) == sorted(trial.key for trial in trials)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", ""])
def test_wrong_shard_is_refused(share, refused):
    with refused("shard", "2/8"):
        shard([], share)


# ---------------------------------------------------------------- running

def test_progress_tells_what_is_done_and_left(tmp_path):
    seen = []
    trials = parse_sweep(GRID).trials(DATA)
    store = TrialStore(tmp_path)
    first = run_sweep(trials[:4], store, None, seen.append, stub_trainer)
    assert (first.total, first.done, first.before, first.left) == (4, 4, 0, 0)
    assert [progress.done for progress in seen if progress.running and progress.epoch == 3] == [0, 1, 2, 3]
    assert seen[-1].seconds_left == pytest.approx(0)
    second = run_sweep(trials, store, None, seen.append, stub_trainer)
    assert (second.total, second.done, second.before) == (12, 12, 4)


def test_damaged_result_is_reported_and_the_others_run(tmp_path):
    trials = parse_sweep(GRID).trials(DATA)
    store = TrialStore(tmp_path)
    run_sweep(trials[:2], store, None, lambda progress: None, stub_trainer)
    damaged = tmp_path / "trials" / f"{trials[0].key}.json"
    damaged.write_text("{")
    end = run_sweep(trials, store, None, lambda progress: None, stub_trainer)
    assert (end.done, end.before, len(end.problems), end.left) == (11, 1, 1, 0)
    assert str(damaged) in end.problems[0]
    assert damaged.read_text() == "{"


def test_trial_that_cannot_be_run_does_not_stop_the_others(tmp_path):
    def trainer(dataset, trial, folder, report):
        if trial.seed == 1:
            raise DataError("too few images; give more")
        return stub_trainer(dataset, trial, folder, report)

    end = run_sweep(parse_sweep(GRID).trials(DATA), TrialStore(tmp_path), None, lambda progress: None, trainer)
    assert (end.done, len(end.problems), end.left) == (8, 4, 0)
    assert set(end.problems) == {"too few images; give more"}


def test_diverged_trials_are_counted(tmp_path):
    def trainer(dataset, trial, folder, report):
        if trial.recipe.learning_rate == 0.1:
            raise Diverged("no number")
        return stub_trainer(dataset, trial, folder, report)

    end = run_sweep(parse_sweep(GRID).trials(DATA), TrialStore(tmp_path), None, lambda progress: None, trainer)
    assert (end.done, end.diverged) == (12, 6)


def test_two_sweeps_at_once_run_each_trial_once_and_count_it_once(tmp_path):
    trials = parse_sweep(GRID).trials(DATA)
    context = multiprocessing.get_context("fork")
    counts = context.Queue()

    def work():
        end = run_sweep(trials, TrialStore(tmp_path), None, lambda progress: None,
                        lambda *call: stub_trainer(*call, pause=0.01))
        counts.put((end.done - end.before, end.before, end.elsewhere))

    processes = [context.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    ends = [counts.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(ran for ran, _, _ in ends) == 12
    assert all(ran + before + elsewhere == 12 for ran, before, elsewhere in ends)
    assert len(list((tmp_path / "trials").glob("*.json"))) == 12


def test_processes_leave_what_one_after_the_other_leaves(tmp_path):
    def trainer(dataset, trial, folder, report):
        if trial.seed == 1 and trial.recipe.optimizer == "SGD":
            raise DataError("too few images; give more")
        if trial.recipe.learning_rate == 0.1:
            raise Diverged("no number")
        return stub_trainer(dataset, trial, folder, report)

    trials, seen = parse_sweep(GRID).trials(DATA), []
    alone = run_sweep(trials, TrialStore(tmp_path / "alone"), None, lambda progress: None, trainer)
    beside = run_sweep(trials, TrialStore(tmp_path / "beside"), None, seen.append, trainer, LocalProcesses(3))
    assert (beside.done, beside.before, beside.diverged, beside.problems, beside.left) == (
        alone.done, alone.before, alone.diverged, alone.problems, alone.left) == (
        10, 0, 5, ("too few images; give more",) * 2, 0)
    found, expected = ([(result.trial, result.digest, result.diverged) for result in TrialStore(folder).read_all()[0]]
                       for folder in (tmp_path / "beside", tmp_path / "alone"))
    assert found == expected
    assert [progress.done for progress in seen[1:-1]] == list(range(1, 11))
    assert all(progress.seconds_left is not None for progress in seen[1:])


def test_process_that_is_killed_ends_the_sweep_in_one_line_and_what_is_done_stays(tmp_path, refused):
    def trainer(dataset, trial, folder, report):
        if trial.seed == 1:
            # As the system does when memory runs out.
            os.kill(os.getpid(), signal.SIGKILL)
        return stub_trainer(dataset, trial, folder, report)

    with refused("was killed", "fewer --processes"):
        run_sweep(parse_sweep(GRID).trials(DATA), TrialStore(tmp_path), None, lambda progress: None, trainer,
                  LocalProcesses(2))
    assert TrialStore(tmp_path).read_all()[0]


def test_processes_hold_no_more_trials_than_they_compute(tmp_path):
    store, trials, held = TrialStore(tmp_path), parse_sweep(GRID).trials(DATA), []

    def is_held(trial):
        with store.claim(trial) as mine:
            return not mine

    run_sweep(trials, replace(store, admit=lambda _: held.append(sum(map(is_held, trials)))), None,
              lambda progress: None, stub_trainer, LocalProcesses(3))
    assert len(held) == 12
    assert max(held) == 3


@pytest.mark.parametrize("processes", [1, 3])
def test_no_trial_is_begun_that_would_end_too_late(processes, tmp_path):
    executor = {"executor": LocalProcesses(processes)} if processes > 1 else {}
    end = run_sweep(parse_sweep(GRID).trials(DATA), TrialStore(tmp_path), None, lambda progress: None, stub_trainer,
                    minutes=-1.0, **executor)
    assert (end.done, end.left) == (0, 12)
    assert not list((tmp_path / "trials").glob("*.json"))


def test_longest_trial_says_how_long_the_next_may_take(tmp_path):
    end = run_sweep(parse_sweep(GRID).trials(DATA), TrialStore(tmp_path), None, lambda progress: None,
                    lambda *call: stub_trainer(*call, pause=0.2), minutes=1 / 60)
    assert end.done == 1


def test_two_sweeps_of_processes_share_a_store(tmp_path):
    trials = parse_sweep(GRID).trials(DATA)
    with TrialStore(tmp_path).claim(trials[3]):
        end = run_sweep(trials, TrialStore(tmp_path), None, lambda progress: None, stub_trainer, LocalProcesses(2))
        assert (end.done, end.elsewhere, end.left) == (11, 1, 1)
    end = run_sweep(trials, TrialStore(tmp_path), None, lambda progress: None, stub_trainer, LocalProcesses(2))
    assert (end.done, end.before, end.elsewhere) == (12, 11, 0)


def test_models_that_are_kept_are_taken_by_the_other_commands_and_change_no_result(tiny_tree, tmp_path, run):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({
        "seeds": [0], "score_test": True, "recipe": {"epochs": 1, "size": 16, "precision": "float32"},
        "variants": [{"filters": [4, 8], "batch_size": 8, "batch_norm_momentum": 0.5}, {"model": "ridge"}]}))
    arguments = ["sweep", tmp_path / "sweep.yaml", "--data", tiny_tree, "--store"]
    assert run(*arguments, tmp_path / "plain")[0] == run(*arguments, tmp_path / "kept", "--keep-models")[0] == 0
    network, ridge = sorted((tmp_path / "kept" / "models").iterdir(), key=lambda path: path.suffix)
    assert {network.suffix, ridge.suffix} == {".keras", ".skops"}
    for model in (network, ridge):
        scores = TrialStore(tmp_path / "kept").read(model.stem).scores
        code, out, _ = run("evaluate", model, "--data", tiny_tree, "--json", "--bootstrap-samples", 10)
        test = scores[scores["split"] == "test"]
        assert code == 0
        assert json.loads(out)["metrics"]["accuracy"]["value"] == pytest.approx(
            ((test["score"] >= 0.5) == (test["label"] == "PNEUMONIA")).mean())
    image = next((tiny_tree / "test" / "NORMAL").iterdir())
    assert run("predict", ridge, image, "--csv")[0] == 0
    assert run("predict", network, image, "--csv", "--explain", tmp_path / "explained")[0] == 0
    assert list((tmp_path / "explained").glob("*.png"))
    shutil.rmtree(tmp_path / "kept" / "models")
    assert results(tmp_path / "kept") == results(tmp_path / "plain")


def results(folder):
    """Everything in a store that is a result, and nothing that tells the time; and that nothing else is there."""
    assert not list((folder / "unfinished").iterdir())
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            value = json.loads(path.read_text())
            del value["facts"]
            found[path.name] = value
        elif path.is_file():
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.long
@pytest.mark.slow
def test_sweep_killed_at_twenty_random_moments_ends_as_an_undisturbed_one(tmp_path):
    trials = parse_sweep(GRID | {"seeds": list(range(12))}).trials(DATA)
    run_sweep(trials, TrialStore(tmp_path / "undisturbed"), None, lambda progress: None, stub_trainer)

    def slowly(dataset, trial, folder, report):
        return stub_trainer(dataset, trial, folder, report, pause=0.01)

    def work():
        run_sweep(trials, TrialStore(tmp_path / "killed"), None, lambda progress: None, slowly)

    moments, kills = random.Random(0), 0
    while True:
        # A child of this process: TensorFlow, which is not used here, need not load again.
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(moments.uniform(0.01, 0.15) if kills < 20 else 60)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
    assert process.exitcode == 0
    assert kills == 20
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")


SPEC = """
seeds: [0]
score_test: true
recipe: {epochs: 6, size: 16, filters: [4, 8], batch_size: 8, batch_norm_momentum: 0.5, validation_fraction: 0.3,
         augmentation: public recipe, choose_by: validation accuracy, score_every_epoch: [validation, test]}
variants:
  - {optimizer: Nadam, schedule: plateau}
  - {optimizer: SGD with momentum, schedule: decay}
"""


def sweep_command(tmp_path, store, data):
    (tmp_path / "sweep.yaml").write_text(SPEC)
    return [sys.executable, "-m", "covidcnn", "sweep", str(tmp_path / "sweep.yaml"), "--store", str(tmp_path / store),
            "--data", str(data)]


@pytest.mark.slow
@pytest.mark.long
def test_real_sweep_interrupted_and_killed_ends_as_an_undisturbed_one(tmp_path, tiny_tree):
    """With a rate that falls on a plateau, one that decays, momentum, and scores after every epoch."""
    subprocess.run(sweep_command(tmp_path, "undisturbed", tiny_tree), check=True, capture_output=True)
    command = sweep_command(tmp_path, "killed", tiny_tree)
    code, said = _end_after(command, signal.SIGINT, "Nadam 0.001.*epoch 2/6")
    assert code == 130
    assert said.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in said
    (unfinished,) = [path for path in (tmp_path / "killed" / "unfinished").iterdir() if path.is_dir()]
    assert list(unfinished.glob("*.npz"))
    assert _end_after(command, signal.SIGKILL, "Nadam 0.001.*epoch 4/6")[0] == -signal.SIGKILL
    assert _end_after(command, signal.SIGKILL, "SGD with momentum 0.01.*epoch 2/6")[0] == -signal.SIGKILL
    subprocess.run(command, check=True, capture_output=True)
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")


def _end_after(command, kill, line):
    """Start a sweep, send it a signal when it has said ``line``, and give its exit code and what it said."""
    # Ignored where tests run in the background of a shell, and a process would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    signal.signal(signal.SIGINT, before)
    said, deadline = "", time.monotonic() + 120
    for text in process.stderr:
        said += text
        if re.search(line, text):
            break
        assert time.monotonic() < deadline
    process.send_signal(kill)
    rest = process.communicate(timeout=60)[1]
    return process.returncode, said + rest
