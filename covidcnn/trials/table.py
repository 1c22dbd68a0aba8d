"""Finished trials as one tidy table."""

from collections.abc import Iterable
from contextlib import suppress

import pandas as pd

from covidcnn.errors import UserError, named
from covidcnn.models.registry import MODELS
from covidcnn.training.comparison import summaries
from covidcnn.training.recipe import fields_of, settings_of
from covidcnn.trials.store import seconds_of
from covidcnn.trials.work import TrialResult

RESULT_COLUMNS = ("best epoch", "validation loss", "validation accuracy", "validation sensitivity",
                  "validation specificity", "validation AUC", "test loss", "test accuracy", "test sensitivity",
                  "test specificity", "test AUC", "seconds", "diverged")


def settings(result: TrialResult) -> dict[str, object]:
    """All settings of a trial by name, those of the images too."""
    trial = result.trial
    found = {name: _listed(value) for name, value in settings_of(trial.recipe).items()}
    return found | {"task": str(trial.task), "seed": trial.seed, "score_test": trial.score_test, "data": trial.data,
                    "version": trial.version}


def _listed(value: object) -> object:
    """A tuple as text: '32-64' of numbers, 'train, test' of names."""
    if not isinstance(value, tuple):
        return value
    return ("-" if all(isinstance(entry, int | float) for entry in value) else ", ").join(map(str, value))


def trial_table(results: Iterable[TrialResult]) -> pd.DataFrame:
    """A row a trial, indexed by its key: all settings, then ``RESULT_COLUMNS`` at threshold 0.5, empty of what was not
    scored or has diverged. A UserError if the trials are of different recipe versions: their results do not compare."""
    rows = []
    for result in results:
        row = settings(result) | {"seconds": seconds_of(result.facts), "diverged": result.diverged}
        if not result.diverged:
            row["best epoch"] = result.best_epoch
            judged = result.scores[result.scores["split"].isin(["validation", "test"])]
            row |= {f"{split} {name}": value for split, figures in summaries(judged, result.task).items()
                    for name, value in figures.items()}
        rows.append(row | {"key": result.trial.key})
    if not rows:
        return pd.DataFrame(columns=list(RESULT_COLUMNS))
    table = pd.DataFrame(rows).set_index("key")
    versions = sorted(table["version"].unique())
    if len(versions) > 1:
        raise UserError(f"trials of recipe versions {' and '.join(map(str, versions))} in one table: their training "
                        "code differs; ask for one (--where version=...), or run the older ones again")
    inputs = [name for name in table.columns if name not in RESULT_COLUMNS]
    return table.reindex(columns=[*inputs, *RESULT_COLUMNS])


def matches(result: TrialResult, conditions: dict[str, str]) -> bool:
    """Whether a trial has these settings: numbers compared by value ('1e-3' is 0.001), the rest in any case; a
    UserError if there is no such setting."""
    own = settings(result)
    # Another model's option is no mistake.
    known = dict.fromkeys([*own, *(option for model in MODELS.values() for option in fields_of(model))])
    for name in conditions:
        named(known, name, "setting")
    return all(name in own and _same(own[name], value) for name, value in conditions.items())


def _same(setting: object, text: str) -> bool:
    if isinstance(setting, int | float) and not isinstance(setting, bool):
        with suppress(ValueError):
            return setting == float(text)
    return str(setting).lower() == text.lower()


def setting_as_text(value: object) -> str:
    """A setting as ``matches`` takes it: whole numbers whole, though a column in which some are missing has floats."""
    if pd.isna(value):
        return "none"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def varying(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the columns in which all trials are equal or empty, but with the seed."""
    keep = [name for name in table.columns if name == "seed" or table[name].nunique(dropna=False) > 1
            or (name in RESULT_COLUMNS and table[name].notna().any() and (table[name] != "").any())]
    return table[keep]
