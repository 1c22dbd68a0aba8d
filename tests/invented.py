"""A store of invented scores that stand in every arm of the paper's protocol, with effects that are known."""

from functools import cache

import numpy as np
import pandas as pd
import yaml

from covidcnn.evaluation.scores import score_columns
from covidcnn.paper.study_folders import PROTOCOL
from covidcnn.study.access_log import freeze, log_access, open_store
from covidcnn.study.protocol import Protocol, read_protocol, write_selection
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import Trial
from covidcnn.trials.work import TrialResult

IMAGES = 600
SEEDS = [0, 1, 2]
FACTS = {"seconds": 1.0, "finished": "2020-01-01T00:00:00+00:00", "versions": {}, "git commit": "unknown"}


@cache
def invented_images() -> pd.DataFrame:
    """As many validation as test images; every patient has two, and a third are NORMAL."""
    number = np.arange(IMAGES)
    label = np.where(number % 3 == 0, "NORMAL", "PNEUMONIA")
    images = pd.DataFrame({"path": [f"test/{one}/image{place}.jpeg" for one, place in zip(label, number, strict=True)],
                          "label": label, "subtype": np.where(label == "NORMAL", "normal",
                                                              np.where(number % 2, "bacteria", "virus")),
                          "patient": [f"p{place // 6}-{place % 3}" for place in number], "split": "test",
                          "perturbation": ""})
    return pd.concat([images.assign(split="validation", path=images["path"].str.replace("test/", "train/")), images],
                     ignore_index=True)


def invented_result(trial: Trial, cause: str = "shift") -> TrialResult:
    """What a training would leave if the false alarms had a known cause.

    Under 'shift' NORMAL test images score higher whatever balancing does, unless grey levels were varied. Under
    'imbalance' the boundary lies elsewhere, for all images alike, unless training was balanced; under 'imbalance and
    shift' NORMAL test images score a little higher besides. Under 'hard images' some NORMAL images score higher unless
    training was balanced, more of them on test, so that no threshold makes up for it. Under 'together' imbalance does
    harm only where test images are shifted. Under 'surrender' what is balanced calls every image NORMAL. Adadelta is
    bad; all others are equal.
    """
    recipe = trial.recipe
    # Of the seed alone: what is compared differs by its effect, and by a little noise of its own.
    generator = np.random.default_rng(trial.seed)
    noise = np.random.default_rng([trial.seed, int(trial.key[:8], 16)])
    images = invented_images().copy()
    positive, is_test = (images["label"] == "PNEUMONIA").to_numpy(), (images["split"] == "test").to_numpy()
    logit = np.where(positive, 2.0, -2.0) * (0.2 if recipe.optimizer == "Adadelta" else 1.0)
    imbalanced = recipe.balance == "none" and not (recipe.training_draw and recipe.training_draw[1] >= 0.5)
    if cause == "shift":
        logit += 1.5 * (~positive & is_test) * (recipe.augmentation != "intensity")
    elif cause == "hard images":
        # Eleven of twenty NORMAL images of validation, fifteen of twenty of test.
        logit += 4.0 * (imbalanced & ~positive & (np.arange(len(images)) // 3 % 20 < 11 + 4 * is_test))
    elif cause == "together":
        logit += 1.05 * imbalanced + ~positive * (1.5 * is_test - 1.0)
    elif cause == "surrender":
        logit += np.where(imbalanced, 2.4, -12.0)
    else:
        logit += 2.4 * imbalanced + 0.5 * (cause == "imbalance and shift") * (~positive & is_test)
    logit += generator.normal(0, 1, len(images)) + noise.normal(0, 0.1, len(images))
    images["score"] = (1 / (1 + np.exp(-logit))).astype("float32").astype(float)
    epochs = np.arange(1, recipe.epochs + 1)
    jump = 0.1 if recipe.validation == "published" else 0.01
    overfits = recipe.augmentation == "none" or recipe.model.dropout == 0
    slower = 0 if recipe.optimizer == "Nadam" else 0.1
    history = pd.DataFrame({
        "loss": 1 / epochs + slower + noise.uniform(0, 0.02, len(epochs)), "accuracy": 1 - 0.3 / epochs,
        "val_loss": 1 / epochs + overfits * 0.1 * epochs + noise.uniform(0, 0.02, len(epochs)),
        **dict.fromkeys(("val_accuracy", "val_sensitivity"),
                        0.9 + jump * (epochs % 2) + noise.uniform(0, 0.005, len(epochs))),
        "shifted_val_loss": 1 / epochs + noise.uniform(0, 0.02, len(epochs))},
        index=pd.RangeIndex(1, len(epochs) + 1, name="epoch"))
    kept = images if trial.score_test else images[images["split"] == "validation"]
    return TrialResult(trial, history, kept[score_columns()].reset_index(drop=True), "", FACTS)


def invented_store(folder, cause: str = "shift", seeds: list[int] = SEEDS, arms: str | tuple[str, ...] = ""
                   ) -> tuple[Protocol, TrialStore]:
    """The paper's protocol with fewer seeds an arm, all arms finished and selected; or those whose names begin so."""
    value = yaml.safe_load(PROTOCOL.read_text(encoding="utf-8"))
    value["arms"] = {name: arm for name, arm in value["arms"].items() if name.startswith(arms)}
    for arm in value["arms"].values():
        arm["sweep"]["seeds"] = seeds
    (folder / PROTOCOL.name).write_text(yaml.safe_dump(value, sort_keys=False))
    protocol = read_protocol(folder / PROTOCOL.name)
    store = open_store(folder / "store")
    store.prepare()
    for name in sorted(protocol.arms, key=lambda name: not protocol.arm(name).select):
        for trial in protocol.trials(name):
            if not store.is_finished(trial):
                store.write(invented_result(trial, cause))
        if protocol.arm(name).select:
            write_selection(protocol, name, store)
    freeze(protocol, store)
    scored = {trial.key: (arm, trial) for arm in protocol.arms
              for trial in protocol.trials(arm) if trial.score_test}
    for arm, trial in scored.values():
        log_access(protocol, trial.key, arm, trial.recipe.precision)
    return protocol, store


def invented_baseline(folder) -> None:
    """Scores of the baseline on the invented images: half of the calls are right."""
    images = invented_images().replace({"split": {"validation": "train"}})
    score = np.where(np.arange(len(images)) % 2, 0.9, 0.1)
    table = pd.concat([images.assign(score=score, model=model) for model in
                       ("ridge, 16 x 16 pixels", "1-nearest neighbour, 16 x 16 pixels")])
    (folder / "floor").mkdir()
    table.to_csv(folder / "floor" / "scores.csv.gz", index=False)

