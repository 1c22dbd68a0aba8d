"""Training, on a tiny data set with a tiny network."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import log_loss
from training_steps import assert_same_weights, interrupt_at

from covidcnn.augment import AUGMENTATIONS
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import open_dataset
from covidcnn.data.pipeline import training_batches
from covidcnn.errors import DataError
from covidcnn.evaluation.scores import epoch_columns, unperturbed
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.perturbations import CHOSEN_UNDER, perturbed
from covidcnn.training.fit import UNFINISHED, select_images, train
from covidcnn.training.optimizers import OPTIMIZERS
from covidcnn.training.recipe import Recipe, recipe_of, settings_of
from covidcnn.training.result import Diverged, chosen_epoch
from covidcnn.training.schedules import SCHEDULES, learning_rate

pytestmark = pytest.mark.slow

RECIPE = Recipe(2, ImageSettings(16), PaperCnn(filters=(4, 8), batch_norm_momentum=0.5), batch_size=8,
                augmentation="paper", validation_fraction=0.3, precision="float32")


@pytest.fixture(scope="module")
def data(tiny_tree):
    return open_dataset(tiny_tree)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def reports():
    return []


@pytest.fixture(scope="module")
def trained(data, folder, reports):
    """One training that most tests look at: seed 0, two epochs, all roles scored."""
    return train(data, RECIPE, 0, folder, ("train", "validation", "test"), lambda *report: reports.append(report),
                 events=folder / "tensorboard")


# ---------------------------------------------------------------- what a training leaves

def test_history_has_a_row_an_epoch(trained):
    assert trained.history.index.tolist() == [1, 2]
    assert trained.history.index.name == "epoch"
    assert trained.history.columns.tolist() == ["accuracy", "loss", "sensitivity", "val_accuracy", "val_loss",
                                                "val_sensitivity"]
    assert trained.history.notna().all().all()
    assert not trained.interrupted


def test_history_holds_sensitivity_on_validation(trained):
    positive = trained.scores.query("split == 'validation' and label == 'PNEUMONIA'")["score"]
    assert trained.history.loc[trained.best_epoch, "val_sensitivity"] == pytest.approx((positive > 0.5).mean())


def test_scores_have_a_row_a_image_with_its_role(trained, data):
    scores = trained.scores
    assert list(scores.columns) == ["split", "path", "label", "score", "subtype", "patient", "perturbation"]
    assert set(scores["split"]) == {"train", "validation", "test"}
    images = select_images(data.images, RECIPE).set_index("path")
    assert scores["split"].tolist() == images.loc[scores["path"], "role"].tolist()
    assert len(scores) == 96
    assert scores["score"].between(0, 1).all()


def test_scores_are_those_of_the_model_left(trained, data):
    images = select_images(data.images, RECIPE)
    pixels = load_images(data.root, images, RECIPE.images)
    pixels = pixels[images["path"].isin(trained.scores["path"])][..., np.newaxis] / np.float32(255)
    np.testing.assert_allclose(trained.scores["score"], trained.model(pixels)[:, 0], rtol=1e-5)


def test_kept_epoch_is_the_one_of_lowest_loss_on_validation(trained):
    assert trained.best_epoch == trained.history["val_loss"].idxmin()
    validation = trained.scores[trained.scores["split"] == "validation"]
    labels = (validation["label"] == "PNEUMONIA").to_numpy(float)
    loss = keras.losses.binary_crossentropy(labels, validation["score"].to_numpy())
    assert float(loss) == pytest.approx(trained.history["val_loss"].min(), rel=1e-3)


def test_network_learns_to_see_the_spots(trained):
    test = trained.scores[trained.scores["split"] == "test"]
    means = test.groupby("label")["score"].mean()
    assert means["PNEUMONIA"] > means["NORMAL"]
    assert trained.history["loss"].iloc[1] < trained.history["loss"].iloc[0]


def test_progress_is_reported_at_the_end_of_each_epoch(trained, reports):
    assert [(epoch, epochs) for epoch, epochs, _ in reports] == [(1, 2), (2, 2)]
    assert reports[1][2]["val_loss"] == pytest.approx(trained.history.loc[2, "val_loss"])


def test_folder_receives_state_and_events(trained, folder):
    assert (folder / UNFINISHED).is_file()
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("change", [{"dropout": 0.0}, {"batch_norm": False}])
def test_a_network_without_dropout_or_batch_normalisation_trains(data, trained, change):
    training = train(data, changed(**change), 0)
    assert len(training.history) == RECIPE.epochs
    assert np.isfinite(training.scores["score"]).all()
    # The same order of images and start of weights as with it, and yet another training.
    assert not training.history["loss"].equals(trained.history["loss"])


def test_only_the_asked_roles_are_scored(data, trained, folder):
    # The folder holds the finished training: nothing is trained again.
    again = train(data, RECIPE, 0, folder, score_roles=("validation",))
    assert set(again.scores["split"]) == {"validation"}
    assert_same_weights(again.model, trained.model)


def test_model_is_plain_keras_whatever_the_precision(data, tmp_path):
    model = train(data, changed(precision="bfloat16"), 0, score_roles=("validation",)).model
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


# ---------------------------------------------------------------- what decides the result

def test_same_seed_gives_identical_bits_whatever_the_test_images_are(trained, data, tmp_path):
    """Test images are replaced by others: nothing that is learnt or chosen may change by a bit."""
    copy = shutil.copytree(data.root, tmp_path / "copy")
    for number, path in enumerate(sorted((copy / "test").rglob("*.jpeg"))):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 48), np.uint8)).save(path)
    other = train(open_dataset(copy), RECIPE, 0, score_roles=("train", "validation", "test"))
    assert_same_weights(other.model, trained.model)
    pd.testing.assert_frame_equal(other.history, trained.history)
    scores, before = (run.scores.set_index(["split", "path"])["score"] for run in (other, trained))
    pd.testing.assert_series_equal(scores["validation"], before["validation"], check_exact=True)
    assert (scores["test"] != before["test"]).all()


def initial_weights(data, monkeypatch, recipe, seed):
    """The weights with which a training would begin."""
    begun = []

    def begin(model, *args, **kwargs):
        begun.extend(model.get_weights())
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", begin)
    with pytest.raises(KeyboardInterrupt):
        train(data, recipe, seed)
    return begun


def changed(**changes):
    return recipe_of(settings_of(RECIPE) | changes)


def test_all_optimizers_start_from_the_same_weights_and_other_seeds_do_not(data, monkeypatch):
    first = initial_weights(data, monkeypatch, RECIPE, 0)
    for name in OPTIMIZERS:
        for one, two in zip(first, initial_weights(data, monkeypatch, changed(optimizer=name), 0), strict=True):
            np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], initial_weights(data, monkeypatch, RECIPE, 1)[0])


def test_every_training_has_an_optimizer_of_its_own_that_has_taken_no_step(data, monkeypatch):
    seen = []

    def begin(model, *args, **kwargs):
        seen.append((model.optimizer, int(model.optimizer.iterations), float(model.optimizer.learning_rate)))
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", begin)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(data, changed(optimizer="SGD", learning_rate=0.03), 0)
    assert seen[0][0] is not seen[1][0]
    assert [steps for _, steps, _ in seen] == [0, 0]
    assert seen[0][2] == pytest.approx(0.03)


def test_augmentation_and_balancing_reach_the_training_images_and_no_others(data, monkeypatch):
    seen = []

    def begin(model, batches, *, class_weight, steps_per_epoch, validation_data, **kwargs):
        seen.append((batches, class_weight, steps_per_epoch, validation_data))
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", begin)
    recipe = changed(balance="class-weight", augmentation="intensity")
    for balance in ("class-weight", "oversample"):
        with pytest.raises(KeyboardInterrupt):
            train(data, changed(balance=balance, augmentation="intensity"), 0)

    images = select_images(data.images, recipe)
    labels = (images["label"] == "PNEUMONIA").to_numpy(int)
    rows = np.flatnonzero(images["role"] == "train")
    pixels = load_images(data.root, images, recipe.images)
    (batches, weights, steps, validation), (_, no_weights, more_steps, _) = seen

    normal, pneumonia = np.bincount(labels[rows])
    assert weights == {0: pytest.approx(len(rows) / (2 * normal)), 1: pytest.approx(len(rows) / (2 * pneumonia))}
    assert no_weights is None
    assert (steps, more_steps) == (-(-len(rows) // 8), -(-2 * max(normal, pneumonia) // 8))

    expected = training_batches(pixels, labels, rows, batch_size=8, seed=0, epochs=range(2),
                                augmentation=AUGMENTATIONS["intensity"])
    np.testing.assert_array_equal(next(iter(batches))[0], next(iter(expected))[0])
    own = pixels[np.flatnonzero(images["role"] == "validation")] / np.float32(255)
    shown = np.concatenate([np.asarray(pixels)[..., 0] for pixels, _ in validation])
    np.testing.assert_allclose(shown, own, rtol=1e-6)


# ---------------------------------------------------------------- choice of the epoch, averaged weights

HISTORY = pd.DataFrame({"val_loss": [3, 1, 2, 1], "shifted_val_loss": [1, 2, 3, 4],
                        "val_accuracy": [0.5, 0.6, 0.9, 0.9]}, index=pd.RangeIndex(1, 5, name="epoch"))


@pytest.mark.parametrize(("choose_by", "epoch"), [("validation", 2), *((under, 1) for under in CHOSEN_UNDER),
                                                  ("validation accuracy", 3), ("last", 4)])
def test_epoch_is_chosen_as_the_recipe_says(choose_by, epoch):
    assert chosen_epoch(HISTORY, choose_by) == epoch


def test_last_epoch_is_kept_where_the_recipe_says_so(data):
    first = train(data, changed(optimizer="AdaGrad", learning_rate=0.05, epochs=3), 0)
    last = train(data, changed(optimizer="AdaGrad", learning_rate=0.05, epochs=3, choose_by="last"), 0)
    assert (first.best_epoch, last.best_epoch) == (2, 3)
    assert not np.array_equal(first.model.get_weights()[0], last.model.get_weights()[0])
    pd.testing.assert_frame_equal(first.history, last.history)


@pytest.mark.parametrize(("choose_by", "perturbations"), CHOSEN_UNDER.items())
def test_loss_that_chooses_is_the_mean_over_perturbed_validation_images(data, choose_by, perturbations):
    trained = train(data, changed(choose_by=choose_by), 0)
    losses, as_they_are = [], unperturbed(trained.scores, "validation")
    for shift in perturbations:
        scores = trained.scores[trained.scores["perturbation"] == shift]
        assert set(scores["split"]) == {"validation"}
        assert scores["path"].tolist() == as_they_are["path"].tolist()
        losses.append(log_loss(scores["label"] == "PNEUMONIA", scores["score"]))
    kept = trained.history.loc[trained.best_epoch, "shifted_val_loss"]
    assert np.mean(losses) == pytest.approx(kept, rel=1e-3)
    assert kept == trained.history["shifted_val_loss"].min()


def test_averaged_weights_are_what_is_validated_and_kept(data):
    """Two epochs of one step each, momentum 0.5: the average starts at the weights after the first step, and after
    the second lies half-way between the two."""
    def weights(**changes):
        return train(data, changed(batch_size=1000, choose_by="last", **changes), 0).model.get_weights()[0]

    first, second, averaged = weights(epochs=1), weights(epochs=2), weights(epochs=2, weight_average=0.5)
    assert np.abs(second - first).max() > 1e-4
    np.testing.assert_allclose(averaged, (first + second) / 2, atol=1e-6)


# ---------------------------------------------------------------- choice of images

def test_draw_limits_training_and_validation_images_and_leaves_the_test(data):
    images = select_images(data.images, changed(max_training_images=30))
    learnt = images[images["role"].isin(["train", "validation"])]
    assert 24 <= len(learnt) <= 30
    assert (images["role"] == "test").sum() == 32
    assert learnt.groupby("patient").size().eq(2).all()
    assert images.index.tolist() == list(range(len(images)))


def test_drawn_shares_change_training_and_nothing_else(data):
    before, after = select_images(data.images, RECIPE), select_images(data.images, changed(training_draw=(20, 0.6)))
    training = after[after["role"] == "train"]
    assert training["label"].value_counts().to_dict() == {"NORMAL": 12, "PNEUMONIA": 8}
    for role in ("validation", "test", "unused"):
        assert after.loc[after["role"] == role, "path"].tolist() == before.loc[before["role"] == role, "path"].tolist()


def test_another_seed_draws_other_training_images_and_the_same_validation(data):
    drawn = [select_images(data.images, changed(training_draw=(20, 0.6)), seed) for seed in (0, 0, 1)]
    training, validation = ([set(images.loc[images["role"] == role, "path"]) for images in drawn]
                            for role in ("train", "validation"))
    assert training[0] == training[1] != training[2]
    assert validation[0] == validation[2]


def test_published_validation_is_never_drawn_down(data):
    images = select_images(data.images, changed(max_training_images=30, validation="published"))
    assert (images["role"] == "validation").sum() == 8
    assert (images["role"] == "train").sum() <= 30


def test_small_draw_keeps_both_classes_in_training_and_validation_or_is_refused(data):
    # The cut is made before the draw, on all images.
    both = {(role, label) for role in ("train", "validation") for label in ("NORMAL", "PNEUMONIA")}
    drawn = 0
    for split_seed in range(20):
        try:
            images = select_images(data.images, changed(max_training_images=16, split_seed=split_seed))
        except DataError:
            continue
        drawn += 1
        assert set(zip(images["role"], images["label"], strict=True)) >= both
    assert 0 < drawn < 20


def test_image_lost_after_opening_is_refused(small_tree, refused):
    data = open_dataset(small_tree)
    lost = small_tree / data.images["path"][0]
    lost.unlink()
    with refused(lost, error=DataError):
        train(data, changed(validation="published"), 0)


# ---------------------------------------------------------------- interruption

def test_interruption_in_the_second_epoch_leaves_the_first(trained, data, monkeypatch):
    interrupt_at(monkeypatch, (1, 1))
    cut = train(data, RECIPE, 0)
    assert cut.interrupted
    pd.testing.assert_frame_equal(cut.history, trained.history.head(1))
    assert cut.best_epoch == 1
    assert set(cut.scores["split"]) == {"validation", "test"}


def test_interruption_in_the_first_epoch_is_passed_on(data, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, (0, 1))
    with pytest.raises(KeyboardInterrupt):
        train(data, RECIPE, 0, tmp_path)
    assert not (tmp_path / UNFINISHED).exists()


@pytest.mark.long
@pytest.mark.parametrize("changes", [
    {"optimizer": "Nadam"}, {"optimizer": "AdaGrad"}, {"precision": "bfloat16"},
    {"schedule": "cosine", "weight_average": 0.9, "choose_by": "shifted validation"},
    {"optimizer": "AdamW", "schedule": "warm cosine", "augmentation": "geometry and intensity"},
    {"optimizer": "SGD with momentum", "schedule": "decay", "augmentation": "public recipe", "choose_by": "last"},
    {"optimizer": "RMSprop with momentum", "choose_by": "validation accuracy",
     "score_every_epoch": ("validation", "test")}],
    ids=lambda changes: ", ".join(map(str, changes.values())))
def test_interrupted_training_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, changes):
    recipe = changed(epochs=3, learning_rate=0.05, **changes)
    undisturbed = train(data, recipe, 0)
    if recipe.optimizer == "AdaGrad":
        # Its best epoch comes before the interruption: forgetting it would show.
        assert undisturbed.best_epoch == 2
    with monkeypatch.context() as patch:
        interrupt_at(patch, (2, 1))
        with pytest.raises(KeyboardInterrupt):
            train(data, recipe, 0, tmp_path, keep_interrupted=False)
    # What a process did before must not matter.
    keras.utils.set_random_seed(99)
    reports = []
    resumed = train(data, recipe, 0, tmp_path, report=lambda epoch, *_: reports.append(epoch))
    assert reports == [3]
    assert_same_weights(resumed.model, undisturbed.model)
    pd.testing.assert_frame_equal(resumed.history, undisturbed.history, check_exact=True)
    pd.testing.assert_frame_equal(resumed.scores, undisturbed.scores, check_exact=True)


@pytest.mark.parametrize("schedule", ["plateau", "loss plateau"])
def test_plateau_goes_on_where_an_interrupted_training_left_it(data, tmp_path, monkeypatch, schedule):
    """At a rate at which nothing moves it falls after epochs 3, 5 and 7; one that had forgotten would fall later."""
    monkeypatch.setitem(SCHEDULES, schedule, replace(SCHEDULES[schedule], lowest=1e-12))
    recipe = changed(epochs=8, learning_rate=1e-9, optimizer="SGD", schedule=schedule, batch_norm=False, dropout=0)
    undisturbed = train(data, recipe, 0)
    rates = undisturbed.history["learning_rate"].tolist()
    assert rates == pytest.approx([1e-9 * 0.3**times for times in (0, 0, 0, 1, 1, 2, 2, 3)])
    with monkeypatch.context() as patch:
        interrupt_at(patch, (4, 0))
        with pytest.raises(KeyboardInterrupt):
            train(data, recipe, 0, tmp_path, keep_interrupted=False)
    resumed = train(data, recipe, 0, tmp_path)
    pd.testing.assert_frame_equal(resumed.history, undisturbed.history, check_exact=True)
    assert_same_weights(resumed.model, undisturbed.model)


def test_warm_cosine_rises_over_the_first_epoch_and_falls_to_zero():
    rate = learning_rate(SCHEDULES["warm cosine"], 0.001, steps=10, epochs=4)
    rates = [float(rate(step)) for step in range(41)]
    assert rates[:11] == pytest.approx([0.0001 * step for step in range(11)])
    assert all(np.diff(rates[10:]) < 0)
    assert rates[40] == pytest.approx(0, abs=1e-9)
    # Of a single epoch all of it is warm-up.
    assert float(learning_rate(SCHEDULES["warm cosine"], 0.001, steps=10, epochs=1)(10)) == pytest.approx(0.001)


def test_decay_lowers_the_rate_every_third_epoch_whatever_the_run():
    rate = learning_rate(SCHEDULES["decay"], 0.001, steps=10, epochs=9)
    assert [float(rate(step)) for step in (0, 29, 30, 59, 60)] == pytest.approx([1e-3, 1e-3, 3e-4, 3e-4, 9e-5])


def test_scores_after_every_epoch_are_those_of_the_roles_asked_for(data):
    """Where the last epoch is kept, a training that ends earlier ends with the earlier epoch's scores."""
    recipe = changed(epochs=2, choose_by="last", score_every_epoch=("validation", "test"))
    both, first = (train(data, replace(recipe, epochs=epochs), 0, score_roles=("train", "validation", "test"))
                   for epochs in (2, 1))
    assert epoch_columns(both.scores.columns) == ["epoch 1", "epoch 2"]
    asked = both.scores["split"] != "train"
    assert both.scores.loc[~asked, ["epoch 1", "epoch 2"]].isna().all(axis=None)
    # In other batches a score may differ by its last bit.
    np.testing.assert_allclose(both.scores.loc[asked, "epoch 2"], both.scores.loc[asked, "score"], rtol=1e-6)
    np.testing.assert_allclose(both.scores.loc[asked, "epoch 1"], first.scores.loc[asked, "score"], rtol=1e-6)
    plain = train(data, replace(recipe, score_every_epoch=()), 0)
    assert_same_weights(plain.model, both.model)


def test_perturbed_images_are_scored_beside_the_plain_ones(data):
    names = ("height 1.15", "brightness -0.1")
    recipe = changed(epochs=1, perturbations=names[::-1])
    training = train(data, recipe, 0)
    assert set(training.scores["perturbation"]) == {"", *names}
    images = select_images(data.images, recipe)
    pixels = load_images(data.root, images, recipe.images)
    rows = np.flatnonzero(images["role"].isin(["validation", "test"]))
    for name in names:
        rescored = np.stack([perturbed(pixels[row], name) for row in rows])
        expected = training.predictor(rescored)[:, 1]
        found = training.scores[training.scores["perturbation"] == name]
        assert found["path"].tolist() == images["path"].iloc[rows].tolist()
        np.testing.assert_allclose(found["score"], expected, rtol=1e-5)
        assert not np.allclose(found["score"].to_numpy(),
                               training.scores.loc[training.scores["perturbation"] == "", "score"].to_numpy())


def test_test_images_are_not_scored_after_epochs_where_they_are_not_to_be_scored(data, refused):
    with refused("after every epoch", "only validation"):
        train(data, changed(score_every_epoch=("test",)), 0, score_roles=("validation",))


def test_role_without_images_has_no_scores_after_any_epoch(data):
    without = replace(data, images=data.images[data.images["split"] != "test"])
    scores = train(without, changed(epochs=1, score_every_epoch=("test",)), 0).scores
    assert set(scores["split"]) == {"validation"}
    assert "epoch 1" not in scores


def test_folder_of_another_unfinished_training_is_refused(data, folder, trained, refused):
    with refused(folder / UNFINISHED, "other settings"):
        train(data, RECIPE, 0, folder, identity="another")


def test_prediction_keeps_the_order_of_the_rows(trained, data):
    images = select_images(data.images, RECIPE)
    pixels = load_images(data.root, images, RECIPE.images)
    forwards = trained.predictor(pixels, np.arange(10))
    backwards = trained.predictor(pixels, np.arange(10)[::-1])
    np.testing.assert_allclose(forwards[::-1], backwards, rtol=1e-5)
    assert forwards.shape == (10, 2)
    assert forwards.dtype == float


def test_training_that_diverges_is_refused_in_one_line(data, refused):
    for choose_by in ("validation", "shifted validation"):
        with refused("learning rate", error=Diverged):
            train(data, changed(optimizer="SGD", learning_rate=1e39, epochs=1, choose_by=choose_by), 0)
