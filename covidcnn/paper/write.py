"""What follows from the trial stores of the studies about the paper: tables, figures, ledger, manifest."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.paper import causes
from covidcnn.paper.claims import CLAIMS, PUBLISHED, SECTIONS, weights
from covidcnn.paper.corrections import corrections
from covidcnn.paper.ct_tables import ct_figures, ct_tables
from covidcnn.paper.figures import evidence_figures
from covidcnn.paper.model_tables import model_figures, model_tables
from covidcnn.paper.recipe_arms import CAUSES, PUBLIC_RECIPE, ZOOM
from covidcnn.paper.recipe_tables import recipe_figures, recipe_tables
from covidcnn.paper.subtype_tables import subtype_figures, subtype_tables
from covidcnn.paper.tables import evidence_tables
from covidcnn.paper.teacher_tables import teacher_figures, teacher_tables
from covidcnn.study.conditions import Evidence
from covidcnn.study.ledger import ledger, verdict_on
from covidcnn.study.pages import Named, Tables, write_figures, write_ledger, write_tables
from covidcnn.study.protocol import Protocol
from covidcnn.study.verdicts import COMPATIBLE, NOT_FINISHED, NOT_REPRODUCED, REFUTED, REPRODUCED, SUPPORTED, Finding

FROZEN_CLAIMS = "frozen-claims.csv"
"""Beside the ledger: verdicts and numbers as the code that was frozen before the first test score gives them."""


def write_evidence(protocol: Protocol, evidence: Evidence, folder: Path, second: Evidence | None = None
                   ) -> pd.DataFrame:
    """Make tables, figures, claims ledger and manifest anew in a folder, and give the ledger, which has a column on the
    public recipe once the second study can say something of it. The same evidence gives the same files. UserError if
    the folder cannot be written."""
    claims = ledger(SECTIONS, evidence)
    # A column of 'not finished' would say nothing.
    if second and {PUBLIC_RECIPE, CAUSES} & second.arms.keys():
        claims = claims.join(both_recipes(evidence, second))
    tables = evidence_tables(evidence)
    write_tables(tables, folder / "tables")
    write_ledger(claims, folder, [_said_of_frozen(claims, folder)] if (folder / FROZEN_CLAIMS).is_file() else [],
                 corrections(evidence, protocol))
    write_figures(protocol, evidence, tables, evidence_figures(evidence, claims), folder)
    return claims


FURTHER: dict[str, tuple[Callable[[Evidence, Evidence], Tables], Callable[[Evidence, Evidence], Iterator[Named]]]] = {
    "recipe": (recipe_tables, recipe_figures),
    "models": (lambda own, first: model_tables(own), lambda own, first: model_figures(own)),
    "subtype": (lambda own, first: subtype_tables(own), lambda own, first: subtype_figures(own)),
    "teacher": (lambda own, first: teacher_tables(own), lambda own, first: teacher_figures(own)),
    "ct": (lambda own, first: ct_tables(own), lambda own, first: ct_figures(own))}
"""The other studies by the name of their folder: their tables and figures, of their evidence and the first study's."""


def write_further(protocol: Protocol, evidence: Evidence, first: Evidence) -> Path:
    """Make tables, figures and manifest of one of ``FURTHER`` anew, from what its store and the first study's hold, and
    give the folder of the tables; UserError if it cannot be written."""
    folder = protocol.path.parent
    tables_of, figures_of = FURTHER[folder.name]
    tables = tables_of(evidence, first)
    write_tables(tables, folder / "tables")
    write_figures(protocol, evidence, tables, figures_of(evidence, first), folder)
    return folder / "tables"


def _said_of_frozen(table: pd.DataFrame, folder: Path) -> str:
    others = other_than_frozen(table, folder / FROZEN_CLAIMS)
    found = (f"another verdict or number for {', '.join(others)}" if others else
             "the same verdicts, values, intervals and seeds")
    return ("This study is closed. [frozen.json](frozen.json) records its rules, arms, choices and code as they were "
            "before the first test score. When the verdicts were known, the files of claims and ledger "
            "were changed, in words and links. Code is no longer compared file by file, but by what it gives: "
            f"[what the frozen code gave]({FROZEN_CLAIMS}) on the same trials, held against this ledger, are {found}. "
            "What was said too strongly is [corrected below](#corrections).")


def other_than_frozen(table: pd.DataFrame, path: Path) -> list[str]:
    """The claims of a ledger whose verdict, value, interval or seeds are others than the frozen code gives on the same
    trials, in the file at ``path``."""
    frozen = pd.read_csv(path, index_col="name")
    now = table.reindex(frozen.index)
    numbers = ["value", "low", "high", "seeds"]
    same = np.isclose(now[numbers].astype(float), frozen[numbers], rtol=1e-4, atol=1e-6, equal_nan=True).all(axis=1)
    same &= now["verdict"].eq(frozen["verdict"]) & now["says_little"].eq(frozen["says_little"])
    return frozen.index[~same].tolist()


def both_recipes(first: Evidence, second: Evidence) -> pd.DataFrame:
    """What the public recipe makes of the claims that rest on the text's, by the same rules: the second column of the
    ledger. The second study's arms stand in for those of the first. Indexed by claim: ``public_verdict`` and
    ``public_ours``, and ``holds``, the recipes for which the claim does; all empty where there is one recipe alone."""
    public = second.arms.get(PUBLIC_RECIPE)
    stand_in = replace(second, further=first.further, arms={
        **second.arms, **({PUBLISHED: replace(public, name=PUBLISHED)} if public else {})})
    zoomed = {"imbalance": causes.imbalance, "imbalance-beyond-threshold": causes.imbalance_beyond_threshold}
    rows = []
    for claim in CLAIMS:
        if PUBLISHED in claim.arms:
            arms = tuple(PUBLIC_RECIPE if arm == PUBLISHED else arm for arm in claim.arms)
            found = verdict_on(replace(claim, arms=arms), stand_in)
        elif claim.name in zoomed:
            rule = partial(zoomed[claim.name], CAUSES, *weights(ZOOM))
            found = verdict_on(replace(claim, find=rule, arms=(CAUSES,)), stand_in)
        else:
            found = Finding("", "")
        rows.append({"name": claim.name, "public_verdict": found.verdict, "public_ours": found.ours,
                     "holds": _holds(verdict_on(claim, first).verdict, found.verdict) if found.verdict else ""})
    return pd.DataFrame(rows).set_index("name")


def _holds(text: str, public: str) -> str:
    """For which recipes, by the verdicts under both."""
    if NOT_FINISHED in (text, public):
        return NOT_FINISHED
    words = dict.fromkeys((REPRODUCED, COMPATIBLE, SUPPORTED), "yes") | dict.fromkeys((NOT_REPRODUCED, REFUTED), "no")
    of_text, of_public = words.get(text, "open"), words.get(public, "open")
    return {"yes yes": "both recipes", "no no": "neither recipe"}.get(f"{of_text} {of_public}",
                                                                      f"text's {of_text}, public {of_public}")
