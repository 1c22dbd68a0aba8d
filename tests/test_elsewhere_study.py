"""The study of trained networks elsewhere: what is scored with a model, and what its tables make of scores."""

import json
from dataclasses import replace

import elsewhere
import elsewhere_figures
import elsewhere_read
import elsewhere_scoring
import elsewhere_tables
import numpy as np
import pandas as pd
import pytest
from conftest import make_tree
from elsewhere_read import AS_THEY_ARE
from elsewhere_tables import GRAD_CAM, LITE0, OCCLUSION, PAPER, RANDOM, ZOOM
from sklearn.metrics import roc_auc_score

from covidcnn.data.dataset import open_dataset
from covidcnn.errors import DataError, UserError
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.efficientnet_lite0 import EfficientNetLite0
from covidcnn.models.model_file import load_model
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.perturbations import LUNGS_BLACK, REST_BLACK
from covidcnn.plots.elsewhere import better_by_place, lost_by_network
from covidcnn.study.protocol import read_study
from covidcnn.training.recipe import Recipe
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import pin_trial
from covidcnn.yaml_files import read_yaml

DESIGN = {"models": {PAPER: {}, ZOOM: {}, LITE0: {}}, "perturbations": ["inverted", "height 1.15", "contrast 0.7"],
          "local images": {"counts": [20, 100], "draws": 20}, "where": {"cells": 4, "images": 8}}


def test_design_is_about_fifteen_trainings_of_the_third_study():
    design, protocol = read_yaml(elsewhere.DESIGN), read_study("models")

    class Finished(TrialStore):
        def is_finished(self, trial):
            return True

        def read(self, key):
            return key

    found = pd.DataFrame(elsewhere.trainings(design, protocol, Finished(protocol.store)))
    assert found[0].value_counts().to_dict() == dict.fromkeys((PAPER, ZOOM, LITE0), 5)
    assert found[1].is_unique


def test_everything_is_scored_with_one_model(tiny_tree, tmp_path):
    dataset = open_dataset(tiny_tree)
    small = open_dataset(make_tree(tmp_path / "small", {"train": (2, 2), "val": (2, 2), "test": (3, 4)}))
    recipe = Recipe(epochs=2, images=ImageSettings(16), model=PaperCnn(filters=(4, 8)), precision="float32",
                    validation_fraction=0.3)
    trial = pin_trial(dataset.content_hash, recipe, 3, score_test=True)
    store = TrialStore(tmp_path / "store", keep_models=True)
    result = store.run(dataset, trial)
    images = dataset.images[dataset.images["split"] == "test"].sort_values("path", ignore_index=True)
    parts, average = elsewhere_scoring.covered(DESIGN, dataset, images)
    assert average.shape == (96, 96)
    path = store.folder / "models" / f"{trial.key}.keras"
    # Of a trial the store has no scores of training images; the model was made of them all the same.
    assert set(load_model(path)[1].training["counts"]) == {"train", "validation", "test"}
    table, further = elsewhere_scoring.score(result, path, DESIGN, images, parts, dataset, small)
    assert table["place"].value_counts().to_dict() == {"test": len(images), "PneumoniaMNIST": 7}
    test = table[table["place"] == "test"]
    assert test["int8"].to_numpy() == pytest.approx(test[AS_THEY_ARE].to_numpy(), abs=0.2)
    for view in (*DESIGN["perturbations"], LUNGS_BLACK, REST_BLACK, RANDOM + AS_THEY_ARE):
        assert not np.allclose(test[view], test[AS_THEY_ARE])
    for kind in (OCCLUSION, RANDOM + OCCLUSION, GRAD_CAM, RANDOM + GRAD_CAM):
        drawn = test[f"{kind}, inside"].dropna()
        # A heat map may be 0 throughout, where nothing speaks for the class.
        assert len(drawn) == 8 or (len(drawn) < 8 and GRAD_CAM in kind)
        assert drawn.between(0, 1).all()
        assert set(test.loc[drawn.index, "label"]) <= {"PNEUMONIA"}
        assert np.shape(further["maps"][kind]) == (4, 4)
    assert 0 < further["MB"]["int8"] < further["MB"]["float32"]
    scores = result.scores[result.scores["split"] == "validation"]
    assert elsewhere.threshold_of(result) == fix_threshold(scores, "youden")
    # The model of another training, by the same name.
    other = store.run(dataset, pin_trial(dataset.content_hash, recipe, 4, score_test=True))
    with pytest.raises(UserError, match="not those of its training"):
        elsewhere_scoring.score(other, path, DESIGN, images, parts, dataset, small)


def test_untrained_networks_tell_images_apart(tiny_model):
    """However deep: untouched, the scores of this one would agree to twelve digits."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8) // np.arange(1, 21)[:, None, None]
    facts = replace(load_model(tiny_model)[1], images=ImageSettings(64))
    network = elsewhere_scoring.random_weights(EfficientNetLite0(pretrained=False), facts, 3, pixels.astype(np.uint8))
    scores = network.predict(pixels[..., np.newaxis] / 255, verbose=0)[:, 0]
    logits = np.log(scores / (1 - scores))
    assert logits.std() == pytest.approx(1, abs=0.01)
    assert logits.mean() == pytest.approx(0, abs=0.01)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Invented scores: NORMAL 0.2 and PNEUMONIA 0.8, in some views the other way round or undecided."""
    folder = tmp_path_factory.mktemp("scores")
    label = np.array(["NORMAL"] * 80 + ["PNEUMONIA"] * 120)
    right = np.where(label == "PNEUMONIA", 0.8, 0.2)
    places = pd.DataFrame({"path": [f"test/{n}.jpeg" for n in range(200)], "label": label,
                           "patient": [f"p{n // 2}" for n in range(200)]})
    inside = np.where(np.arange(200) >= 190, 0.9, np.nan)
    for name, lost in ((PAPER, 60), (ZOOM, 10), (LITE0, 0)):
        for seed in range(5):
            generator = np.random.default_rng(seed)
            def noisy(scores, generator=generator):
                return np.clip(scores + generator.normal(0, 0.02, len(scores)), 0, 1)
            taller = right.copy()
            # Of the healthy the first are called ill.
            taller[:lost] = 0.8
            # One seed's int8 differs in one prediction.
            whole = right.copy()
            whole[:1] = 0.8 if seed == 0 else 0.2
            test = places.assign(place="test", **{
                AS_THEY_ARE: noisy(right), "inverted": noisy(1 - right), "height 1.15": noisy(taller),
                "contrast 0.7": noisy(right), LUNGS_BLACK: noisy(right), REST_BLACK: 0.5, "int8": whole,
                f"{OCCLUSION}, inside": inside - 0.01 * seed, f"{GRAD_CAM}, inside": np.nan,
                f"{RANDOM}{OCCLUSION}, inside": inside - 0.4, f"{RANDOM}{GRAD_CAM}, inside": inside - 0.5,
                RANDOM + AS_THEY_ARE: 0.5,
                RANDOM + LUNGS_BLACK: 0.5, RANDOM + REST_BLACK: 0.5})
            # Elsewhere all scores are too high for the threshold, but in one network.
            moved = 0.4 * (name != LITE0)
            small = places.assign(place="PneumoniaMNIST", patient=places["path"], **{
                AS_THEY_ARE: noisy(np.where(label == "PNEUMONIA", 0.95, 0.3 + moved))})
            pd.concat([test, small]).to_csv(folder / f"{name}-{seed}.csv.gz", index=False)
            (folder / f"{name}-{seed}.json").write_text(json.dumps({
                "network": name, "seed": seed, "threshold": 0.5, "design": elsewhere_read.digest(DESIGN),
                "MB": {"float32": 3.0, "int8": 0.9},
                "maps": {kind + what: np.eye(4).tolist() for kind in ("", RANDOM) for what in (OCCLUSION, GRAD_CAM)}}))
    return elsewhere_read.read_scores(folder, DESIGN)


@pytest.fixture(scope="module")
def tables(networks):
    return {name: table for name, (table, _) in elsewhere_tables.tables_of(networks, DESIGN).items()}


def test_accuracy_lost_is_that_of_the_predictions(tables):
    lost = tables["lost"].set_index(["network", "perturbation"])
    assert lost.loc[(PAPER, "inverted"), ["accuracy", "lost", "changed", "AUC"]].tolist() == [0, 1, 1, 0]
    assert lost.loc[(PAPER, "height 1.15"), "lost"] == pytest.approx(60 / 200)
    assert lost.loc[(PAPER, "height 1.15"), "specificity"] == pytest.approx(20 / 80)
    assert lost.loc[(LITE0, "height 1.15"), "lost"] == 0
    assert lost.loc[(PAPER, "height 1.15"), "lost, low"] > 0.15
    assert tables["lost"]["network"].drop_duplicates().tolist() == [PAPER, ZOOM, LITE0]
    assert tables["lost"].query("network == @PAPER")["perturbation"].tolist() == [
        "inverted", "height 1.15", "contrast 0.7"]


def test_a_threshold_set_anew_is_better_where_scores_moved(tables):
    local = tables["local"].set_index(["network", "place", "images"])
    assert local.loc[(PAPER, "PneumoniaMNIST", 0), "specificity"] == 0
    assert local.loc[(PAPER, "PneumoniaMNIST", 100), "better"] == 1
    assert local.loc[(PAPER, "PneumoniaMNIST", 100), "specificity"] > 0.9
    # Nothing can be better than what is right throughout.
    assert local.loc[(LITE0, "test", 100), "better"] == 0
    assert elsewhere_tables.enough(tables["local"], PAPER, "PneumoniaMNIST") == 20
    assert elsewhere_tables.enough(tables["local"], LITE0, "test") == np.inf


def test_enough_is_the_number_from_which_on_it_stays_so():
    local = pd.DataFrame({"network": PAPER, "place": "test", "images": [0, 10, 20, 50, 100],
                          "better": [0, 0.96, 0.9, 0.97, 0.99]})
    assert elsewhere_tables.enough(local, PAPER, "test") == 50


def test_shares_inside_the_lungs_are_over_the_drawn_images(tables):
    where = tables["where"].set_index(["network", "weights"])
    assert where.loc[(PAPER, "trained"), "occlusion, inside"] == pytest.approx(0.88)
    low, high = where.loc[(PAPER, "trained"), ["occlusion, inside, low", "occlusion, inside, high"]]
    assert low < 0.88 < high
    assert where.loc[(PAPER, "random"), "occlusion, inside"] == pytest.approx(0.5)
    assert where.loc[(PAPER, "random"), "Grad-CAM, inside"] == pytest.approx(0.4)
    assert where.loc[(PAPER, "random"), ["occlusion, maps", "Grad-CAM, maps"]].tolist() == [50, 50]
    assert where.loc[(PAPER, "trained"), "Grad-CAM, maps"] == 0
    assert np.isnan(where.loc[(PAPER, "trained"), "Grad-CAM, inside"])
    assert where.loc[(PAPER, "trained"), f"AUC, {LUNGS_BLACK}"] > 0.99
    assert where.loc[(PAPER, "random"), f"AUC, {AS_THEY_ARE}"] == 0.5
    # Of 16 cells only the four in the middle have their centre in the circle.
    assert where.loc[(PAPER, "trained"), "even map, inside"] == pytest.approx(4 / 16)


def test_int8_is_held_against_float32(tables):
    device = tables["device"].set_index(["network", "measure"])
    assert device.loc[(PAPER, "accuracy"), "difference"] == pytest.approx(-1 / 200 / 5)
    files = tables["files"].set_index("network")
    assert files.loc[PAPER, "same prediction"] == pytest.approx(1 - 1 / 1000)
    assert files.loc[PAPER, "same prediction, lowest"] == pytest.approx(1 - 1 / 200)
    assert files.loc[PAPER, "share of the size"] == pytest.approx(0.3)


def test_predictions_hold_fail_or_stay_open(tables):
    found = tables["predictions"].set_index("prediction")
    assert found.loc[f"{PAPER}: accuracy lost by inversion, less 0.2", "value"] == pytest.approx(0.8)
    assert found.loc[f"accuracy lost by height 1.15: {PAPER} - {ZOOM}", "outcome"] == "holds"
    assert found.loc[f"accuracy lost by height 1.15: {PAPER} - {ZOOM}", "value"] == pytest.approx(50 / 200)
    assert found.loc[f"accuracy lost by contrast 0.7: {ZOOM} - {LITE0}", "outcome"] == "open"
    fails = f"{PAPER}: an even map's share inside the circle, less that of occlusion"
    assert found.loc[fails, "outcome"] == "fails"
    assert found.loc[fails, "value"] == pytest.approx(0.25 - 0.88)
    assert found.loc[f"{LITE0}: the share of occlusion inside the circle, less an even map's", "outcome"] == "holds"
    enough = found[found.index.str.contains("local images")]
    assert enough["outcome"].tolist() == ["fails", "holds"]
    assert enough["value"].tolist() == [np.inf, np.inf]


def test_ranking_and_cut_are_told_apart(networks, tables):
    lost, one = tables["lost"].set_index(["network", "perturbation"]), networks[LITE0]
    labels = one.images["positive"]
    for name in ("inverted", "height 1.15"):
        assert lost.loc[(LITE0, name), "AUC lost"] == pytest.approx(np.mean([
            roc_auc_score(labels, table[AS_THEY_ARE]) - roc_auc_score(labels, table[name]) for table in one.tables]))
    places = tables["places"].set_index(["network", "place"])
    own = [roc_auc_score(table["label"] == "PNEUMONIA", table["score"]) for table in one.small]
    assert places.loc[(LITE0, "PneumoniaMNIST"), "AUC"] == pytest.approx(np.mean(own))
    assert places.loc[(LITE0, "PneumoniaMNIST"), "AUC, lowest"] == pytest.approx(min(own))
    assert places.loc[(LITE0, "test"), "accuracy"] == pytest.approx(
        np.mean([(row == labels).mean() for row in one.predicted(AS_THEY_ARE)]))


def test_figures_show_each_network(networks, tables, close_figures):
    lost = lost_by_network(tables["lost"])
    assert [text.get_text() for text in lost.legends[0].get_texts()] == [PAPER, ZOOM, LITE0]
    local = better_by_place(tables["local"])
    assert len(local.axes[0].lines) == 4
    where = elsewhere_figures.where_figure(networks, np.zeros((96, 96), np.uint8))
    assert len([ax for ax in where.axes if ax.images]) == 12


def test_networks_that_share_fewer_than_two_seeds_are_not_compared(networks):
    few = {name: replace(one, seeds=seeds, tables=one.tables[:2], small=one.small[:2], facts=one.facts[:2],
                         thresholds=one.thresholds[:2])
           for (name, one), seeds in zip(networks.items(), ((0, 1), (1, 2), (1, 2)), strict=True)}
    found = elsewhere_tables.predictions_table(few, DESIGN, elsewhere_tables.local_table(few, DESIGN))
    assert [words for words in found["prediction"] if words.startswith("accuracy lost by")] == [
        f"accuracy lost by contrast 0.7: {ZOOM} - {LITE0}"]


def test_scores_by_another_design_are_not_mixed(networks, tmp_path):
    (tmp_path / "one.json").write_text(json.dumps({"network": PAPER, "seed": 0, "design": "another"}))
    with pytest.raises(DataError, match="another design"):
        elsewhere_read.read_scores(tmp_path, DESIGN)
    assert elsewhere_read.digest(DESIGN) == elsewhere_read.digest(DESIGN | {"notes": ["later"]})


def test_without_scores_there_are_no_tables(tmp_path):
    with pytest.raises(DataError, match=r"elsewhere\.py score"):
        elsewhere_read.read_scores(tmp_path, DESIGN)


def test_tables_are_those_of_the_scores():
    design = read_yaml(elsewhere.DESIGN)
    networks = elsewhere_read.read_scores(elsewhere.FOLDER / "scores", design)
    device = elsewhere_tables.device_table(networks)
    for name, found in (("lost", elsewhere_tables.lost_table(networks, design["perturbations"])),
                        ("where", elsewhere_tables.where_table(networks, design["where"]["cells"])),
                        ("device", device), ("files", elsewhere_tables.files_table(networks, device))):
        kept = pd.read_csv(elsewhere.FOLDER / f"tables/{name}.csv")
        pd.testing.assert_frame_equal(found.reset_index(drop=True), kept, rtol=1e-4, check_dtype=False)
    entered = pd.read_csv(elsewhere.FOLDER / "openings.csv")["scored"]
    assert {path.name.split(".")[0] for path in (elsewhere.FOLDER / "scores").iterdir()} <= set(entered)
