"""The second study by both programmes, on an invented store and on the real one."""


import numpy as np
import pandas as pd
import pytest
from invented_recipes import invented_study, write_invented_study
from second_analysis_recipe import second_recipe

from covidcnn.paper import recipe_arms
from covidcnn.paper import recipe_contrasts as recipes
from covidcnn.paper import recipe_probes as probes
from covidcnn.paper.claims import PUBLISHED
from covidcnn.paper.recipe_arms import NO_ZOOM, SMALL
from covidcnn.paper.recipe_tables import ARMS_OF, imbalance_table, of_public_recipe, of_rates, value_table
from covidcnn.paper.study_folders import PROTOCOL, STORE, evidence_of
from covidcnn.study.access_log import open_store
from covidcnn.study.conditions import Evidence
from covidcnn.study.protocol import read_protocol, read_study

pytestmark = pytest.mark.slow

_NAMES = {"zoom in height": "height zoom", "zoom in width": "width zoom", "zoom in height and in width": "zoom",
          "zoom of both alike": "zoom alike", "crop without stretch": "crop",
          "rotation and zoom (the public recipe)": "public recipe", "class weights": "class-weight",
          "oversampling": "oversample", "without zoom": "paper", "with zoom": "paper and zoom",
          "constant rate": "constant", "plateau rate": "plateau"}


_AT = {SMALL: "64 px, ", recipe_arms.SIX_OPTIMIZERS["64 px"]: "arm 9, ", recipe_arms.SMALL_RATES: "arm 10, ",
       recipe_arms.PAPER_SIZE: "arm 11, ", recipe_arms.LARGER: "arm 12, "}
"""What the other programme's names of an arm's rows begin with."""
_AUGMENTATIONS = {words: name for name, words in recipe_arms.INGREDIENT_NAMES.items()}


def _row(question: str, arm: str, comparison: str) -> str:
    """What the other programme calls a contrast."""
    fixed = {"zoom in height and in width - zoom in height": "2 ingredient: zoom - height zoom",
             "best on test - last (a leak)": "3 which epoch: best on test - last",
             "best on the 16 images - last": "3 which epoch: best on the 16 images - last",
             "lowest loss on patient-level validation - last (arm 4, zoom)":
                 "3 which epoch: lowest loss on patient-level validation - last",
             "zoom, not balanced - class weights, no zoom": "4 imbalance: won by zoom - won by class weights",
             "height 1.10 on validation - half of what test has more": "5 cause: F(height 1.10)",
             "height 0.90 on test - half of what test has more": "5 cause: T(height 0.90)"}
    if comparison in fixed:
        name = fixed[comparison]
    else:
        first, second = comparison.split(" - ")
        second, _, rest = second.partition(", ")
        first, second, rest = (_NAMES.get(part, part) for part in (first, second, rest))
        kind = "2 rate" if first == "decay" else question
        name = f"{kind}: {first} - {second}" + (f", {rest}" if rest else "")
    return _AT.get(arm, "") + name


def both_agree(evidence: Evidence, first: Evidence, rows: pd.DataFrame) -> int:
    """Hold every number and verdict of the first programme against the second's; how many were compared."""
    words = {"at least half": "supported", "less than half": "refuted", "does most of it": "most of it",
             "does less than half": "less than half", "": "by construction"}
    compared = 0

    def same(row: str, numbers: list[float], verdict: str | None = None) -> None:
        nonlocal compared
        found = rows.loc[row]
        value, low, high = found[["value", "low", "high"]].astype(float)
        np.testing.assert_allclose(value, numbers[0], atol=1e-9, err_msg=row)
        # The two draw patients by lots of their own: a standard error from a thousand draws is right to some percent.
        np.testing.assert_allclose([low, high], numbers[1:], atol=0.06 * (high - low) + 1e-9, err_msg=row)
        if verdict is not None:
            assert verdict in (found["verdict"], words.get(found["verdict"])), row
        compared += 1

    found = recipes.contrasts(evidence)
    for one in recipes.contrast_table(found).itertuples() if found else ():
        row = _row(one.question, one.arm, one.comparison)
        same(row, [one.mean, one.low, one.high], one[11])
        if one[11] != "by construction" and (one.rank != "primary" or one.arm == SMALL):
            assert one[10] == pytest.approx(rows.loc[row, "holm"], abs=0.05), row
    for _, public in of_public_recipe(evidence):
        at = _AT.get(public.name, "")
        for one in value_table(public, first.arms[PUBLISHED]).itertuples():
            assert one.median == pytest.approx(rows.loc[f"{at}1 reached: test accuracy with {one.optimizer}", "value"])
            assert one.verdict == rows.loc[f"{at}1 reached: test accuracy with {one.optimizer}", "verdict"]
            same(f"{at}1 reached, descriptive: {one.optimizer}, public recipe - the text's",
                 [one[10], one.low, one.high])
        if public.name == recipe_arms.PAPER_SIZE:
            choosing = recipes.best_of_table(public).set_index("what is reported")
            told = {("Nadam, the epoch best on the 16 images", "more"): "best on the 16 images - last"} | {
                (f"Nadam, the best of {k} trainings", "mean accuracy"): f"expected best of {k} runs" for k in (2, 5)}
            for cell, row in told.items():
                assert choosing.loc[cell] == pytest.approx(rows.loc[f"{at}3 which epoch, descriptive: {row}", "value"])
                compared += 1
    for _, found_rates in of_rates(evidence):
        at = _AT.get(found_rates[-1].name, "")
        for one in recipes.rate_table(found_rates).itertuples():
            row = f"{at}2 rate, descriptive: mean jump, {one[2]}, {_AUGMENTATIONS[one.augmentation]}"
            assert one[6] == pytest.approx(rows.loc[row, "value"]), row
            compared += 1
    for probed, ingredients in ARMS_OF.values():
        if not {probed, ingredients} <= set(evidence.arms):
            continue
        prefix = _AT.get(probed, "")
        for one in recipes.most_of_it(evidence.arms[ingredients]).itertuples():
            added = one.ingredient.removeprefix("+ ")
            name = _NAMES.get(added, added)
            same(f"{prefix}2 ingredient: {name} - half of zoom", [one[2], one.low, one.high], one.does)
        verdicts = (probes.hypothesis_verdicts(evidence.arms[probed], evidence.arms[ingredients])
                    if probes.can_predict(evidence.arms[ingredients]) else {})
        for hypothesis, verdict in verdicts.items():
            assert verdict == rows.loc[f"{prefix}predictions: {hypothesis}", "verdict"]
        for augmentation, one in zip((NO_ZOOM, recipe_arms.ZOOM), imbalance_table(evidence.arms[probed], evidence)
                                     .itertuples(), strict=False):
            same(f"{prefix}4 imbalance: cause, {augmentation}", [one[3], one.low, one.high], one.verdict)
    return compared


@pytest.mark.long
@pytest.mark.parametrize("world", ["A"])
def test_both_programmes_agree_on_an_invented_store(world, tmp_path, first_study):
    write_invented_study(tmp_path, world)
    first = evidence_of(read_protocol(PROTOCOL), open_store(STORE))
    evidence = invented_study(tmp_path, world)
    # The first study's test images are others: what is compared with them is left out.
    arms = {name: arm for name, arm in evidence.arms.items() if name not in recipe_arms.PUBLIC_RECIPE_ARMS.values()}
    compared = both_agree(Evidence(**(vars(evidence) | {"arms": arms})), first, second_recipe(tmp_path, first_study))
    assert compared > 35


def test_both_programmes_agree_on_the_real_store(first_study):
    protocol = read_study("recipe")
    evidence = evidence_of(protocol, open_store(protocol.store))
    first = evidence_of(read_protocol(PROTOCOL), open_store(STORE))
    rows = second_recipe(protocol.path.parent, first_study)
    compared = both_agree(evidence, first, rows)
    # Arms 1, 2 and 2b, and 8 have more than ten rows each.
    assert compared >= 10 * len(set(evidence.arms) & {recipe_arms.PUBLIC_RECIPE, recipe_arms.INGREDIENTS, SMALL})
