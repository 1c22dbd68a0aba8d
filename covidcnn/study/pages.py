"""The pages of a study: its tables, figures, claims ledger and manifest, made from what its store holds."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from covidcnn.paths import MANIFEST, replacing, write_json
from covidcnn.plots.style import apply_style, save_picture
from covidcnn.study.access_log import read_access_log
from covidcnn.study.claims import SETTINGS
from covidcnn.study.conditions import Evidence
from covidcnn.study.ledger import summary, without_empty
from covidcnn.study.protocol import Protocol
from covidcnn.study.verdicts import MEANINGS
from covidcnn.trials.pack import PACKED
from covidcnn.trials.table import trial_table

Tables = dict[str, tuple[pd.DataFrame, str]]
"""By file name without ending: the table and its caption."""
Named = tuple[str, Figure, str]
"""File name without ending, figure, caption."""
TRIALS = "tables/trials.csv"
"""Beside the ledger: every trial with its arm, seed and settings."""


def write_figures(protocol: Protocol, evidence: Evidence, tables: Tables, figures: Iterator[Named],
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
    """Floats to four decimals, and no p of zero, which does not exist; settings, which are text, as they are."""
    texts = table.map(lambda value: f"{value}" if not isinstance(value, float) else
                      "< 0.0001" if 0 < value < 0.00005 else f"{value:.4f}").where(table.notna(), "")
    sides = ["right" if pd.api.types.is_numeric_dtype(kind) else "left" for kind in table.dtypes]
    return texts.to_markdown(index=False, disable_numparse=True, colalign=sides)


def write_ledger(table: pd.DataFrame, folder: Path, remarks: Sequence[str] = (), corrected: Sequence[str] = ()) -> None:
    """Write ``claims.csv`` and ``claims.md`` of a ledger: paragraphs for the head of the page, and of what was noticed
    after the study was closed."""
    with replacing(folder / "claims.csv") as temporary:
        table.to_csv(temporary, float_format="%.6g")
    trials = pd.read_csv(folder / TRIALS) if (folder / TRIALS).is_file() else pd.DataFrame(columns=["arm"])
    with replacing(folder / "claims.md") as temporary:
        temporary.write_text("\n\n".join([
            "# The claims ledger",
            "Made by `covidcnn evidence ledger` from the trial store beside it and the paper's numbers; do not edit. "
            "The rules of the verdicts, and the arms, stand in [protocol.yaml](protocol.yaml). Values of the paper are "
            "as it prints them, ours are between 0 and 1. Intervals are 95 %: for a value of the paper, the prediction "
            "interval for a new run; for the size of a lead, that for a new pair of runs; for another difference, over "
            "seeds, and over patients where test images are scored. Where a row makes several comparisons, its p is "
            "corrected by Holm's method; intervals and other rows are not corrected, and the interval in claims.csv is "
            "that of the comparison that decides. p is below 0.05 where the interval of a single difference excludes "
            "zero. Each row names a table that has its trainings, and their lines in the list of all; JupyterLab opens "
            "a cell by its link.",
            *remarks,
            summary(table).assign(meaning=MEANINGS).reset_index().to_markdown(index=False),
            *(f"## {section}\n\n{_page_of(rows, trials, folder)}"
              for section, rows in table.groupby("section", sort=False)),
            *(["## Corrections", "Noticed after the study was closed, by a recomputation that used none of its code. "
               "Protocol, trainings and frozen verdicts stay as they were; this stands beside them.",
               *(f"- {one}" for one in corrected)] if corrected else []),
        ]) + "\n", encoding="utf-8")


def _page_of(rows: pd.DataFrame, trials: pd.DataFrame, folder: Path) -> str:
    """Claims as a table in Markdown."""
    columns = {"id": "claim", "where": "in the paper", "claim": "it says", "paper": "its value", "verdict": "verdict",
               "measure": "measured", "ours": "here", "seeds": "seeds", "px": "px", "public_ours": "public recipe",
               "public_verdict": "verdict there", "holds": "holds for", "counts_as": "counts as",
               "trials": "trials of arm", "shown": "shown in"}
    settings = [name for name in SETTINGS if name in rows]
    # What stands by itself first.
    rows = rows.sort_values("counts_as", key=lambda column: column != "a finding", kind="stable")
    printed = rows.assign(
        id=[f'<a id="{name}"></a>{name}' for name in rows.index],
        seeds=rows["seeds"].astype(object).where(rows["seeds"].notna(), ""),
        verdict="**" + rows["verdict"] + "**",
        shown=[", ".join(f"[{cell[:2]}, {cell.split('#')[1]}](../../notebooks/{cell.replace('#', '.ipynb#cell-id=')})"
                         for cell in dict.fromkeys(cells) if cell)
               for cells in zip(rows["evidence_cell"], rows["cell"], strict=True)],
        trials=[", ".join(_arm_links(arm, dict(row[settings]), trials, folder) for arm in row["arms"].split())
                for _, row in rows.iterrows()])
    shown = without_empty(printed[[column for column in columns if column in printed]])
    return shown.rename(columns=columns).to_markdown(index=False)


def _arm_links(arm: str, settings: dict[Any, str], trials: pd.DataFrame, folder: Path) -> str:
    """To the table of an arm, and to its lines in the list of trials, of those with some settings alone unless these
    are empty; its name alone as long as it has no table."""
    if not (folder / "tables" / f"{arm}.md").is_file():
        return arm
    table = f"[{arm}](tables/{arm}.md)"
    rows = trials[trials["arm"] == arm]
    for name, value in settings.items():
        rows = rows[rows[name].astype(str) == value] if value else rows
    # What belongs to no sweep has no trials.
    if rows.empty:
        return table
    # Lines are counted from 1, and the first is the header.
    first, last = rows.index[0] + 2, rows.index[-1] + 2
    return f"{table}, [lines {first} to {last}]({TRIALS}#L{first}-L{last})"


def manifest(protocol: Protocol, evidence: Evidence, tables: Tables, figures: dict[str, str]) -> dict[str, Any]:
    """What all tables, figures and verdicts of the folder were made from."""
    digests = {result.trial.key: result.digest for found in evidence.finished.values() for result in found}
    of_trainings = read_access_log(protocol)["arm"].isin(protocol.arms)
    pack = protocol.store / PACKED
    return {
        "data": protocol.data,
        "trials sha256": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        "trials": len(digests),
        # A published store is packed; the working store's files have their digests beside them.
        **({"pack sha256": hashlib.sha256(pack.read_bytes()).hexdigest()} if pack.is_file() else {}),
        "accesses to the published test set": {"trainings": int(of_trainings.sum()),
                                               "models of the baseline": int((~of_trainings).sum())},
        "arms": {name: {"finished": int(row.finished), "trials": None if pd.isna(row.trials) else int(row.trials),
                        "exploratory": protocol.arm(name).exploratory}
                 for name, row in zip(evidence.progress.index, evidence.progress.itertuples(index=False), strict=True)},
        "tables": {name: caption for name, (_, caption) in tables.items()},
        "figures": figures,
    }


def manifest_table(evidence: Evidence) -> pd.DataFrame:
    """Every finished trial, a row an arm that it stands in: key, settings, seed, results at threshold 0.5, whether the
    arm is exploratory, and the commit and processor that made it."""
    tables = {}
    for name, results in evidence.finished.items():
        made = pd.DataFrame([{"key": result.trial.key, "commit": result.facts["git commit"],
                              # Not recorded from the start.
                              "processor": result.facts.get("processor", "")} for result in results]).set_index("key")
        # All seeds of a condition one after the other.
        recipes = list(dict.fromkeys(result.trial.recipe for result in results))
        by_condition = sorted(results, key=lambda result: (recipes.index(result.trial.recipe), result.trial.seed))
        # The last changes no result.
        table = trial_table(by_condition).drop(columns=["data", "version", "score_every_epoch", "perturbations"])
        tables[name] = table.join(made).assign(exploratory=name in evidence.exploratory)
    return pd.concat(tables, names=["arm", "key"]).reset_index()
