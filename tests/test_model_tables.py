"""The tables of the third, the fourth and the sixth study, on invented stores whose effects are known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from invented_models import IMAGES, OFFSET, invented_models
from sklearn.metrics import confusion_matrix, recall_score, roc_auc_score

from covidcnn.evaluation.statistics import mean_over_seeds
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.evaluation.weighted_metrics import accuracy, accuracy_of_classes, against_rest, macro_auc, specificity
from covidcnn.paper import ct_tables, model_tables, subtype_tables
from covidcnn.paper.recipe_contrasts import contrast_table
from covidcnn.paper.write import write_further
from covidcnn.study.conditions import Condition, Evidence
from covidcnn.study.protocol import read_study
from covidcnn.study.verdicts import OPEN, REFUTED, SUPPORTED
from covidcnn.task import SUBTYPE

# Some fifty invented trainings, whose patients are drawn a thousand times for every number.
pytestmark = pytest.mark.slow

NETWORK = "the paper's network with zoom"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return invented_models(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def models(evidence):
    return model_tables.models_of(evidence.arms.values())


@pytest.fixture(scope="module")
def results(models):
    return model_tables.result_table(models).set_index("model")


@pytest.fixture(scope="module")
def contrasts(evidence):
    table = contrast_table(model_tables.model_contrasts(model_tables.models_of(evidence.arms.values())))
    return table.set_index(table["comparison"].str.removesuffix(f" - {NETWORK}"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return model_tables.models_of(invented_models(tmp_path_factory.mktemp("three"), "subtype").arms.values())


def test_every_model_has_a_row_and_those_without_chance_stand_for_two_seeds_or_five(results):
    assert len(results) == 9
    assert results["seeds"].to_dict() == dict.fromkeys(results.index, 5) | {
        "logistic regression, Lite0's features at 224 px": 2}
    assert results.loc["EfficientNet-Lite0", ["px", "million parameters", "million multiply-adds", "minutes"]
                       ].tolist() == [224, 3.413729, 376.683488, 1]
    assert results.loc["logistic regression, HOG at 32 px", ["million parameters", "ms an image"]].isna().all()


def test_known_differences_come_out_with_their_sign(contrasts):
    assert contrasts.loc["EfficientNet-Lite0", "above 0"] == SUPPORTED
    assert contrasts.loc["five-block network", "above 0"] == OPEN
    assert set(contrasts.loc[contrasts["mean"] < -0.1, "above 0"]) == {REFUTED}
    # Without zoom NORMAL test images score higher.
    assert contrasts.loc["the paper's network", "mean"] < -0.1


def test_primary_contrast_stands_alone_and_the_others_are_one_family(contrasts):
    primary = contrasts[contrasts["rank"] == "primary"]
    assert primary.index.tolist() == ["EfficientNet-Lite0"]
    assert (primary["p"] == primary["p, Holm"]).all()
    family = contrasts.drop("EfficientNet-Lite0")
    assert len(family) == 7
    surest = family.loc[family["p"].idxmin()]
    assert surest["p, Holm"] == pytest.approx(7 * surest["p"])


def test_difference_is_that_of_the_shared_seeds(models, contrasts):
    (_, network), (_, forest) = models[NETWORK], models["random forest, HOG at 32 px"]
    fewer = replace(forest, results=forest.results[1:4])
    values = (network.values(accuracy, at_validation_threshold=True), forest.values(accuracy, None, True))
    assert contrasts.loc["random forest, HOG at 32 px", "mean"] == pytest.approx(np.mean(values[1] - values[0]))
    found = models[NETWORK][0].difference(fewer, network, accuracy, at_validation_threshold=True)
    assert found.seeds == 3
    assert found.mean == pytest.approx(np.mean((values[1] - values[0])[1:4]))


def test_model_without_chance_pairs_with_every_seed_and_has_its_patients_interval(models, results, contrasts):
    name = "logistic regression, Lite0's features at 224 px"
    arm, frozen = models[name]
    assert not frozen.has_chance
    assert contrasts.loc[name, "seeds"] == 5
    found = mean_over_seeds(frozen.test_scores, arm.images, accuracy, arm.draws)
    assert found.high - found.mean == pytest.approx(1.96 * found.patient_error, rel=1e-3)
    assert results.loc[name, "AUC, high"] - results.loc[name, "AUC, low"] < 0.3


def disturbed(condition: Condition) -> Condition:
    """The same validation, and test images that say the opposite."""
    def turned(scores):
        return scores.assign(score=scores["score"].where(scores["split"] != "test", 1 - scores["score"]))

    return replace(condition, results=tuple(replace(one, scores=turned(one.scores)) for one in condition.results))


def test_thresholds_are_of_validation_alone_with_what_the_epoch_is_chosen_under(models):
    for name in ("EfficientNet-Lite0", "random forest, HOG at 32 px"):
        condition = models[name][1]
        by_ways = list(model_tables._combined(condition))
        for (words, scores, thresholds), (_, turned, same) in zip(
                by_ways, model_tables._combined(disturbed(condition)), strict=True):
            assert thresholds == pytest.approx(same), words
            assert not np.allclose(scores, turned)
        assert (disturbed(condition).thresholds == condition.thresholds).all()
    lite0 = models["EfficientNet-Lite0"][1]
    rows = lite0.threshold_images(lite0.results[0])
    assert len(rows) == 7 * IMAGES
    assert not rows["perturbation"].isin(lite0.recipe.perturbations).any()
    assert lite0.thresholds[0] == fix_threshold(rows, "youden")
    by_words = {words: thresholds for words, _, thresholds in model_tables._combined(lite0)}
    plain = rows[rows["perturbation"] == ""]
    assert by_words["threshold from unchanged validation"][0] == fix_threshold(plain, "youden")
    forest = [words for words, _, _ in model_tables._combined(models["random forest, HOG at 32 px"][1])]
    assert forest == ["temperature scaling", "ensemble of the seeds"]


def test_threshold_of_validation_mends_scores_that_are_all_too_high(results):
    assert OFFSET > 1
    better = results["accuracy"] - results["accuracy at 0.5"]
    assert better.loc[[NETWORK, "five-block network"]].min() > 0.1


def test_mean_over_seeds_is_better_where_the_seeds_err_each_in_its_own_way(models):
    table = model_tables.descriptive_table(models).set_index(["model", "scores"])
    for name in (NETWORK, "five-block network", "residual network"):
        own = model_tables.measured(models[name][1].test_scores, models[name][1].thresholds, *_images(models[name][0]))
        together = table.loc[(name, "ensemble of the seeds")]
        assert together["AUC"] > own["AUC"]
        assert together["accuracy"] >= own["accuracy"]
    assert "ensemble of the seeds" not in table.loc["support vector machine, HOG at 32 px"].index


def _images(arm):
    return arm.images, arm.draws


def test_changes_of_the_image_average_noise_away_and_temperature_changes_calibration_alone(models, results):
    table = model_tables.descriptive_table({"EfficientNet-Lite0": models["EfficientNet-Lite0"]}).set_index("scores")
    own = results.loc["EfficientNet-Lite0"]
    cooled = table.loc["temperature scaling"]
    assert cooled[["accuracy", "specificity", "AUC", "accuracy at 0.5"]].tolist() == pytest.approx(
        own[["accuracy", "specificity", "AUC", "accuracy at 0.5"]].tolist())
    assert cooled["calibration error"] < own["calibration error"]
    assert "test-time augmentation, 5 changes" in table.index


def test_aim_is_reached_by_the_mean_and_an_error_is_to_be_small():
    row = {"model": "one", "seeds": 5} | {f"{name}{part}": value for name, value in (
        ("accuracy", 0.96), ("specificity", 0.91), ("AUC", 0.994), ("calibration error", 0.06))
        for part in ("", ", low", ", high")}
    table = model_tables.aim_table(pd.DataFrame([row])).set_index("measure")
    assert table["reached"].to_dict() == {"accuracy": True, "specificity": False, "AUC": True,
                                          "calibration error": False}


def test_unfinished_arms_give_no_row_and_no_error(tmp_path):
    arms = {"nothing": ["1a-classical-candidates"], "some": ["1b-classical", "2-networks"], "no network": ["4b-frozen"]}
    tables = {}
    for name, finished in arms.items():
        (tmp_path / name).mkdir()
        found = invented_models(tmp_path / name, arms=finished)
        tables[name] = model_tables.model_tables(found)
        assert len(list(model_tables.model_figures(found))) == (name != "nothing")
    assert "results" not in tables["nothing"]
    assert len(tables["some"]["results"][0]) == 7
    assert set(tables["some"]["contrasts"][0]["rank"]) == {"secondary"}
    assert "contrasts" not in tables["no network"]
    (tmp_path / "three").mkdir()
    only = subtype_tables.subtype_tables(invented_models(tmp_path / "three", "subtype", ["2-lite0"]))
    assert only["contrasts"][0]["question"].tolist() == ["shift"]


def test_three_classes_are_measured_as_scikit_learn_does(three):
    rates = subtype_tables.class_table(three).set_index(["model", "class", "measure"])["mean"]
    counts = subtype_tables.confusion_table(three).set_index(["model", "class", "predicted"]).sort_index()
    totals = subtype_tables.result_table(three).set_index(["model", "measure"])["mean"]
    for name, (_, one) in three.items():
        scores = [result.scores.query("split == 'test'") for result in one.results]
        labels = [SUBTYPE.encode(each["label"]) for each in scores]
        values = [each[SUBTYPE.score_columns].to_numpy() for each in scores]
        predicted = [each.argmax(axis=1) for each in values]
        assert totals[name, "accuracy"] == pytest.approx(
            np.mean([(a == b).mean() for a, b in zip(labels, predicted, strict=True)]))
        assert totals[name, "macro AUC"] == pytest.approx(np.mean([
            roc_auc_score(a, b, multi_class="ovr") for a, b in zip(labels, values, strict=True)]))
        matrix = np.mean([confusion_matrix(a, b) for a, b in zip(labels, predicted, strict=True)], axis=0)
        recalls = np.mean([recall_score(a, b, average=None) for a, b in zip(labels, predicted, strict=True)], axis=0)
        for place, of in enumerate(SUBTYPE.classes):
            own = counts.loc[(name, of)]
            assert own.loc[list(SUBTYPE.classes), "images"].tolist() == pytest.approx(matrix[place].tolist())
            assert own["mean"].sum() == pytest.approx(1)
            assert rates[name, of, "sensitivity"] == pytest.approx(recalls[place])
            assert rates[name, of, "specificity"] == pytest.approx(np.mean([
                (b[a != place] != place).mean() for a, b in zip(labels, predicted, strict=True)]))
            assert rates[name, of, "AUC"] == pytest.approx(np.mean([
                roc_auc_score(a == place, b[:, place]) for a, b in zip(labels, values, strict=True)]))


def test_wrong_predictions_are_counted_by_seed_and_by_all_seeds(three):
    errors = subtype_tables.error_table(three).set_index(["model", "class", "predicted"])
    counts = subtype_tables.confusion_table(three).set_index(["model", "class", "predicted"])["images"]
    assert len(errors) == 2 * 3 * 2
    assert errors["a seed"].to_dict() == pytest.approx(counts.loc[errors.index].to_dict())
    assert (errors["by every seed"] <= errors["a seed"]).all()
    name, (arm, one) = next(iter(three.items()))
    labels, predicted = arm.images["positive"].to_numpy(), one.test_scores.argmax(axis=2)
    always = sum(label == 1 and set(column) == {2} for label, column in zip(labels, predicted.T, strict=True))
    assert errors.loc[(name, "BACTERIA", "VIRUS"), "by every seed"] == always
    assert errors["score"].dropna().between(1 / 3, 1).all()


def test_three_classes_by_hand():
    labels = np.array([0, 0, 1, 1, 2, 2])
    scores = np.array([[0.6, 0.3, 0.1], [0.3, 0.4, 0.3], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.5, 0.1, 0.4],
                       [0.1, 0.1, 0.8]])
    ones = np.ones(6)
    assert accuracy_of_classes(labels, scores, ones) == pytest.approx(4 / 6)
    assert against_rest(2, specificity)(labels, scores, ones) == 1
    # Of 8 pairs each the first class loses one, and the third has one tie.
    aucs = [(8 - 1) / 8, 8 / 8, (8 - 0.5) / 8]
    assert [against_rest(place, model_tables.METRICS["AUC"], False)(labels, scores, ones) for place in range(3)
            ] == pytest.approx(aucs)
    # Twice drawn, twice counted; a row a draw.
    draws = np.array([[1, 1, 1, 1, 1, 1], [0, 2, 1, 1, 1, 1]])
    assert accuracy_of_classes(labels, scores, draws).tolist() == pytest.approx([4 / 6, 3 / 6])
    assert macro_auc(labels, scores, draws)[0] == pytest.approx(np.mean(aucs))


def test_shift_and_primary_contrast_of_three_classes(three):
    table = contrast_table(subtype_tables.subtype_contrasts(three)).set_index("comparison")
    primary = table.loc[f"EfficientNet-Lite0 - {NETWORK}"]
    assert (primary["rank"], primary["above 0"]) == ("primary", SUPPORTED)
    shift = table[table["question"] == "shift"]
    assert len(shift) == 2
    assert shift["p, Holm"].min() == pytest.approx(2 * shift["p"].min())
    # The third class is harder to tell on test.
    assert shift.loc[f"{NETWORK}: test - validation", "above 0"] == REFUTED
    (_, one) = three[NETWORK]
    assert shift.loc[f"{NETWORK}: test - validation", "mean"] == pytest.approx(
        np.mean(one.values(macro_auc) - one.validation_values(macro_auc)))


def test_training_that_diverged_tells_no_class_from_another(three):
    arm, one = three[NETWORK]
    broken = replace(one, results=(replace(one.results[0], diverged="no number"), *one.results[1:]))
    assert broken.values(macro_auc)[0] == 0.5
    tables = {NETWORK: (arm, broken)}
    assert subtype_tables.confusion_table(tables)["images"].sum() == pytest.approx(IMAGES)
    assert subtype_tables.subtype_contrasts(tables) == []
    # Without a contrast there is no table of them, and the others stand; without an arm there is none at all.
    assert subtype_tables.subtype_tables(Evidence({}, {}, {}, pd.DataFrame(), {}, frozenset())) == {}
    alone = Evidence({arm.name: replace(arm, conditions=(broken,))}, {}, {}, pd.DataFrame(), {}, frozenset())
    assert set(subtype_tables.subtype_tables(alone)) == {"results", "classes", "confusion", "errors"}


@pytest.mark.parametrize("study", ["models", "subtype", "ct"])
def test_files_of_a_study_are_those_of_its_manifest(study, tmp_path):
    folder = tmp_path / study
    folder.mkdir()
    found = invented_models(folder, study, ["2-networks"] if study == "models" else ())
    protocol = replace(read_study(study), path=folder / "protocol.yaml")
    assert write_further(protocol, found, found) == folder / "tables"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == set(manifest["tables"])
    assert {path.stem for path in (folder / "figures/evidence").glob("*.png")} == set(manifest["figures"])
    assert {"results", "trials"} <= set(manifest["tables"])
    # Who reads a number knows whence the recipe comes.
    captions = [*(manifest["tables"][name] for name in ("results", "contrasts")), *manifest["figures"].values()]
    assert all(("COVID-CT" if study == "ct" else "informed by the test set") in caption for caption in captions)


JUDGED = {"patients, mean": "mean", "patients, highest": "max"}


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    return invented_models(tmp_path_factory.mktemp("ct"), "ct")


def test_patients_are_judged_by_the_mean_and_by_the_highest_of_their_slices(slices):
    table = ct_tables.result_table(slices).set_index(["model", "judged"])
    names = (NETWORK, "the paper's network", "EfficientNet-Lite0", "ridge, pixels at 16 px")
    assert set(table.index) == {(name, judged) for name in names for judged in ("slices", *JUDGED)}
    assert table.xs("slices", level="judged")["n"].eq(IMAGES).all()
    one = slices.arms["2-lite0"].conditions[0]
    for judged, how in JUDGED.items():
        assert table.xs(judged, level="judged")["n"].eq(IMAGES / 2).all()
        by_seed = []
        for result in one.results:
            test = result.scores[(result.scores["split"] == "test") & (result.scores["perturbation"] == "")]
            patients = test.groupby("patient").agg(label=("label", "first"), score=("score", how))
            by_seed.append(roc_auc_score(patients["label"] == "COVID", patients["score"]))
        assert table.loc[("EfficientNet-Lite0", judged), "AUC"] == pytest.approx(np.mean(by_seed))
    # Scores are too high by as much on validation, which sets the threshold.
    assert table.loc[("EfficientNet-Lite0", "slices"), "accuracy"] > table.loc[
        ("EfficientNet-Lite0", "slices"), "accuracy at 0.5"] + 0.05


def test_number_of_slices_is_held_against_the_class(slices):
    arm = slices.arms["2-lite0"]
    row = ct_tables.slice_counts(arm).iloc[0]
    # Two slices a patient, of either class.
    assert row["AUC"] == row["low"] == row["high"] == 0.5
    assert row[["patients", "slices a patient, COVID"]].tolist() == [IMAGES / 2, 2]
    # Of every other patient without COVID one slice is taken away.
    first = arm.images.drop_duplicates("patient")
    taken = set(first.loc[~first["positive"].astype(bool), "path"].iloc[::2])

    def without(table):
        return table[~table["path"].isin(taken)]

    fewer = replace(arm, conditions=tuple(replace(one, images=without(one.images), results=tuple(
        replace(result, scores=without(result.scores)) for result in one.results)) for one in arm.conditions))
    row = ct_tables.slice_counts(fewer).iloc[0]
    assert row["AUC"] == pytest.approx(0.75, abs=0.01)
    assert row["low"] > 0.6
    assert row["slices a patient, NonCOVID"] == pytest.approx(1.5, abs=0.02)


def test_slices_with_a_part_blacked_out_stand_beside_the_whole(slices):
    table = ct_tables.blacked_table(model_tables.models_of(slices.arms.values())).set_index(["model", "slices"])
    one = slices.arms["2-lite0"].conditions[0]
    labels = one.images["positive"]
    for words, perturbation in (("as they are", ""), ("central lungs black", "central lungs black")):
        assert table.loc[("EfficientNet-Lite0", words), "AUC"] == pytest.approx(np.mean(
            [roc_auc_score(labels, row) for row in one.scores_of("test", perturbation)]))
    assert len(table) == 12


def test_primary_contrast_on_slices_stands_alone(slices):
    table = ct_tables.ct_tables(slices)["contrasts"][0]
    table = table.set_index(table["comparison"].str.removesuffix(f" - {NETWORK}"))
    assert table["rank"].to_dict() == {"EfficientNet-Lite0": "primary", "the paper's network": "secondary",
                                       "ridge, pixels at 16 px": "secondary"}
    assert table.loc["EfficientNet-Lite0", "above 0"] == SUPPORTED
    assert table.loc["EfficientNet-Lite0", "p"] == table.loc["EfficientNet-Lite0", "p, Holm"]
    assert table.loc["ridge, pixels at 16 px", "above 0"] == REFUTED
    assert model_tables.model_contrasts(model_tables.models_of([slices.arms["2-lite0"]])) == []


def test_published_results_say_how_they_were_measured():
    table = model_tables.published_results()
    assert table["accuracy"].between(0.5, 1).all()
    assert table["protocol"].str.len().min() > 5
    assert table.set_index("model").loc["AutoML Vision", ["accuracy", "AUC"]].tolist() == [0.946, 0.991]
