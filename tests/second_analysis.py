"""The ledger's statistics and verdicts, programmed a second time: an oracle for the first.

Written from the words of ``reports/paper/protocol.yaml`` and from the store's files by somebody who had not read the
first programme, as trials of medicines are analysed twice. It imports nothing of the package. Where the words left a
choice, and the two had chosen differently without a verdict depending on it, it follows the first; the protocol's notes
list these choices.

Every quantity of a training is an array: its first element is measured on the images as they are, the others on
bootstrap samples of patients, so that a difference of quantities carries its own bootstrap.
"""

import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

SAMPLES = 1000
RIVALS = ["RMSprop", "Adam", "SGD", "AdaGrad", "Adadelta"]
DEFAULTS = {
    "preprocess": "plain", "interpolation": "area", "pad": False, "optimizer": "Nadam", "schedule": "constant",
    "weight_average": 0.0, "choose_by": "validation", "augmentation": "paper", "balance": "none", "batch_size": 32,
    "filters": [32, 64, 128, 256], "dropout": 0.2, "batch_norm": True, "batch_norm_momentum": 0.99,
    "validation": "patient", "validation_fraction": 0.15, "split_seed": 0, "max_training_images": None,
    "training_draw": None}
"""Of what an arm does not name, as the trials have it."""


class NotFinished(Exception):
    """An arm lacks trainings."""


class Untestable(Exception):
    """A finding needs what a diverged training did not leave."""


@dataclass(frozen=True)
class Row:
    """What a row of the ledger says in numbers."""

    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    verdict: str = ""
    p: float = np.nan


# ---------------------------------------------------------------- the store

class Store:
    """The trainings below a folder, by their recipe and seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.arms = yaml.safe_load((folder / "protocol.yaml").read_text())["arms"]
        self.selections = yaml.safe_load((folder / "selections.yaml").read_text())
        self.weights: dict[tuple[str, ...], np.ndarray] = {}
        self.trainings = {}
        for path in sorted((self.folder / "trials").glob("*.json")):
            record = json.loads(path.read_text())
            trial = record["trial"]
            recipe = trial["recipe"] | trial["recipe"]["images"]
            del recipe["images"]
            # No settings of the first study: trials that are written now state them, at their defaults.
            for later in ("score_every_epoch", "perturbations", "label_share", "teacher", "min_confidence"):
                recipe.pop(later, None)
            training = Training(self, path.stem, record["history"], bool(record["diverged"]))
            self.trainings[_identity(recipe, trial["seed"], trial["score_test"])] = training

    def cell(self, arm: str, **settings: Any) -> list["Training"]:
        """The trainings of one setting of an arm, a seed each; none unless the whole arm is there."""
        for recipe in self._recipes(arm):
            self._of_recipe(arm, recipe)
        return self._of_recipe(arm, self.arms[arm]["sweep"]["recipe"] | settings)

    def optimizer(self, arm: str, name: str) -> list["Training"]:
        """The trainings of an optimizer, at whatever learning rate it has in this arm."""
        self.cell(arm, **next(self._recipes(arm)))
        (recipe,) = (one for one in self._recipes(arm) if one["optimizer"] == name)
        return self._of_recipe(arm, recipe)

    def draws(self, images: pd.DataFrame) -> np.ndarray:
        """How often each image counts: once, then as patients are drawn within each class."""
        key = (images["split"].iloc[0], *images["path"])
        if key not in self.weights:
            generator = np.random.default_rng(zlib.crc32(key[0].encode()) + 1)
            counts = np.ones((1 + SAMPLES, len(images)))
            for label in ("NORMAL", "PNEUMONIA"):
                own = (images["label"] == label).to_numpy()
                patients, place = np.unique(images["patient"][own], return_inverse=True)
                drawn = generator.choice(len(patients), (SAMPLES, len(patients)))
                counts[1:, own] = np.array([np.bincount(sample, minlength=len(patients)) for sample in drawn])[:, place]
            self.weights[key] = counts
        return self.weights[key]

    @cached_property
    def test_images(self) -> pd.DataFrame:
        scored = next(one for one in self.trainings.values() if not one.diverged and len(one.images("test")))
        return scored.images("test")

    def _recipes(self, arm: str) -> Iterator[dict[str, Any]]:
        """Each setting of an arm."""
        sweep = self.arms[arm]["sweep"]
        chosen = self.arms[arm].get("selected_from")
        variants = self.selections[chosen]["variants"] if chosen else sweep.get("variants", [{}])
        for variant, values in itertools.product(variants, itertools.product(*sweep.get("grid", {}).values())):
            yield sweep["recipe"] | variant | dict(zip(sweep.get("grid", {}), values, strict=True))

    def _of_recipe(self, arm: str, named: dict[str, Any]) -> list["Training"]:
        recipe = DEFAULTS | named
        recipe.setdefault("learning_rate", 0.01 if recipe["optimizer"] == "SGD" else 0.001)
        sweep = self.arms[arm]["sweep"]
        keys = [_identity(recipe, seed, sweep.get("score_test", False)) for seed in sweep["seeds"]]
        if not all(key in self.trainings for key in keys):
            raise NotFinished(arm)
        return [self.trainings[key] for key in keys]


def _identity(recipe: dict[str, Any], seed: int, score_test: bool) -> str:
    return json.dumps([recipe, seed, score_test], sort_keys=True)


class Training:
    """One training, and what can be measured on it."""

    def __init__(self, store: Store, key: str, history: dict[str, list[float]], diverged: bool) -> None:
        self.store, self.key, self.diverged, self._history = store, key, diverged, history

    @cached_property
    def _scores(self) -> pd.DataFrame:
        return pd.read_csv(self.store.folder / "scores" / f"{self.key}.csv.gz").sort_values("path")

    def images(self, split: str) -> pd.DataFrame:
        if not self.diverged:
            return self._scores[self._scores["split"] == split]
        if split != "test":
            raise Untestable
        return self.store.test_images.assign(score=1.0)

    def history(self, name: str) -> np.ndarray:
        if self.diverged:
            raise Untestable
        return np.array(self._history[name], float)

    def correct(self, split: str, label: str = "", threshold: float = 0.5) -> np.ndarray:
        """Their share of the images of a label, or of all; each question is answered once."""
        answers, question = self.__dict__.setdefault("answers", {}), (split, label, threshold)
        if question not in answers:
            answers[question] = self._correct(*question)
        return answers[question]

    def _correct(self, split: str, label: str, threshold: float) -> np.ndarray:
        images = self.images(split)
        right = ((images["score"] >= threshold) == (images["label"] == "PNEUMONIA")).to_numpy()
        chosen = (images["label"] == label).to_numpy() | (not label)
        weights = self.store.draws(images)[:, chosen]
        return weights @ right[chosen] / weights.sum(axis=1)

    def accuracy(self) -> np.ndarray:
        return self.correct("test")

    def specificity(self, split: str = "test", threshold: float = 0.5) -> np.ndarray:
        return self.correct(split, "NORMAL", threshold)

    def metric(self, name: str) -> float:
        """One of the five of the paper's final model, on the test images as they are."""
        images = self.images("test")
        positive, ill = images["score"] >= 0.5, images["label"] == "PNEUMONIA"
        hits = (positive & ill).sum()
        return {"accuracy": (positive == ill).mean(), "sensitivity": hits / ill.sum(),
                "precision": hits / positive.sum(), "specificity": (~positive & ~ill).sum() / (~ill).sum(),
                "f1": 2 * hits / (positive.sum() + ill.sum())}[name]

    def log_loss(self) -> np.ndarray:
        """The logarithm of the cross-entropy on test."""
        if self.diverged:
            raise Untestable
        images = self.images("test")
        # Keras keeps scores so far away from 0 and 1.
        score = images["score"].clip(1e-7, 1 - 1e-7)
        each = -np.log(score.where(images["label"] == "PNEUMONIA", 1 - score)).to_numpy()
        weights = self.store.draws(images)
        return np.log(weights @ each / weights.sum(axis=1))

    def gain_on_test(self) -> np.ndarray:
        """Accuracy on test - that on validation, weighted to the class shares of test."""
        ill = (self.images("test")["label"] == "PNEUMONIA").mean()
        on_validation = (ill * self.correct("validation", "PNEUMONIA")
                         + (1 - ill) * self.correct("validation", "NORMAL"))
        return self.accuracy() - on_validation

    def youden(self) -> float:
        """Where sensitivity + specificity on validation is greatest: between two scores; of equals the highest."""
        images = self.images("validation")
        ill = np.sort(images["score"][images["label"] == "PNEUMONIA"])
        well = np.sort(images["score"][images["label"] == "NORMAL"])
        at = np.unique(images["score"])
        both = 1 - np.searchsorted(ill, at) / len(ill) + np.searchsorted(well, at) / len(well)
        best = np.flatnonzero(both >= both.max() - 1e-12)[-1]
        return (at[best] + (at[best - 1] if best else 0)) / 2

    def rise(self) -> float:
        """The logarithm of validation loss over the last three epochs - that over the three in the middle."""
        logarithms, middle = np.log(self.history("val_loss")), (len(self.history("val_loss")) - 3) // 2
        return logarithms[-3:].mean() - logarithms[middle:middle + 3].mean()

    def learnt(self) -> bool:
        share = (self.images("validation")["label"] == "PNEUMONIA").mean()
        return self.history("val_accuracy").max() > max(share, 1 - share) + 1e-6

    def jump(self) -> float:
        """Of balanced validation accuracy from epoch to epoch, the third to the fourth first."""
        ill, sensitivity = (self.images("validation")["label"] == "PNEUMONIA").mean(), self.history("val_sensitivity")
        specificity = (self.history("val_accuracy") - ill * sensitivity) / (1 - ill)
        return np.abs(np.diff((sensitivity + specificity)[2:] / 2)).mean()


# ---------------------------------------------------------------- statistics

def new_run(runs: list[float]) -> tuple[float, float]:
    n, spread = len(runs), np.std(runs, ddof=1)
    half = stats.t.ppf(0.975, n - 1) * spread * np.sqrt(1 + 1 / n)
    return np.mean(runs) - half, np.mean(runs) + half


def over_seeds(rows: list[Any]) -> Row:
    """The mean over seeds; its variance is that over seeds, and that over samples of patients where there are some."""
    values = np.array([np.atleast_1d(row) for row in rows], float)
    n, mean = len(values), values[:, 0].mean()
    variance = values[:, 0].var(ddof=1) / n + (values[:, 1:].mean(axis=0).var(ddof=1) if values.shape[1] > 1 else 0)
    error, degrees = np.sqrt(variance), n - 1
    p = 2 * stats.t.sf(abs(mean) / error, degrees) if error else float(mean == 0)
    half = stats.t.ppf(0.975, degrees) * error
    return Row(mean, mean - half, mean + half, p=p)


def holm(p_values: list[float]) -> np.ndarray:
    """Holm 1979: the smallest p times how many there are, the next times one less, and so on; none below the last."""
    order = np.argsort(p_values)
    corrected = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(corrected, 1)[np.argsort(order)]


def judged(*rows: Row) -> Row:
    """Of several differences, each positive where the claim holds: the one that decides, with the verdict on all."""
    corrected = holm([row.p for row in rows])
    sure = [row for row, p in zip(rows, corrected, strict=True) if p < 0.05]
    against = [row for row in sure if row.value < 0]
    verdict = "refuted" if against else "supported" if len(sure) == len(rows) else "open"
    decides = min(against, key=lambda row: row.p) if against else max(rows, key=lambda row: row.p)
    return with_verdict(decides, verdict)


def with_verdict(row: Row, verdict: str) -> Row:
    return Row(row.value, row.low, row.high, verdict, row.p)


def difference(first: list[Training], second: list[Training], quantity: Callable[[Training], Any]) -> Row:
    return over_seeds([quantity(one) - quantity(other) for one, other in zip(first, second, strict=True)])


# ---------------------------------------------------------------- the claims

def number(claimed: float, runs: list[float], of_loss: bool = False) -> Row:
    """Of a loss, ``runs`` are logarithms."""
    low, high = new_run(runs)
    median = np.median(runs)
    if of_loss:
        low, high, median = np.exp(low), np.exp(high), np.median(np.exp(runs))
    else:
        low, high = max(low, 0.0), min(high, 1.0)
    near = abs(claimed - median) < 0.02 + 1e-9
    verdict = "not reproduced" if not low <= claimed <= high else "reproduced" if near else "compatible"
    return Row(median, low, high, verdict)


def nadam_is_best(store: Store, arm: str, quantity: Callable[[Training], Any], sign: int = 1) -> Row:
    nadam = store.optimizer(arm, "Nadam")
    return judged(*(difference(nadam, store.optimizer(arm, rival), lambda one: sign * quantity(one))
                    for rival in RIVALS))


def lead(store: Store, rival: str, claimed: float) -> Row:
    pairs = [one.accuracy()[0] - other.accuracy()[0] for one, other in
             zip(store.optimizer("1-as-published", "Nadam"), store.optimizer("1-as-published", rival), strict=True)]
    low, high = new_run(pairs)
    return Row(np.mean(pairs), low, high, "open" if low <= claimed <= high else "refuted")


def cause(plain: list[Training], balanced: list[Training]) -> Row:
    """Of false alarms at 0.5: is it imbalance?"""
    alarms = over_seeds([1 - one.specificity() for one in plain])
    ended = over_seeds([other.specificity() - one.specificity() - (1 - one.specificity()) / 2
                        for one, other in zip(plain, balanced, strict=True)])
    gained = difference(balanced, plain, Training.accuracy)
    on_both = over_seeds([1 - one.specificity("validation") - (1 - one.specificity()) / 2 for one in plain])
    if alarms.low <= 0:
        return with_verdict(ended, "open")
    if ended.high < 0:
        return with_verdict(ended, "refuted")
    return with_verdict(ended, "supported" if min(ended.low, gained.low, on_both.low) > 0 else "open")


def cause_beyond_threshold(plain: list[Training], balanced: list[Training]) -> Row:
    """Of what is lost between validation and test, each training at its own threshold: is it imbalance?"""
    def lost(one: Training) -> np.ndarray:
        threshold = one.youden()
        return one.specificity("validation", threshold) - one.specificity("test", threshold)

    beyond = over_seeds([lost(one) / 2 - lost(other) for one, other in zip(plain, balanced, strict=True)])
    return judged(beyond) if over_seeds([lost(one) for one in plain]).low > 0 else with_verdict(beyond, "open")


def over_fits(without: list[Training], with_it: list[Training]) -> Row:
    if not all(one.learnt() for one in without + with_it):
        raise Untestable
    found = judged(difference(without, with_it, Training.rise))
    rises = over_seeds([one.rise() for one in without])
    return with_verdict(found, "open") if found.verdict == "supported" and rises.low <= 0 else found


def generalises(nadam: list[Training]) -> Row:
    gain = over_seeds([one.gain_on_test() for one in nadam])
    verdict = "supported" if gain.low > -0.02 else "refuted" if gain.high < -0.02 else "open"
    return with_verdict(gain, verdict)


def beats_ridge(store: Store, nadam: list[Training]) -> Row:
    baseline = pd.read_csv(store.folder / "floor" / "scores.csv.gz").sort_values("path")
    ridge = baseline[(baseline["split"] == "test") & baseline["model"].str.startswith("ridge")]
    images = nadam[0].images("test")
    assert ridge["path"].tolist() == images["path"].tolist()
    right = ((ridge["score"] >= 0.5) == (ridge["label"] == "PNEUMONIA")).to_numpy()
    weights = store.draws(images)
    return judged(over_seeds([one.accuracy() - weights @ right / weights.sum(axis=1) for one in nadam]))


def second_ledger(folder: Path, claims: pd.DataFrame) -> pd.DataFrame:
    """The rows that rest on trainings.

    Args:
        folder: holds ``protocol.yaml``, ``selections.yaml`` and ``store/``.
        claims: the ledger, of which ``claim`` and ``paper``, the paper's value, are read.

    Returns:
        ``value``, ``low``, ``high`` and ``verdict`` by ``claim``.
    """
    store, rows = Store(folder), {}
    for claim, judge in _judges(store, claims.set_index("claim")["paper"]).items():
        try:
            rows[claim] = judge()
        except NotFinished:
            rows[claim] = Row(verdict="not finished")
        except Untestable:
            rows[claim] = Row(verdict="cannot be tested")
    return pd.DataFrame({claim: vars(row) for claim, row in rows.items()}).T.drop(columns="p").rename_axis("claim")


def _judges(store: Store, in_paper: pd.Series) -> dict[str, Callable[[], Row]]:
    """By claim, what judges it when it is called."""
    def claimed(claim: str) -> float:
        text = in_paper[claim]
        return float(text.rstrip(" %")) / (100 if text.endswith("%") else 1)

    def published(name: str = "Nadam") -> list[Training]:
        return store.optimizer("1-as-published", name)

    def treated(balance: str, augmentation: str = "none") -> list[Training]:
        return store.cell("4a-treatments", balance=balance, augmentation=augmentation)

    def share(normal: float) -> list[Training]:
        return store.cell("4b-shares", training_draw=[1500, normal])

    def large(balance: str) -> list[Training]:
        return store.cell("4c-treatments-224", balance=balance, augmentation="paper")

    def assumed(**settings: Any) -> list[Training]:
        return store.cell("6-assumptions", **({"epochs": 8, "batch_norm_momentum": 0.9} | settings))

    def prepared(preprocess: str) -> list[Training]:
        return store.cell("3-preprocessing", preprocess=preprocess)

    def design(validation: str) -> list[Training]:
        return store.cell("5-validation-designs", validation=validation)

    def compared(first: list[Training], second: list[Training], quantity: Callable[[Training], Any]) -> Row:
        return judged(difference(first, second, quantity))

    judges: dict[str, Callable[[], Row]] = {}
    for name in ("Nadam", *RIVALS):
        for claim, quantity, of_loss in ((f"test accuracy with {name}", Training.accuracy, False),
                                         (f"test loss with {name}", Training.log_loss, True)):
            judges[claim] = lambda claim=claim, name=name, quantity=quantity, of_loss=of_loss: number(
                claimed(claim), [quantity(one)[0] for one in published(name)], of_loss)
    for metric in ("accuracy", "sensitivity", "precision", "specificity", "f1"):
        claim = f"{metric} of the final model"
        judges[claim] = lambda claim=claim, metric=metric: number(
            claimed(claim), [one.metric(metric) for one in published()])
    for rival in RIVALS:
        claim = f"Nadam's lead over {rival}, in test accuracy"
        judges[claim] = lambda claim=claim, rival=rival: lead(store, rival, claimed(claim))
    because = "imbalance causes these false alarms"
    return judges | {
        "Nadam is the best optimizer: highest test accuracy":
            lambda: nadam_is_best(store, "1-as-published", Training.accuracy),
        "Nadam is the best optimizer: lowest test loss":
            lambda: nadam_is_best(store, "1-as-published", Training.log_loss, -1),
        "Nadam is the best optimizer, each at a learning rate of its own":
            lambda: nadam_is_best(store, "2b-fair", Training.accuracy),
        "Nadam can converge faster (here: fastest of the six)":
            lambda: nadam_is_best(store, "1-as-published", lambda one: one.history("loss").mean(), -1),
        "RMSprop has a higher loss than Adadelta, the last by accuracy (follows from the table)":
            lambda: compared(published("RMSprop"), published("Adadelta"), Training.log_loss),
        "processing for a better training effect: histogram equalisation":
            lambda: compared(prepared("equalize"), prepared("plain"), Training.accuracy),
        "processing for a better training effect: greyscale inversion":
            lambda: compared(prepared("invert"), prepared("plain"), Training.accuracy),
        "augmentation improved the model":
            lambda: compared(treated("none", "paper"), treated("none"), Training.accuracy),
        "more convolution layers improved the model (here: four against three)":
            lambda: compared(assumed(), assumed(filters=[32, 64, 128]), Training.accuracy),
        "batch normalisation improved the model":
            lambda: compared(assumed(), assumed(batch_norm=False), Training.accuracy),
        "dropout improves generalisation":
            lambda: compared(assumed(), assumed(dropout=0.0), Training.accuracy),
        "deep networks beat traditional machine learning (here: Nadam's network against ridge on 16 x 16 pixels)":
            lambda: beats_ridge(store, published()),
        "without processing, many NORMAL images are predicted PNEUMONIA (here: more than by its final model)":
            lambda: judged(over_seeds([1 - one.specificity() - 29 / 234 for one in treated("none")])),
        f"{because} (here: at least half of them)": lambda: cause(treated("none"), treated("class-weight")),
        f"{because} (the same at 224 px)": lambda: cause(large("none"), large("class-weight")),
        f"{because} (so training on equal shares ends them)": lambda: cause(share(0.26), share(0.5)),
        f"{because} (here: those left when the threshold is set on validation)":
            lambda: cause_beyond_threshold(treated("none"), treated("class-weight")),
        f"{because} (here: those left when the threshold is set on validation, so that equal shares end them)":
            lambda: cause_beyond_threshold(share(0.26), share(0.5)),
        "flips and shifts make up for the imbalance (here: fewer false alarms)":
            lambda: compared(treated("none", "paper"), treated("none"), Training.specificity),
        "augmentation prevents over-fitting": lambda: over_fits(treated("none"), treated("none", "paper")),
        "imbalance makes for over-fitting": lambda: over_fits(treated("none"), treated("class-weight")),
        "dropout prevents over-fitting": lambda: over_fits(assumed(dropout=0.0), assumed()),
        "training accuracy and loss converge (here: both end better than they begin)":
            lambda: judged(over_seeds([one.history("loss")[0] - one.history("loss")[-1] for one in published()]),
                           over_seeds([one.history("accuracy")[-1] - one.history("accuracy")[0]
                                       for one in published()])),
        "validation accuracy fluctuates because validation is small (so a larger one halves it)":
            lambda: judged(over_seeds([small.jump() / 2 - other.jump() for small, other in
                                       zip(design("published"), design("patient"), strict=True)])),
        "the model generalises well (here: accuracy on test is that on validation, within two percentage points)":
            lambda: generalises(published()),
    }
