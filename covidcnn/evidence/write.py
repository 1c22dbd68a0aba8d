"""What follows from the trial stores of ``reports/paper`` and ``reports/recipe``: tables, figures, ledger, manifest."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from covidcnn.evidence.corrections import corrections
from covidcnn.evidence.figures import Named, evidence_figures
from covidcnn.evidence.floor import FLOOR
from covidcnn.evidence.ledger import LEDGER, both_recipes, ledger, summary, without_empty
from covidcnn.evidence.openings import openings
from covidcnn.evidence.protocol import Protocol
from covidcnn.evidence.recipe_tables import recipe_figures, recipe_tables
from covidcnn.evidence.results import Evidence, read_evidence
from covidcnn.evidence.tables import Tables, evidence_tables
from covidcnn.evidence.verdicts import (
    AS_DESCRIBED,
    CANNOT_BE_TESTED,
    COMPATIBLE,
    CONTRADICTION,
    NOT_FINISHED,
    NOT_REPRODUCED,
    OPEN,
    REFUTED,
    REPRODUCED,
    SUPPORTED,
)
from covidcnn.paths import MANIFEST, replacing, write_json
from covidcnn.plots.style import apply_style, save_picture
from covidcnn.trials.store import TrialStore

FROZEN_CLAIMS = "frozen-claims.csv"
"""Beside the ledger: verdicts and numbers as the code that was frozen before the first test score gives them."""
TRIALS = "tables/trials.csv"
"""Beside the ledger: every trial with its arm, seed and settings."""
_MEANINGS = {
    REPRODUCED: "the paper's value lies where 95 % of new runs would, and within 2 points (of a loss, 0.02) of our "
                "median; of a count or share: equal to the digits printed",
    COMPATIBLE: "it lies where 95 % of new runs would",
    NOT_REPRODUCED: "it lies outside",
    SUPPORTED: "the difference that the paper claims is there, with p < 0.05; of a cause, all else that follows "
               "from it, too",
    REFUTED: "a difference the other way is there, with p < 0.05; of a cause: balancing surely ends less than half; of "
             "generalisation: surely more than 2 points are lost; of a lead: 95 % of new pairs of runs would lie "
             "elsewhere",
    OPEN: "neither",
    CONTRADICTION: "the paper's own text or tables, or the published files, deny it",
    CANNOT_BE_TESTED: "for the reason given",
    AS_DESCRIBED: "no finding: the paper describes its network so, and so it is built",
    NOT_FINISHED: "its trainings are not all in the store",
}
"""In short, of each verdict; the rules stand in the protocol."""


def write_evidence(protocol: Protocol, store: TrialStore, folder: Path, second: Evidence | None = None) -> pd.DataFrame:
    """Make tables, figures, claims ledger and manifest anew. The same store gives the same files.

    Args:
        protocol: whose arms the store's trials stand in.
        store: is read only.
        folder: receives ``tables/``, ``figures/evidence/``, ``claims.csv``, ``claims.md`` and ``manifest.json``.
        second: of the second study, for the ledger's column on the public recipe.

    Returns:
        The claims ledger.

    Raises:
        DataError: a result is damaged.
        UserError: the folder cannot be written.
    """
    evidence = read_evidence(protocol, store)
    claims = ledger(evidence)
    if second and second.arms:
        claims = claims.join(both_recipes(evidence, second))
    tables = evidence_tables(evidence)
    write_tables(tables, folder / "tables")
    write_ledger(claims, folder, corrections(evidence, protocol))
    _write_figures(protocol, evidence, tables, evidence_figures(evidence, claims), folder)
    return claims


def write_recipes(protocol: Protocol, second: Evidence, first: Evidence, folder: Path) -> Tables:
    """Make tables, figures and manifest of the second study anew.

    Args:
        protocol: the second study's.
        second: what its store holds.
        first: what the first study's store holds.
        folder: receives ``tables/``, ``figures/evidence/`` and ``manifest.json``.

    Raises:
        UserError: the folder cannot be written.
    """
    tables = recipe_tables(second, first)
    write_tables(tables, folder / "tables")
    _write_figures(protocol, second, tables, recipe_figures(second, first), folder)
    return tables


def _write_figures(protocol: Protocol, evidence: Evidence, tables: Tables, figures: Iterator[Named],
                   folder: Path) -> None:
    """Write the figures, and the manifest, which has their captions."""
    apply_style()
    captions = {}
    for name, figure, caption in figures:
        save_picture(figure, folder / "figures" / "evidence", name)
        plt.close(figure)
        captions[name] = caption
    write_json(folder / MANIFEST, manifest(protocol, evidence, tables, captions))


def write_tables(tables: Tables, folder: Path) -> None:
    """Write each table as CSV, and as Markdown with its caption."""
    for name, (table, caption) in tables.items():
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        # The list of trials is for machines: a page of it would be no reading.
        if name != "trials":
            with replacing(folder / f"{name}.md") as temporary:
                temporary.write_text(f"{caption}\n\n{_markdown(table)}\n", encoding="utf-8")


def _markdown(table: pd.DataFrame) -> str:
    """Floats to four decimals; settings, which are text, as they are."""
    texts = table.map(_text).where(table.notna(), "")
    sides = ["right" if pd.api.types.is_numeric_dtype(kind) else "left" for kind in table.dtypes]
    return texts.to_markdown(index=False, disable_numparse=True, colalign=sides)


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value}"
    # A p of zero does not exist.
    return "< 0.0001" if 0 < value < 0.00005 else f"{value:.4f}"


def write_ledger(table: pd.DataFrame, folder: Path, corrected: Sequence[str] = ()) -> None:
    """Write ``claims.csv`` and ``claims.md`` into the paper profile's report folder.

    Args:
        table: from ``ledger``.
        folder: of the report.
        corrected: from ``corrections``.
    """
    with replacing(folder / LEDGER.name) as temporary:
        table.to_csv(temporary, float_format="%.6g")
    trials = pd.read_csv(folder / TRIALS) if (folder / TRIALS).is_file() else pd.DataFrame()
    with replacing(folder / "claims.md") as temporary:
        temporary.write_text("\n\n".join([
            "# The claims ledger",
            "Made by `covidcnn evidence ledger` from the trial store beside it and the paper's numbers; do not edit. "
            "The rules of the verdicts, and which arms there are, stand in [protocol.yaml](protocol.yaml). Values of "
            "the paper are as it prints them, ours are between 0 and 1. Intervals are 95 %: for a value of the paper, "
            "where a new run would lie; for the size of a lead, a new pair of runs; for another difference, over "
            "seeds, and over patients where test films are scored. Where a row makes several comparisons, Holm's "
            "correction is made for its p; intervals and other rows are not corrected, and the interval in claims.csv "
            "is that of the comparison that decides. p is below 0.05 where the interval of a single difference leaves "
            "out zero. Each row names a table that has its trainings, and their lines in the list of all; JupyterLab "
            "opens a cell by its link.",
            *([_said_of_frozen(table, folder)] if (folder / FROZEN_CLAIMS).is_file() else []),
            summary(table).assign(meaning=_MEANINGS).reset_index().to_markdown(index=False),
            *(f"## {section}\n\n{_page_of(rows, trials, folder)}"
              for section, rows in table.groupby("section", sort=False)),
            *(["## Corrections", "Noticed after the study was closed, by a recomputation that used none of its code. "
               "Protocol, trainings and frozen verdicts stay as they were; this stands beside them.",
               *(f"- {one}" for one in corrected)] if corrected else []),
        ]) + "\n", encoding="utf-8")


def _said_of_frozen(table: pd.DataFrame, folder: Path) -> str:
    others = other_than_frozen(table, folder / FROZEN_CLAIMS)
    found = (f"another verdict or number for {', '.join(others)}" if others else
             "the same verdicts, values, intervals and seeds")
    return ("This study is closed. [frozen.json](frozen.json) records its rules, arms, choices and code as they were "
            "before the first test score. When the verdicts were known, `evidence/claims.py` and `evidence/ledger.py` "
            "were changed, in words and links. Code is no longer compared file by file, but by what it gives: "
            f"[what the frozen code gave]({FROZEN_CLAIMS}) on the same trials, held against this ledger, are {found}. "
            "What was said too strongly is [corrected below](#corrections).")


def other_than_frozen(table: pd.DataFrame, path: Path) -> list[str]:
    """The claims whose verdict, value, interval or seeds are others than the frozen code gives on the same trials.

    Args:
        table: from ``ledger``.
        path: of ``FROZEN_CLAIMS``.
    """
    frozen = pd.read_csv(path, index_col="name")
    now = table.reindex(frozen.index)
    numbers = ["value", "low", "high", "seeds"]
    same = np.isclose(now[numbers].astype(float), frozen[numbers], rtol=1e-4, atol=1e-6, equal_nan=True).all(axis=1)
    same &= now["verdict"].eq(frozen["verdict"]) & now["says_little"].eq(frozen["says_little"])
    return frozen.index[~same].tolist()


def _page_of(rows: pd.DataFrame, trials: pd.DataFrame, folder: Path) -> str:
    """Claims as a table in Markdown."""
    columns = {"where": "in the paper", "claim": "it says", "paper": "its value", "verdict": "verdict",
               "measure": "measured", "ours": "here", "seeds": "seeds", "px": "px", "public_ours": "public recipe",
               "public_verdict": "verdict there", "holds": "holds for", "counts_as": "counts as",
               "trials": "trials of arm", "shown": "shown in"}
    # What stands by itself first.
    rows = rows.sort_values("counts_as", key=lambda column: column != "a finding", kind="stable")
    printed = rows.assign(
        seeds=rows["seeds"].astype(object).where(rows["seeds"].notna(), ""),
        verdict="**" + rows["verdict"] + "**",
        shown=[", ".join(_cell_link(cell) for cell in dict.fromkeys((other, one)) if cell)
               for one, other in zip(rows["cell"], rows["evidence_cell"], strict=True)],
        trials=[", ".join(_arm_links(arm, optimizer, trials, folder) for arm in arms.split())
                for arms, optimizer in zip(rows["arms"], rows["optimizer"], strict=True)])
    shown = without_empty(printed[[column for column in columns if column in printed]])
    return shown.rename(columns=columns).to_markdown(index=False)


def _cell_link(cell: str) -> str:
    notebook, name = cell.split("#")
    return f"[{notebook[:2]}, {name}](../../notebooks/{notebook}.ipynb#cell-id={name})"


def _arm_links(arm: str, optimizer: str, trials: pd.DataFrame, folder: Path) -> str:
    """To the table of an arm, and to its lines, or those of one optimizer, in the list of trials; its name alone as
    long as it has no table."""
    if not (folder / "tables" / f"{arm}.md").is_file():
        return arm
    table = f"[{arm}](tables/{arm}.md)"
    if arm == FLOOR:
        return table
    rows = trials.index[(trials["arm"] == arm) & (trials["optimizer"].eq(optimizer) | (optimizer == ""))]
    # Lines are counted from 1, and the first is the header.
    first, last = rows[0] + 2, rows[-1] + 2
    return f"{table}, [lines {first} to {last}]({TRIALS}#L{first}-L{last})"


def manifest(protocol: Protocol, evidence: Evidence, tables: Tables, figures: dict[str, str]) -> dict[str, Any]:
    """What all tables, figures and verdicts of the folder were made from."""
    results = {result.trial.key: result for found in evidence.finished.values() for result in found}
    of_floor = openings(protocol)["arm"] == FLOOR
    content = {key: results[key].digest for key in sorted(results)}
    return {
        "data": protocol.data,
        "trials sha256": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "trials": len(results),
        "openings of the published test set": {"trainings": int((~of_floor).sum()),
                                               "models of the floor": int(of_floor.sum())},
        "arms": {name: {"finished": int(row.finished), "trials": None if pd.isna(row.trials) else int(row.trials),
                        "exploratory": protocol.arm(name).exploratory}
                 for name, row in zip(evidence.progress.index, evidence.progress.itertuples(index=False), strict=True)},
        "tables": {name: caption for name, (_, caption) in tables.items()},
        "figures": figures,
    }
