"""What the store holds, arm by arm: every condition's scores over its seeds, on the same test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.errors import DataError
from covidcnn.evaluation.combining import by_patient
from covidcnn.evaluation.scores import unperturbed
from covidcnn.evaluation.statistics import Difference, Untestable, by_seed, contrast, patient_draws, patient_error
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.evaluation.weighted_metrics import Metric, accuracy, accuracy_at
from covidcnn.perturbations import CHOSEN_UNDER, SIMULATED_SHIFTS
from covidcnn.study.access_log import require_as_frozen
from covidcnn.study.protocol import Protocol, whole_seeds
from covidcnn.training.recipe import Recipe, settings_of
from covidcnn.trials.store import TrialStore
from covidcnn.trials.work import TrialResult


@dataclass(frozen=True)
class Condition:
    """All trainings of one recipe in an arm, a seed each.

    ``at_validation_threshold`` predicts at Youden's threshold of each training's validation images instead of 0.5. What
    asks for validation images raises Untestable if a training diverged and left none.
    """

    settings: dict[str, Any]
    """What differs between the conditions of the arm."""
    recipe: Recipe
    results: tuple[TrialResult, ...]
    """In the order of their seeds."""
    images: pd.DataFrame
    """The test images: ``path``, ``label``, ``subtype``, ``patient`` and ``positive``, 1 for the positive class, or of
    more than two the place of the image's class; a row each, the same in all conditions."""

    @property
    def seeds(self) -> list[int]:
        return [result.trial.seed for result in self.results]

    @property
    def diverged(self) -> int:
        """How many trainings did."""
        return sum(bool(result.diverged) for result in self.results)

    def require_all(self) -> None:
        """Raise Untestable unless every training has left scores and history."""
        if self.diverged:
            raise Untestable(f"{self.diverged} of {len(self.results)} trainings diverged")

    @property
    def histories(self) -> list[pd.DataFrame]:
        """A row an epoch, by seed; Untestable if one diverged."""
        self.require_all()
        return [result.history for result in self.results]

    @cached_property
    def validation_images(self) -> pd.DataFrame:
        """The validation images, unshifted, the same for every seed: as ``images``."""
        self.require_all()
        return _images(self.results[0], "validation")

    @cached_property
    def _tables(self) -> list[dict[Any, pd.DataFrame]]:
        """Of each training the scores by split and perturbation; none of one that diverged."""
        return [{kind: rows.set_index("path") for kind, rows in result.scores.groupby(["split", "perturbation"])}
                if not result.diverged else {} for result in self.results]

    def scores_of(self, split: str, perturbation: str = "", epoch: int | None = None) -> np.ndarray:
        """Scores of the images of 'test' or 'validation', in the order of ``images`` or ``validation_images``: float
        (seeds, images), of more than two classes (seeds, images, classes); under a perturbation, or after an epoch,
        where the recipe scores them so. A training that diverged predicts the positive class of every test image, with
        certainty; of more than two it tells no class from another."""
        paths = (self.images if split == "test" else self.validation_images)["path"]
        columns = self.results[0].task.score_columns if epoch is None else [f"epoch {epoch}"]
        scores = np.stack([tables[split, perturbation].loc[paths, columns].to_numpy(float) if tables
                           else np.ones((len(paths), len(columns))) for tables in self._tables])
        return scores[..., 0] if len(columns) == 1 else scores

    @cached_property
    def test_scores(self) -> np.ndarray:
        """float (seeds, test images), as ``scores_of``."""
        return self.scores_of("test")

    @cached_property
    def has_chance(self) -> bool:
        """False where every seed gives the same scores, as a model does in which nothing is random."""
        return not np.allclose(self.test_scores, self.test_scores[0])

    def threshold_images(self, result: TrialResult) -> pd.DataFrame:
        """The scores by which the threshold of a training is fixed: of its validation images as they are and, as the
        protocols have it, of the same under what the epoch is chosen under, or shifted grey levels if there are some.
        """
        pooled = ["", *CHOSEN_UNDER.get(self.recipe.choose_by, SIMULATED_SHIFTS)]
        return result.scores[(result.scores["split"] == "validation") & result.scores["perturbation"].isin(pooled)]

    @cached_property
    def thresholds(self) -> np.ndarray:
        """float (seeds,): Youden's threshold, fixed on the validation images of the same training."""
        return np.array([0.5 if result.diverged else
                         fix_threshold(self.threshold_images(result), "youden", task=result.task)
                         for result in self.results])

    def predictions(self, split: str = "test") -> np.ndarray:
        """float (seeds, images): 1 where an image of the split is predicted positive at its training's own threshold,
        0 elsewhere. At 0.5, which metrics take, they count as these predictions."""
        return self._scores(at_validation_threshold=True, split=split)

    def _scores(self, at_validation_threshold: bool, split: str = "test") -> np.ndarray:
        scores = self.test_scores if split == "test" else self.scores_of(split)
        return (scores >= self.thresholds[:, np.newaxis]).astype(float) if at_validation_threshold else scores

    def values(self, metric: Metric, images: np.ndarray | None = None, at_validation_threshold: bool = False
               ) -> np.ndarray:
        """A metric of every seed, float (seeds,), on the test images; ``images``, bool (test images,), marks those that
        count; None takes all."""
        return by_seed([(1, self._scores(at_validation_threshold))], self.images, metric,
                       None if images is None else images.astype(float))

    def validation_values(self, metric: Metric, at_validation_threshold: bool = False) -> np.ndarray:
        """A metric of every seed on its validation images, unshifted: float (seeds,)."""
        return by_seed([(1, self._scores(at_validation_threshold, "validation"))], self.validation_images, metric)

    def validation_error(self, metric: Metric, at_validation_threshold: bool = False) -> float:
        """Standard error of the mean of ``validation_values`` from the choice of validation patients."""
        return patient_error([(1, self._scores(at_validation_threshold, "validation"))], self.validation_images, metric)


@dataclass(frozen=True)
class ArmResults:
    """A finished arm."""

    name: str
    conditions: tuple[Condition, ...]
    """In the order of the protocol."""
    exploratory: bool = False
    """Added after the first test score of its study."""

    @property
    def title(self) -> str:
        return arm_title(self.name, self.exploratory)

    def condition(self, **settings: Any) -> Condition:
        """The one condition whose recipe has these settings; ValueError if none or several have."""
        found = [condition for condition in self.conditions
                 if settings.items() <= settings_of(condition.recipe).items()]
        if len(found) != 1:
            raise ValueError(f"{len(found)} conditions of arm '{self.name}' have {settings}")
        return found[0]

    @property
    def images(self) -> pd.DataFrame:
        return self.conditions[0].images

    @property
    def accuracy_at_shares(self) -> Metric:
        """Accuracy at the class shares of test, so that validation with another mix of classes compares."""
        return accuracy_at(self.images["positive"].mean())

    @cached_property
    def draws(self) -> np.ndarray:
        """Bootstrap draws of the test patients, the same for all that is compared."""
        return patient_draws(self.images)

    def contrast(self, terms: Sequence[tuple[float, np.ndarray]], metric: Metric = accuracy,
                 fixed: np.ndarray | float = 0.0, fixed_error: float = 0.0) -> Difference:
        """``statistics.contrast`` of scores of the test images."""
        return contrast(terms, self.images, metric, self.draws, fixed, fixed_error)

    def difference(self, first: Condition, second: Condition, metric: Metric = accuracy,
                   at_validation_threshold: bool = False) -> Difference:
        """A metric of the first condition on test - that of the second, which may be of another arm, paired by the
        seeds that both have. One in which nothing is random gives the same for every seed, and pairs with each."""
        random = [set(one.seeds) for one in (first, second) if one.has_chance]
        shared = sorted(set.intersection(*random or [set(first.seeds)]))
        return self.contrast([
            (factor, one._scores(at_validation_threshold)[[one.seeds.index(seed) if one.has_chance else 0
                                                           for seed in shared]])
            for factor, one in ((1, first), (-1, second))], metric)


def judged_by_patient(arm: ArmResults, how: str = "mean") -> ArmResults:
    """The arm with a row a patient in the place of one an image: the 'mean' or the 'max' of the scores of the patient's
    images, on validation and on test."""
    return replace(arm, conditions=tuple(_by_patient(condition, how) for condition in arm.conditions))


def _by_patient(condition: Condition, how: str) -> Condition:
    results = tuple(result if result.diverged else replace(result, scores=pd.concat(
        [by_patient(own, how) for _, own in result.scores.groupby(["split", "perturbation"])]))
        for result in condition.results)
    return replace(condition, results=results, images=_images(
        next(result for result in results if not result.diverged), "test"))


@dataclass(frozen=True)
class Evidence:
    """What is finished of a study."""

    arms: Mapping[str, ArmResults]
    """Those that score test images, by name."""
    further: Mapping[str, pd.DataFrame | None]
    """What belongs to no sweep, such as scores of simple models, by name of its arm; None where it is not computed."""
    selections: Mapping[str, Any]
    """What was chosen on validation, by arm."""
    progress: pd.DataFrame
    """Columns ``trials`` and ``finished``, a row an arm of the protocol."""
    finished: Mapping[str, Sequence[TrialResult]]
    """The finished trials of each arm, also of arms that are not complete; an arm without any is left out."""
    exploratory: frozenset[str]
    """The arms that were added after the first test score of the study."""


def read_evidence(protocol: Protocol, store: TrialStore, further: Mapping[str, pd.DataFrame | None] | None = None
                  ) -> Evidence:
    """Read what is finished of a protocol; ``further`` as ``Evidence`` has it. DataError if a result is damaged, or
    trials of an arm were scored on different test images, UserError if the protocol is not what it was when the first
    test image was scored."""
    require_as_frozen(protocol, store)
    trials = protocol.known_trials()
    # A trial that stands in two arms is read once.
    by_key = {trial.key: trial for of_arm in trials.values() for trial in of_arm or []}
    results = {key: store.read(key) for key, trial in by_key.items() if store.is_finished(trial)}
    finished = {name: [results[trial.key] for trial in of_arm or [] if trial.key in results]
                for name, of_arm in trials.items()}
    progress = pd.DataFrame.from_dict(
        {name: (np.nan if of_arm is None else len(of_arm), len(finished[name])) for name, of_arm in trials.items()},
        orient="index", columns=["trials", "finished"]).rename_axis("arm")
    whole = {name: whole_seeds(of_arm or [], results.keys(), protocol.enough_seeds) for name, of_arm in trials.items()
             if protocol.arm(name).sweep.get("score_test")}
    arms = {name: _arm_results(protocol, name, [one for one in finished[name] if one.trial.seed in seeds])
            for name, seeds in whole.items()
            if any(one.trial.seed in seeds and not one.diverged for one in finished[name])}
    return Evidence(arms, further or {}, protocol.selections(), progress,
                    {name: found for name, found in finished.items() if found},
                    frozenset(name for name, arm in protocol.arms.items() if arm.exploratory))


def arm_title(name: str, exploratory: bool) -> str:
    """An arm's name for captions, which say what was added after the first test score of its study."""
    return f"Arm {name}" + (" (exploratory: added after the first test score)" if exploratory else "")


def _arm_results(protocol: Protocol, name: str, results: Sequence[TrialResult]) -> ArmResults:
    by_recipe: dict[Recipe, list[TrialResult]] = {}
    for result in results:
        by_recipe.setdefault(result.trial.recipe, []).append(result)
    # Of the recipes as the protocol has them: pinned ones differ in Keras's default learning rates too.
    settings = [settings_of(recipe) for recipe in protocol.sweep(name).recipes]
    names = [one for one in dict.fromkeys(one for each in settings for one in each)
             if len({each.get(one) for each in settings}) > 1]
    scored = {result.trial.key: _images(result, "test") for result in results if not result.diverged}
    images = next(iter(scored.values()))
    for key, others in scored.items():
        if not others.equals(images):
            raise DataError(f"arm '{name}', trial {key}: scored on other test images than the trials before it; remove "
                            "it and it is run again")
    return ArmResults(name, tuple(
        # Of a model those settings that it has.
        Condition({one: own[one] for one in names if one in own}, recipe, tuple(of_recipe), images)
        for recipe, of_recipe in by_recipe.items() for own in [settings_of(recipe)]), protocol.arm(name).exploratory)


def _images(result: TrialResult, split: str) -> pd.DataFrame:
    images = unperturbed(result.scores, split).sort_values("path", ignore_index=True)
    return images[["path", "label", "subtype", "patient"]].assign(positive=result.task.encode(images["label"]))
