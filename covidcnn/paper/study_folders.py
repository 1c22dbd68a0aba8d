"""The studies about this paper: where they lie, and what their stores hold."""

from covidcnn.paths import REPORTS
from covidcnn.study import protocol as study
from covidcnn.study.access_log import open_store
from covidcnn.study.conditions import Evidence, read_evidence

PROTOCOL = REPORTS / "paper" / study.PROTOCOL
"""The first study's; the second's lies in reports/recipe."""
STORE = PROTOCOL.with_name(study.STORE)
LEDGER = PROTOCOL.with_name("claims.csv")


def paper_evidence() -> Evidence:
    """What the store of ``reports/paper`` holds; raises as ``read_evidence``."""
    return read_evidence(study.read_protocol(PROTOCOL), open_store(STORE))


def recipe_evidence() -> Evidence:
    """What the store of ``reports/recipe``, the second study, holds; raises as ``read_evidence``."""
    protocol = study.read_study("recipe")
    return read_evidence(protocol, open_store(protocol.store))
