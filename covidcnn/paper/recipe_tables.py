"""Tables and figures of the second study, each a function of what its store, and the first study's, hold."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from covidcnn.evaluation.metrics import CONFIDENCE
from covidcnn.evaluation.weighted_metrics import METRICS, accuracy, sensitivity, specificity
from covidcnn.paper import causes, recipe_arms, recipe_contrasts, recipe_probes, reported
from covidcnn.paper.claims import PUBLISHED, weights
from covidcnn.paper.figures import seeds_figure
from covidcnn.paper.recipe_arms import INGREDIENT_NAMES, NO_ZOOM, ZOOM, ingredients_of
from covidcnn.paper.tables import evidence_tables, mean_by_draw, spread
from covidcnn.paths import slug
from covidcnn.plots.comparisons import by_epoch, by_stretch, two_recipes
from covidcnn.plots.style import legend_below
from covidcnn.study.conditions import ArmResults, Evidence
from covidcnn.study.pages import Named, Tables
from covidcnn.study.verdicts import one_run, shown

ARMS_OF = {"128 px": (recipe_arms.CAUSES, recipe_arms.INGREDIENTS), "64 px": (recipe_arms.SMALL, recipe_arms.SMALL),
           "128 px (arm 12)": (recipe_arms.LARGER, recipe_arms.LARGER)}
"""Where questions 2, 4 and 5 are asked: the arm with the probes, and that with the ingredients."""
_DETECTABLE = "'detectable' is the smallest that is found in four of five cases"
_RATES = {"decay": "rate decays", "constant": "constant rate", "plateau": "rate by plateau"}
_PAPERS_NADAM = ("the paper's Nadam", float(reported.OPTIMIZER_TABLE.loc["Nadam", "test accuracy"]))


def recipe_tables(second: Evidence, first: Evidence) -> Tables:
    """Every table that the finished arms of the second study allow, beside the first's arm 1, the text's recipe."""
    return evidence_tables(second) | optimizer_tables(second, first) | cause_tables(second)


def optimizer_tables(second: Evidence, first: Evidence) -> Tables:
    """Of questions 1 and 3, and of learning rates."""
    tables: Tables = {}
    for px, public in of_public_recipe(second):
        ending = _ending(px)
        if PUBLISHED in first.arms:
            tables[f"values{ending}"] = (value_table(public, first.arms[PUBLISHED]), (
                f"{public.title}. Question 1: test accuracy by optimizer at {px}, threshold 0.5: the paper's one run; "
                "the median over seeds, the 95 % prediction interval for a new run, and the verdict on the paper's "
                "value; under the text's recipe (first study, 224 px), and the difference of the means with its 95 % "
                "interval."))
        tables[f"choosing{ending}"] = (recipe_contrasts.best_of_table(public), (
            f"{public.title}. Question 3, descriptive: what looking at test buys, under the public recipe at {px}; "
            "means, and 95 % intervals over seeds alone, on these test images."))
    for px, rates in of_rates(second):
        tables[f"rates-{slug(px)}"] = (recipe_contrasts.rate_table(rates), (
            f"{rates[-1].title}. Question 2 at {px}, descriptive: test accuracy at 0.5 after the last epoch by "
            "learning rate, over seeds; and how far it moves from one epoch to the next, from the sixth on."))
    return tables


def cause_tables(second: Evidence) -> Tables:
    """All contrasts, and of questions 2, 4 and 5 what is beside them."""
    tables: Tables = {}
    found = recipe_contrasts.contrasts(second)
    if found:
        tables["contrasts"] = (recipe_contrasts.contrast_table(found), (
            "Every contrast of the protocol that is finished, paired by seed: 95 % intervals over seeds and patients. "
            "p by Holm: in arm 8 over all twelve, the primary ones too, which are secondary to those at 128 px; in arm "
            "12 over its three; elsewhere over those of a question and arm that are not primary. 'above 0' is the "
            "verdict by p; of an exploratory contrast it decides nothing."))
    for px, probes, ingredients in _asked(second):
        name, at = slug(px), _at(px, probes)
        tables[f"ingredients-{name}"] = (ingredient_table(ingredients), (
            f"Question 2 at {at}: what an ingredient reaches on test at 0.5, medians over seeds."))
        tables[f"most-{name}"] = (recipe_contrasts.most_of_it(ingredients), (
            f"Question 2 at {at}: the gain of an ingredient in accuracy - half of that of zoom in both axes; "
            f"{_DETECTABLE}."))
        if recipe_probes.can_predict(ingredients):
            verdicts = recipe_probes.hypothesis_verdicts(probes, ingredients)
            tables[f"predictions-{name}"] = (recipe_probes.predictions(probes, ingredients), (
                f"Question 5 at {at}: what each hypothesis predicts, as a linear contrast that is above 0 where it "
                f"holds; {_DETECTABLE}. They say something only where a taller image raises false alarms on "
                f"validation, here by {shown(recipe_probes.of_a_taller_image(probes))}. Verdicts: "
                f"{'; '.join(map(' '.join, verdicts.items()))}."))
        for augmentation, words in ((NO_ZOOM, "no-zoom"), (ZOOM, "zoom")):
            tables[f"stretches-{name}-{words}"] = (recipe_probes.stretch_table(probes, augmentation), (
                f"Question 5 at {at}, {INGREDIENT_NAMES[augmentation]}: NORMAL images predicted PNEUMONIA, and "
                "predictions that flip, when images are perturbed before scoring: means over seeds, of false alarms "
                "with 95 % intervals over seeds and patients."))
        tables[f"imbalance-{name}"] = (imbalance_table(probes, second), (
            f"Question 4 at {at}: the first study's rule on imbalance as the cause, by augmentation. It is refuted "
            "where balancing surely gains less specificity than half of the false alarms."))
    return tables


def of_public_recipe(second: Evidence) -> Iterator[tuple[str, ArmResults]]:
    """Size, such as '64 px', and arm wherever trainings are finished under the public recipe."""
    for px, name in recipe_arms.PUBLIC_RECIPE_ARMS.items():
        if name in second.arms:
            yield px, second.arms[name]


def of_rates(second: Evidence) -> Iterator[tuple[str, list[ArmResults]]]:
    """Size and arms wherever learning rates are finished."""
    for px, names in recipe_arms.RATE_ARMS.items():
        if set(names) <= set(second.arms):
            yield px, [second.arms[name] for name in names]


def _ending(px: str) -> str:
    """Of file names: nothing where the paper's own size is."""
    return "" if px == "224 px" else f"-{slug(px)}"


def _asked(second: Evidence) -> Iterator[tuple[str, ArmResults, ArmResults]]:
    for px, (probes, ingredients) in ARMS_OF.items():
        if {probes, ingredients} <= set(second.arms):
            yield px, second.arms[probes], second.arms[ingredients]


def _at(px: str, arm: ArmResults) -> str:
    """Of a size, what captions say."""
    return f"{px}, exploratory" if arm.exploratory else px


def value_table(arm: ArmResults, text: ArmResults) -> pd.DataFrame:
    """Question 1: a row an optimizer, the paper's accuracy, ours with the verdict, the median under the text's recipe,
    and the difference of the means, of two samples of seeds whose variances may differ (Welch's t), widened by the
    variance from test patients."""
    rows = []
    for condition in arm.conditions:
        optimizer, values = condition.recipe.optimizer, condition.values(accuracy)
        theirs = text.condition(optimizer=optimizer)
        others, claimed = theirs.values(accuracy), float(reported.OPTIMIZER_TABLE.loc[optimizer, "test accuracy"])
        mean, test = float(values.mean() - others.mean()), stats.ttest_ind(values, others, equal_var=False)
        # Of both means the patients are the same, so that what they share cancels.
        by_draw = mean_by_draw(arm, condition) - mean_by_draw(arm, theirs)
        error = np.linalg.norm([stats.sem(values), stats.sem(others), np.std(by_draw, ddof=1)])
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, test.df) * error)
        rows.append({"optimizer": optimizer, "paper": claimed} | spread(values) | {
            "verdict": one_run(claimed, values).verdict, "text's recipe": np.median(others),
            "difference of means": mean, "low": mean - reach, "high": mean + reach, "seeds": len(values)})
    return pd.DataFrame(rows)


def ingredient_table(arm: ArmResults) -> pd.DataFrame:
    """Question 2: a row an augmentation, medians over seeds on test."""
    metrics = {"sensitivity": sensitivity, "specificity": specificity, "AUC": METRICS["AUC"]}
    return pd.DataFrame([
        {"augmentation": INGREDIENT_NAMES[name]} | spread(condition.values(accuracy))
        | {words: np.median(condition.values(metric)) for words, metric in metrics.items()}
        | {"seeds": len(condition.seeds)} for name, condition in ingredients_of(arm).items()
    ]).rename(columns={"median": "accuracy"})


def imbalance_table(arm: ArmResults, second: Evidence) -> pd.DataFrame:
    """Question 4: the first study's rule, its words unchanged, wherever there are trainings with class weights."""
    balanced = {one.recipe.augmentation for one in arm.conditions if one.recipe.balance == "class-weight"}
    found = {name: causes.imbalance(arm.name, *weights(name), second) for name in (NO_ZOOM, ZOOM) if name in balanced}
    return pd.DataFrame([
        {"augmentation": INGREDIENT_NAMES[name], "verdict": one.verdict, "gained - half of the false alarms": one.value,
         "low": one.low, "high": one.high, "in words": one.ours, "seeds": one.seeds} for name, one in found.items()])


def recipe_figures(second: Evidence, first: Evidence) -> Iterator[Named]:
    """Every figure that the finished arms of the second study allow; arguments as in ``recipe_tables``."""
    yield from optimizer_figures(second, first)
    yield from rate_figures(second)
    yield from cause_figures(second)


def optimizer_figures(second: Evidence, first: Evidence) -> Iterator[Named]:
    """Of questions 1 and 3: six optimizers under both recipes, and Nadam by recipe and size."""
    if PUBLISHED not in first.arms:
        return
    of_nadam = {"the paper's text, 224 px": first.arms[PUBLISHED]}
    for px, public in of_public_recipe(second):
        of_nadam[f"public recipe, {px}"] = public
        if len(public.conditions) == 1:
            continue
        figure, ax = plt.subplots(figsize=(7.5, 4.6))
        two_recipes({name: {condition.recipe.optimizer: condition.values(accuracy) for condition in arm.conditions}
                     for name, arm in ((f"public recipe, {px}", public),
                                       ("the paper's text, 224 px", first.arms[PUBLISHED]))},
                    reported.OPTIMIZER_TABLE["test accuracy"].to_dict(), "accuracy on test, threshold 0.5", ax)
        yield (f"both-recipes{_ending(px)}", legend_below(figure, 3), (
            f"{public.title}. Six optimizers under the public recipe at {px} and under the paper's text at 224 px: "
            "every seed, and the 95 % prediction interval for a new run, beside the paper's one run."))
    if recipe_arms.PAPER_SIZE in second.arms:
        values = {name: arm.condition(optimizer="Nadam").values(accuracy) for name, arm in of_nadam.items()}
        yield ("nadam-by-recipe", seeds_figure(values, "accuracy on test, threshold 0.5", None, _PAPERS_NADAM, 4), (
            "Nadam under the paper's text and under the public recipe, by size: test accuracy of every seed, the 95 % "
            "prediction interval for a new run, and the paper's one run; exploratory are "
            f"{'; '.join(name for name, arm in of_nadam.items() if arm.exploratory)}."))


def rate_figures(second: Evidence) -> Iterator[Named]:
    """Of question 2: test accuracy by epoch and learning rate."""
    for px, rates in of_rates(second):
        paths = {(INGREDIENT_NAMES[one.recipe.augmentation], _RATES[one.recipe.schedule]):
                 recipe_contrasts.accuracy_by_epoch(one) for one in recipe_contrasts.conditions_by_rate(rates)}
        share = rates[-1].images["positive"].mean()
        yield (f"rates-{slug(px)}", by_epoch(paths, "accuracy on test"), (
            f"{rates[-1].title}. Nadam at {px}: test accuracy at 0.5 after each epoch by learning rate, a line a "
            f"seed. Where it is {share:.3f}, every image is predicted PNEUMONIA."))


def cause_figures(second: Evidence) -> Iterator[Named]:
    """Of questions 2 and 5: one ingredient at a time, and stretched images."""
    trained = {NO_ZOOM: "trained with flips and shifts", ZOOM: "trained with zoom too"}
    for px, probes, ingredients in _asked(second):
        at = _at(px, probes)
        values = {INGREDIENT_NAMES[name]: one.values(accuracy) for name, one in ingredients_of(ingredients).items()}
        yield (f"ladder-{slug(px)}",
               seeds_figure(values, "accuracy on test, threshold 0.5", None, _PAPERS_NADAM, 4), (
                   f"Nadam at {at}, one ingredient added to flips and shifts each: test accuracy of every seed, and "
                   "the 95 % prediction interval for a new run."))
        figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.9), sharey=True)
        for ax, (augmentation, words) in zip(axes, trained.items(), strict=True):
            by_stretch(recipe_probes.stretch_table(probes, augmentation), ax)
            ax.set_title(words, fontsize="medium")
        axes[1].set_ylabel("")
        yield (f"stretch-{slug(px)}", legend_below(figure, 3), (
            f"Specificity at {at} when images are stretched in height before they are scored: validation images and "
            "test images, mean over seeds with 95 % intervals; marks beside the lines are stretched in width, in both "
            "alike, or only cropped."))
