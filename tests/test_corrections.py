"""Corrections to the closed study: every number once more, from files alone and by other means than the library's."""

import json
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from sklearn.metrics import roc_auc_score

from covidcnn.paper.corrections import UNMARKED, corrections
from covidcnn.paper.study_folders import PROTOCOL, STORE, evidence_of
from covidcnn.paths import NOTEBOOKS, PROJECT
from covidcnn.study.access_log import open_store
from covidcnn.study.protocol import read_protocol

pytestmark = pytest.mark.slow

LIST = PROTOCOL.parent / "tables" / "trials.csv"


@pytest.fixture(scope="module")
def found():
    protocol = read_protocol(PROTOCOL)
    return corrections(evidence_of(protocol, open_store(STORE)), protocol)


def numbers(text):
    return [float(number) for number in re.findall(r"(?<![\w.])[+-]?\d+\.\d+", text)]


def trainings(arm, **settings):
    rows = pd.read_csv(LIST).query("arm == @arm")
    for name, value in settings.items():
        rows = rows[rows[name].eq(value)]
    return rows.sort_values("seed")["key"]


def scores_of(store, key):
    table = pd.read_csv(store / "scores" / f"{key}.csv.gz")
    test = table[table["split"] == "test"].sort_values("path")
    return (test["label"] == "PNEUMONIA").to_numpy(), test["score"].to_numpy()


def right(positive, score, threshold=0.5):
    return np.mean((score >= threshold) == positive)


def test_page_has_the_corrections_as_the_store_gives_them(found):
    page = (PROTOCOL.parent / "claims.md").read_text(encoding="utf-8")
    assert page.partition("\n## Corrections\n")[2].count("\n- ") == len(found) == 5
    assert all(f"\n- {one}\n" in page for one in found)


def test_budget_is_the_sum_of_its_arms(found):
    value = yaml.safe_load(PROTOCOL.read_text(encoding="utf-8"))
    hours = value["budget in hours"]
    later = sum(hours[name] for name, arm in value["arms"].items() if arm.get("exploratory"))
    assert numbers(found[0]) == [round(sum(hours.values()), 1), round(later, 1)]
    page = (PROJECT / "docs" / "reports.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{sum(hours.values()):.0f} hours\b[^.]*\bbudget", page)


@pytest.mark.parametrize("name", [*UNMARKED, "evidence_again"])
def test_captions_say_that_an_arm_is_exploratory(name):
    """Of tables, and of the one figure."""
    cells = [cell.source for path in NOTEBOOKS.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells
             if f', "{name}", "' in cell.source]
    saved = [call for cell in cells for call in re.split(r"(?=run\.save_)", cell) if f', "{name}", "' in call]
    assert len(saved) == (2 if name == "evidence_again" else 1)
    assert all("exploratory" in call for call in saved)


def test_effect_of_flips_and_shifts(found, first_study):
    gains = {"at half": [], "at best": [], "AUC": []}
    for keys in zip(*(trainings("4a-treatments", balance="none", augmentation=name) for name in ("paper", "none")),
                    strict=True):
        flipped, plain = (scores_of(first_study / "store", key) for key in keys)
        gains["at half"].append(right(*flipped) - right(*plain))
        best = [max(right(positive, score, cut) for cut in [*score, 2.0]) for positive, score in (flipped, plain)]
        gains["at best"].append(best[0] - best[1])
        gains["AUC"].append(roc_auc_score(*flipped) - roc_auc_score(*plain))
    assert len(gains["AUC"]) == 10
    said = np.array(numbers(found[2].partition("only.")[2].partition("So a")[0])).reshape(3, 3)
    assert said[:, 0] == pytest.approx([np.mean(one) for one in gains.values()], abs=5.1e-5)
    # Intervals: wider than those over seeds alone, and only the first leaves out zero.
    assert (said[:, 1] > 0).tolist() == [True, False, False]
    assert (said[:, 2] > 0).all()
    for (_, low, high), values in zip(said, gains.values(), strict=True):
        over_seeds = stats.t.ppf(0.975, 9) * np.std(values, ddof=1) / np.sqrt(10)
        assert over_seeds < (high - low) / 2 < over_seeds + 0.05


def test_jumps_from_the_first_epoch_on(found, first_study):
    def jumps(design, first):
        means = []
        for key in trainings("5-validation-designs", validation=design):
            store = first_study / "store"
            history = pd.DataFrame(json.loads((store / "trials" / f"{key}.json").read_text())["history"])
            table = pd.read_csv(store / "scores" / f"{key}.csv.gz").query("split == 'validation'")
            ill = (table["label"] == "PNEUMONIA").mean()
            healthy = (history["val_accuracy"] - ill * history["val_sensitivity"]) / (1 - ill)
            balanced = (history["val_sensitivity"] + healthy).to_numpy() / 2
            means.append(np.abs(np.diff(balanced[first:])).mean())
        return np.array(means)

    said = np.array(numbers(found[3])).reshape(2, 3)
    for first, (mean, low, high) in zip((2, 0), said, strict=True):
        values = jumps("published", first) / 2 - jumps("patient", first)
        interval = stats.t.interval(0.95, 9, values.mean(), stats.sem(values))
        assert [mean, low, high] == pytest.approx([values.mean(), *interval], abs=5.1e-5)
    assert said[0, 1] > 0
    assert said[1, 1] < 0 < said[1, 2]
    assert ", supported. " in found[3]
    assert ", open. " in found[3]


def test_least_difference_that_arm_11_could_have_shown(found, first_study):
    first, again, new = (np.array([right(*scores_of(first_study / "store", key)) for key in keys]) for keys in (
        trainings("1-as-published", optimizer="Nadam"), trainings("10-processor", max_training_images=5216),
        trainings("11-new-seeds")))
    errors = np.array([values.var(ddof=1) / 5 for values in (first, new)])
    reach = stats.t.ppf(0.975, errors.sum() ** 2 / (errors**2 / 4).sum()) * np.sqrt(errors.sum())
    assert numbers(found[4]) == pytest.approx([reach, again.mean() - first.mean()], abs=5.1e-5)
    # 'An effect as large as arm 10's, and none that is a good deal smaller.'
    assert 0.7 * (again.mean() - first.mean()) < reach < again.mean() - first.mean()
