"""Notebook 07 on an invented store: what it says where arms are finished, and where they are not."""

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from invented import SEEDS, invented_baseline, invented_store
from scipy import stats

from covidcnn.evaluation.statistics import paired_difference
from covidcnn.evaluation.weighted_metrics import accuracy, accuracy_of_any_threshold, sensitivity, specificity
from covidcnn.paper.notebook_tables import difference_table, new_seeds_table
from covidcnn.paper.study_folders import LEDGER, evidence_of, study_evidence
from covidcnn.paths import NOTEBOOKS
from covidcnn.plots.comparisons import by_share, moved_predictions
from covidcnn.study.access_log import log_access
from covidcnn.study.ledger import read_ledger

pytestmark = pytest.mark.slow

FIGURES = {"false_alarms", "warning", "conditions", "condition_differences", "shares", "thresholds", "cure",
           "stretches"}
SECOND = {"second_ladder-64-px", "second_stretch-64-px", "second_ladder-128-px-arm-12", "second_stretch-128-px-arm-12"}
"""Of the second study, whose arms at 64 px and at 128 px are finished."""


@pytest.fixture
def run_notebook(tiny_tree, tmp_path, monkeypatch):
    """Execute the code cells of notebook 07 on a protocol and its store; gives the report folder."""
    def run(protocol, store):
        monkeypatch.setattr("covidcnn.paper.study_folders.study_evidence", lambda name: (
            evidence_of(protocol, store) if name == "paper" else study_evidence(name)))
        out = tmp_path / "out"
        names = {}
        for cell in nbformat.read(NOTEBOOKS / "07_false_alarms.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"PROFILE": "smoke", "DATA": str(tiny_tree), "OUT": str(out)}
        plt.close("all")
        return out

    return run


def test_finished_arms_are_shown(tmp_path, run_notebook, capsys):
    protocol, store = invented_store(tmp_path, arms=("1", "4", "7"))
    invented_baseline(store.folder)
    for model in ("ridge", "neighbour"):
        log_access(protocol, model, "8-floor")
    out = run_notebook(protocol, store)
    assert {path.stem for path in (out / "figures").glob("*.png")} == FIGURES | SECOND
    assert "waits for the others" not in capsys.readouterr().out
    evidence = evidence_of(protocol, store)
    small, large = evidence.arms["4a-treatments"], evidence.arms["4c-treatments-224"]
    sizes = pd.read_csv(out / "tables" / "sizes_compared.csv")
    assert sizes["px"].tolist() == [64, 224] * 2
    assert sizes["seeds"].tolist() == [len(SEEDS)] * 4
    for row, arm, balance in ((0, small, "none"), (3, large, "class-weight")):
        one = arm.condition(balance=balance, augmentation="paper")
        assert sizes.loc[row, "specificity, test"] == pytest.approx(np.median(one.values(specificity)))
        assert sizes.loc[row, "sensitivity, validation"] == pytest.approx(np.median(one.validation_values(sensitivity)))
    auc = pd.read_csv(out / "tables" / "thresholds_auc.csv", index_col="condition")
    assert len(auc) == 10
    assert auc.to_numpy().min() > 0
    aim = pd.read_csv(out / "tables" / "aim.csv", index_col="measure")
    (recipe,) = evidence.arms["7b-recipe"].conditions
    reached = recipe.values(specificity, at_validation_threshold=True)
    assert aim.loc["specificity", "median"] == pytest.approx(np.median(reached))
    by_images = pd.read_csv(out / "tables" / "cure_by_images.csv", index_col="images")
    on_validation = recipe.validation_values(sensitivity, at_validation_threshold=True)
    assert by_images.loc["test", ["specificity, median", "lowest", "highest"]].tolist() == pytest.approx(
        [np.median(reached), reached.min(), reached.max()])
    assert by_images.loc["validation", "sensitivity, median"] == pytest.approx(np.median(on_validation))
    verdicts = pd.read_csv(out / "tables" / "verdicts.csv", index_col="verdict")
    assert verdicts["claims"].sum() == len(read_ledger(LEDGER))
    # Nothing of it was measured on the images that the notebook was run on.
    assert "phantom" not in (out / "figures" / "conditions.svg").read_text(encoding="utf-8")
    assert "Evidence of the studies" in (out / "figures" / "conditions.svg").read_text(encoding="utf-8")


def test_unfinished_arms_say_how_far_they_are_and_show_nothing(tmp_path, run_notebook, capsys):
    protocol, store = invented_store(tmp_path, arms=("1", "4", "7"))
    for name in ("1-as-published", "4a-treatments", "4b-shares", "4c-treatments-224", "7b-recipe"):
        trial = protocol.trials(name)[0]
        # Arms 1 and 4c have it in common.
        (store.folder / "trials" / f"{trial.key}.json").unlink(missing_ok=True)
    out = run_notebook(protocol, store)
    said = capsys.readouterr().out
    assert f"Arm 4b-shares: {4 * len(SEEDS) - 1} of {4 * len(SEEDS)} trainings are finished" in said
    assert "waits for the others" in said
    # What is measured on the images at hand waits for nothing.
    assert {path.stem for path in (out / "figures").rglob("*.png")} == {"framing", "stretches"} | SECOND
    assert {path.stem for path in (out / "tables").glob("*.csv")} == {
        "suspects", "verdicts", "framing", "stretches", "aspect_responses", "aspect_contrasts",
        "second_most", "second_most-128-px", "second_contrasts", "second_predictions"}


def test_by_share_joins_medians_beside_their_share():
    validation, test = np.array([[0.8, 0.9, 1.0], [0.9, 0.9, 0.9]]), np.array([[0.2, 0.3, 0.7], [0.6, 0.7, 0.8]])
    ax = by_share([0.1, 0.5], validation, test, "specificity", plt.figure().add_subplot())
    lines = [[tuple(map(float, point)) for point in zip(*line.get_data(), strict=True)] for line in ax.lines]
    assert [(9.6, 0.9), (49.6, 0.9)] in lines
    assert [(10.4, 0.3), (50.4, 0.7)] in lines


def test_moved_predictions_lead_from_half_to_the_other_threshold():
    one = np.array([[[0.95, 0.4], [0.9, 0.75]]])
    ax = moved_predictions({"validation": one, "test": one - 0.25}, plt.figure().add_subplot())
    lines = [np.column_stack(line.get_data()).tolist() for line in ax.lines]
    assert pytest.approx(np.array([[0.6, 0.95], [0.25, 0.9]])) == np.array(lines[0])
    assert pytest.approx(np.array([[0.85, 0.7], [0.5, 0.65]])) == np.array(lines[3])


def test_the_bound_of_any_threshold_is_met_by_one_and_exceeded_by_none():
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, 200)
    scores = np.round(np.clip(generator.normal(0.4 + 0.2 * labels, 0.3), 0, 1), 2)
    of_each = [np.mean((scores >= cut) == labels) for cut in [*np.unique(scores), 2]]
    assert accuracy_of_any_threshold(labels, scores, np.ones(200)) == pytest.approx(max(of_each))
    # A bootstrap's samples, each a row of weights.
    weights = generator.integers(0, 3, (3, 200))
    expected = [max(np.average((scores >= cut) == labels, weights=one) for cut in [*np.unique(scores), 2])
                for one in weights]
    assert accuracy_of_any_threshold(labels, scores, weights) == pytest.approx(np.array(expected))


def test_differences_of_pairs_and_of_samples_with_other_seeds(tmp_path):
    evidence = evidence_of(*invented_store(tmp_path, arms=("1",)))
    arm = evidence.arms["1-as-published"]
    nadam, sgd = arm.condition(optimizer="Nadam"), arm.condition(optimizer="SGD")
    table = difference_table({"Nadam - SGD": (nadam, sgd), "Nadam - itself": (nadam, nadam)}, arm)
    table = table.set_index("measure", append=True)
    assert (table.loc["Nadam - itself", ["mean difference", "low", "high"]] == 0).all(axis=None)
    found = table.loc[("Nadam - SGD", "accuracy, 0.5")]
    expected = paired_difference(nadam.test_scores, sgd.test_scores, arm.images, accuracy, arm.draws)
    assert found.tolist() == pytest.approx([expected.mean, expected.low, expected.high, len(SEEDS)])
    moved = table.loc[("Nadam - SGD", "specificity, threshold from validation"), "mean difference"]
    assert moved == pytest.approx(np.mean(nadam.values(specificity, at_validation_threshold=True)
                                          - sgd.values(specificity, at_validation_threshold=True)))
    welch = new_seeds_table(nadam, {"SGD": sgd}).loc["SGD"]
    first, second = nadam.values(accuracy), sgd.values(accuracy)
    errors = np.array([values.var(ddof=1) / len(values) for values in (first, second)])
    freedom = errors.sum() ** 2 / (errors ** 2 / (len(SEEDS) - 1)).sum()
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(errors.sum())
    assert welch[["mean difference", "low", "high"]].tolist() == pytest.approx(
        [first.mean() - second.mean(), first.mean() - second.mean() - reach, first.mean() - second.mean() + reach])
