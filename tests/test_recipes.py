"""The second study's contrasts, on invented stores whose cause is known."""

from dataclasses import replace

import numpy as np
import pytest
from invented_recipes import invented_study
from scipy import stats

from covidcnn.evaluation.statistics import paired_difference
from covidcnn.evaluation.weighted_metrics import accuracy
from covidcnn.paper import recipe_contrasts as recipes
from covidcnn.paper import recipe_probes as probes
from covidcnn.paper.claims import PUBLISHED
from covidcnn.paper.recipe_arms import CAUSES, INGREDIENTS, PUBLIC_RECIPE, RATE_ARMS, RATES, SMALL, SMALL_RATES
from covidcnn.paper.recipe_tables import recipe_figures, recipe_tables, value_table
from covidcnn.paper.write import both_recipes
from covidcnn.study.verdicts import OPEN, REFUTED, SUPPORTED

# 120 invented trainings a world, whose patients are drawn a thousand times for every contrast.
pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module", params=["A", "B", "neither"])
def world(request, tmp_path_factory):
    return request.param, invented_study(tmp_path_factory.mktemp("study"), request.param)


@pytest.fixture(scope="module")
def contrasts(world):
    return recipes.contrast_table(recipes.contrasts(world[1])).set_index(["question", "arm", "comparison"])


def test_hypothesis_that_is_true_is_supported_and_its_rival_refuted(world):
    cause, evidence = world
    for arms in ((CAUSES, INGREDIENTS), (SMALL, SMALL)):
        verdicts = probes.hypothesis_verdicts(*(evidence.arms[name] for name in arms))
        expected = {"A": {"A": SUPPORTED, "B": REFUTED, "crop": REFUTED},
                    "B": {"A": REFUTED, "B": SUPPORTED, "crop": REFUTED},
                    # Where a taller image raises nothing, the probes say nothing.
                    "neither": dict.fromkeys(("A", "B", "crop"), OPEN)}
        assert verdicts == expected[cause]


def test_one_primary_contrast_a_question_and_arm(contrasts):
    primary = contrasts[contrasts["rank"] == "primary"].reset_index()
    assert primary.groupby(["question", "arm"]).size().eq(1).all()
    assert set(primary["question"]) == {"2 ingredient", "3 which epoch", "4 imbalance", "5 cause"}
    alone = primary[(primary["arm"] != SMALL) & (primary["question"] != "3 which epoch")]
    assert (alone["p"] == alone["p, Holm"]).all()


def test_families_are_those_of_the_protocol(contrasts):
    """Holm's largest factor is the size of the family."""
    for rows, size in ((contrasts.loc["1 reached"], 5), (contrasts.loc[("2 ingredient", INGREDIENTS)], 7),
                       (contrasts.loc[("2 ingredient", RATES)], 4), (contrasts.loc[("2 ingredient", SMALL_RATES)], 6),
                       (contrasts.xs(SMALL, level="arm"), 12)):
        family = rows if len(rows) == 12 else rows[rows["rank"] != "primary"]
        assert len(family) == size
        surest = family.loc[family["p"] == family["p"].min()].iloc[0]
        assert surest["p, Holm"] == pytest.approx(min(1, size * surest["p"]))


def test_best_of_several_has_no_p(contrasts):
    leak = contrasts.loc[("3 which epoch", PUBLIC_RECIPE, "best on test - last (a leak)")]
    assert np.isnan(leak["p"])
    assert leak["above 0"] == "by construction"
    assert leak["mean"] > 0


def test_zoom_in_height_gains_where_the_network_reads_height(world, contrasts):
    gain = contrasts.loc[("2 ingredient", INGREDIENTS, "zoom in height - none")]
    assert gain["above 0"] == (OPEN if world[0] == "neither" else SUPPORTED)
    assert (gain["mean"] > 0.05) == (world[0] != "neither")


def test_width_gains_where_the_ratio_counts(world, contrasts):
    found = contrasts.loc[("2 ingredient", INGREDIENTS, "zoom in width - none"), "above 0"]
    assert (found == SUPPORTED) == (world[0] == "A")


def test_measured_stretch_explains_most_of_the_false_alarms(world, contrasts):
    """Test NORMAL images are 1.11 times as tall in worlds A and B, and brighter in the third."""
    for comparison in ("height 1.10 on validation - half of what test has more",
                       "height 0.90 on test - half of what test has more"):
        found = contrasts.loc[("5 cause", CAUSES, comparison), "above 0"]
        assert found == (REFUTED if world[0] == "neither" else SUPPORTED)


def test_balance_is_not_what_is_missing(world, contrasts):
    found = contrasts.loc[("4 imbalance", CAUSES, "zoom, not balanced - class weights, no zoom")]
    assert found["measure"] == "specificity"
    assert found["above 0"] == (OPEN if world[0] == "neither" else SUPPORTED)


def test_choosing_on_test_never_loses_and_is_at_least_what_validation_chooses(world):
    arm = world[1].arms[PUBLIC_RECIPE]
    nadam = arm.condition(optimizer="Nadam")
    by_epoch = recipes.accuracy_by_epoch(nadam)
    leak, last, sixteen = (
        paired_difference(recipes.chosen_scores(nadam, rule), nadam.test_scores, arm.images).mean
        for rule in ("test accuracy", "last", "validation accuracy"))
    assert leak == pytest.approx((by_epoch.max(axis=1) - by_epoch[:, -1]).mean())
    assert last == 0
    assert sixteen <= leak
    assert leak > 0


def test_jumps_are_those_of_the_learning_rate(world):
    for names in RATE_ARMS.values():
        found = [world[1].arms[name] for name in names]
        table = recipes.rate_table(found).set_index(["augmentation", "learning rate"])
        assert set(table.index) == {(augmentation, rate) for rate in ("constant", "plateau", "decay")
                                    for augmentation in ("flips and shifts", "+ zoom in height and in width")}
        for augmentation in ("flips and shifts", "+ zoom in height and in width"):
            jumps = table.loc[augmentation, "mean jump"]
            assert jumps["constant"] > 3 * jumps["decay"]
        plain = found[-1].condition(augmentation="paper", schedule="constant")
        assert table.loc[("flips and shifts", "constant"), "highest"] == plain.values(accuracy).max()


def test_what_looking_at_test_buys_has_its_interval_over_seeds(world):
    arm = world[1].arms[PUBLIC_RECIPE]
    table = recipes.best_of_table(arm).set_index("what is reported")
    last = arm.condition(optimizer="Nadam").values(accuracy)
    more = np.max([one.values(accuracy) for one in arm.conditions], axis=0) - last
    best = table.loc["best of six optimizers, the last epoch"]
    assert best["more"] == pytest.approx(more.mean())
    assert (best["low"], best["high"]) == pytest.approx(stats.t.interval(
        0.95, len(more) - 1, more.mean(), stats.sem(more)))
    assert table.loc["Nadam, the last epoch", ["more", "low", "high"]].eq(0).all()
    assert table.loc["Nadam, the best of 2 trainings", ["low", "high"]].isna().all()


def test_expected_best_of_k_is_the_mean_over_all_choices_of_k():
    values = np.array([0.7, 0.9, 0.8, 0.75])
    assert recipes.expected_best(values, 1) == pytest.approx(values.mean())
    assert recipes.expected_best(values, 2) == pytest.approx((0.9 * 3 + 0.8 * 2 + 0.75) / 6)
    assert recipes.expected_best(values, 4) == pytest.approx(0.9)


def test_flips_count_the_images_whose_prediction_changes(world):
    table = probes.stretch_table(world[1].arms[CAUSES], "paper").set_index(["split", "perturbation"])
    assert (table.loc[("validation", "none"), ["flips, NORMAL", "flips, PNEUMONIA"]] == 0).all()
    taller = table.loc[("validation", "height 1.15")]
    assert taller["flips, NORMAL"] == pytest.approx(
        taller["false alarms"] - table.loc[("validation", "none"), "false alarms"])
    assert (taller["flips, NORMAL"] > 0.1) == (world[0] != "neither")


def test_difference_between_studies_is_that_of_the_means(world):
    arm = world[1].arms[PUBLIC_RECIPE]
    table = value_table(arm, arm).set_index("optimizer")
    assert (table["difference of means"] == 0).all()
    assert (table["low"] < 0).all()
    assert (table["high"] > 0).all()


@pytest.mark.parametrize("world", ["A"], indirect=True)
def test_tables_and_figures_say_what_is_finished(world, tmp_path):
    evidence = world[1]
    tables = recipe_tables(evidence, text_recipe(evidence))
    assert {"contrasts", "values", "choosing", "rates-128-px", "ingredients-128-px", "predictions-64-px",
            "stretches-128-px-zoom", "imbalance-128-px"} <= set(tables)
    assert all("exploratory" in tables[name][1] for name in (
        "values-64-px", "choosing-64-px", "rates-64-px", "values-224-px-arm-11", "most-128-px-arm-12"))
    values = tables["values"][0].set_index("optimizer")
    assert values["median"].idxmin() == "Adadelta"
    assert (values["verdict"] == "not reproduced").any()
    ladder = tables["ingredients-128-px"][0].set_index("augmentation")["accuracy"]
    assert ladder["+ zoom in height"] > ladder["+ rotation"] + 0.05
    names = []
    for name, figure, caption in recipe_figures(evidence, text_recipe(evidence)):
        assert caption.endswith(".")
        figure.savefig(tmp_path / f"{name}.png")
        names.append(name)
        assert ("exploratory" in caption) == (
            name in ("both-recipes-64-px", "nadam-by-recipe", "rates-64-px") or "arm-12" in name)
    assert names == ["both-recipes", "both-recipes-64-px", "nadam-by-recipe", "rates-128-px", "rates-64-px",
                     "ladder-128-px", "stretch-128-px", "ladder-64-px", "stretch-64-px", "ladder-128-px-arm-12",
                     "stretch-128-px-arm-12"]


def test_unfinished_study_has_the_contrasts_of_what_is_finished(world):
    only = replace(world[1], arms={SMALL: world[1].arms[SMALL]})
    table = recipes.contrast_table(recipes.contrasts(only))
    assert set(table["question"]) == {"2 ingredient", "4 imbalance", "5 cause"}
    assert set(table["arm"]) == {SMALL}


def test_claim_says_for_which_recipe_it_holds(world):
    first = replace(text_recipe(world[1]), further={})
    table = both_recipes(first, world[1])
    assert set(table.loc[["covid-19", "equalisation"], "public_verdict"]) == {""}
    # Both recipes are the same trainings here.
    assert table.loc["adadelta-accuracy", "holds"] in ("both recipes", "neither recipe")
    assert table.loc["nadam-best", "public_verdict"] == OPEN
    assert table.loc["imbalance", "holds"] == "not finished"


def text_recipe(evidence):
    """A first study whose arm 1 is the second's."""
    arm = replace(evidence.arms[PUBLIC_RECIPE], name=PUBLISHED)
    return replace(evidence, arms={PUBLISHED: arm}, finished={PUBLISHED: evidence.finished[PUBLIC_RECIPE]},
                   progress=evidence.progress.rename(index={PUBLIC_RECIPE: PUBLISHED}))


def test_share_of_a_gain_that_is_not_there_is_open(world):
    """Without a cause nothing gains, and half of nothing is easily exceeded."""
    table = recipes.most_of_it(world[1].arms[INGREDIENTS]).set_index("ingredient")["does"]
    assert "+ rotation and zoom (the public recipe)" not in table
    if world[0] == "neither":
        assert set(table) == {OPEN}
    else:
        assert table["+ zoom in height"] == "most of it"
        assert table["+ rotation"] == "less than half"


def test_a_and_b_predict_each_of_the_probes_and_gains_and_crop_its_own(world):
    table = probes.predictions(world[1].arms[CAUSES], world[1].arms[INGREDIENTS])
    assert table.groupby("hypothesis").size().to_dict() == {"A": 6, "B": 6, "crop": 2}
