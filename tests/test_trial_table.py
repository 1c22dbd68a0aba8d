"""Finished trials as a table, and the command that lists them."""

from dataclasses import replace

import pandas as pd
import pytest
from stub import stub_trainer
from typer.testing import CliRunner

from covidcnn.cli import app
from covidcnn.task import Task
from covidcnn.training.comparison import summary
from covidcnn.training.recipe import Recipe
from covidcnn.training.result import Diverged
from covidcnn.trials.pack import pack
from covidcnn.trials.store import TrialStore
from covidcnn.trials.table import matches, trial_table, varying
from covidcnn.trials.trial import pin_trial

TRIALS = [pin_trial("a" * 64, Recipe(epochs=2, optimizer=name, precision="float32"), seed, score_test=name == "SGD")
          for name in ("Nadam", "SGD") for seed in (0, 1)]


@pytest.fixture
def store(tmp_path):
    made = TrialStore(tmp_path / "store")
    made.prepare()
    for trial in TRIALS:
        made.run(None, trial, trainer=stub_trainer)
    return made


def test_simulated_shifts_of_validation_are_no_columns(store):
    result = store.read(TRIALS[0].key)
    plain = result.scores[result.scores["split"] == "validation"]
    shifted = replace(result, scores=pd.concat([plain, plain.assign(perturbation="gamma 0.7")]))
    assert trial_table([shifted]).columns.tolist() == trial_table([result]).columns.tolist()


def test_row_is_a_trial_with_its_settings_and_metrics(store):
    table = trial_table(store.read_all()[0])
    assert sorted(table.index) == sorted(trial.key for trial in TRIALS)
    row, result = table.loc[TRIALS[2].key], store.read(TRIALS[2].key)
    assert (row["optimizer"], row["seed"], row["learning_rate"], row["size"]) == ("SGD", 0, 0.01, 224)
    for split in ("validation", "test"):
        for name, value in summary(result.scores[result.scores["split"] == split]).items():
            assert row[f"{split} {name}"] == pytest.approx(value)
    assert table.loc[TRIALS[0].key, "test accuracy"] != table.loc[TRIALS[0].key, "test accuracy"]


def test_conditions_compare_by_value(store):
    result = store.read(TRIALS[2].key)
    assert matches(result, {"optimizer": "sgd", "seed": "0", "filters": "32-64-128-256", "score_test": "true",
                            "max_training_images": "none"})
    for rate in ("0.01", "1e-2", ".0100", "0.01"):
        assert matches(result, {"learning_rate": rate})
    for other in ({"optimizer": "SGD", "seed": "1"}, {"learning_rate": "1e-3"}, {"learning_rate": "low"},
                  {"score_test": "0"}, {"score_test": "1"}):
        assert not matches(result, other)


def test_unknown_setting_is_refused(store, refused):
    with refused("colour", "optimizer"):
        matches(store.read(TRIALS[0].key), {"colour": "red"})
    # Of another model: there is none of these here, and no mistake.
    assert not matches(store.read(TRIALS[0].key), {"trees": "300"})


def test_classes_may_be_called_by_numbers(store):
    task = Task(("0", "1"))
    trial = replace(TRIALS[0], task=task)

    def trainer(*arguments):
        training = stub_trainer(*arguments)
        scores = training.scores
        return replace(training, scores=scores.assign(label=scores["label"].map({"NORMAL": "0", "PNEUMONIA": "1"})))

    store.run(None, trial, trainer=trainer)
    assert 0 <= trial_table([store.read(trial.key)])["validation AUC"].iloc[0] <= 1


def test_names_of_classes_may_have_a_quote(store):
    task = Task(('5" nodule', "other", "none"))
    trial = replace(TRIALS[0], task=task)

    def trainer(*arguments):
        training = stub_trainer(*arguments)
        scores = training.scores.drop(columns="score").assign(label=[*task.classes] * (len(training.scores) // 3)
                                                              + [*task.classes][:len(training.scores) % 3])
        return replace(training, scores=scores.assign(**dict.fromkeys(task.score_columns, 1 / 3)))

    store.run(None, trial, trainer=trainer)
    assert set(task.score_columns) <= set(store.read(trial.key).scores.columns)


def test_packed_store_is_listed_without_its_folders(store):
    pack(store.folder)
    for part in ("trials", "scores", "unfinished"):
        (store.folder / part).rmdir()
    assert "4 trials" in CliRunner().invoke(app, ["trials", str(store.folder)]).stdout


def test_recipe_versions_are_not_mixed(store, refused):
    store.run(None, replace(TRIALS[0], version=0), trainer=stub_trainer)
    with refused("versions 0 and 1"):
        trial_table(store.read_all()[0])


def test_table_for_reading_has_only_what_differs(store):
    shown = varying(trial_table(store.read_all()[0]))
    assert {"optimizer", "learning_rate", "seed", "validation AUC"} <= set(shown.columns)
    assert not {"size", "dropout", "data", "diverged"} & set(shown.columns)


def test_setting_that_some_trials_lack_differs(store):
    """None is a value, and pandas takes it for a missing one."""
    store.run(None, replace(TRIALS[0], recipe=replace(TRIALS[0].recipe, max_training_images=800)), trainer=stub_trainer)
    assert "max_training_images" in varying(trial_table(store.read_all()[0]))


def test_diverged_trial_is_listed_without_metrics(store):
    def diverge(*_):
        raise Diverged("no number")

    trial = replace(TRIALS[0], seed=9)
    store.run(None, trial, trainer=diverge)
    row = trial_table(store.read_all()[0]).loc[trial.key]
    assert row["diverged"] == "no number"
    assert row["validation AUC"] != row["validation AUC"]


def test_command_lists_filters_and_writes_csv(store):
    run = CliRunner().invoke(app, ["trials", str(store.folder), "--where", "optimizer=SGD", "--csv"])
    assert run.exit_code == 0
    lines = run.stdout.strip().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("key,epochs,optimizer,")
    assert "4 trials" in CliRunner().invoke(app, ["trials", str(store.folder)]).stdout


def test_whole_numbers_are_shown_whole_beside_missing_ones(tmp_path):
    store = TrialStore(tmp_path / "limited")
    store.prepare()
    for limit in (None, 5216, 5220):
        recipe = replace(TRIALS[0].recipe, max_training_images=limit)
        store.run(None, pin_trial("a" * 64, recipe, 0), trainer=stub_trainer)
    shown = CliRunner().invoke(app, ["trials", str(store.folder)]).stdout
    cells = {cell.strip() for line in shown.splitlines() for cell in line.split("│")}
    assert {"5216", "5220", "none"} <= cells


def test_command_lists_the_others_and_names_a_damaged_result(store, refused):
    damaged = store.folder / "trials" / f"{TRIALS[0].key}.json"
    damaged.write_text("")
    run = CliRunner().invoke(app, ["trials", str(store.folder)])
    assert "3 trials" in run.stdout
    assert str(damaged) in str(run.exception)


def test_folder_that_is_no_store_is_refused(tmp_path):
    assert "no store of trials" in str(CliRunner().invoke(app, ["trials", str(tmp_path)]).exception)
    assert "NAME=VALUE" in str(CliRunner().invoke(app, ["trials", str(tmp_path), "--where", "x"]).exception)
