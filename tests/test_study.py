"""A study of another paper, of another task, run through the general method: three claims, from protocol to pages."""

import numpy as np
import pandas as pd
import pytest
import yaml

from covidcnn.evaluation.statistics import paired_difference
from covidcnn.evaluation.weighted_metrics import accuracy, specificity
from covidcnn.study.access_log import freeze, log_access, open_store
from covidcnn.study.conditions import read_evidence
from covidcnn.study.ledger import Claim, ledger, read_ledger
from covidcnn.study.pages import manifest, manifest_table, write_ledger, write_tables
from covidcnn.study.protocol import read_protocol
from covidcnn.study.verdicts import (
    CONTRADICTION,
    NOT_FINISHED,
    NOT_REPRODUCED,
    REPRODUCED,
    SUPPORTED,
    Finding,
    direction,
    one_run,
)
from covidcnn.trials.store import TrialResult

IMAGES, SEEDS = 400, [0, 1, 2, 3]
PROTOCOL = {
    "data": "c" * 64, "task": "NonCOVID,COVID", "verdicts": "the usual",
    "arms": {
        "balance": {"question": "Do class weights help?", "sweep": {
            "seeds": SEEDS, "score_test": True, "recipe": {"epochs": 2, "precision": "float32"},
            "grid": {"balance": ["none", "class-weight"]}}},
        "later": {"question": "Not yet run.", "sweep": {
            "seeds": SEEDS, "score_test": True, "recipe": {"epochs": 9, "precision": "float32"}}}}}


def conditions(evidence):
    return [evidence.arms["balance"].condition(balance=name) for name in ("class-weight", "none")]


def reached(evidence):
    return one_run(0.9, conditions(evidence)[0].values(accuracy))


def weights_help(evidence):
    weighted, plain = conditions(evidence)
    arm = evidence.arms["balance"]
    return direction(paired_difference(weighted.test_scores, plain.test_scores, arm.images, specificity, arm.draws))


TOY = {
    "Values": (Claim("reached", "Table 1", "accuracy", "0.90", "01_toy#table", reached, ("balance",)),
               Claim("weights", "p. 3", "class weights raise specificity", "", "01_toy#table", weights_help,
                     ("balance",)),
               Claim("later", "p. 4", "a claim whose trainings are not run", "", "01_toy#table", reached, ("later",))),
    "By themselves": (Claim("counts", "p. 1", "its counts add up", "100", "01_toy#table",
                            lambda _: Finding(CONTRADICTION, "they add up to 99")),),
}


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
    (tmp_path / "protocol.yaml").write_text(yaml.safe_dump(PROTOCOL, sort_keys=False))
    protocol, store = read_protocol(tmp_path / "protocol.yaml"), open_store(tmp_path / "store")
    store.prepare()
    freeze(protocol, store)
    for trial in protocol.trials("balance"):
        store.write(result(trial))
        log_access(protocol, trial.key, "balance", trial.recipe.precision)
    return protocol, read_evidence(protocol, store)


def test_three_claims_of_another_paper_get_their_verdicts(study):
    _, evidence = study
    table = ledger(TOY, evidence)
    assert table["verdict"].to_dict() == {"reached": NOT_REPRODUCED, "weights": SUPPORTED, "later": NOT_FINISHED,
                                          "counts": CONTRADICTION}
    # 19 of 20 are right with every seed; without weights 15 of 20 NonCOVID images.
    assert table.loc["reached", "value"] == pytest.approx(0.95)
    assert table.loc["weights", "value"] == pytest.approx(0.2)
    assert table.loc["weights", "low"] > 0.1
    assert one_run(0.94, conditions(evidence)[0].values(accuracy) + np.array([0, 0.01, -0.01, 0])).verdict == REPRODUCED


def test_its_pages_name_its_own_classes_and_claims(study, tmp_path):
    protocol, evidence = study
    table = ledger(TOY, evidence)
    arm = evidence.arms["balance"]
    tables = {"balance": (pd.DataFrame({"balance": [one.recipe.balance for one in arm.conditions]}), "A caption."),
              "trials": (manifest_table(evidence), "All trials.")}
    write_tables(tables, tmp_path / "tables")
    write_ledger(table, tmp_path, ["A remark."], ["A correction."])
    page = (tmp_path / "claims.md").read_text()
    assert "A remark." in page
    assert "- A correction." in page
    assert "class weights raise specificity" in page
    assert "[balance](tables/balance.md)" in page
    assert not {"PNEUMONIA", "Nadam"} & set(page.split())
    pd.testing.assert_frame_equal(read_ledger(tmp_path / "claims.csv")[["verdict"]], table[["verdict"]])
    made = manifest(protocol, evidence, tables, {})
    assert made["arms"]["later"] == {"finished": 0, "trials": 4, "exploratory": False}
    assert made["trials"] == 8
