"""Question 5 of the second study: what do networks make of images that are stretched before they are scored?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from covidcnn.evaluation.statistics import (
    Difference,
    by_seed,
    contrast,
    mean_over_seeds,
    minimum_detectable_difference,
    patient_draws,
    patient_error,
)
from covidcnn.evaluation.weighted_metrics import specificity
from covidcnn.paper.recipe_arms import HEIGHT_ZOOM, NO_ZOOM, ZOOM, Contrast, ingredients_of
from covidcnn.study.conditions import ArmResults, Condition
from covidcnn.study.verdicts import OPEN, REFUTED, SUPPORTED, direction

HEIGHT, BACK, WIDTH, SIZE, CROP = "height 1.10", "height 0.90", "width 0.90", "size 1.10", "cropped height 1.10"
"""The perturbations that the protocol's predictions are about."""
_GAINS = (("zoom in width", "paper and width zoom", "zoom in height", HEIGHT_ZOOM),
          ("zoom of both alike", "paper and zoom alike", "zoom in height", HEIGHT_ZOOM),
          ("crop without stretch", "paper and crop", "zoom in both axes", ZOOM))
"""Of which augmentation they say how much of another's gain it makes, in words and by name."""


def false_alarms(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted share of NORMAL images that are predicted PNEUMONIA."""
    return 1 - specificity(labels, scores, weights)


@dataclass(frozen=True)
class Probe:
    """False alarms of an arm's unbalanced trainings without zoom, on validation and test, perturbed and not."""

    arm: ArmResults

    @cached_property
    def condition(self) -> Condition:
        return self.arm.condition(augmentation=NO_ZOOM, balance="none")

    @cached_property
    def validation_draws(self) -> np.ndarray:
        """Bootstrap draws of the validation patients, the same for all that is compared."""
        return patient_draws(self.condition.validation_images)

    def on_validation(self, terms: Mapping[str, float], fixed: np.ndarray | float = 0.0, fixed_error: float = 0.0
                      ) -> Difference:
        """A weighted sum of the shares of false alarms on NORMAL validation images, a factor for each perturbation; the
        empty one is none."""
        return contrast([(factor, self.condition.scores_of("validation", name)) for name, factor in terms.items()],
                        self.condition.validation_images, false_alarms, self.validation_draws, fixed, fixed_error)

    def with_test(self, validation: Mapping[str, float], test: Mapping[str, float]) -> Difference:
        """The same over both splits: factors by perturbation."""
        on_test = [(factor, self.condition.scores_of("test", name)) for name, factor in test.items()]
        return self.on_validation(validation, by_seed(on_test, self.arm.images, false_alarms),
                                  patient_error(on_test, self.arm.images, false_alarms, self.arm.draws))


def explained(arm: ArmResults) -> Iterator[Contrast]:
    """Whether height explains at least half of the false alarms that test has beyond those of validation."""
    probed = Probe(arm)
    there = direction(probed.with_test({"": -1}, {"": 1})).verdict == SUPPORTED
    of = partial(Contrast, "5 cause", arm=arm.name, measure="false alarms", means_something=there)
    yield of("primary", comparison="height 1.10 on validation - half of what test has more",
             difference=probed.with_test({HEIGHT: 1, "": -0.5}, {"": -0.5}))
    yield of("secondary", comparison="height 0.90 on test - half of what test has more",
             difference=probed.with_test({"": 0.5}, {"": 0.5, BACK: -1}))


def can_predict(ingredients: ArmResults) -> bool:
    """Whether an arm has the augmentations that the hypotheses speak of."""
    return {name for gain in _GAINS for name in gain[1::2]} <= ingredients_of(ingredients).keys()


def predictions(probes: ArmResults, ingredients: ArmResults) -> pd.DataFrame:
    """What A, B and crop predict, a row a prediction: ``hypothesis``, ``prediction``, the linear contrast that is
    positive where it holds, with its 95 % interval, ``holds`` (supported, refuted or open), and ``detectable``, the
    smallest contrast found in four of five cases. The arms are that whose
    trainings were scored under perturbations, and that whose augmentations are compared."""
    probed, by_name = Probe(probes), ingredients_of(ingredients)

    def gain(*terms: tuple[float, str]) -> Difference:
        return ingredients.contrast([(factor, by_name[name].test_scores) for factor, name in terms])

    # F(x) - F(1) minus half of F(height) - F(1), and the gains likewise, where what a gain is half of must be one.
    found: dict[str, tuple[str, Difference, bool]] = {}
    for what, name in (("a narrower image", WIDTH), ("a larger image", SIZE), ("a crop without stretch", CROP)):
        found[what] = (f"{what} raises false alarms {{}} as much as a taller one",
                       probed.on_validation({name: 1, HEIGHT: -0.5, "": -0.5}), True)
    for what, name, whole, of_whole in _GAINS:
        found[what] = (f"{what} gains {{}} of what {whole} gains", gain((1, name), (-0.5, of_whole), (-0.5, NO_ZOOM)),
                       direction(gain((1, of_whole), (-1, NO_ZOOM))).verdict == SUPPORTED)
    expected = {"A": {"a narrower image", "zoom in width"}, "B": {"a larger image", "zoom of both alike"},
                "crop": {"a crop without stretch", "crop without stretch"}}
    rows = []
    for hypothesis, at_least_half in expected.items():
        for what, (words, one, is_there) in found.items():
            if hypothesis == "crop" and what not in at_least_half:
                continue
            one = one if what in at_least_half else replace(one, mean=-one.mean, low=-one.high, high=-one.low)
            rows.append({"hypothesis": hypothesis,
                         "prediction": words.format("at least half" if what in at_least_half else "less than half"),
                         "mean": one.mean, "low": one.low, "high": one.high, "seeds": one.seeds,
                         "holds": direction(one).verdict if is_there else OPEN,
                         "detectable": minimum_detectable_difference(one)})
    return pd.DataFrame(rows)


def of_a_taller_image(arm: ArmResults) -> Difference:
    """How much a taller image raises false alarms on validation: where it does not, the predictions say nothing."""
    return Probe(arm).on_validation({HEIGHT: 1, "": -1})


def hypothesis_verdicts(probes: ArmResults, ingredients: ArmResults) -> dict[str, str]:
    """The verdict on each hypothesis by the protocol's rule: supported if all its predictions hold, refuted if one
    surely does not, else open; open as long as a taller image does not surely raise false alarms."""
    valid = direction(of_a_taller_image(probes)).verdict == SUPPORTED
    found = predictions(probes, ingredients).groupby("hypothesis", sort=False)["holds"].agg(set)
    return {str(hypothesis): OPEN if not valid else REFUTED if REFUTED in holds else
            SUPPORTED if holds == {SUPPORTED} else OPEN for hypothesis, holds in found.items()}


def stretch_table(arm: ArmResults, augmentation: str) -> pd.DataFrame:
    """Share of NORMAL images predicted PNEUMONIA, and sensitivity, under every perturbation that the arm was scored
    under, on validation and on test: the mean over seeds with its 95 % interval over seeds and patients; ``flips`` is
    the share of images whose prediction differs from that of the unperturbed image."""
    condition = arm.condition(augmentation=augmentation, balance="none")
    rows = []
    for split, images in (("validation", condition.validation_images), ("test", arm.images)):
        labels, draws = images["positive"].to_numpy(), patient_draws(images)
        plain = condition.scores_of(split)
        for perturbation in ("", *condition.recipe.perturbations):
            scores = condition.scores_of(split, perturbation)
            found = mean_over_seeds(scores, images, false_alarms, draws)
            flips = (scores >= 0.5) != (plain >= 0.5)
            rows.append({"split": split, "perturbation": perturbation or "none", "false alarms": found.mean,
                         "low": found.low, "high": found.high,
                         "sensitivity": float((scores[:, labels == 1] >= 0.5).mean()),
                         "flips, NORMAL": float(flips[:, labels == 0].mean()),
                         "flips, PNEUMONIA": float(flips[:, labels == 1].mean()), "seeds": len(scores)})
    return pd.DataFrame(rows)
