"""The claims ledger: every statement of a paper with what was found, and its verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.errors import UserError
from covidcnn.evaluation.statistics import Untestable
from covidcnn.study.baseline import BASELINE
from covidcnn.study.conditions import Evidence
from covidcnn.study.verdicts import (
    CANNOT_BE_TESTED,
    CONTRADICTION,
    NOT_FINISHED,
    VERDICTS,
    Finding,
)
from covidcnn.trials.store import TrialResult


@dataclass(frozen=True)
class Claim:
    """One statement of a paper."""

    name: str
    """Short, in words joined by hyphens; stays the same from report to report."""
    where: str
    """In the paper."""
    statement: str
    value: str
    """What the paper gives, as it prints it; empty where it gives no number."""
    cell: str
    """The notebook cell that shows it: 'NN_notebook#cell-id'."""
    find: Callable[[Evidence], Finding]
    arms: tuple[str, ...] = ()
    """Of the protocol, on whose trials it rests; empty for what no training decides."""
    measure: str = ""
    """What is measured on these trials; of a difference, what is taken from what."""
    evidence_cell: str = ""
    """The notebook cell that shows these trials, where it is another than ``cell``."""
    optimizer: str = ""
    """Where it rests on the trials of one optimizer alone, which."""
    counts_as: str = "a finding"
    """What it adds to the others: 'a finding', 'trivial' if it could hardly fail, or 'repeats NAME'."""


def ledger(sections: Mapping[str, Sequence[Claim]], evidence: Evidence) -> pd.DataFrame:
    """Every claim with the paper's value, ours with its interval, and its verdict.

    Args:
        sections: of the ledger, each with its claims.
        evidence: what their study has finished.

    Returns:
        A row a claim, indexed by its name: ``section`` (of the ledger), ``where``, ``claim``, ``paper``, ``measure``
        (what is measured), ``ours``, ``value``, ``low``, ``high``, ``seeds``, ``px`` (size of the images), ``verdict``,
        ``cell`` (of a notebook), ``evidence_cell`` (that shows the trials, where it is another), ``arms`` (that it
        rests on), ``optimizer`` (if on trials of one alone, which), ``says_little`` (whether the interval holds the
        paper's value and is so wide that it excludes little), ``exploratory`` (whether one of these arms was added
        after test scores were known), ``counts_as`` (what it adds to the others).
    """
    rows = []
    for section, claim in ((section, claim) for section, claims in sections.items() for claim in claims):
        finding = verdict_on(claim, evidence)
        rows.append({"name": claim.name, "section": section, "where": claim.where, "claim": claim.statement,
                     "paper": claim.value, "measure": claim.measure, "ours": finding.ours, "value": finding.value,
                     "low": finding.low, "high": finding.high, "seeds": finding.seeds or np.nan,
                     "px": _sizes(claim, evidence), "verdict": finding.verdict, "cell": claim.cell,
                     "evidence_cell": claim.evidence_cell, "arms": " ".join(claim.arms),
                     "optimizer": claim.optimizer, "says_little": finding.says_little,
                     "exploratory": not evidence.exploratory.isdisjoint(claim.arms),
                     "counts_as": claim.counts_as})
    return pd.DataFrame(rows).set_index("name").astype({"seeds": "Int64"})


def verdict_on(claim: Claim, evidence: Evidence) -> Finding:
    """What is held against a claim, and what a reader must know of its arms."""
    missing = [arm for arm in claim.arms if not _is_finished(arm, evidence)]
    if missing:
        return Finding(NOT_FINISHED, "; ".join(_standing(arm, evidence) for arm in missing))
    try:
        finding = claim.find(evidence)
    except Untestable as error:
        finding = Finding(CANNOT_BE_TESTED, str(error))
    return replace(finding, ours="; ".join([finding.ours, *_notes(claim, evidence)]))


def _notes(claim: Claim, evidence: Evidence) -> list[str]:
    """What a reader must know of the arms that a claim rests on."""
    notes = []
    for name in claim.arms:
        results = evidence.finished.get(name, ())
        diverged = sum(bool(result.diverged) for result in results)
        if diverged:
            notes.append(f"arm {name}: {diverged} of {len(results)} trainings diverged and count as predicting "
                         f"{results[0].task.positive} for every image")
        if not claim.optimizer and (mixed := _seeds_on_two_processors(results)):
            notes.append(f"arm {name}: of {mixed} of {len({result.trial.seed for result in results})} seeds, trainings "
                         "that are compared ran on two kinds of processor")
        if name in evidence.exploratory:
            notes.append(f"arm {name} is exploratory: added after test scores were known")
    return notes


def _seeds_on_two_processors(results: Sequence[TrialResult]) -> int:
    """With how many seeds the effect of a condition and that of the processor cannot be told apart."""
    processors = pd.DataFrame([(result.trial.seed, result.facts.get("processor")) for result in results],
                              columns=["seed", "processor"])
    return int((processors.groupby("seed")["processor"].nunique() > 1).sum())


def _sizes(claim: Claim, evidence: Evidence) -> str:
    found = {condition.recipe.images.size for arm in claim.arms if arm in evidence.arms
             for condition in evidence.arms[arm].conditions}
    return " ".join(map(str, sorted(found)))


def _is_finished(arm: str, evidence: Evidence) -> bool:
    return evidence.baseline is not None if arm == BASELINE else arm in evidence.arms


def _standing(arm: str, evidence: Evidence) -> str:
    if arm == BASELINE:
        return f"arm {arm} is not computed"
    if arm not in evidence.progress.index:
        return f"arm {arm} is not in the protocol"
    trials, finished = evidence.progress.loc[arm]
    if np.isnan(trials):
        return f"arm {arm}: what it compares is not selected yet"
    return f"arm {arm}: {finished:.0f} of {trials:.0f} trainings finished"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims have which verdict: a row a verdict, in the protocol's order, with ``claims``."""
    counts = table["verdict"].value_counts().reindex(VERDICTS, fill_value=0)
    return counts[counts > 0].rename_axis("verdict").rename("claims").to_frame()


def summary_sentence(table: pd.DataFrame) -> str:
    """The summary in words, as the README has it: '57 claims of the paper: 9 reproduced, ...'."""
    others = {CONTRADICTION: "contradicted by the paper itself or its data",
              NOT_FINISHED: "not finished, because their trainings are not"}
    counts = [f"{count} {others.get(str(verdict), verdict)}" for verdict, count in summary(table)["claims"].items()]
    wide, exploratory = int(table["says_little"].sum()), int(table["exploratory"].sum())
    said = (f" Of those reproduced or compatible {wide} lie in an interval so wide that it excludes little."
             if wide else "")
    said += f" {exploratory} of all rest on arms added after test scores were known." if exploratory else ""
    return f"{len(table)} claims of the paper: {', '.join(counts)}.{said}"


def read_ledger(path: Path) -> pd.DataFrame:
    """The committed ledger.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    try:
        return pd.read_csv(path, index_col="name", dtype={"seeds": "Int64", "px": str},
                           keep_default_na=False, na_values=dict.fromkeys(("value", "low", "high", "seeds"), ""))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no claims ledger ({error}); make it with covidcnn evidence ledger") from error


def rows_of(notebook: str, path: Path) -> pd.DataFrame:
    """The claims that a notebook shows, as they stand in the committed ledger: ``where``, ``claim``, ``paper``,
    ``measure``, ``ours``, ``verdict``, in words for people to read; without columns that are empty.

    Args:
        notebook: its name without ending.
        path: of the ledger.

    Raises:
        UserError: as ``read_ledger``.
    """
    table = read_ledger(path)
    columns = ["where", "claim", "paper", "measure", "ours", "verdict", "public_ours", "public_verdict", "holds"]
    shown = table.loc[table["cell"].str.startswith(f"{notebook}#")]
    return without_empty(shown[[column for column in columns if column in shown]])


def without_empty(table: pd.DataFrame) -> pd.DataFrame:
    """A table of texts without the columns that hold none."""
    return table.loc[:, table.ne("").any()]
