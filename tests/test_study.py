"""A study of another paper, of another task, run through the general method: its claims, from protocol to pages."""

import re

import numpy as np
import pandas as pd
import pytest

from covidcnn.evaluation.weighted_metrics import accuracy
from covidcnn.paths import PROJECT
from covidcnn.study.access_log import freeze, log_access, open_store
from covidcnn.study.claims import read_claims
from covidcnn.study.conditions import read_evidence
from covidcnn.study.ledger import ledger, read_ledger
from covidcnn.study.pages import manifest, manifest_table, write_ledger, write_tables
from covidcnn.study.protocol import read_protocol
from covidcnn.study.verdicts import (
    CONTRADICTION,
    NOT_FINISHED,
    NOT_REPRODUCED,
    REPRODUCED,
    SUPPORTED,
    one_run,
)
from covidcnn.trials.work import TrialResult

IMAGES = 400
# The example of the page is the study that is run here.
PAGE = (PROJECT / "docs" / "another-paper.md").read_text(encoding="utf-8")
PROTOCOL, CLAIMS, CODE = re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE, re.DOTALL)
exec(CODE)
RULES, FAMILIES = globals()["RULES"], globals()["FAMILIES"]
FURTHER = {"linear": pd.DataFrame({"accuracy": [0.5]}), "neighbour": None}
"""Beside the trainings of the study; one of the two models is not computed yet."""


def claims_of(folder, text=CLAIMS):
    (folder / "claims.yaml").write_text(text)
    return read_claims(folder / "claims.yaml", RULES, FAMILIES)


def result(trial):
    """One of twenty images of either class is predicted wrongly, and without weights one of four of NonCOVID."""
    number = np.arange(IMAGES)
    positive = number % 2 == 1
    wrong = number // 2 % 20 == trial.seed
    if trial.recipe.balance == "none":
        wrong |= ~positive & (number // 2 % 4 == trial.seed)
    images = pd.DataFrame({
        "split": "test", "path": [f"test/{one}.png" for one in number],
        "label": np.where(positive, "COVID", "NonCOVID"), "score": np.where(positive ^ wrong, 0.9, 0.1),
        "subtype": "", "patient": [f"p{one // 4}" for one in number], "perturbation": ""})
    scores = pd.concat([images, images.assign(split="validation", path=images["path"].str.replace("test", "train"))])
    history = pd.DataFrame({"loss": [1.0, 0.5], "val_loss": [1.0, 0.5], "val_accuracy": [0.5, 0.9]},
                           index=pd.RangeIndex(1, 3, name="epoch"))
    facts = {"seconds": 1.0, "git commit": "unknown"}
    return TrialResult(trial, history, scores.reset_index(drop=True), "", facts)


@pytest.fixture
def study(tmp_path):
    (tmp_path / "protocol.yaml").write_text(PROTOCOL)
    protocol, store = read_protocol(tmp_path / "protocol.yaml"), open_store(tmp_path / "store")
    store.prepare()
    freeze(protocol, store)
    for trial in protocol.trials("balance"):
        store.write(result(trial))
        log_access(protocol, trial.key, "balance", trial.recipe.precision)
    return protocol, read_evidence(protocol, store, FURTHER)


def test_claims_of_another_paper_get_their_verdicts(study, tmp_path):
    _, evidence = study
    table = ledger(claims_of(tmp_path), evidence)
    assert table["verdict"].to_dict() == {
        "reached": NOT_REPRODUCED, "weights": SUPPORTED, "later": NOT_FINISHED, "beats-linear": SUPPORTED,
        "beats-neighbour": NOT_FINISHED, "counts": CONTRADICTION}
    # 19 of 20 are right with every seed; without weights 15 of 20 NonCOVID images.
    assert table.loc["reached", "value"] == pytest.approx(0.95)
    assert table.loc["weights", "value"] == pytest.approx(0.2)
    assert table.loc["weights", "low"] > 0.1
    assert table.loc["beats-linear", "value"] == pytest.approx(0.35)
    assert table.loc["beats-neighbour", "ours"] == "arm neighbour is not computed"
    assert table["balance"].to_dict() == dict.fromkeys(table.index, "") | {"reached": "class-weight"}
    values = evidence.arms["balance"].condition(balance="class-weight").values(accuracy)
    assert one_run(0.94, values + np.array([0, 0.01, -0.01, 0])).verdict == REPRODUCED


def test_its_pages_name_its_own_classes_and_claims(study, tmp_path):
    protocol, evidence = study
    table = ledger(claims_of(tmp_path), evidence)
    arm = evidence.arms["balance"]
    tables = {"balance": (pd.DataFrame({"balance": [one.recipe.balance for one in arm.conditions]}), "A caption."),
              "linear": (evidence.further["linear"], "No training."),
              "trials": (manifest_table(evidence), "All trials.")}
    write_tables(tables, tmp_path / "tables")
    write_ledger(table, tmp_path, ["A remark."], ["A correction."])
    page = (tmp_path / "claims.md").read_text()
    assert "A remark." in page
    assert "- A correction." in page
    assert "class weights raise specificity" in page
    # All trials of the arm, those of one condition, and what has none.
    lines = {line.split("|")[3].strip(): line for line in page.splitlines() if "tables/balance.md" in line}
    assert "[balance](tables/balance.md), [lines 2 to 9]" in lines["class weights raise specificity"]
    assert "[balance](tables/balance.md), [lines 6 to 9]" in lines["accuracy"]
    assert "[lines 2 to 9](tables/trials.csv#L2-L9), [linear](tables/linear.md) " in lines["it beats linear"]
    assert not {"PNEUMONIA", "Nadam"} & set(page.split())
    pd.testing.assert_frame_equal(read_ledger(tmp_path / "claims.csv")[["verdict"]], table[["verdict"]])
    made = manifest(protocol, evidence, tables, {})
    assert made["arms"]["later"] == {"finished": 0, "trials": 4, "exploratory": False}
    assert made["trials"] == 8
    log_access(protocol, "a linear model", "linear")
    assert manifest(protocol, evidence, tables, {})["accesses to the published test set"] == {
        "trainings": 8, "models of the baseline": 1}


@pytest.mark.parametrize(("right", "wrong", "named"), [
    ("    where: p. 3\n", "    wher: p. 3\n", ("'weights'", "wher", "'p. 3'")),
    ("    where: p. 3\n", "", ("'weights'", "where")),
    ("value: \"100\"", "value: 100", ("'counts'", "value", "100")),
    ("arms: [later]", "arms: later", ("'later'", "arms", "'later'")),
    ("rule: reached", "rule: reaches", ("'reached'", "'reaches'", "higher specificity")),
    ("rule: reached", "rule: reached\n    find: reached", ("'reached'", "find", "'reached'")),
    ("second: {balance: none}}", "other: {balance: none}}", ("'weights'", "with, other", "{'balance': 'none'}")),
    (", second: {balance: none}", "", ("'weights'", "with, second")),
    ("second: {balance: none}", "second: none", ("'weights'", "with, second", "'none'")),
    ("with: {because: they add up to 99}", "with: they add up to 99", ("'counts'", "with", "'they add up to 99'")),
    ("settings: {balance: class-weight}", "settings: {balanced: class-weight}", ("'reached'", "'balanced'", "balance")),
    ("    value: \"0.90\"\n", "", ("'reached'", "with, claimed")),
    ("    arms: [later]\n", "", ("'later'", "with, arm")),
    ("each: simple models", "each: models", ("'models'", "simple models")),
    ("name: later", "name: reached", ("'reached'", "twice")),
    ("name: counts", "name: its counts", ("'its counts'", "name")),
    ("repeats reached", "repeats reach", ("'later'", "'repeats reach'")),
    ("repeats reached", "beside the point", ("'later'", "counts_as", "'beside the point'")),
    ("  - each: simple models", "  - simple models\n  - each: simple models", ("Values", "'simple models'")),
], ids=str)
def test_wrong_claim_is_refused_in_one_line(tmp_path, right, wrong, named, refused):
    assert right in CLAIMS
    with refused(tmp_path / "claims.yaml", *named):
        claims_of(tmp_path, CLAIMS.replace(right, wrong, 1))
