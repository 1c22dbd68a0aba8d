"""The claims ledger: ``reports/paper/claims.csv`` and ``claims.md``, made from the store and the paper's numbers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.errors import UserError
from covidcnn.evidence.claims import CLAIMS, Claim
from covidcnn.evidence.floor import FLOOR
from covidcnn.evidence.results import Evidence
from covidcnn.evidence.statistics import Untestable
from covidcnn.evidence.verdicts import CANNOT_BE_TESTED, CONTRADICTION, NOT_FINISHED, VERDICTS, Finding
from covidcnn.paths import REPORTS, replacing

LEDGER = REPORTS / "paper" / "claims.csv"
TRIALS, FLOOR_TABLE = "tables/trials.csv", "tables/8-floor.csv"
"""Beside the ledger: every trial with its arm, seed and settings; the floor, which is none."""


def ledger(evidence: Evidence) -> pd.DataFrame:
    """Every claim with the paper's value, ours with its interval, and its verdict.

    Returns:
        A row a claim, indexed by its name: ``where``, ``claim``, ``paper``, ``ours``, ``value``, ``low``, ``high``,
        ``seeds``, ``px`` (size of the films), ``verdict``, ``cell`` (of a notebook), ``arms`` (that it rests on),
        ``says_little`` (whether the interval holds the paper's value and is so wide that it excludes little),
        ``exploratory`` (whether one of these was added after test scores were known).
    """
    rows = []
    for claim in CLAIMS:
        finding = _find(claim, evidence)
        rows.append({"name": claim.name, "where": claim.where, "claim": claim.statement, "paper": claim.value,
                     "ours": finding.ours, "value": finding.value, "low": finding.low, "high": finding.high,
                     "seeds": finding.seeds or np.nan, "px": _sizes(claim, evidence), "verdict": finding.verdict,
                     "cell": claim.cell,
                     "arms": " ".join(claim.arms),
                     "says_little": finding.says_little,
                     "exploratory": not evidence.exploratory.isdisjoint(claim.arms)})
    return pd.DataFrame(rows).set_index("name").astype({"seeds": "Int64"})


def _find(claim: Claim, evidence: Evidence) -> Finding:
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
            notes.append(f"arm {name}: {diverged} of {len(results)} trainings diverged and count as calling every film "
                         "PNEUMONIA")
        if name in evidence.exploratory:
            notes.append(f"arm {name} is exploratory: added after test scores were known")
    return notes


def _sizes(claim: Claim, evidence: Evidence) -> str:
    found = {treatment.recipe.images.size for arm in claim.arms if arm in evidence.arms
             for treatment in evidence.arms[arm].treatments}
    return " ".join(map(str, sorted(found)))


def _is_finished(arm: str, evidence: Evidence) -> bool:
    return evidence.floor is not None if arm == FLOOR else arm in evidence.arms


def _standing(arm: str, evidence: Evidence) -> str:
    if arm == FLOOR:
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
    said = f" Of those reproduced or compatible {wide} have an interval that excludes little." if wide else ""
    said += f" {exploratory} of all rest on arms added after test scores were known." if exploratory else ""
    return f"{len(table)} claims of the paper: {', '.join(counts)}.{said}"


def read_ledger(path: Path = LEDGER) -> pd.DataFrame:
    """The committed ledger.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    try:
        return pd.read_csv(path, index_col="name", dtype={"seeds": "Int64", "px": str},
                           keep_default_na=False, na_values=dict.fromkeys(("value", "low", "high", "seeds"), ""))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no claims ledger ({error}); make it with covidcnn evidence ledger") from error


def rows_of(notebook: str, path: Path = LEDGER) -> pd.DataFrame:
    """The claims that a notebook shows, as they stand in the committed ledger: ``claim``, ``paper``, ``ours``,
    ``verdict``, in words for people to read.

    Args:
        notebook: its name without ending.
        path: of the ledger.

    Raises:
        UserError: as ``read_ledger``.
    """
    table = read_ledger(path)
    return table.loc[table["cell"].str.startswith(f"{notebook}#"), ["where", "claim", "paper", "ours", "verdict"]]


def write_ledger(table: pd.DataFrame, folder: Path, changed_code: Sequence[str]) -> None:
    """Write ``claims.csv`` and ``claims.md`` into the paper profile's report folder.

    Args:
        table: from ``ledger``.
        folder: of the report.
        changed_code: the files that give the verdicts and are others than before the first test score.
    """
    with replacing(folder / LEDGER.name) as temporary:
        table.to_csv(temporary, float_format="%.6g")
    linked = table.assign(
        shown=[_cell_link(cell) for cell in table["cell"]],
        trials=[", ".join(_arm_link(arm, folder) for arm in arms.split()) for arms in table["arms"]])
    columns = {"where": "in the paper", "claim": "it says", "paper": "its value", "ours": "here", "seeds": "seeds",
               "px": "px",
               "verdict": "verdict", "shown": "shown in", "trials": "trials of arm"}
    printed = linked[list(columns)].rename(columns=columns).assign(verdict=lambda rows: "**" + rows["verdict"] + "**")
    with replacing(folder / "claims.md") as temporary:
        temporary.write_text("\n\n".join([
            "# The claims ledger",
            "Made by `covidcnn evidence ledger` from the trial store beside it and the paper's numbers; do not edit. "
            "What each verdict means, and which arms there are, stands in [protocol.yaml](protocol.yaml). Intervals "
            "are 95 %: for a value of the paper, where a new run would lie; for a difference, over seeds and patients. "
            "Where a row makes several comparisons, Holm's correction is made for its p; intervals and other rows are "
            "not corrected, and the interval listed is that of the comparison that decides.",
            *(["**Changed after the first test score, of the code that gives the verdicts:** "
               f"{', '.join(f'`covidcnn/{name}`' for name in changed_code)}. Their history since the commit that "
               "[frozen.json](frozen.json) names says how."] if changed_code else []),
            summary(table).to_markdown(),
            printed.to_markdown(index=False, missingval=""),
        ]) + "\n", encoding="utf-8")


def _cell_link(cell: str) -> str:
    notebook, name = cell.split("#")
    return f"[{notebook[:2]}, {name}](../../notebooks/{notebook}.ipynb#{name})"


def _arm_link(arm: str, folder: Path) -> str:
    table = FLOOR_TABLE if arm == FLOOR else TRIALS
    return f"[{arm}]({table})" if (folder / table).is_file() else arm
