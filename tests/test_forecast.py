"""What a sweep will take, said beforehand."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from covidcnn.data.dataset import open_dataset
from covidcnn.errors import DataError
from covidcnn.training.fit import select_images
from covidcnn.trials import forecast as forecast_module
from covidcnn.trials.forecast import forecast
from covidcnn.trials.spec import parse_sweep
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import run_sweep

# Of the 64 images of train ten are for validation; the others are shown in seven batches of eight.
TRAIN, VALIDATION, TEST = 7 * 8, 10, 32
RECIPE = {"epochs": 3, "size": 16, "batch_size": 8, "precision": "float32", "filters": [4, 8]}


@pytest.fixture
def dataset(tiny_tree):
    return open_dataset(tiny_tree)


@pytest.fixture
def timed(monkeypatch):
    """A second an image that is learnt from, after ten for the start; what was timed."""
    seen = []

    def time(kind, dataset):
        seen.append(kind)
        return forecast_module._Timing(10.0, 1.0, 100 * len(seen), 1000)

    monkeypatch.setattr(forecast_module, "_time", time)
    return seen


def trials_of(dataset, seeds=(0,), score_test=False, variants=({},), **recipe):
    return parse_sweep({"seeds": list(seeds), "score_test": score_test, "recipe": RECIPE | recipe,
                        "variants": list(variants)}).trials(dataset.content_hash)


@pytest.mark.parametrize(("recipe", "score_test", "passes"), [
    ({}, False, 3 * (TRAIN + VALIDATION / 3) + VALIDATION / 3),
    ({}, True, 3 * (TRAIN + VALIDATION / 3) + (VALIDATION + TEST) / 3),
    ({"epochs": 6}, False, 6 * (TRAIN + VALIDATION / 3) + VALIDATION / 3),
    ({"choose_by": "perturbed validation"}, False, 3 * (TRAIN + 7 * VALIDATION / 3) + VALIDATION / 3),
    ({"perturbations": ["contrast 0.7", "height 0.90"]}, False, 3 * (TRAIN + VALIDATION / 3) + 3 * VALIDATION / 3),
    ({"score_every_epoch": ["validation", "test"]}, True,
     3 * (TRAIN + (2 * VALIDATION + TEST) / 3) + (VALIDATION + TEST) / 3),
])
def test_images_are_counted_that_are_shown(recipe, score_test, passes, dataset, timed):
    expected, = forecast(trials_of(dataset, score_test=score_test, **recipe), dataset).seconds
    assert expected == pytest.approx(10 + passes)


def test_teacher_is_a_second_training_and_labels_left_out_take_no_time(dataset, timed):
    without, = forecast(trials_of(dataset, label_share=0.5), dataset).seconds
    taught, = forecast(trials_of(dataset, label_share=0.5, teacher="hard"), dataset).seconds
    whole, = forecast(trials_of(dataset), dataset).seconds
    assert without < whole
    assert taught - 10 == pytest.approx(2 * (whole - 10), rel=0.2)


def test_small_batches_are_timed_on_enough_images_for_all_classes(dataset, timed):
    forecast(trials_of(dataset, batch_size=1), dataset)
    assert timed[0].recipe.max_training_images == 200


@pytest.mark.slow
def test_rare_class_that_a_small_draw_leaves_out_is_timed_on_all_images(dataset):
    images = dataset.images[dataset.images["split"] != "test"]
    ill = images[images["label"] == "PNEUMONIA"]
    # Four children of many: some are on either side of a cut, and few or none are among the 200 that are drawn.
    healthy = images[images["label"] == "NORMAL"]
    many = pd.concat([*(healthy.assign(patient=healthy["patient"] + f"-{copy}") for copy in range(40)),
                      ill.drop_duplicates("patient").head(4)], ignore_index=True)
    rare = replace(dataset, images=many)

    def refuses(split_seed, limit):
        recipe = trials_of(rare, split_seed=split_seed)[0].recipe
        try:
            select_images(many, replace(recipe, max_training_images=limit))
        except DataError:
            return True
        return False

    split_seed = next(seed for seed in range(100) if refuses(seed, 200) and not refuses(seed, None))
    expected, = forecast(trials_of(rare, split_seed=split_seed), rare).seconds
    assert np.isfinite(expected)
    assert expected > 0


def test_each_kind_of_training_is_timed_once(dataset, timed):
    trials = trials_of(dataset, seeds=(0, 1), variants=[
        {"optimizer": "SGD"}, {"optimizer": "Adam", "epochs": 6}, {"size": 32}])
    expected = forecast(trials, dataset, keep_models=True)
    assert len(timed) == 2
    assert len(expected.seconds) == 6
    assert expected.unfinished_bytes == 200
    assert expected.cache_bytes == 104 * (16**2 + 32**2)
    assert expected.store_bytes - forecast(trials, dataset).store_bytes == 6 * 1000
    assert expected.decoding_seconds > 0


@pytest.mark.slow
def test_bytes_are_those_that_the_store_then_has(dataset, tmp_path):
    trials = trials_of(dataset, score_test=True, score_every_epoch=["test"], perturbations=["contrast 0.7"])
    expected = forecast(trials, dataset, keep_models=True)
    store = TrialStore(tmp_path, keep_models=True)
    run_sweep(trials, store, dataset, lambda progress: None)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == pytest.approx(
        expected.store_bytes, rel=0.15)
    assert expected.unfinished_bytes > 0
    assert np.isfinite(expected.seconds).all()
    assert min(expected.seconds) > 0


@pytest.mark.slow
def test_dry_run_says_what_is_left_and_leaves_nothing(tiny_tree, tmp_path, run):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({
        "seeds": [0, 1], "recipe": {"size": 16, "precision": "float32"},
        "variants": [{**RECIPE, "epochs": 1}, {"model": "ridge", "epochs": 1}]}))
    arguments = ["sweep", tmp_path / "sweep.yaml", "--data", tiny_tree, "--store", tmp_path / "store"]
    code, out, _ = run(*arguments, "--dry-run")
    assert code == 0
    assert out.startswith("4 trials, 0 finished, 4 to run\n")
    assert re.search(r"time, one after the other on this machine: 0:\d\d:\d\d; each 0:\d\d:\d\d", out)
    assert re.search(r"disk: [\d.]+ kB in the store, and [\d.]+ kB for a training while it runs", out)
    assert re.search(r"memory: [\d.]+ (MB|GB) a process", out)
    assert not (tmp_path / "store").exists()
    assert run(*arguments)[0] == 0
    assert run(*arguments, "--dry-run")[1] == "4 trials, 4 finished, 0 to run\n"
