"""What the store holds, arm by arm: every condition's scores over its seeds, on the same test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.errors import DataError
from covidcnn.evaluation.measures import Metric
from covidcnn.evaluation.scores import unperturbed
from covidcnn.evaluation.statistics import Untestable, patient_draws, patient_error
from covidcnn.evaluation.threshold import fix_threshold
from covidcnn.perturbations import SIMULATED_SHIFTS
from covidcnn.study.access_log import require_as_frozen
from covidcnn.study.baseline import read_baseline, read_sizes
from covidcnn.study.protocol import Protocol, whole_seeds
from covidcnn.training.recipe import Recipe, settings_of
from covidcnn.trials.store import TrialResult, TrialStore
from covidcnn.trials.trial import Trial

_COLUMNS = ["path", "label", "subtype", "patient"]


@dataclass(frozen=True)
class Condition:
    """All trainings of one recipe in an arm, a seed each."""

    settings: dict[str, Any]
    """What differs between the conditions of the arm."""
    recipe: Recipe
    results: tuple[TrialResult, ...]
    """In the order of their seeds."""
    images: pd.DataFrame
    """The test images: ``path``, ``label``, ``subtype``, ``patient`` and ``positive``, 1 for the positive class; a row
    each, the same in all conditions."""

    @property
    def seeds(self) -> list[int]:
        return [result.trial.seed for result in self.results]

    @cached_property
    def test_scores(self) -> np.ndarray:
        """float (seeds, test images). A training that diverged predicts the positive class of every
        image, with certainty."""
        return self.scores_of("test")

    def scores_of(self, split: str, perturbation: str = "", epoch: int | None = None) -> np.ndarray:
        """Scores of the images of 'test' or 'validation', in the order of ``images`` or ``validation_images``: float
        (seeds, images); under a perturbation, or after an epoch, where the recipe scores them so.

        Raises:
            Untestable: of validation images, a training diverged.
        """
        paths = (self.images if split == "test" else self.validation_images)["path"]
        column = "score" if epoch is None else f"epoch {epoch}"
        return np.stack([tables[split, perturbation].loc[paths, column].to_numpy(float) if tables
                         else np.ones(len(paths)) for tables in self._tables])

    @cached_property
    def _tables(self) -> list[dict[Any, pd.DataFrame]]:
        """Of each training the scores by split and perturbation; none of one that diverged."""
        return [{kind: rows.set_index("path") for kind, rows in result.scores.groupby(["split", "perturbation"])}
                if not result.diverged else {} for result in self.results]

    @cached_property
    def thresholds(self) -> np.ndarray:
        """float (seeds,): Youden's threshold, fixed on the validation images of the same training."""
        # Simulated shifts, where there are some, are pooled with the images as they are: so the protocol has it.
        found = {result.trial.seed: fix_threshold(result.scores[
            (result.scores["split"] == "validation") & result.scores["perturbation"].isin(["", *SIMULATED_SHIFTS])],
            "youden") for result in self.results if not result.diverged}
        return np.array([found.get(seed, 0.5) for seed in self.seeds])

    @cached_property
    def scores_at_validation_threshold(self) -> np.ndarray:
        """The calls at each training's own threshold: 1 for PNEUMONIA, else 0; float (seeds, test images)."""
        return self._calls(self.test_scores)

    def values(self, metric: Metric, images: np.ndarray | None = None, at_validation_threshold: bool = False
               ) -> np.ndarray:
        """A metric of every seed on the test images: float (seeds,).

        Args:
            metric: what is measured.
            images: bool (test images,), those to look at; None takes all.
            at_validation_threshold: call at Youden's threshold from validation instead of 0.5.
        """
        labels = self.images["positive"].to_numpy()
        weights = np.ones(len(labels)) if images is None else images.astype(float)
        return np.array([metric(labels, row, weights) for row in self.scores(at_validation_threshold)])

    @property
    def histories(self) -> list[pd.DataFrame]:
        """A row an epoch, by seed.

        Raises:
            Untestable: there is none, of a seed.
        """
        self.require_all()
        return [result.history for result in self.results]

    @cached_property
    def validation_images(self) -> pd.DataFrame:
        """The validation images, unshifted, the same for every seed: as ``images``.

        Raises:
            Untestable: a seed has none.
        """
        self.require_all()
        return _images(self.results[0], "validation")

    def validation_scores(self, at_validation_threshold: bool = False) -> np.ndarray:
        """Scores, or calls at each training's own threshold: float (seeds, validation images).

        Raises:
            Untestable: a seed has none.
        """
        scores = self.scores_of("validation")
        return self._calls(scores) if at_validation_threshold else scores

    def validation_values(self, metric: Metric, at_validation_threshold: bool = False) -> np.ndarray:
        """A metric of every seed on its validation images, unshifted: float (seeds,).

        Raises:
            Untestable: a seed has no scores there.
        """
        labels, ones = self.validation_images["positive"].to_numpy(), np.ones(len(self.validation_images))
        return np.array([metric(labels, row, ones) for row in self.validation_scores(at_validation_threshold)])

    def validation_error(self, metric: Metric, at_validation_threshold: bool = False) -> float:
        """Standard error of the mean of ``validation_values`` from the choice of validation patients."""
        return patient_error(self.validation_scores(at_validation_threshold), self.validation_images, metric)

    def scores(self, at_validation_threshold: bool = False) -> np.ndarray:
        """``test_scores``, or the calls at each training's own threshold."""
        return self.scores_at_validation_threshold if at_validation_threshold else self.test_scores

    def _calls(self, scores: np.ndarray) -> np.ndarray:
        return np.where(scores >= self.thresholds[:, np.newaxis], 1.0, 0.0)

    def require_all(self) -> None:
        """Make sure that every training has left scores and history.

        Raises:
            Untestable: one has not.
        """
        if diverged := sum(bool(result.diverged) for result in self.results):
            raise Untestable(f"{diverged} of {len(self.results)} trainings diverged")


@dataclass(frozen=True)
class ArmResults:
    """A finished arm."""

    name: str
    conditions: tuple[Condition, ...]
    """In the order of the protocol."""
    exploratory: bool = False
    """Added after test scores were known."""

    @property
    def title(self) -> str:
        """For captions."""
        return arm_title(self.name, self.exploratory)

    def condition(self, **settings: Any) -> Condition:
        """The one condition whose recipe has these settings.

        Raises:
            ValueError: none has, or several.
        """
        found = [condition for condition in self.conditions
                 if all(setting(condition.recipe, name) == value for name, value in settings.items())]
        if len(found) != 1:
            raise ValueError(f"{len(found)} conditions of arm '{self.name}' have {settings}")
        return found[0]

    @property
    def images(self) -> pd.DataFrame:
        return self.conditions[0].images

    @cached_property
    def draws(self) -> np.ndarray:
        """Bootstrap draws of the test patients, the same for all that is compared."""
        return patient_draws(self.images)


@dataclass(frozen=True)
class Evidence:
    """What is finished."""

    arms: Mapping[str, ArmResults]
    """Those that score test images, by name."""
    baseline: pd.DataFrame | None
    """From ``covidcnn.study.baseline``; None where it is not computed."""
    sizes: pd.DataFrame | None
    """What size and aspect of original files tell, from the same place."""
    selections: Mapping[str, Any]
    """What was chosen on validation, by arm."""
    progress: pd.DataFrame
    """Columns ``trials`` and ``finished``, a row an arm of the protocol."""
    finished: Mapping[str, Sequence[TrialResult]]
    """The finished trials of each arm, also of arms that are not complete; an arm without any is left out."""
    exploratory: frozenset[str]
    """The arms that were added after test scores were known."""


def read_evidence(protocol: Protocol, store: TrialStore) -> Evidence:
    """Read what is finished of a protocol.

    Raises:
        DataError: a result is damaged, or trials of an arm were scored on different test images.
        UserError: the protocol is not what it was when the first test image was scored.
    """
    require_as_frozen(protocol, store)
    trials = _trials_by_arm(protocol)
    # A trial that stands in two arms is read once.
    results = {trial.key: store.read(trial.key)
               for trial in {trial.key: trial for of_arm in trials.values() for trial in of_arm or []}.values()
               if store.is_finished(trial)}
    finished = {name: [results[trial.key] for trial in of_arm or [] if trial.key in results]
                for name, of_arm in trials.items()}
    progress = pd.DataFrame.from_dict(
        {name: (np.nan if of_arm is None else len(of_arm), len(finished[name])) for name, of_arm in trials.items()},
        orient="index", columns=["trials", "finished"]).rename_axis("arm")
    whole = {name: whole_seeds(of_arm or [], results.keys(), protocol.enough_seeds) for name, of_arm in trials.items()
             if protocol.arm(name).value.get("score_test")}
    arms = {name: _arm_results(protocol, name, [one for one in finished[name] if one.trial.seed in seeds])
            for name, seeds in whole.items() if seeds}
    return Evidence(arms, read_baseline(store.folder), read_sizes(store.folder), protocol.selections(), progress,
                    {name: found for name, found in finished.items() if found},
                    frozenset(name for name, arm in protocol.arms.items() if arm.exploratory))


def _trials_by_arm(protocol: Protocol) -> dict[str, list[Trial] | None]:
    """The trials of each arm; None where they are not known, because the arm that selects has not."""
    chosen = protocol.selections()
    return {name: protocol.trials(name) if arm.selected_from in chosen or not arm.selected_from
            else None for name, arm in protocol.arms.items()}


def arm_title(name: str, exploratory: bool) -> str:
    """An arm's name for captions, which say what was added after test scores were known."""
    return f"Arm {name}" + (" (exploratory: added after test scores were known)" if exploratory else "")


def setting(recipe: Recipe, name: str) -> Any:
    """A setting of a recipe, of its images or of its model, by name."""
    return settings_of(recipe)[name]


def differing(recipes: Sequence[Recipe]) -> list[str]:
    """The names of the settings in which recipes differ, those of images and models too."""
    found = [settings_of(recipe) for recipe in recipes]
    names = dict.fromkeys(name for settings in found for name in settings)
    return [name for name in names if len({settings.get(name) for settings in found}) > 1]


def _arm_results(protocol: Protocol, name: str, results: Sequence[TrialResult]) -> ArmResults:
    by_recipe: dict[Recipe, list[TrialResult]] = {}
    for result in results:
        by_recipe.setdefault(result.trial.recipe, []).append(result)
    images = _test_images(name, results)
    # Of the recipes as the protocol has them: pinned ones differ in Keras's default learning rates too.
    names = differing(protocol.sweep(name).recipes)
    return ArmResults(name, tuple(
        Condition({one: setting(recipe, one) for one in names}, recipe, tuple(of_recipe), images)
        for recipe, of_recipe in by_recipe.items()), protocol.arm(name).exploratory)


def _test_images(arm: str, results: Sequence[TrialResult]) -> pd.DataFrame:
    scored = [result for result in results if not result.diverged]
    first: pd.DataFrame | None = None
    for result in scored:
        images = _images(result, "test")
        if first is not None and not images.equals(first):
            raise DataError(f"arm '{arm}', trial {result.trial.key}: scored on other test images than the trials "
                            "before it; remove it and it is run again")
        first = images
    if first is None:
        raise DataError(f"arm '{arm}': every training diverged")
    return first


def _images(result: TrialResult, split: str) -> pd.DataFrame:
    images = unperturbed(result.scores, split)[_COLUMNS].sort_values("path").reset_index(drop=True)
    return images.assign(positive=result.task.encode(images["label"]))
