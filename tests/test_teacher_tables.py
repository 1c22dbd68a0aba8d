"""The fifth study's tables, on an invented store with known effects: a teacher makes up for half of what is lost."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from invented_models import invented_models
from sklearn.metrics import roc_auc_score

from covidcnn.evaluation.statistics import Untestable, contrast, ratio
from covidcnn.evaluation.weighted_metrics import METRICS
from covidcnn.paper import teacher_tables as tables
from covidcnn.paper.recipe_contrasts import contrast_table
from covidcnn.paper.write import write_further
from covidcnn.study.protocol import read_study
from covidcnn.study.verdicts import SUPPORTED
from covidcnn.training.recipe import UNLABELLED

pytestmark = pytest.mark.slow

SHARES = [0.05, 0.1, 0.25]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return invented_models(tmp_path_factory.mktemp("study"), "teacher")


@pytest.fixture(scope="module")
def learners(evidence):
    return tables.learners_of(evidence)


def test_the_student_takes_up_what_validation_chose(evidence):
    (chosen,) = evidence.selections[tables.SELECTION]["variants"]
    assert chosen == {"teacher": "hard", "min_confidence": 0.9}
    assert {(one.recipe.teacher, one.recipe.min_confidence) for one in evidence.arms[tables.STUDENT].conditions} == {
        ("hard", 0.9)}


def test_teachers_take_as_many_epochs_more_as_they_have_fewer_images(learners):
    epochs = {key: one.recipe.epochs for key, (_, one) in learners.items() if key[0] != tables.RIDGE}
    for (name, share), number in epochs.items():
        assert number * (share if name == tables.TEACHER else 1) == pytest.approx(6), name


def test_auc_rises_with_labels_and_with_a_teacher(learners):
    results = tables.result_table(learners).set_index(["learns from", "share of labels"])["AUC"]
    names = tables._NAMES
    for few, many in pairwise(SHARES):
        assert results[names[tables.TEACHER], few] < results[names[tables.TEACHER], many]
    for share in SHARES:
        assert results[names[tables.TEACHER], share] < results[names[tables.STUDENT], share] < results[
            names[tables.ALL], 1.0]


def test_primary_contrast_is_that_at_ten_per_cent_and_the_others_are_one_family(learners):
    found = contrast_table(tables.teacher_contrasts(learners))
    (primary,) = found[found["rank"] == "primary"].itertuples()
    assert primary.comparison == "10% of labels: student - teacher"
    assert primary.p == found.loc[primary.Index, "p, Holm"]
    assert found.loc[primary.Index, "above 0"] == SUPPORTED
    secondary = found[found["rank"] == "secondary"]
    assert len(secondary) == 5
    surest = secondary.loc[secondary["p"].idxmin()]
    assert surest["p, Holm"] == pytest.approx(5 * surest["p"])


def test_about_half_of_the_gap_is_closed(learners):
    gaps = tables.gap_table(learners).set_index("share of labels")
    assert gaps.index.tolist() == SHARES
    # Half of the distance between the classes; of an AUC, which is bent, a little more.
    assert gaps["closed"].between(0.4, 0.8).all()
    assert ((gaps["closed, low"] < gaps["closed"]) & (gaps["closed"] < gaps["closed, high"])).all()


def test_where_all_labels_are_surely_worse_there_is_no_share_of_a_gap(learners):
    """As the protocol says: only where all labels surely do better than the teacher."""
    turned = dict(learners)
    arm, every = turned[tables.ALL, 1.0]
    worse = replace(every, results=tuple(replace(one, scores=one.scores.assign(score=1 - one.scores["score"]))
                                         for one in every.results))
    turned[tables.ALL, 1.0] = (arm, worse)
    assert tables.gap_table(turned)[["closed", "closed, low", "closed, high"]].isna().all().all()


def test_diverged_teacher_leaves_the_other_shares(evidence):
    arm = evidence.arms[tables.TEACHER]
    first, *others = arm.conditions
    broken = replace(first, results=(replace(first.results[0], scores=pd.DataFrame(), diverged="it did"),
                                     *first.results[1:]))
    found = tables.label_table(replace(arm, conditions=(broken, *others)), 0.9)
    assert found["share of labels"].unique().tolist() == SHARES[1:]


def test_interval_of_a_ratio_ends_where_the_difference_may_be_nothing(learners):
    arm, teacher, student, every = (learners[tables.TEACHER, 0.1][0], *(one.test_scores for one in (
        learners[tables.TEACHER, 0.1][1], learners[tables.STUDENT, 0.1][1], learners[tables.ALL, 1.0][1])))
    metric = METRICS["AUC"]
    found = ratio([(1, student), (-1, teacher)], [(1, every), (-1, teacher)], arm.images, metric, arm.draws)
    for end, side in ((found.low, "low"), (found.high, "high")):
        left = contrast([(1, student), (end - 1, teacher), (-end, every)], arm.images, metric, arm.draws)
        assert getattr(left, side) == pytest.approx(0, abs=1e-9)
    same = ratio([(1, every), (-1, teacher)], [(1, every), (-1, teacher)], arm.images, metric, arm.draws)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    with pytest.raises(ValueError, match="two"):
        ratio([(1, student[:1]), (-1, teacher[:1])], [(1, every[:1]), (-1, teacher[:1])], arm.images, metric, arm.draws)
    with pytest.raises(Untestable):
        ratio([(1, student), (-1, teacher)], [(1, teacher), (-1, teacher)], arm.images, metric, arm.draws)


def test_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says():
    """Five seeds, means of noise around 0.3 and 0.5; no chance of patients."""
    images = pd.DataFrame({"patient": ["a", "b"], "positive": [0, 1]})
    generator, draws = np.random.default_rng(0), np.ones((2, 2))

    def first(labels, scores, weights):
        return np.broadcast_to(scores[0], weights.shape[:-1])

    held = 0
    for _ in range(1000):
        shared = generator.normal(0, 0.05, 5)
        over, under = (mean + shared + generator.normal(0, 0.05, 5) for mean in (0.3, 0.5))
        found = ratio([(1, np.stack([over, over], axis=1))], [(1, np.stack([under, under], axis=1))], images, first,
                      draws)
        held += found.low <= 0.6 <= found.high
    assert 0.93 < held / 1000 < 0.97


def test_automatic_labels_are_counted_where_the_teacher_is_sure():
    scores = pd.DataFrame({"label": ["NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA", "PNEUMONIA"],
                           "score": [0.02, 0.97, 0.99, 0.6, 0.04]})
    found = tables.automatic_labels(scores, 0.95)
    assert found["labelled"] == 0.8
    assert found["right"] == 0.5
    assert (found["right, NORMAL"], found["right, PNEUMONIA"]) == (0.5, 0.5)
    assert tables.automatic_labels(scores, 0.5)["labelled"] == 1
    # A class of which nothing is labelled has no share.
    assert np.isnan(tables.automatic_labels(scores[scores["score"] > 0.5], 0.98)["right, NORMAL"])


def test_labels_table_is_of_the_images_without_a_label(evidence):
    arm = evidence.arms[tables.TEACHER]
    table = tables.label_table(arm, 0.9).set_index(["share of labels", "measure"])["mean"]
    scores = arm.conditions[0].results[0].scores
    rows = scores[scores["split"] == UNLABELLED]
    assert roc_auc_score(rows["label"] == "PNEUMONIA", rows["score"]) > 0.5
    assert table[0.05, "labelled"] < table[0.25, "labelled"]
    assert table[0.05, "right"] < table[0.25, "right"] <= 1


@pytest.mark.parametrize("arms", [(), (tables.TEACHER,), (tables.RIDGE, tables.STUDENT)], ids=["all", "one", "two"])
def test_tables_and_figure_are_written_of_what_is_finished(tmp_path, arms):
    found = invented_models(tmp_path, "teacher", arms)
    protocol = read_study("teacher")
    folder = tmp_path / "teacher"
    folder.mkdir(exist_ok=True)
    write_further(replace(protocol, path=folder / "protocol.yaml"), found, found)
    written = {path.stem for path in (folder / "tables").glob("*.csv")}
    assert "results" in written
    assert ("gap" in written, "contrasts" in written) == {
        (): (True, True), (tables.TEACHER,): (False, False)}.get(arms, (False, True))
    assert bool(list((folder / "figures").rglob("labels.png"))) == (tables.RIDGE not in arms)
