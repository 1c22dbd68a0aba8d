"""A teacher that labels: which labels are known, what the teacher says of the others, and what a student learns."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from test_fit import RECIPE
from training_steps import assert_same_weights, interrupt_at

from covidcnn.data.dataset import open_dataset
from covidcnn.models.model_file import load_predictor
from covidcnn.task import Task
from covidcnn.training import fit
from covidcnn.training.fit import TEACHER, UNFINISHED, select_images, train
from covidcnn.training.recipe import UNLABELLED, recipe_of, settings_of
from covidcnn.training.teacher import of_scores
from covidcnn.trials.session import train_into
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import pin_trial

pytestmark = pytest.mark.slow


def changed(**changes):
    return recipe_of(settings_of(RECIPE) | {"label_share": 0.4} | changes)


@pytest.fixture(scope="module")
def data(tiny_tree):
    return open_dataset(tiny_tree)


@pytest.fixture(scope="module")
def alone(data):
    """The teacher without a student: two epochs of all images have as many steps as five of two fifths."""
    return train(data, changed(epochs=5), 0)


def learnt(monkeypatch, data, recipe):
    """The rows of the images that a student learns from, and what of each; it then is interrupted."""
    seen = []

    def batches(pixels, labels, rows, **others):
        seen.append((labels, rows))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return original(pixels, labels, rows, **others)

    original = fit.training_batches
    monkeypatch.setattr(fit, "training_batches", batches)
    with pytest.raises(KeyboardInterrupt):
        train(data, recipe, 0)
    return seen[1]


def test_labels_are_drawn_by_patient_with_each_seed_and_nothing_else_changes(data):
    def roles(seed=0, share=0.4):
        return select_images(data.images, changed(label_share=share), seed)

    before, after = select_images(data.images, RECIPE), roles()
    pd.testing.assert_frame_equal(after.assign(role=after["role"].replace(UNLABELLED, "train")), before)
    training = after[after["role"].isin(["train", UNLABELLED])]
    assert training.groupby("patient")["role"].nunique().max() == 1
    known = training[training["role"] == "train"]
    assert 0.3 * len(training) <= len(known) <= 0.4 * len(training)
    assert (known["label"] == "NORMAL").mean() == pytest.approx((training["label"] == "NORMAL").mean(), abs=0.1)
    # A larger share holds the smaller one.
    assert set(known["path"]) < set(roles(share=0.7).query("role == 'train'")["path"])
    assert set(known["path"]) != set(roles(seed=1).query("role == 'train'")["path"])


def test_share_that_leaves_a_class_without_labels_is_refused(data, refused):
    with refused("label_share 0.02", "NORMAL", "larger share"):
        select_images(data.images, changed(label_share=0.02))


def test_teacher_scores_the_images_that_it_has_not_learnt_from(alone, data):
    unlabelled = select_images(data.images, changed()).query("role == @UNLABELLED")
    scored = alone.scores[alone.scores["split"] == UNLABELLED]
    assert scored["path"].tolist() == unlabelled["path"].tolist()
    assert set(alone.scores["split"]) == {"validation", "test", UNLABELLED}


@pytest.mark.parametrize(("teacher", "confidence"), [("hard", 0.5), ("hard", 0.55), ("soft", 0.55)])
def test_student_learns_known_labels_and_what_the_teacher_is_sure_of(data, alone, monkeypatch, teacher, confidence):
    images = select_images(data.images, changed())
    targets, rows = learnt(monkeypatch, data, changed(teacher=teacher, min_confidence=confidence))
    score = alone.scores.set_index("path")["score"].reindex(images["path"]).to_numpy()
    known = (images["role"] == "train").to_numpy()
    sure = (images["role"] == UNLABELLED).to_numpy() & (np.maximum(score, 1 - score) >= confidence)
    assert 0 < sure.sum() <= (images["role"] == UNLABELLED).sum()
    assert rows.tolist() == np.flatnonzero(known | sure).tolist()
    assert targets[known].tolist() == data.task.encode(images["label"])[known].tolist()
    expected = score if teacher == "soft" else (score >= 0.5).astype(float)
    assert targets[sure].tolist() == expected[sure].tolist()


@pytest.mark.long
@pytest.mark.parametrize("teacher", ["none", "hard"])
def test_labels_that_are_not_known_reach_no_training(data, monkeypatch, teacher):
    """Were they the other way round, the same network would come out, of the teacher as of the student."""
    def with_wrong_labels(*arguments):
        images, others = original(*arguments), {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
        unknown = images["role"] == UNLABELLED
        images.loc[unknown, "label"] = images.loc[unknown, "label"].map(others)
        return images

    original, recipe = fit.select_images, changed(teacher=teacher)
    honest = train(data, recipe, 0)
    monkeypatch.setattr(fit, "select_images", with_wrong_labels)
    assert_same_weights(train(data, recipe, 0).model, honest.model)


def test_training_metrics_of_a_soft_teacher_are_about_the_class_that_it_predicts():
    metrics = [of_scores(kind)() for kind in (keras.metrics.BinaryAccuracy, keras.metrics.Recall)]
    for metric in metrics:
        metric.update_state(np.array([[0.9], [0.6], [0.2], [0.1]]), np.array([[0.8], [0.3], [0.4], [0.7]]))
    assert [float(metric.result()) for metric in metrics] == [0.5, 0.5]


@pytest.mark.long
@pytest.mark.parametrize("at", [(1, 0), (1, 4)], ids=["the teacher", "the student"])
def test_interrupted_training_with_a_teacher_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, at):
    recipe = changed(teacher="soft")
    undisturbed = train(data, recipe, 0)
    with monkeypatch.context() as patch:
        interrupt_at(patch, at)
        with pytest.raises(KeyboardInterrupt):
            train(data, recipe, 0, tmp_path, keep_interrupted=False, identity="this")
    assert (tmp_path / TEACHER / UNFINISHED).exists()
    assert (tmp_path / UNFINISHED).exists() == (at[1] > 0)
    keras.utils.set_random_seed(99)
    resumed = train(data, recipe, 0, tmp_path, identity="this")
    assert_same_weights(resumed.model, undisturbed.model)
    pd.testing.assert_frame_equal(resumed.history, undisturbed.history, check_exact=True)


def test_student_takes_the_teacher_that_its_store_has(data, tmp_path, monkeypatch):
    student = pin_trial(data.content_hash, changed(teacher="soft"), 0)
    by_itself = TrialStore(tmp_path / "alone").run(data, student)
    store = TrialStore(tmp_path / "both")
    teacher = store.run(data, pin_trial(data.content_hash, changed(epochs=5), 0, score_test=True))
    original, fitted = fit._fit, []
    monkeypatch.setattr(fit, "_fit", lambda *arguments: fitted.append(original(*arguments)))
    taught = store.run(data, student)
    assert len(fitted) == 1
    assert taught.facts["teacher"] == teacher.trial.key
    assert "teacher" not in by_itself.facts
    assert taught.facts["processor"] == by_itself.facts["processor"]
    pd.testing.assert_frame_equal(taught.scores, by_itself.scores, check_exact=True)
    pd.testing.assert_frame_equal(taught.history, by_itself.history, check_exact=True)


def test_model_file_knows_the_images_that_a_teacher_labelled(data, alone, tmp_path):
    # A folder of the user's beside it is nobody's to clear away.
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher/model.keras").touch()
    scores = alone.scores.loc[alone.scores["split"] == UNLABELLED, "score"]
    # Of half the images the teacher is not sure enough.
    recipe = changed(teacher="hard", min_confidence=float(np.maximum(scores, 1 - scores).median()))
    training = train_into(tmp_path, data, recipe, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.csv", "model.keras", "run.json", "scores.csv", "teacher", "tensorboard"]
    assert (tmp_path / "teacher/model.keras").exists()
    _, facts = load_predictor(tmp_path / "model.keras")
    images = training.images
    unlabelled = images[images["role"] == UNLABELLED]
    # Not those that the teacher was not sure of.
    assert unlabelled["learnt"].nunique() == 2
    assert facts.known_as(unlabelled["sha256"]) == ["train" if learnt else "" for learnt in unlabelled["learnt"]]
    assert facts.appearance.images == images["learnt"].sum()


RIDGE = {"epochs": 1, "size": 16, "model": "ridge", "validation_fraction": 0.3}


@pytest.mark.parametrize(("recipe", "word"), [
    (changed(teacher="hard", label_share=1.0), "label_share"),
    (changed(teacher="soft", balance="class-weight"), "balance class-weight"),
    (changed(min_confidence=0.9), "min_confidence 0.9"),
    (recipe_of(RIDGE | {"label_share": 0.4, "teacher": "hard"}), "teacher hard")],
    ids=["all labels known", "soft and balanced", "no teacher", "of scikit-learn"])
def test_recipes_that_a_teacher_cannot_follow_are_refused(data, refused, recipe, word):
    with refused(word):
        train(data, recipe, 0)


def test_teacher_is_of_two_classes(data, refused):
    three = replace(data, task=Task(("NORMAL", "BACTERIA", "VIRUS"), "subtype"))
    with refused("teacher hard", "3 classes"):
        train(three, changed(teacher="hard"), 0)


def test_ridge_regression_learns_from_the_known_labels_alone(data):
    few, many = (train(data, recipe_of(RIDGE | {"label_share": share}), 0) for share in (0.4, 1.0))
    assert set(few.scores["split"]) == {"validation", "test", UNLABELLED}
    of_test = [one.scores.query("split == 'test'")["score"].to_numpy() for one in (few, many)]
    assert not np.allclose(*of_test)
