"""An invented store of the second study, with effects that are known."""

from collections.abc import Callable, Collection
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from covidcnn.evaluation.scores import score_columns
from covidcnn.study.conditions import Evidence, read_evidence
from covidcnn.study.protocol import Protocol, read_protocol, read_study
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import TrialResult

FACTS = {"seconds": 1.0, "finished": "2020-01-01T00:00:00+00:00", "versions": {}, "git commit": "unknown"}


@cache
def _images(split: str, count: int = 160) -> pd.DataFrame:
    number = np.arange(count)
    label = np.where(number % 2, "NORMAL", "PNEUMONIA")
    return pd.DataFrame({"split": split, "path": [f"{split}/{one}.jpeg" for one in number], "label": label,
                         "subtype": "", "patient": [f"{split}{one // 2}" for one in number]})


def invented_result(trial: Trial, world: str) -> TrialResult:
    """What a training would leave where the network reads the height of a chest as PNEUMONIA ('B'), its height against
    its width ('A'), or neither, and test NORMAL images look taller ('A', 'B') or brighter ('neither').

    Zoom in height cures the first, in 'A' zoom in width as well; nothing else does anything. The epochs of a training
    at a constant rate swing. The sixth optimizer is bad, the others are equal.
    """
    recipe = trial.recipe
    shared = np.random.default_rng(trial.seed)
    own = np.random.default_rng([trial.seed, int(trial.key[:8], 16)])
    stretched = {"B": {"paper and height zoom", "paper and zoom", "paper and zoom alike", "public recipe"},
                 "A": {"paper and height zoom", "paper and width zoom", "paper and zoom", "public recipe"},
                 "neither": set()}[world]
    reads = 0 if recipe.augmentation in stretched or world == "neither" else 25
    numbers = [f"epoch {epoch}" for epoch in range(1, recipe.epochs + 1)]
    tables = []
    for split in ("validation", "test"):
        images = _images(split)
        positive = (images["label"] == "PNEUMONIA").to_numpy()
        logit = np.where(positive, 2.5, -2.5) * (0.1 if recipe.optimizer == "Adadelta" else 1)
        logit = logit + shared.normal(0, 1, len(images)) + own.normal(0, 0.1, len(images))
        if split == "test":
            logit = logit + ~positive * (0.11 * reads if world != "neither" else 2)
        swing = 1.5 if recipe.schedule == "constant" else 0.1
        by_epoch = [logit + own.normal(0, swing) for _ in range(1, recipe.epochs)] + [logit]
        moved = [("", logit)]
        for name in recipe.perturbations:
            axis, factor = name.rsplit(" ", 1)
            taller = {"height": 1, "width": -(world == "A"), "size": world == "B", "cropped height": 0}[axis]
            moved.append((name, logit + taller * reads * (float(factor) - 1)))
        table = pd.concat([images] * len(moved), ignore_index=True)
        table["perturbation"] = np.repeat([name for name, _ in moved], len(images))
        # After each epoch images are scored as they are.
        epochs = np.full((len(table), recipe.epochs), np.nan)
        epochs[:len(images)] = np.transpose(by_epoch)
        logits = np.column_stack([np.concatenate([value for _, value in moved]), epochs])
        tables.append(table.join(pd.DataFrame((1 / (1 + np.exp(-logits))).astype("float32").astype(float),
                                              columns=["score", *numbers])))
    scores = pd.concat(tables, ignore_index=True)
    history = pd.DataFrame({name: np.linspace(start, end, recipe.epochs) for name, start, end in (
        ("loss", 0.5, 0.1), ("accuracy", 0.8, 0.97), ("sensitivity", 0.8, 0.97), ("val_loss", 0.5, 0.1),
        ("val_accuracy", 0.8, 0.97), ("val_sensitivity", 0.8, 0.97))},
        index=pd.RangeIndex(1, recipe.epochs + 1, name="epoch"))
    kept = scores if trial.score_test else scores[scores["split"] == "validation"]
    return TrialResult(trial, history, kept[[*score_columns(), *numbers]].reset_index(drop=True), "", FACTS)


class InventedStore:
    """Results that stand in no file: made when they are asked for."""

    def __init__(self, folder: Path, protocol: Protocol, make: Callable[[Trial], TrialResult],
                 arms: Collection[str] = ()) -> None:
        """``arms`` are those that are finished; none given means all whose trials are known."""
        self.folder, self._make = folder, make
        self._trials = {trial.key: trial for name, trials in protocol.known_trials().items()
                        for trial in trials or () if name in (arms or protocol.arms)}

    def is_finished(self, trial: Trial) -> bool:
        return trial.key in self._trials

    def has_scores(self, trial: Trial) -> bool:
        # So that none need be in an access log.
        return False

    def read(self, key: str) -> TrialResult:
        return self._make(self._trials[key])


def invented_study(folder: Path, world: str, seeds: int = 5) -> Evidence:
    """The second study's protocol with the first seeds of each arm, all of them finished."""
    protocol = protocol_of("recipe", folder, seeds)
    return read_evidence(protocol, InventedStore(folder, protocol, partial(invented_result, world=world)))


def write_invented_study(folder: Path, world: str, seeds: int = 5) -> None:
    """The same as files."""
    protocol = protocol_of("recipe", folder, seeds)
    store = TrialStore(folder / "store")
    store.prepare()
    for name in protocol.arms:
        for trial in protocol.trials(name):
            store.write(invented_result(trial, world))


def protocol_of(study: str, folder: Path, seeds: int) -> Protocol:
    """A study's protocol with the first seeds of each arm."""
    value = yaml.safe_load(read_study(study).path.read_text(encoding="utf-8"))
    for arm in value["arms"].values():
        arm["sweep"]["seeds"] = arm["sweep"]["seeds"][:seeds]
    (folder / "protocol.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    return read_protocol(folder / "protocol.yaml")
