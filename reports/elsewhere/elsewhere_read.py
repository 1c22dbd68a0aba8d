"""What ``elsewhere.py`` scored, read from ``scores/``."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from covidcnn.errors import DataError
from covidcnn.evaluation.statistics import Terms, patient_draws
from covidcnn.task import PNEUMONIA

AS_THEY_ARE = "as they are"
PLACES = ("test", "PneumoniaMNIST")
SEEDS = 5
"""Of each network, as the third study has them."""


@dataclass(frozen=True)
class Scored:
    """What was scored with the models of one network, a seed each."""

    seeds: tuple[int, ...]
    thresholds: np.ndarray
    """float (seeds,)."""
    tables: tuple[pd.DataFrame, ...]
    """Of the test images by path, the same for each seed: ``patient``, ``label``, and a column for each way in which
    they were scored."""
    small: tuple[pd.DataFrame, ...]
    """Of the test images of PneumoniaMNIST: ``patient``, ``label``, ``score``."""
    facts: tuple[dict[str, Any], ...]

    @cached_property
    def images(self) -> pd.DataFrame:
        one = self.tables[0]
        return one[["patient", "label"]].assign(positive=PNEUMONIA.encode(one["label"]))

    @cached_property
    def draws(self) -> np.ndarray:
        """Of the patients of the test images."""
        return patient_draws(self.images)

    def scores(self, view: str) -> np.ndarray:
        """float (seeds, images)."""
        return np.array([table[view] for table in self.tables])

    def predicted(self, view: str) -> np.ndarray:
        """1 where the positive class is predicted, else 0: float (seeds, images)."""
        return (self.scores(view) >= self.thresholds[:, np.newaxis]).astype(float)

    def lost(self, view: str, factor: float = 1.0) -> Terms:
        """The terms of the accuracy that is lost, ``factor`` times."""
        return [(factor, self.predicted(AS_THEY_ARE)), (-factor, self.predicted(view))]


Networks = Mapping[str, Scored]


def read_scores(folder: Path, design: Mapping[str, Any]) -> dict[str, Scored]:
    """What is scored, by the names of the networks, in the order of the design; those of which all seeds are there.

    Raises:
        DataError: there is none, or it was scored by another design.
    """
    facts = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    networks = {}
    for name in design["models"]:
        own = sorted(((one["seed"], path) for path, one in facts.items() if one["network"] == name))
        if others := [path for _, path in own if facts[path]["design"] != digest(design)]:
            raise DataError(f"{others[0]}: scored by another design; remove it and the file beside it, and score again")
        if len(own) >= SEEDS:
            tables = [pd.read_csv(path.with_suffix(".csv.gz"), keep_default_na=False, na_values=[""],
                                  float_precision="round_trip")
                      for _, path in own]
            networks[name] = Scored(
                tuple(seed for seed, _ in own), np.array([facts[path]["threshold"] for _, path in own]),
                tuple(table[table["place"] == PLACES[0]].sort_values("path", ignore_index=True) for table in tables),
                tuple(table.loc[table["place"] == PLACES[1], ["patient", "label", AS_THEY_ARE]].rename(
                    columns={AS_THEY_ARE: "score"}) for table in tables),
                tuple(facts[path] for _, path in own))
    if not networks:
        raise DataError(f"{folder}: no network with {SEEDS} seeds; elsewhere.py score fills it")
    return networks


def digest(design: Mapping[str, Any]) -> str:
    """Of everything in the design but its notes."""
    return hashlib.sha256(json.dumps({name: part for name, part in design.items() if name != "notes"}, sort_keys=True
                                     ).encode()).hexdigest()
