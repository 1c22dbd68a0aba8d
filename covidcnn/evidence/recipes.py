"""The second study: which choices that the paper leaves out carry its number? Its questions, contrast by contrast.

The rules stand in ``reports/recipe/protocol.yaml``. Arms may be lacking: a question is answered from those that are
finished.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
from scipy import stats

from covidcnn.evaluation.metrics import CONFIDENCE, binary_labels
from covidcnn.evidence.measures import Metric, accuracy, specificity
from covidcnn.evidence.results import ArmResults, Evidence, Treatment
from covidcnn.evidence.statistics import (
    Difference,
    contrast,
    holm,
    minimum_detectable_difference,
    over_seeds,
    paired_difference,
    patient_draws,
    patient_error,
)
from covidcnn.evidence.verdicts import OPEN, REFUTED, SUPPORTED, direction

PUBLIC_RECIPE, CAUSES, INGREDIENTS, RATES, SMALL = ("1-public-recipe", "4-causes", "2-ingredients", "2b-rates",
                                                    "8-small-images")
NO_ZOOM, ZOOM = "paper", "paper and zoom"
INGREDIENT_NAMES = {
    NO_ZOOM: "flips and shifts", "paper and rotation": "+ rotation", "paper and height zoom": "+ zoom in height",
    "paper and width zoom": "+ zoom in width", ZOOM: "+ zoom in height and in width",
    "paper and zoom alike": "+ zoom of both alike", "paper and crop": "+ crop without stretch",
    "public recipe": "+ rotation and zoom (the public recipe)"}
"""How tables and figures name an augmentation."""
HEIGHT, BACK, WIDTH, SIZE, CROP = "height 1.10", "height 0.90", "width 0.90", "size 1.10", "cropped height 1.10"
"""The perturbations that the protocol's predictions are about."""
SETTLED = 6
"""The epoch from which on jumps are counted."""
_LEAK = "best on test - last (a leak)"


@dataclass(frozen=True)
class Contrast:
    """One comparison that the protocol names."""

    question: str
    rank: str
    """'primary' or 'secondary'; the secondary ones of a question and arm are one family, and so is all of arm 8."""
    arm: str
    comparison: str
    measure: str
    difference: Difference
    means_something: bool = True
    """False of a share of something that is not surely there: its verdict is open."""


def contrasts(evidence: Evidence) -> list[Contrast]:
    """Every contrast of the protocol that the finished arms allow, in its order."""
    arms, found = evidence.arms, []
    if PUBLIC_RECIPE in arms:
        found += [*_rivals(arms[PUBLIC_RECIPE])]
    for name in (INGREDIENTS, SMALL):
        if name in arms:
            found += [*_ingredients(arms[name])]
    if INGREDIENTS in arms and RATES in arms:
        found += [*_rates(arms[INGREDIENTS], arms[RATES])]
    if PUBLIC_RECIPE in arms:
        found += [*_epochs(arms[PUBLIC_RECIPE], arms.get(CAUSES))]
    for name in (CAUSES, SMALL):
        if name in arms:
            found += [*_balance(arms[name])]
    for name in (CAUSES, SMALL):
        if name in arms:
            found += [*_explained(arms[name])]
    return found


def contrast_table(found: list[Contrast]) -> pd.DataFrame:
    """A row a contrast: ``question``, ``rank``, ``arm``, ``comparison``, ``measure``, the mean with its 95 % interval,
    ``p``, ``p, Holm`` (of a primary one p itself), ``above 0`` (supported, refuted or open, by the latter), ``seeds``,
    and ``detectable``, the smallest difference found in four of five cases."""
    families: dict[tuple[str, ...], dict[str, float]] = {}
    for place, one in enumerate(found):
        # A primary contrast stands alone.
        family = (SMALL,) if one.arm == SMALL else (one.question, one.arm, str(place) if one.rank == "primary" else "")
        families.setdefault(family, {})[str(place)] = one.difference.p_value
    corrected = {place: p_value for family in families.values() for place, p_value in holm(family).items()}
    rows = []
    for place, one in enumerate(found):
        difference, p_value = one.difference, corrected[str(place)]
        rows.append({"question": one.question, "rank": one.rank, "arm": one.arm, "comparison": one.comparison,
                     "measure": one.measure, "mean": difference.mean, "low": difference.low, "high": difference.high,
                     "p": difference.p_value, "p, Holm": p_value,
                     "above 0": _verdict(difference, p_value) if one.means_something else OPEN,
                     "seeds": difference.seeds, "detectable": minimum_detectable_difference(difference)})
    table = pd.DataFrame(rows)
    # The best of several is never below one of them: that it is above says nothing.
    table.loc[table["comparison"] == _LEAK, ["p", "p, Holm", "above 0"]] = [np.nan, np.nan, "by construction"]
    return table


def _verdict(difference: Difference, p_value: float) -> str:
    return OPEN if p_value >= 1 - CONFIDENCE else SUPPORTED if difference.mean > 0 else REFUTED


# ---------------------------------------------------------------- 1: is it reached, and by which optimizer?


def _rivals(arm: ArmResults) -> Iterator[Contrast]:
    nadam = arm.treatment(optimizer="Nadam")
    for rival in arm.treatments:
        if rival is not nadam:
            yield Contrast("1 reached", "secondary", arm.name, f"Nadam - {rival.recipe.optimizer}", "accuracy",
                           _less(arm, nadam, rival))


def between_studies(first: ArmResults, second: ArmResults) -> pd.DataFrame:
    """Test accuracy by optimizer under the public recipe and under the text's, and the difference, of two samples of
    seeds whose variances may differ (Welch's t), widened by the variance from test patients.

    Args:
        first: arm 1 of the first study, the paper's text.
        second: arm 1 of the second, the public recipe; on the same test images.
    """
    rows = []
    for treatment in second.treatments:
        optimizer = treatment.recipe.optimizer
        theirs = first.treatment(optimizer=optimizer)
        public, text = treatment.values(accuracy), theirs.values(accuracy)
        test = stats.ttest_ind(public, text, equal_var=False)
        mean = float(public.mean() - text.mean())
        # Of both means the patients are the same, so that what they share cancels.
        labels = binary_labels(second.films)
        by_draw = [np.mean([accuracy(labels, row, second.draws) for row in one.test_scores], axis=0)
                   for one in (treatment, theirs)]
        error = np.linalg.norm([stats.sem(public), stats.sem(text), np.std(by_draw[0] - by_draw[1], ddof=1)])
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, test.df) * error)
        rows.append({"optimizer": optimizer, "public recipe": np.median(public), "text's recipe": np.median(text),
                     "difference of means": mean, "low": mean - reach, "high": mean + reach,
                     "seeds": len(public), "seeds, text": len(text)})
    return pd.DataFrame(rows)


# ---------------------------------------------------------------- 2: which ingredient does it?


def _ingredients(arm: ArmResults) -> Iterator[Contrast]:
    by_name = ingredients_of(arm)
    plain, height, zoom = by_name[NO_ZOOM], by_name["paper and height zoom"], by_name[ZOOM]
    of = partial(Contrast, "2 ingredient", arm=arm.name, measure="accuracy")
    yield of("primary", comparison="zoom in height - none", difference=_less(arm, height, plain))
    for name, treatment in by_name.items():
        if name not in (NO_ZOOM, "paper and height zoom"):
            yield of("secondary", comparison=f"{INGREDIENT_NAMES[name].removeprefix('+ ')} - none",
                     difference=_less(arm, treatment, plain))
    yield of("secondary", comparison="zoom in height and in width - zoom in height",
             difference=_less(arm, zoom, height))


def ingredients_of(arm: ArmResults) -> dict[str, Treatment]:
    """The unbalanced treatments of an arm by the name of their augmentation."""
    return {one.recipe.augmentation: one for one in arm.treatments if one.recipe.balance == "none"}


def most_of_it(arm: ArmResults) -> pd.DataFrame:
    """Which ingredients surely do more, and which surely less, than half of what zoom in both axes gains in accuracy:
    the gain of each less half of that, with its 95 % interval. Open as long as zoom does not surely gain."""
    by_name = ingredients_of(arm)
    gains = direction(_less(arm, by_name[ZOOM], by_name[NO_ZOOM])).verdict == SUPPORTED
    words = {SUPPORTED: "most of it", REFUTED: "less than half", OPEN: OPEN}
    rows = []
    for name, treatment in by_name.items():
        if name in (NO_ZOOM, ZOOM, "public recipe"):
            continue
        beyond = contrast([(1, treatment.test_scores), (-0.5, by_name[ZOOM].test_scores),
                           (-0.5, by_name[NO_ZOOM].test_scores)], arm.films, accuracy, arm.draws)
        rows.append({"ingredient": INGREDIENT_NAMES[name], "gain - half of zoom's": beyond.mean, "low": beyond.low,
                     "high": beyond.high, "does": words[direction(beyond).verdict] if gains else OPEN,
                     "seeds": beyond.seeds})
    return pd.DataFrame(rows)


def _rates(decaying: ArmResults, others: ArmResults) -> Iterator[Contrast]:
    for augmentation, words in ((NO_ZOOM, "without zoom"), (ZOOM, "with zoom")):
        decay = ingredients_of(decaying)[augmentation]
        for schedule in ("constant", "plateau"):
            other = others.treatment(augmentation=augmentation, schedule=schedule)
            first, second = _of_equal_seeds(decay, other)
            yield Contrast("2 ingredient", "secondary", others.name, f"decay - {schedule} rate, {words}", "accuracy",
                           paired_difference(first, second, decaying.films, accuracy, decaying.draws))


def _of_equal_seeds(first: Treatment, second: Treatment) -> tuple[np.ndarray, np.ndarray]:
    """The test scores of two treatments of different arms, of the seeds that both have."""
    shared = sorted(set(first.seeds) & set(second.seeds))
    one, other = (one.test_scores[[one.seeds.index(seed) for seed in shared]] for one in (first, second))
    return one, other


def jump_table(evidence: Evidence) -> pd.DataFrame:
    """How far test accuracy moves from one epoch to the next, from the sixth on, by learning rate: the mean over seeds,
    and the largest."""
    rows = []
    for name in (INGREDIENTS, RATES):
        for treatment in evidence.arms[name].treatments if name in evidence.arms else ():
            if treatment.recipe.augmentation in (NO_ZOOM, ZOOM):
                jumps = np.abs(np.diff(accuracy_by_epoch(treatment)[:, SETTLED - 1:], axis=1))
                rows.append({"augmentation": INGREDIENT_NAMES[treatment.recipe.augmentation],
                             "learning rate": treatment.recipe.schedule, "mean jump": jumps.mean(),
                             "largest": jumps.max(), "seeds": len(jumps)})
    return pd.DataFrame(rows)


# ---------------------------------------------------------------- 3: what does choosing on test buy?


def accuracy_by_epoch(treatment: Treatment) -> np.ndarray:
    """Test accuracy after each epoch: float (seeds, epochs)."""
    labels, ones = binary_labels(treatment.films), np.ones(len(treatment.films))
    return np.array([[float(accuracy(labels, row, ones)) for row in treatment.scores_of("test", epoch=epoch)]
                     for epoch in range(1, treatment.recipe.epochs + 1)]).T


def chosen_scores(treatment: Treatment, rule: str) -> np.ndarray:
    """Test scores of the epoch that a rule chooses in each training: float (seeds, test films).

    Args:
        treatment: with scores after every epoch.
        rule: 'last'; 'validation accuracy' or 'validation loss', of equals the first; 'test accuracy', a leak.
    """
    if rule == "test accuracy":
        epochs = accuracy_by_epoch(treatment).argmax(axis=1)
    elif rule == "last":
        epochs = np.full(len(treatment.seeds), treatment.recipe.epochs - 1)
    else:
        column, sign = {"validation accuracy": ("val_accuracy", 1), "validation loss": ("val_loss", -1)}[rule]
        epochs = np.array([(sign * history[column].to_numpy()).argmax() for history in treatment.histories])
    by_epoch = np.stack([treatment.scores_of("test", epoch=epoch + 1) for epoch in range(treatment.recipe.epochs)])
    return by_epoch[epochs, np.arange(len(epochs))]


def _epochs(public: ArmResults, causes: ArmResults | None) -> Iterator[Contrast]:
    nadam = public.treatment(optimizer="Nadam")
    last = chosen_scores(nadam, "last")
    of = partial(Contrast, "3 which epoch", arm=public.name, measure="accuracy")
    yield of("primary", comparison=_LEAK, difference=paired_difference(
        chosen_scores(nadam, "test accuracy"), last, public.films, accuracy, public.draws))
    # The two others are one family, of two arms.
    if causes:
        yield of("secondary", comparison="best on the 16 images - last", difference=paired_difference(
            chosen_scores(nadam, "validation accuracy"), last, public.films, accuracy, public.draws))
        zoomed = causes.treatment(augmentation=ZOOM, balance="none")
        yield of("secondary", comparison="lowest loss on validation by patient - last (arm 4, zoom)",
                 difference=paired_difference(chosen_scores(zoomed, "validation loss"), chosen_scores(zoomed, "last"),
                                              causes.films, accuracy, causes.draws))


def best_of_table(arm: ArmResults) -> pd.DataFrame:
    """What looking at test buys, a row a way to look: mean test accuracy over seeds, and what it is more than Nadam's
    last epoch. The best of k trainings is the expected one of k drawn from those that there are."""
    nadam = arm.treatment(optimizer="Nadam")
    last = nadam.values(accuracy)
    of_optimizers = np.stack([treatment.values(accuracy) for treatment in arm.treatments])
    best_epoch = accuracy_by_epoch(nadam).max(axis=1)
    best_both = np.stack([accuracy_by_epoch(treatment).max(axis=1) for treatment in arm.treatments]).max(axis=0)
    rows = [("Nadam, the last epoch", last.mean()), ("Nadam, the epoch best on test", best_epoch.mean()),
            ("best of six optimizers, the last epoch", of_optimizers.max(axis=0).mean()),
            ("best of six optimizers, each at its best epoch", best_both.mean())]
    rows += [(f"Nadam, the best of {k} trainings", expected_best(last, k)) for k in range(2, len(last) + 1)]
    return pd.DataFrame([{"what is reported": words, "mean accuracy": value, "more": value - last.mean(),
                          "seeds": len(last)} for words, value in rows])


def expected_best(values: np.ndarray, k: int) -> float:
    """The expected highest of ``k`` values drawn from these without replacement, 1 <= k <= n."""
    ordered = np.sort(values)
    places = np.arange(1, len(ordered) + 1)
    # The i-th smallest is the highest of k if the other k - 1 are below it.
    weights = stats.hypergeom.pmf(k, len(ordered), places, k) - stats.hypergeom.pmf(k, len(ordered), places - 1, k)
    return float(weights @ ordered)


# ---------------------------------------------------------------- 4: imbalance again


def _balance(arm: ArmResults) -> Iterator[Contrast]:
    zoomed, weighted = (arm.treatment(augmentation=augmentation, balance=balance)
                        for augmentation, balance in ((ZOOM, "none"), (NO_ZOOM, "class-weight")))
    yield Contrast("4 imbalance", "primary", arm.name, "zoom, not balanced - class weights, no zoom", "specificity",
                   _less(arm, zoomed, weighted, specificity))
    for augmentation, words in ((NO_ZOOM, "without zoom"), (ZOOM, "with zoom")):
        plain = arm.treatment(augmentation=augmentation, balance="none")
        for balance, name in (("class-weight", "class weights"), ("oversample", "oversampling")):
            with_it = [one for one in arm.treatments
                       if (one.recipe.augmentation, one.recipe.balance) == (augmentation, balance)]
            if with_it:
                yield Contrast("4 imbalance", "secondary", arm.name, f"{name} - none, {words}", "accuracy",
                               _less(arm, with_it[0], plain))


# ---------------------------------------------------------------- 5: A, B or neither?


def false_alarms(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted share of NORMAL images that are predicted PNEUMONIA."""
    return 1 - specificity(labels, scores, weights)


@dataclass(frozen=True)
class Probe:
    """False alarms of an arm's unbalanced trainings without zoom, on validation and test, perturbed and not."""

    arm: ArmResults
    treatment: Treatment

    @cached_property
    def validation_draws(self) -> np.ndarray:
        """Bootstrap draws of the validation patients, the same for all that is compared."""
        return patient_draws(self.treatment.validation_films)

    def on_validation(self, *terms: tuple[float, str]) -> Difference:
        """A weighted sum of the shares of false alarms on NORMAL validation images, a factor for each perturbation; the
        empty one is none."""
        return contrast([(factor, self.treatment.scores_of("validation", name)) for factor, name in terms],
                        self.treatment.validation_films, false_alarms, self.validation_draws)

    def with_test(self, validation: Mapping[str, float], test: Mapping[str, float]) -> Difference:
        """The same over both splits: factors by perturbation."""
        labels, ones = binary_labels(self.arm.films), np.ones(len(self.arm.films))
        on_test = [(factor, self.treatment.scores_of("test", name)) for name, factor in test.items()]
        fixed = np.sum([factor * np.array([false_alarms(labels, row, ones) for row in scores])
                        for factor, scores in on_test], axis=0)
        error = contrast(on_test, self.arm.films, false_alarms, self.arm.draws).patient_error
        return contrast([(factor, self.treatment.scores_of("validation", name)) for name, factor in validation.items()],
                        self.treatment.validation_films, false_alarms, self.validation_draws, fixed, error)


def probe(arm: ArmResults, augmentation: str = NO_ZOOM) -> Probe:
    """The unbalanced trainings of an arm that were scored under perturbations."""
    return Probe(arm, arm.treatment(augmentation=augmentation, balance="none"))


def _explained(arm: ArmResults) -> Iterator[Contrast]:
    probed = probe(arm)
    there = direction(probed.with_test({"": -1}, {"": 1})).verdict == SUPPORTED
    of = partial(Contrast, "5 cause", arm=arm.name, measure="false alarms", means_something=there)
    yield of("primary", comparison="height 1.10 on validation, less half of what test has more",
             difference=probed.with_test({HEIGHT: 1, "": -0.5}, {"": -0.5}))
    yield of("secondary", comparison="height 0.90 on test, less half of what test has more",
             difference=probed.with_test({"": 0.5}, {"": 0.5, BACK: -1}))


def predictions(probes: ArmResults, ingredients: ArmResults) -> pd.DataFrame:
    """What A, B and crop predict, a row a prediction: ``hypothesis``, ``prediction``, the linear contrast that is
    positive where it holds, with its 95 % interval, and ``holds`` (supported, refuted or open).

    Args:
        probes: the arm whose trainings were scored under perturbations.
        ingredients: the arm whose augmentations are compared.
    """
    probed, by_name = probe(probes), ingredients_of(ingredients)

    def gain(*terms: tuple[float, str]) -> Difference:
        return contrast([(factor, by_name[name].test_scores) for factor, name in terms], ingredients.films, accuracy,
                        ingredients.draws)

    # F(x) - F(1) less half of F(height) - F(1), and the gains likewise.
    width, size, cropped = (probed.on_validation((1, name), (-0.5, HEIGHT), (-0.5, "")) for name in (WIDTH, SIZE, CROP))
    by_width, alike = (gain((1, name), (-0.5, "paper and height zoom"), (-0.5, NO_ZOOM))
                       for name in ("paper and width zoom", "paper and zoom alike"))
    by_crop = gain((1, "paper and crop"), (-0.5, ZOOM), (-0.5, NO_ZOOM))
    probes_of = {"a narrower image": width, "a larger image": size, "a crop without stretch": cropped}
    gains_of = {"zoom in width": (by_width, "zoom in height"), "zoom of both alike": (alike, "zoom in height"),
                "crop without stretch": (by_crop, "zoom in both axes")}
    expected = {"A": {"a narrower image", "zoom in width"}, "B": {"a larger image", "zoom of both alike"},
                "crop": {"a crop without stretch", "crop without stretch"}}
    # What a gain is half of must be one.
    gained = {whole: direction(gain((1, name), (-1, NO_ZOOM))).verdict == SUPPORTED
              for whole, name in (("zoom in height", "paper and height zoom"), ("zoom in both axes", ZOOM))}
    rows = []
    for hypothesis, at_least_half in expected.items():
        for what, difference in probes_of.items():
            if hypothesis != "crop" or what in at_least_half:
                half = "at least half as much" if what in at_least_half else "less than half as much"
                rows.append((hypothesis, f"{what} raises false alarms {half} as a taller one",
                             difference if what in at_least_half else _reversed(difference), True))
        for what, (difference, whole) in gains_of.items():
            if hypothesis != "crop" or what in at_least_half:
                half = "at least half" if what in at_least_half else "less than half"
                rows.append((hypothesis, f"{what} gains {half} of what {whole} gains",
                             difference if what in at_least_half else _reversed(difference), gained[whole]))
    return pd.DataFrame([{"hypothesis": hypothesis, "prediction": words, "mean": one.mean, "low": one.low,
                          "high": one.high, "seeds": one.seeds,
                          "holds": direction(one).verdict if is_there else OPEN}
                         for hypothesis, words, one, is_there in rows])


def hypothesis_verdicts(probes: ArmResults, ingredients: ArmResults) -> dict[str, str]:
    """The verdict on each hypothesis by the protocol's rule: supported if all its predictions hold, refuted if one
    surely does not, else open; open as long as a taller image does not surely raise false alarms."""
    valid = direction(probe(probes).on_validation((1, HEIGHT), (-1, ""))).verdict == SUPPORTED
    verdicts = {}
    for hypothesis, rows in predictions(probes, ingredients).groupby("hypothesis", sort=False):
        found = set(rows["holds"])
        verdicts[str(hypothesis)] = (OPEN if not valid else REFUTED if REFUTED in found else
                                     SUPPORTED if found == {SUPPORTED} else OPEN)
    return verdicts


def stretch_table(arm: ArmResults, augmentation: str) -> pd.DataFrame:
    """Share of NORMAL images predicted PNEUMONIA, and sensitivity, under every perturbation that the arm was scored
    under, on validation and on test: the mean over seeds with its 95 % interval over seeds and patients; ``flips`` is
    the share of images whose prediction differs from that of the unperturbed image."""
    treatment = arm.treatment(augmentation=augmentation, balance="none")
    rows = []
    for split, films in (("validation", treatment.validation_films), ("test", arm.films)):
        labels, draws = binary_labels(films), patient_draws(films)
        plain = treatment.scores_of(split)
        for perturbation in ("", *treatment.recipe.perturbations):
            scores = treatment.scores_of(split, perturbation)
            found = over_seeds(np.array([float(false_alarms(labels, row, np.ones(len(labels)))) for row in scores]),
                               patient_error(scores, films, false_alarms, draws))
            flips = (scores >= 0.5) != (plain >= 0.5)
            rows.append({"split": split, "perturbation": perturbation or "none", "false alarms": found.mean,
                         "low": found.low, "high": found.high,
                         "sensitivity": float((scores[:, labels == 1] >= 0.5).mean()),
                         "flips, NORMAL": float(flips[:, labels == 0].mean()),
                         "flips, PNEUMONIA": float(flips[:, labels == 1].mean()), "seeds": len(scores)})
    return pd.DataFrame(rows)


def _less(arm: ArmResults, first: Treatment, second: Treatment, metric: Metric = accuracy) -> Difference:
    return paired_difference(first.test_scores, second.test_scores, arm.films, metric, arm.draws)


def _reversed(one: Difference) -> Difference:
    return Difference(-one.mean, -one.high, -one.low, one.p_value, one.seeds, one.seed_deviation, one.patient_error)
