"""Stores of trials put together: what shards on several machines have left."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from stub import stub_trainer
from test_store import RECIPE
from typer.testing import CliRunner

from covidcnn.cli import app
from covidcnn.paths import PROJECT
from covidcnn.trials.merge import merge
from covidcnn.trials.pack import pack
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import shard
from covidcnn.trials.trial import pin_trial

TRIALS = [pin_trial("a" * 64, RECIPE, seed) for seed in range(6)]


@pytest.fixture
def stores(tmp_path):
    """Two shards, which share no trial, each run into a store of its own."""
    made = []
    for part in (1, 2):
        store = TrialStore(tmp_path / f"part{part}")
        store.prepare()
        for trial in shard(TRIALS, f"{part}/2"):
            store.run(None, trial, trainer=stub_trainer)
        made.append(store)
    return made


def content(store):
    return {path.relative_to(store.folder).as_posix(): path.read_bytes()
            for path in store.folder.rglob("*") if path.is_file()}


def test_shards_become_what_one_run_would_have_left(stores, tmp_path):
    into = TrialStore(tmp_path / "all")
    merged = merge(stores, into)
    assert (merged.trials, merged.copied) == (6, 6)
    assert content(into) == content(stores[0]) | content(stores[1])
    # Once more there is nothing to do, and nothing changes.
    before = content(into)
    assert merge(stores, into).copied == 0
    assert content(into) == before


def test_a_packed_store_and_one_that_shares_trials_are_taken_as_well(stores, tmp_path):
    for trial in shard(TRIALS, "2/2"):
        stores[0].run(None, trial, trainer=stub_trainer)
    pack(stores[1].folder)
    merged = merge(stores, TrialStore(tmp_path / "all"))
    assert (merged.trials, merged.copied) == (6, 6)


def test_two_results_of_one_trial_that_differ_are_refused_and_nothing_is_copied(stores, tmp_path, refused):
    trial = shard(TRIALS, "2/2")[0]
    result = stores[1].read(trial.key)
    stores[0].write(replace(result, scores=result.scores.assign(score=result.scores["score"] + 1e-6)))
    into = TrialStore(tmp_path / "all")
    with refused("part2", trial.key, "part1", "nothing was copied"):
        merge(stores, into)
    assert not into.folder.exists()
    assert content(into) == {}


def test_results_that_differ_in_time_and_commit_alone_are_equal(stores, tmp_path):
    trial = shard(TRIALS, "2/2")[0]
    result = stores[1].read(trial.key)
    stores[0].write(replace(result, facts=result.facts | {"seconds": 99.0, "git commit": "1" * 40}))
    assert merge(stores, TrialStore(tmp_path / "all")).trials == 6


def test_damaged_result_and_what_is_no_store_are_refused(stores, tmp_path, refused):
    with refused("nowhere", "no store"):
        merge([TrialStore(tmp_path / "nowhere")], TrialStore(tmp_path / "all"))
    (stores[1].folder / "trials" / f"{shard(TRIALS, '2/2')[0].key}.json").write_text("{")
    with refused("damaged"):
        merge(stores, TrialStore(tmp_path / "all"))


def test_command_merges_and_reports_mixed_processors(stores, tmp_path):
    path = stores[0].folder / "trials" / f"{shard(TRIALS, '1/2')[0].key}.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"facts": value["facts"] | {"processor": "Another one"}}))
    models = stores[1].folder / "models"
    models.mkdir()
    (models / f"{shard(TRIALS, '2/2')[0].key}.keras").write_bytes(b"a model")
    found = CliRunner().invoke(app, ["trials", "merge", *(str(store.folder) for store in stores), "--into",
                                     str(tmp_path / "all")])
    assert found.exit_code == 0
    assert "6 trials, 6 of them copied now" in found.output
    assert "2 kinds of processor or numbers of threads" in found.output
    assert "1 on Another one" in found.output
    assert (tmp_path / "all/models" / f"{shard(TRIALS, '2/2')[0].key}.keras").read_bytes() == b"a model"


def test_list_is_the_default_command(stores):
    runs = [CliRunner().invoke(app, ["trials", *arguments]).stdout for arguments in (
        [str(stores[0].folder)], ["list", str(stores[0].folder)], ["--csv", str(stores[0].folder)])]
    assert runs[0] == runs[1]
    assert "3 trials" in runs[0]
    assert runs[2].startswith("key,")


@pytest.mark.slow
@pytest.mark.long
def test_job_array_of_the_docs_leaves_what_one_sweep_leaves(tiny_tree, tmp_path):
    """With a stand-in for the scheduler, which runs the script once for each number of the array."""
    text = (PROJECT / "docs/scaling.md").read_text(encoding="utf-8")
    script = re.search(r"```bash\n(#!/bin/bash.+?)```", text, re.DOTALL)[1]
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", script).groups())
    (tmp_path / "sweep.yaml").write_text(
        "seeds: [0, 1]\nrecipe: {size: 16, epochs: 1, batch_norm_momentum: 0.9, precision: float32}\n"
        "grid: {optimizer: [Nadam, SGD]}\n", encoding="utf-8")
    (tmp_path / "images").symlink_to(tiny_tree)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = tmp_path / ".venv/bin/covidcnn"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m covidcnn "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    for number in range(first, last + 1):
        subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, capture_output=True,
                       env=environment | {"SLURM_ARRAY_TASK_ID": str(number)})
    parts = [str(tmp_path / f"part-{number}") for number in range(first, last + 1)]
    found = CliRunner().invoke(app, ["trials", "merge", *parts, "--into", str(tmp_path / "trials")])
    assert "4 trials, 4 of them copied now" in found.output
    subprocess.run([command, "sweep", "sweep.yaml", "--data", "images", "--store", "whole"], cwd=tmp_path, check=True,
                   capture_output=True, env=environment)
    whole, merged = TrialStore(tmp_path / "whole"), TrialStore(tmp_path / "trials")
    assert whole.finished_keys() == merged.finished_keys()
    for key in whole.finished_keys():
        pd.testing.assert_frame_equal(whole.read(key).scores, merged.read(key).scores, check_exact=True)


@pytest.mark.parametrize("into_has_the_trial", [False, True])
def test_model_is_copied_from_whichever_store_kept_it(stores, tmp_path, into_has_the_trial):
    first, second = stores
    trial = shard(TRIALS, "1/2")[0]
    second.write(first.read(trial.key), b"a model")
    into = TrialStore(tmp_path / "all")
    into.prepare()
    if into_has_the_trial:
        into.write(first.read(trial.key))
    merged = merge(stores, into)
    assert merged.trials == 6
    assert (into.folder / "models" / f"{trial.key}.keras").read_bytes() == b"a model"
