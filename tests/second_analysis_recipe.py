"""The second study's numbers and verdicts, programmed a second time: an oracle for the first programme.

Written from the words of ``reports/recipe/protocol.yaml`` (and, where it says so, of ``reports/paper/protocol.yaml``)
and from the store's files, by somebody who had not read the first programme. Nothing of the package is imported. What
says the same for both studies comes from ``second_analysis``: there every quantity is an array whose first element is
measured on the images as they are, the others on bootstrap samples of patients.

    python tests/second_analysis_recipe.py reports/recipe reports/paper > rows.csv
"""

import functools
import itertools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats
from second_analysis import (
    DEFAULTS,
    RIVALS,
    NotFinished,
    Row,
    Store,
    Training,
    Untestable,
    cause,
    holm,
    judged,
    number,
    over_seeds,
)

IN_PAPER = {"Nadam": 0.9263, "RMSprop": 0.9103, "Adam": 0.899, "SGD": 0.8974, "AdaGrad": 0.859, "Adadelta": 0.774}
PUBLIC, INGREDIENTS, RATES, CAUSES, SMALL = "1-public-recipe", "2-ingredients", "2b-rates", "4-causes", "8-small-images"
SMALL_PUBLIC, SMALL_RATES = "9-small-public-recipe", "10-small-rates"
PAPER_SIZE, LARGER = "11-paper-size", "12-larger-images"
NONE, HEIGHT, WIDTH, ZOOM = "paper", "paper and height zoom", "paper and width zoom", "paper and zoom"
ALIKE, CROP = "paper and zoom alike", "paper and crop"
SETS = {"height zoom": HEIGHT, "rotation": "paper and rotation", "width zoom": WIDTH, "zoom": ZOOM,
        "zoom alike": ALIKE, "crop": CROP, "public recipe": "public recipe"}
PROBES = ["", "height 1.10", "height 0.90", "width 0.90", "size 1.10", "cropped height 1.10"]
FEWEST_SEEDS = 5
SHARE = ("at least half", "less than half")
MOST = ("does most of it", "does less than half")
Computed = tuple[Row, int]
"""A row and its number of seeds."""


# ---------------------------------------------------------------- the store

class RecipeTraining(Training):
    """One training, whose images were scored after each epoch, and perturbed."""

    epochs = 0

    @functools.cached_property
    def _scores(self) -> pd.DataFrame:
        scores = pd.read_csv(self.store.folder / "scores" / f"{self.key}.csv.gz").sort_values("path")
        scores["perturbation"] = scores["perturbation"].fillna("") if "perturbation" in scores else ""
        return scores[scores["perturbation"].isin(PROBES)]

    def images(self, split: str, perturbation: str = "") -> pd.DataFrame:
        images = super().images(split)
        return images if self.diverged else images[images["perturbation"] == perturbation]

    def alarms(self, split: str, perturbation: str = "") -> np.ndarray:
        """The share of NORMAL images that is predicted PNEUMONIA: F on validation, T on test."""
        images = self.images(split, perturbation)
        images = images[images["label"] == "NORMAL"]
        assert len(images), f"{self.key}: no NORMAL image of {split} was scored under {perturbation!r}"
        weights = self.store.draws(images)
        return weights @ (images["score"] >= 0.5).to_numpy() / weights.sum(axis=1)

    def scores_by_epoch(self, split: str) -> np.ndarray:
        """A column for each epoch; a training that diverged calls every test image PNEUMONIA after each."""
        images = self.images(split)
        columns = ["score" if self.diverged else f"epoch {epoch}" for epoch in range(1, self.epochs + 1)]
        return images[columns].to_numpy(float)

    def accuracy_by_epoch(self, split: str) -> np.ndarray:
        images = self.images(split)
        right = (self.scores_by_epoch(split) >= 0.5) == (images["label"] == "PNEUMONIA").to_numpy()[:, None]
        weights = self.store.draws(images)
        return weights @ right / weights.sum(axis=1, keepdims=True)

    def won_by(self, chosen: int) -> np.ndarray:
        """Accuracy on test after the chosen epoch - that after the last. Patients do not choose anew."""
        accuracy = self.accuracy_by_epoch("test")
        return accuracy[:, chosen] - accuracy[:, -1]

    def best_on_test(self) -> np.ndarray:
        return self.won_by(self.accuracy_by_epoch("test")[0].argmax())

    def best_on_validation(self) -> np.ndarray:
        return self.won_by(self.history("val_accuracy").argmax())

    def lowest_loss(self) -> np.ndarray:
        return self.won_by(self.history("val_loss").argmin())

    def jump(self) -> float:
        """Of test accuracy from epoch to epoch, the sixth to the seventh first."""
        return np.abs(np.diff(self.accuracy_by_epoch("test")[0, 5:])).mean()


class RecipeStore(Store):
    """The trainings of the second study, of which an arm may consist of its first seeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.arms = yaml.safe_load((folder / "protocol.yaml").read_text())["arms"]
        self.weights, self.trainings = {}, {}
        known = {*DEFAULTS, *(name for arm in self.arms for name in next(self._recipes(arm))), "learning_rate"}
        for path in sorted((self.folder / "trials").glob("*.json")):
            record = json.loads(path.read_text())
            trial = record["trial"]
            recipe = {name: value for name, value in (trial["recipe"] | trial["recipe"]["images"]).items()
                      if name in known}
            training = RecipeTraining(self, path.stem, record["history"], bool(record["diverged"]))
            training.epochs = recipe["epochs"]
            key = self._key(recipe, trial["seed"], trial["score_test"])
            assert key not in self.trainings, f"{path.name}: a second training of one recipe and seed"
            self.trainings[key] = training

    @staticmethod
    def _key(named: dict[str, Any], seed: int, score_test: bool) -> str:
        recipe = DEFAULTS | {"score_every_epoch": None, "perturbations": None} | named
        recipe = recipe | {name: recipe[name] or None for name in ("score_every_epoch", "perturbations")}
        recipe.setdefault("learning_rate", 0.01 if recipe["optimizer"] == "SGD" else 0.001)
        return json.dumps([recipe, seed, score_test], sort_keys=True)

    def _keys(self, arm: str, recipe: dict[str, Any]) -> dict[int, str]:
        sweep = self.arms[arm]["sweep"]
        return {seed: self._key(recipe, seed, sweep.get("score_test", False)) for seed in sweep["seeds"]}

    def has(self, arm: str, **settings: Any) -> bool:
        return any(recipe | settings == recipe for recipe in self._recipes(arm))

    def by_seed(self, arm: str, **settings: Any) -> dict[int, RecipeTraining]:
        """The trainings of a setting, of the seeds of which all conditions of the arm are finished, from the first."""
        conditions = [self._keys(arm, recipe) for recipe in self._recipes(arm)]
        seeds = list(itertools.takewhile(lambda seed: all(keys[seed] in self.trainings for keys in conditions),
                                         self.arms[arm]["sweep"]["seeds"]))
        if len(seeds) < FEWEST_SEEDS:
            raise NotFinished(arm)
        keys = self._keys(arm, self.arms[arm]["sweep"]["recipe"] | settings)
        return {seed: self.trainings[keys[seed]] for seed in seeds}


# ---------------------------------------------------------------- statistics

def paired(of: Callable[..., Any], *cells: dict[int, RecipeTraining]) -> Computed:
    """What is made of one training of each cell, over the seeds that all cells have."""
    seeds = [seed for seed in cells[0] if all(seed in cell for cell in cells)]
    return over_seeds([of(*(cell[seed] for cell in cells)) for seed in seeds]), len(seeds)


def welch(first: list[np.ndarray], second: list[np.ndarray]) -> Row:
    """The difference of two means of other seeds, its variance widened by that over samples of patients."""
    ours, theirs = np.array(first), np.array(second)
    each = [group[:, 0].var(ddof=1) / len(group) for group in (ours, theirs)]
    degrees = sum(each) ** 2 / sum(part ** 2 / (len(group) - 1)
                                   for part, group in zip(each, (ours, theirs), strict=True)) if sum(each) else np.inf
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    error, mean = np.sqrt(sum(each) + differences[1:].var(ddof=1)), differences[0]
    half = stats.t.ppf(0.975, degrees) * error
    p = 2 * stats.t.sf(abs(mean) / error, degrees) if error else float(mean == 0)
    return Row(mean, mean - half, mean + half, p=p)


def expected_best(runs: list[float], draw: int) -> float:
    """The mean of the best of ``draw`` of these runs, over all ways to draw so many different ones."""
    ways = [math.comb(place, draw - 1) for place in range(len(runs))]
    return np.dot(np.sort(runs), ways) / math.comb(len(runs), draw)


def by_interval(row: Row, words: tuple[str, str]) -> str:
    return words[0] if row.low > 0 else words[1] if row.high < 0 else "open"


# ---------------------------------------------------------------- the questions

class Table:
    """The rows, as they are computed."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, name: str, compute: Callable[[], Computed], words: tuple[str, str] | None = None) -> None:
        """A row of its own: its verdict is its own, or by its interval, where there are words for it."""
        try:
            row, seeds = compute()
            verdict = by_interval(row, words) if words else row.verdict
            self.rows[name] = vars(row) | {"verdict": verdict, "seeds": seeds}
        except (NotFinished, Untestable) as reason:
            verdict = "not finished" if isinstance(reason, NotFinished) else "cannot be tested"
            self.rows[name] = vars(Row(verdict=verdict)) | {"seeds": 0}

    def open_unless(self, name: str, whole: Callable[[], Computed]) -> None:
        """A row on a share of something that is not surely above 0 is open."""
        row = self.rows[name]
        if row["seeds"] and not whole()[0].low > 0:
            row["verdict"] = "open"

    def family(self, name: str, members: dict[str, tuple[Callable[[], Computed], tuple[str, str]]]) -> None:
        """Rows corrected for one another. One that is not there yet counts as one with p = 1."""
        for member, (compute, _) in members.items():
            self.add(member, compute)
        rows = [self.rows[member] for member in members]
        corrected = holm([1.0 if np.isnan(row["p"]) else row["p"] for row in rows])
        for row, p, (_, words) in zip(rows, corrected, members.values(), strict=True):
            row["family"] = name
            if row["seeds"]:
                row["holm"] = p
                row["verdict"] = words[int(row["value"] < 0)] if p < 0.05 else "open"


def second_recipe(folder: Path, first: Path) -> pd.DataFrame:
    """All rows of the second study.

    Args:
        folder: holds the second study's ``protocol.yaml`` and ``store/``.
        first: the same of the first study, and ``selections.yaml``.

    Returns:
        ``value``, ``low``, ``high``, ``p``, ``holm``, ``verdict``, ``seeds`` and ``family``, by the name of the row.
    """
    store, paper, table = RecipeStore(folder), Store(first), Table()
    _reached(store, paper, table)
    _rivals(store, table)
    primary, secondary = _ingredient(store, INGREDIENTS)
    table.family("2 primary", primary)
    table.family("2 secondary", secondary)
    _half_of_zoom(store, table, INGREDIENTS)
    _rates(store, table)
    _which_epoch(store, table)
    for question, contrasts in (("4", _imbalance(store, CAUSES)), ("5", _cause(store, CAUSES))):
        table.family(f"{question} primary", contrasts[0])
        table.family(f"{question} secondary", contrasts[1])
    _open_unless_missing(store, table, CAUSES)
    _imbalance_rule(store, table, CAUSES)
    _predictions(store, table, INGREDIENTS, CAUSES)
    small = [members for question in (_ingredient, _imbalance, _cause) for members in question(store, SMALL)]
    table.family("64 px", {name: contrast for members in small for name, contrast in members.items()})
    _open_unless_missing(store, table, SMALL)
    _half_of_zoom(store, table, SMALL)
    _imbalance_rule(store, table, SMALL)
    _predictions(store, table, SMALL, SMALL)
    # Exploratory: they decide nothing, and are computed all the same.
    _reached(store, paper, table, SMALL_PUBLIC)
    _rivals(store, table, SMALL_PUBLIC)
    _small_rates(store, table)
    _reached(store, paper, table, PAPER_SIZE)
    _which_epoch(store, table, PAPER_SIZE)
    larger = [question(store, LARGER)[0] for question in (_ingredient, _imbalance, _cause)]
    table.family("arm 12", {name: contrast for primary in larger for name, contrast in primary.items()})
    _open_unless_missing(store, table, LARGER)
    _half_of_zoom(store, table, LARGER)
    _imbalance_rule(store, table, LARGER)
    columns = ["value", "low", "high", "p", "holm", "verdict", "seeds", "family"]
    return pd.DataFrame.from_dict(table.rows, orient="index").reindex(columns=columns).rename_axis("row")


def _at(arm: str) -> str:
    return {SMALL: "64 px, ", SMALL_PUBLIC: "arm 9, ", SMALL_RATES: "arm 10, ", PAPER_SIZE: "arm 11, ",
            LARGER: "arm 12, "}.get(arm, "")


def _less(store: RecipeStore, quantity: Callable[..., Any], arm: str, one: dict[str, Any], other: dict[str, Any],
          other_arm: str = "") -> tuple[Callable[[], Computed], tuple[str, str]]:
    """A contrast of two settings, paired by seed."""
    return (lambda: paired(lambda first, second: quantity(first) - quantity(second), store.by_seed(arm, **one),
                           store.by_seed(other_arm or arm, **other)), ("supported", "refuted"))


def _reached(store: RecipeStore, first: Store, table: Table, arm: str = PUBLIC) -> None:
    def cell(name: str) -> list[RecipeTraining]:
        return list(store.by_seed(arm, optimizer=name).values())

    def one_value(name: str) -> Computed:
        runs = [one.accuracy()[0] for one in cell(name)]
        return number(IN_PAPER[name], runs), len(runs)

    def between(name: str) -> Computed:
        ours, theirs = cell(name), first.optimizer("1-as-published", name)
        return welch([one.accuracy() for one in ours], [one.accuracy() for one in theirs]), len(ours)

    at = _at(arm)
    for name in IN_PAPER:
        if store.has(arm, optimizer=name):
            table.add(f"{at}1 reached: test accuracy with {name}", functools.partial(one_value, name))
            table.add(f"{at}1 reached, descriptive: {name}, public recipe - the text's",
                      functools.partial(between, name))


def _rivals(store: RecipeStore, table: Table, arm: str = PUBLIC) -> None:
    contrasts = {f"{_at(arm)}1 reached: Nadam - {rival}":
                 _less(store, Training.accuracy, arm, {"optimizer": "Nadam"}, {"optimizer": rival})
                 for rival in RIVALS}

    def best() -> Computed:
        ours = [compute() for compute, _ in contrasts.values()]
        return judged(*(row for row, _ in ours)), ours[0][1]

    table.family(f"{_at(arm)}1 secondary", contrasts)
    table.add(f"{_at(arm)}1 reached: Nadam is best", best)


def _ingredient(store: RecipeStore, arm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The primary contrast and the secondary ones."""
    contrasts = {f"{_at(arm)}2 ingredient: {name} - none":
                 _less(store, Training.accuracy, arm, {"augmentation": augmentation}, {"augmentation": NONE})
                 for name, augmentation in SETS.items() if store.has(arm, augmentation=augmentation)}
    primary = f"{_at(arm)}2 ingredient: height zoom - none"
    both = _less(store, Training.accuracy, arm, {"augmentation": ZOOM}, {"augmentation": HEIGHT})
    return ({primary: contrasts.pop(primary)}, contrasts | {f"{_at(arm)}2 ingredient: zoom - height zoom": both})


def _gain(store: RecipeStore, arm: str, part: str, whole: str) -> Callable[[], Computed]:
    """What one set gains - half of what another gains."""
    def share(none: Training, one: Training, other: Training) -> np.ndarray:
        return one.accuracy() - none.accuracy() - (other.accuracy() - none.accuracy()) / 2

    return lambda: paired(share, *(store.by_seed(arm, augmentation=name, balance="none")
                                   for name in (NONE, part, whole)))


def _half_of_zoom(store: RecipeStore, table: Table, arm: str) -> None:
    for name, augmentation in SETS.items():
        if name not in ("zoom", "public recipe") and store.has(arm, augmentation=augmentation):
            row = f"{_at(arm)}2 ingredient: {name} - half of zoom"
            table.add(row, _gain(store, arm, augmentation, ZOOM), MOST)
            table.open_unless(row, _whole_gain(store, arm, ZOOM))


def _whole_gain(store: RecipeStore, arm: str, augmentation: str) -> Callable[[], Computed]:
    """What a set gains: a share of it says something if it is surely there."""
    return _less(store, Training.accuracy, arm, {"augmentation": augmentation, "balance": "none"},
                 {"augmentation": NONE, "balance": "none"})[0]


def _rates(store: RecipeStore, table: Table) -> None:
    names = list(itertools.product((NONE, ZOOM), ("constant", "plateau")))
    table.family("2 rate", {
        f"2 rate: decay - {rate}, {augmentation}": _less(
            store, Training.accuracy, INGREDIENTS, {"augmentation": augmentation},
            {"augmentation": augmentation, "schedule": rate}, RATES)
        for augmentation, rate in names})
    for augmentation, rate in [*names, (NONE, "decay"), (ZOOM, "decay")]:
        arm = INGREDIENTS if rate == "decay" else RATES
        table.add(f"2 rate, descriptive: mean jump, {rate}, {augmentation}",
                  lambda arm=arm, augmentation=augmentation, rate=rate: paired(
                      RecipeTraining.jump, store.by_seed(arm, augmentation=augmentation, schedule=rate)))


def _small_rates(store: RecipeStore, table: Table) -> None:
    def of(augmentation: str, rate: str = "decay") -> dict[str, str]:
        return {"augmentation": augmentation, "schedule": rate}

    pairs = {f"2 rate: decay - {rate}, {augmentation}": (of(augmentation), of(augmentation, rate))
             for augmentation, rate in itertools.product((NONE, ZOOM), ("constant", "plateau"))}
    pairs |= {f"2 ingredient: rotation - none, {without}": (of(rotated), of(without))
              for rotated, without in ((SETS["rotation"], NONE), (SETS["public recipe"], ZOOM))}
    at = _at(SMALL_RATES)
    table.family("arm 10", {f"{at}{name}": _less(store, Training.accuracy, SMALL_RATES, one, other)
                            for name, (one, other) in pairs.items()})
    for augmentation, rate in itertools.product((NONE, ZOOM), ("constant", "plateau", "decay")):
        table.add(f"{at}2 rate, descriptive: mean jump, {rate}, {augmentation}",
                  lambda augmentation=augmentation, rate=rate: paired(
                      RecipeTraining.jump, store.by_seed(SMALL_RATES, **of(augmentation, rate))))


def _which_epoch(store: RecipeStore, table: Table, arm: str = PUBLIC) -> None:
    def nadam() -> dict[int, RecipeTraining]:
        return store.by_seed(arm, optimizer="Nadam")

    def on_validation() -> Computed:
        return paired(RecipeTraining.best_on_validation, nadam())

    def best_of_six(*six: Training) -> np.ndarray:
        accuracies = [one.accuracy() for one in six]
        return max(accuracies, key=lambda accuracy: accuracy[0]) - accuracies[0]

    def best_of(draw: int) -> Computed:
        runs = [one.accuracy()[0] for one in nadam().values()]
        return Row(expected_best(runs, draw)), len(runs)

    at, words = _at(arm), ("supported", "refuted")
    leak = f"{at}3 which epoch: best on test - last"
    table.add(leak, lambda: paired(RecipeTraining.best_on_test, nadam()))
    if table.rows[leak]["seeds"]:
        # It cannot be below 0.
        table.rows[leak] |= {"p": np.nan, "verdict": ""}
    if arm == PUBLIC:
        table.family("3 secondary", {
            "3 which epoch: best on the 16 images - last": (on_validation, words),
            "3 which epoch: lowest loss on patient-level validation - last":
                (lambda: paired(RecipeTraining.lowest_loss, store.by_seed(CAUSES, augmentation=ZOOM, balance="none")),
                 words)})
        table.add("3 which epoch, descriptive: best of six optimizers - Nadam", lambda: paired(
            best_of_six, *(store.by_seed(PUBLIC, optimizer=name) for name in IN_PAPER)))
    else:
        table.add(f"{at}3 which epoch, descriptive: best on the 16 images - last", on_validation)
    for draw in range(1, FEWEST_SEEDS + 1):
        table.add(f"{at}3 which epoch, descriptive: expected best of {draw} runs", functools.partial(best_of, draw))


def _imbalance(store: RecipeStore, arm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    # What both have won is won over the same trainings, which cancel.
    primary = _less(store, Training.specificity, arm, {"augmentation": ZOOM, "balance": "none"},
                    {"augmentation": NONE, "balance": "class-weight"})
    return ({f"{_at(arm)}4 imbalance: won by zoom - won by class weights": primary},
            {f"{_at(arm)}4 imbalance: {balance} - none, {augmentation}":
             _less(store, Training.accuracy, arm, {"augmentation": augmentation, "balance": balance},
                   {"augmentation": augmentation, "balance": "none"})
             for balance in ("class-weight", "oversample") for augmentation in (NONE, ZOOM)
             if store.has(arm, augmentation=augmentation, balance=balance)})


def _imbalance_rule(store: RecipeStore, table: Table, arm: str) -> None:
    def rule(augmentation: str) -> Computed:
        plain, balanced = (list(store.by_seed(arm, augmentation=augmentation, balance=balance).values())
                           for balance in ("none", "class-weight"))
        return cause(plain, balanced), len(plain)

    for augmentation in (NONE, ZOOM):
        if store.has(arm, augmentation=augmentation, balance="class-weight"):
            table.add(f"{_at(arm)}4 imbalance: cause, {augmentation}", functools.partial(rule, augmentation))


def _unbalanced(store: RecipeStore, arm: str, of: Callable[[RecipeTraining], Any]) -> Callable[[], Computed]:
    return lambda: paired(of, store.by_seed(arm, augmentation=NONE, balance="none"))


def _cause(store: RecipeStore, arm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    def missing(one: RecipeTraining) -> np.ndarray:
        return (one.alarms("test") - one.alarms("validation")) / 2

    forwards = _unbalanced(store, arm, lambda one: one.alarms("validation", "height 1.10") - one.alarms("validation")
                           - missing(one))
    backwards = _unbalanced(store, arm, lambda one: one.alarms("test") - one.alarms("test", "height 0.90")
                            - missing(one))
    return ({f"{_at(arm)}5 cause: F(height 1.10)": (forwards, SHARE)},
            {f"{_at(arm)}5 cause: T(height 0.90)": (backwards, SHARE)})


def _open_unless_missing(store: RecipeStore, table: Table, arm: str) -> None:
    """A share of what test has more in false alarms is open if it has not surely more."""
    for row in (_cause(store, arm)[0] | _cause(store, arm)[1]).keys() & table.rows:
        table.open_unless(row, _unbalanced(store, arm, lambda one: one.alarms("test") - one.alarms("validation")))


def _predictions(store: RecipeStore, table: Table, sets: str, probes: str) -> None:
    """A, B and crop: what each predicts of a share, that it is at least half or that it is less."""
    def rise(one: RecipeTraining, perturbation: str) -> np.ndarray:
        return one.alarms("validation", perturbation) - one.alarms("validation")

    def probed(perturbation: str) -> Callable[[], Computed]:
        return _unbalanced(store, probes, lambda one: rise(one, perturbation) - rise(one, "height 1.10") / 2)

    shares = {"F(width 0.90)": probed("width 0.90"), "F(size 1.10)": probed("size 1.10"),
              "width zoom": _gain(store, sets, WIDTH, HEIGHT), "zoom alike": _gain(store, sets, ALIKE, HEIGHT),
              "F(cropped height 1.10)": probed("cropped height 1.10"), "crop": _gain(store, sets, CROP, ZOOM)}
    predicted = {"A": dict(zip(shares, (True, False, True, False, False, False), strict=True)),
                 "B": dict(zip(shares, (False, True, False, True, False, False), strict=True)),
                 "crop": {"F(cropped height 1.10)": True, "crop": True}}
    wholes = {"width zoom": HEIGHT, "zoom alike": HEIGHT, "crop": ZOOM}
    validity = f"{_at(probes)}predictions: validity, F(height 1.10) - F(1)"
    table.add(validity, _unbalanced(store, probes, lambda one: rise(one, "height 1.10")), ("valid", "invalid"))
    for cause_name, predictions in predicted.items():
        names = [f"{_at(probes)}predictions: {cause_name}, {share}" for share in predictions]
        for name, (share, at_least) in zip(names, predictions.items(), strict=True):
            table.add(name, shares[share], ("supported", "refuted") if at_least else ("refuted", "supported"))
            if share in wholes:
                table.open_unless(name, _whole_gain(store, sets, wholes[share]))
        table.rows[f"{_at(probes)}predictions: {cause_name}"] = _on_all(
            table.rows[validity], [table.rows[name] for name in names])


def _on_all(validity: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict on several predictions, with the numbers of the one that decides."""
    verdicts = [row["verdict"] for row in rows]
    for reason in ("not finished", "cannot be tested"):
        if reason in [*verdicts, validity["verdict"]]:
            return vars(Row(verdict=reason)) | {"seeds": 0}
    seeds = min(row["seeds"] for row in rows)
    if validity["verdict"] != "valid":
        return validity | {"verdict": "open", "seeds": seeds}
    if against := [row for row in rows if row["verdict"] == "refuted"]:
        return min(against, key=lambda row: row["p"]) | {"seeds": seeds}
    verdict = "supported" if set(verdicts) == {"supported"} else "open"
    return max(rows, key=lambda row: row["p"]) | {"verdict": verdict, "seeds": seeds}


if __name__ == "__main__":
    second_recipe(Path(sys.argv[1]), Path(sys.argv[2])).to_csv(sys.stdout)
