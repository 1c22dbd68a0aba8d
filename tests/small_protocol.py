"""A protocol with an arm that tunes, one that takes up what it selects, and one that does neither."""

import numpy as np
import pandas as pd
import yaml
from stub import stub_trainer

from covidcnn.study.protocol import Protocol, read_protocol
from covidcnn.training.result import Diverged, Training

VALUE = {
    "data": "a" * 64,
    "rules": {"epoch": "the best"},
    "arms": {
        "tuning": {"question": "Which rate?", "select": "optimizer", "sweep": {
            "seeds": [100, 101], "recipe": {"epochs": 3, "precision": "float32"},
            "grid": {"optimizer": ["Nadam", "SGD"], "learning_rate": [0.1, 0.01, 0.001]}}},
        "fair": {"question": "Who is best?", "selected_from": "tuning", "sweep": {
            "seeds": [0, 1], "score_test": True, "recipe": {"epochs": 4, "precision": "float32"}}},
        "plain": {"question": "As it is.", "sweep": {
            "seeds": [0, 1], "score_test": True, "recipe": {"epochs": 5, "precision": "float32"}}},
    },
}
BEST = {"Nadam": 0.01, "SGD": 0.1}


def write_protocol(folder, value=VALUE) -> Protocol:
    path = folder / "protocol.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return read_protocol(path)


def tuned(dataset, trial, folder, report):
    """Losses that are lowest at a known learning rate; the highest one of Nadam diverges."""
    if (trial.recipe.optimizer, trial.recipe.learning_rate) == ("Nadam", 0.1):
        raise Diverged("no number")
    distance = abs(np.log10(trial.recipe.learning_rate / BEST[trial.recipe.optimizer]))
    history = pd.DataFrame({"loss": [1, 1, 1], "val_loss": np.array([3, 1, 2]) + distance + trial.seed / 1000},
                           index=pd.RangeIndex(1, 4, name="epoch"))
    return Training(None, history, stub_trainer(dataset, trial, folder, report).scores, interrupted=False)


def run_arm(protocol, store, name, trainer=tuned):
    for trial in protocol.trials(name):
        store.run(None, trial, trainer=trainer)
