"""Everything in ``reports/paper`` that follows from the trial store: tables, figures, ledger, manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from covidcnn.evidence.figures import evidence_figures
from covidcnn.evidence.floor import FLOOR
from covidcnn.evidence.ledger import ledger, write_ledger
from covidcnn.evidence.openings import changed_verdict_code, openings
from covidcnn.evidence.protocol import Protocol
from covidcnn.evidence.results import Evidence, read_evidence
from covidcnn.evidence.tables import Tables, evidence_tables
from covidcnn.paths import replacing, write_json
from covidcnn.plots.style import apply_style, save_picture
from covidcnn.trials.store import TrialStore

MANIFEST = "manifest.json"


def write_evidence(protocol: Protocol, store: TrialStore, folder: Path) -> pd.DataFrame:
    """Make tables, figures, claims ledger and manifest anew. The same store gives the same files.

    Args:
        protocol: whose arms the store's trials stand in.
        store: is read only.
        folder: receives ``tables/``, ``figures/evidence/``, ``claims.csv``, ``claims.md`` and ``manifest.json``.

    Returns:
        The claims ledger.

    Raises:
        DataError: a result is damaged.
        UserError: the folder cannot be written.
    """
    evidence = read_evidence(protocol, store)
    tables = evidence_tables(evidence)
    write_tables(tables, folder / "tables")
    claims = ledger(evidence)
    write_ledger(claims, folder, changed_verdict_code(protocol))
    apply_style()
    captions = {}
    for name, figure, caption in evidence_figures(evidence, claims):
        save_picture(figure, folder / "figures" / "evidence", name)
        plt.close(figure)
        captions[name] = caption
    write_json(folder / MANIFEST, manifest(protocol, evidence, tables, captions))
    return claims


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
    texts = table.map(lambda value: f"{value:.4f}" if isinstance(value, float) else f"{value}").where(table.notna(), "")
    sides = ["right" if pd.api.types.is_numeric_dtype(kind) else "left" for kind in table.dtypes]
    return texts.to_markdown(index=False, disable_numparse=True, colalign=sides)


def manifest(protocol: Protocol, evidence: Evidence, tables: Tables, figures: dict[str, str]) -> dict[str, Any]:
    """What all tables, figures and verdicts of the folder were made from."""
    results = {result.trial.key: result for found in evidence.finished.values() for result in found}
    of_floor = openings(protocol)["arm"] == FLOOR
    content = {key: hashlib.sha256(results[key].scores.to_csv(index=False, float_format="%.9g").encode()).hexdigest()
               for key in sorted(results)}
    return {
        "data": protocol.data,
        "trials sha256": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "trials": len(results),
        "verdict code changed since the first test score": changed_verdict_code(protocol),
        "openings of the published test set": {"trainings": int((~of_floor).sum()),
                                               "models of the floor": int(of_floor.sum())},
        "arms": {name: {"finished": int(row.finished), "trials": None if pd.isna(row.trials) else int(row.trials),
                        "exploratory": protocol.arm(name).exploratory}
                 for name, row in zip(evidence.progress.index, evidence.progress.itertuples(index=False), strict=True)},
        "tables": {name: caption for name, (_, caption) in tables.items()},
        "figures": figures,
    }
