"""The claims ledger: every statement of a paper with what was found, and its verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.errors import UserError
from covidcnn.evaluation.statistics import Untestable
from covidcnn.study.claims import Claim
from covidcnn.study.conditions import Evidence
from covidcnn.study.verdicts import CANNOT_BE_TESTED, MEANINGS, NOT_FINISHED, Finding


def ledger(sections: Mapping[str, Sequence[Claim]], evidence: Evidence) -> pd.DataFrame:
    """Every claim of the ledger's sections with the paper's value, ours with its interval, and its verdict.

    Returns:
        A row a claim, indexed by its name: what ``Claim`` and ``Finding`` hold, and ``section``, ``px`` (size of the
        images) and ``exploratory`` (whether an arm that it rests on was added after the first test score). A setting
        by which a claim finds its trials has a column of its name.
    """
    rows, of_sections = [], [(section, claim) for section, claims in sections.items() for claim in claims]
    settings = dict.fromkeys(name for _, claim in of_sections for name in claim.settings)
    for section, claim in of_sections:
        found = verdict_on(claim, evidence)
        px = {condition.recipe.images.size for arm in claim.arms if arm in evidence.arms
              for condition in evidence.arms[arm].conditions}
        rows.append({
            "name": claim.name, "section": section, "where": claim.where, "claim": claim.statement,
            "paper": claim.value, "measure": claim.measure, "ours": found.ours, "value": found.value, "low": found.low,
            "high": found.high, "seeds": found.seeds or np.nan, "px": " ".join(map(str, sorted(px))),
            "verdict": found.verdict, "cell": claim.cell, "evidence_cell": claim.evidence_cell,
            "arms": " ".join(claim.arms), **{name: claim.settings.get(name, "") for name in settings},
            "says_little": found.says_little,
            "exploratory": not evidence.exploratory.isdisjoint(claim.arms), "counts_as": claim.counts_as})
    return pd.DataFrame(rows).set_index("name").astype({"seeds": "Int64"})


def verdict_on(claim: Claim, evidence: Evidence) -> Finding:
    """What is held against a claim, and what a reader must know of its arms."""
    missing = list(filter(None, (_lacks(arm, evidence) for arm in claim.arms)))
    if missing:
        return Finding(NOT_FINISHED, "; ".join(missing))
    try:
        finding = claim.find(evidence)
    except Untestable as error:
        finding = Finding(CANNOT_BE_TESTED, str(error))
    return replace(finding, ours="; ".join([finding.ours, *_notes(claim, evidence)]))


def _lacks(arm: str, evidence: Evidence) -> str:
    """What is not finished of an arm, in words; empty if it is finished."""
    if arm in evidence.arms or evidence.further.get(arm) is not None:
        return ""
    if arm in evidence.further:
        return f"arm {arm} is not computed"
    if arm not in evidence.progress.index:
        return f"arm {arm} is not in the protocol"
    trials, finished = evidence.progress.loc[arm]
    return (f"arm {arm}: what it compares is not selected yet" if np.isnan(trials) else
            f"arm {arm}: every training diverged" if finished == trials else
            f"arm {arm}: {finished:.0f} of {trials:.0f} trainings finished")


def _notes(claim: Claim, evidence: Evidence) -> list[str]:
    """What a reader must know of the arms that a claim rests on."""
    notes = []
    for name in claim.arms:
        results = evidence.finished.get(name, ())
        diverged = sum(bool(result.diverged) for result in results)
        if diverged:
            notes.append(f"arm {name}: {diverged} of {len(results)} trainings diverged and count as predicting "
                         f"{results[0].task.positive} for every image")
        # Of such seeds the effect of a condition and that of the processor cannot be told apart.
        processors = pd.DataFrame([(result.trial.seed, result.facts.get("processor")) for result in results],
                                  columns=["seed", "processor"]).groupby("seed")["processor"].nunique()
        if not claim.settings and (processors > 1).any():
            notes.append(f"arm {name}: of {(processors > 1).sum()} of {len(processors)} seeds, trainings that are "
                         "compared ran on two kinds of processor")
        if name in evidence.exploratory:
            notes.append(f"arm {name} is exploratory: added after the first test score")
    return notes


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims have which verdict: a row a verdict, in the protocol's order, with ``claims``."""
    counts = table["verdict"].value_counts().reindex(list(MEANINGS), fill_value=0)
    return counts[counts > 0].rename_axis("verdict").rename("claims").to_frame()


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the ledger that count: not those that could hardly fail, or repeat another."""
    return table[table["counts_as"] == "a finding"]


def remarks(table: pd.DataFrame) -> str:
    """What has to be said beside the summary of the findings."""
    own, said = findings(table), []
    if wide := int(own["says_little"].sum()):
        said.append(f"Of those reproduced or compatible {wide} have an interval so wide that agreement means little.")
    if repeated := len(table) - len(own):
        said.append(f"{repeated} further rows of the ledger could hardly fail, or repeat one of these.")
    if exploratory := int(table["exploratory"].sum()):
        said.append(f"{exploratory} of all rest on arms added after the first test score.")
    return " ".join(said)


def read_ledger(path: Path) -> pd.DataFrame:
    """The committed ledger; UserError if it is not there, or cannot be read."""
    try:
        return pd.read_csv(path, index_col="name", dtype={"seeds": "Int64", "px": str},
                           keep_default_na=False, na_values=dict.fromkeys(("value", "low", "high", "seeds"), ""))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no claims ledger ({error}); make it with covidcnn evidence ledger") from error


def rows_of(notebook: str, path: Path) -> pd.DataFrame:
    """The claims that a notebook, named without ending, shows, as they stand in the committed ledger at ``path``, in
    words for people to read; without columns that are empty."""
    table = read_ledger(path)
    columns = [column for column in ("where", "claim", "paper", "measure", "ours", "verdict", "public_ours",
                                     "public_verdict", "holds") if column in table]
    return without_empty(table.loc[table["cell"].str.startswith(f"{notebook}#"), columns])


def without_empty(table: pd.DataFrame) -> pd.DataFrame:
    """A table of texts without the columns that hold none."""
    return table.loc[:, table.ne("").any()]
