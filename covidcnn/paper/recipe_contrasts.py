"""The second study: which choices that the paper leaves out carry its number? Its questions, contrast by contrast.

The rules stand in ``reports/recipe/protocol.yaml``. Arms may be lacking: a question is answered from those that are
finished.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import comb

from covidcnn.evaluation.statistics import by_seed, holm, minimum_detectable_difference, over_seeds
from covidcnn.evaluation.weighted_metrics import accuracy, specificity
from covidcnn.paper import recipe_arms as arms
from covidcnn.paper.findings import nadam_and_rivals
from covidcnn.paper.recipe_arms import HEIGHT_ZOOM, INGREDIENT_NAMES, NO_ZOOM, ZOOM, Contrast, ingredients_of
from covidcnn.paper.recipe_probes import explained
from covidcnn.study.conditions import ArmResults, Condition, Evidence
from covidcnn.study.verdicts import OPEN, REFUTED, SUPPORTED, direction, sign_verdict

SETTLED = 6
"""The epoch from which on jumps are counted."""
_LEAK = "best on test - last (a leak)"


def contrasts(evidence: Evidence) -> list[Contrast]:
    """Every contrast of the protocol that the finished arms allow, in its order."""
    finished = evidence.arms
    asked = ((_rivals, arms.PUBLIC_RECIPE), (_ingredients, arms.INGREDIENTS), (_ingredients, arms.SMALL),
             (_rates, arms.INGREDIENTS, arms.RATES), (_small_rates, arms.SMALL_RATES), (_epochs, arms.PUBLIC_RECIPE),
             (_epochs_beside_causes, arms.PUBLIC_RECIPE, arms.CAUSES), (_balance, arms.CAUSES), (_balance, arms.SMALL),
             (explained, arms.CAUSES), (explained, arms.SMALL))
    found = [one for question, *names in asked if set(names) <= set(finished)
             for one in question(*(finished[name] for name in names))]
    # Of the arms on processors the primary contrasts alone, which are exploratory there.
    main = ((_epochs, arms.PAPER_SIZE), (_ingredients, arms.LARGER), (_balance, arms.LARGER), (explained, arms.LARGER))
    return found + [replace(one, rank="exploratory") for question, name in main if name in finished
                    for one in question(finished[name]) if one.rank == "primary"]


def contrast_table(found: list[Contrast]) -> pd.DataFrame:
    """A row a contrast: what ``Contrast`` holds, the mean with its 95 % interval, ``p``, ``p, Holm`` (of a primary one
    p itself), ``above 0`` (supported, refuted or open, by the latter), ``seeds``, and ``detectable``, the smallest
    difference found in four of five cases."""
    table = pd.DataFrame([
        {"question": one.question, "rank": one.rank, "arm": one.arm, "comparison": one.comparison,
         "measure": one.measure, "mean": of.mean, "low": of.low, "high": of.high, "p": of.p_value}
        for one in found for of in [one.difference]])
    # A primary contrast stands alone.
    family = (table["question"] + table["arm"]).mask(table["rank"] == "primary", table.index.astype(str))
    family = family.mask(table["arm"].isin([arms.SMALL, arms.LARGER]), table["arm"])
    table["p, Holm"] = table["p"].groupby(family).transform(holm)
    table["above 0"] = [sign_verdict(one.difference, p_value) if one.means_something else OPEN
                        for one, p_value in zip(found, table["p, Holm"], strict=True)]
    table["seeds"] = [one.difference.seeds for one in found]
    table["detectable"] = [minimum_detectable_difference(one.difference) for one in found]
    # The best of several is never below one of them: that it is above says nothing.
    table.loc[table["comparison"] == _LEAK, ["p", "p, Holm", "above 0"]] = [np.nan, np.nan, "by construction"]
    return table


def _rivals(arm: ArmResults) -> Iterator[Contrast]:
    """Question 1: is it reached, and by which optimizer?"""
    nadam, rivals = nadam_and_rivals(arm)
    for name, rival in rivals.items():
        yield Contrast("1 reached", "secondary", arm.name, f"Nadam - {name}", "accuracy", arm.difference(nadam, rival))


def _ingredients(arm: ArmResults) -> Iterator[Contrast]:
    """Question 2: which ingredient does it?"""
    by_name = ingredients_of(arm)
    plain, height = by_name[NO_ZOOM], by_name[HEIGHT_ZOOM]
    of = partial(Contrast, "2 ingredient", arm=arm.name, measure="accuracy")
    yield of("primary", comparison="zoom in height - none", difference=arm.difference(height, plain))
    for name, condition in by_name.items():
        if name not in (NO_ZOOM, HEIGHT_ZOOM):
            yield of("secondary", comparison=f"{INGREDIENT_NAMES[name].removeprefix('+ ')} - none",
                     difference=arm.difference(condition, plain))
    yield of("secondary", comparison="zoom in height and in width - zoom in height",
             difference=arm.difference(by_name[ZOOM], height))


def most_of_it(arm: ArmResults) -> pd.DataFrame:
    """Which ingredients surely do more, and which surely less, than half of what zoom in both axes gains in accuracy:
    the gain of each - half of that, with its 95 % interval. Open as long as zoom does not surely gain."""
    by_name = ingredients_of(arm)
    gains = direction(arm.difference(by_name[ZOOM], by_name[NO_ZOOM])).verdict == SUPPORTED
    words = {SUPPORTED: "most of it", REFUTED: "less than half", OPEN: OPEN}
    rows = []
    for name, condition in by_name.items():
        if name in (NO_ZOOM, ZOOM, "public recipe"):
            continue
        beyond = arm.contrast([(1, condition.test_scores), (-0.5, by_name[ZOOM].test_scores),
                               (-0.5, by_name[NO_ZOOM].test_scores)])
        rows.append({"ingredient": INGREDIENT_NAMES[name], "gain - half of zoom's": beyond.mean, "low": beyond.low,
                     "high": beyond.high, "does": words[direction(beyond).verdict] if gains else OPEN,
                     "seeds": beyond.seeds, "detectable": minimum_detectable_difference(beyond)})
    return pd.DataFrame(rows)


def _rates(decaying: ArmResults, others: ArmResults, *, rank: str = "secondary") -> Iterator[Contrast]:
    for augmentation, words in arms.WITH_OR_WITHOUT:
        decay = decaying.condition(augmentation=augmentation, schedule="decay")
        for schedule in ("constant", "plateau"):
            other = others.condition(augmentation=augmentation, schedule=schedule)
            yield Contrast("2 ingredient", rank, others.name, f"decay - {schedule} rate, {words}", "accuracy",
                           decaying.difference(decay, other))


def _small_rates(arm: ArmResults) -> Iterator[Contrast]:
    """Of arm 10: rates, and what rotation adds to either augmentation."""
    yield from _rates(arm, arm, rank="exploratory")
    for (augmentation, words), rotated in zip(arms.WITH_OR_WITHOUT, ("paper and rotation", "public recipe"),
                                              strict=True):
        with_rotation, without = (arm.condition(augmentation=name, schedule="decay")
                                  for name in (rotated, augmentation))
        yield Contrast("2 ingredient", "exploratory", arm.name, f"rotation - none, {words}", "accuracy",
                       arm.difference(with_rotation, without))


def conditions_by_rate(found: Iterable[ArmResults]) -> list[Condition]:
    """Those without and then those with zoom, whose learning rates are compared."""
    return [condition for augmentation, _ in arms.WITH_OR_WITHOUT for arm in found for condition in arm.conditions
            if condition.recipe.augmentation == augmentation]


def rate_table(found: Iterable[ArmResults]) -> pd.DataFrame:
    """By learning rate, over seeds: test accuracy at 0.5 after the last epoch, the median, the lowest and the highest;
    and how far it moves from one epoch to the next, from the sixth on, in the mean and at most."""
    rows = []
    for condition in conditions_by_rate(found):
        last, jumps = condition.values(accuracy), np.abs(np.diff(accuracy_by_epoch(condition)[:, SETTLED - 1:], axis=1))
        rows.append({"augmentation": INGREDIENT_NAMES[condition.recipe.augmentation],
                     "learning rate": condition.recipe.schedule, "accuracy": np.median(last), "lowest": last.min(),
                     "highest": last.max(), "mean jump": jumps.mean(), "largest jump": jumps.max(), "seeds": len(last)})
    return pd.DataFrame(rows)


def accuracy_by_epoch(condition: Condition) -> np.ndarray:
    """Test accuracy after each epoch: float (seeds, epochs)."""
    return np.array([by_seed([(1, condition.scores_of("test", epoch=epoch))], condition.images, accuracy)
                     for epoch in range(1, condition.recipe.epochs + 1)]).T


def chosen_scores(condition: Condition, rule: str) -> np.ndarray:
    """Test scores of the epoch that a rule chooses in each training: float (seeds, test images). The rules are 'last';
    'validation accuracy' or 'validation loss', of equals the first; 'test accuracy', a leak."""
    if rule == "test accuracy":
        epochs = accuracy_by_epoch(condition).argmax(axis=1)
    elif rule == "last":
        epochs = np.full(len(condition.seeds), condition.recipe.epochs - 1)
    else:
        column, sign = {"validation accuracy": ("val_accuracy", 1), "validation loss": ("val_loss", -1)}[rule]
        epochs = np.array([(sign * history[column].to_numpy()).argmax() for history in condition.histories])
    by_epoch = np.stack([condition.scores_of("test", epoch=epoch + 1) for epoch in range(condition.recipe.epochs)])
    return by_epoch[epochs, np.arange(len(epochs))]


def _over_the_last(arm: ArmResults, condition: Condition, rule: str, rank: str, comparison: str, family: str
                   ) -> Contrast:
    """How much higher test accuracy is at a rule's epoch than at the last; ``family`` is the arm that it counts to."""
    terms = [(1, chosen_scores(condition, rule)), (-1, chosen_scores(condition, "last"))]
    return Contrast("3 which epoch", rank, family, comparison, "accuracy", arm.contrast(terms))


def _epochs(public: ArmResults) -> Iterator[Contrast]:
    """Question 3: what does choosing on test buy?"""
    yield _over_the_last(public, public.condition(optimizer="Nadam"), "test accuracy", "primary", _LEAK, public.name)


def _epochs_beside_causes(public: ArmResults, causes: ArmResults) -> Iterator[Contrast]:
    """Of two arms, one family."""
    yield _over_the_last(public, public.condition(optimizer="Nadam"), "validation accuracy", "secondary",
                         "best on the 16 images - last", public.name)
    yield _over_the_last(causes, causes.condition(augmentation=ZOOM, balance="none"), "validation loss", "secondary",
                         "lowest loss on patient-level validation - last (arm 4, zoom)", public.name)


def best_of_table(arm: ArmResults) -> pd.DataFrame:
    """What looking at test buys, a row a way to look: mean test accuracy over seeds, and how much more that is than
    with Nadam's last epoch, with its 95 % interval over seeds on these test images. The best of k trainings is the
    expected one of k drawn from those that there are, and has none."""
    nadam = arm.condition(optimizer="Nadam")
    last = nadam.values(accuracy)
    on_few = by_seed([(1, chosen_scores(nadam, "validation accuracy"))], arm.images, accuracy)
    by_report = {"Nadam, the last epoch": last, "Nadam, the epoch best on the 16 images": on_few,
                 "Nadam, the epoch best on test": accuracy_by_epoch(nadam).max(axis=1)}
    if len(arm.conditions) > 1:
        of_all = np.stack([accuracy_by_epoch(condition) for condition in arm.conditions])
        by_report |= {"best of six optimizers, the last epoch": of_all[:, :, -1].max(axis=0),
                      "best of six optimizers, each at its best epoch": of_all.max(axis=(0, 2))}
    rows = [{"what is reported": words, "mean accuracy": values.mean(), "more": more.mean, "low": more.low,
             "high": more.high} for words, values in by_report.items() for more in [over_seeds(values - last)]]
    rows += [{"what is reported": f"Nadam, the best of {k} trainings", "mean accuracy": expected_best(last, k),
              "more": expected_best(last, k) - last.mean()} for k in range(2, len(last) + 1)]
    return pd.DataFrame(rows).assign(seeds=len(last))


def expected_best(values: np.ndarray, k: int) -> float:
    """The expected highest of ``k`` values drawn from these without replacement, 1 <= k <= n."""
    # The i-th smallest is the highest of k if the other k - 1 are below it.
    return float(comb(np.arange(len(values)), k - 1) @ np.sort(values) / comb(len(values), k))


def _balance(arm: ArmResults) -> Iterator[Contrast]:
    """Question 4: imbalance again."""
    zoomed = arm.condition(augmentation=ZOOM, balance="none")
    weighted = arm.condition(augmentation=NO_ZOOM, balance="class-weight")
    of = partial(Contrast, "4 imbalance", arm=arm.name)
    yield of("primary", comparison="zoom, not balanced - class weights, no zoom", measure="specificity",
             difference=arm.difference(zoomed, weighted, specificity))
    for augmentation, words in arms.WITH_OR_WITHOUT:
        by_balance = {one.recipe.balance: one for one in arm.conditions if one.recipe.augmentation == augmentation}
        for balance, name in (("class-weight", "class weights"), ("oversample", "oversampling")):
            if balance in by_balance:
                yield of("secondary", comparison=f"{name} - none, {words}", measure="accuracy",
                         difference=arm.difference(by_balance[balance], by_balance["none"]))
