"""The studies about this paper: where they lie, and what their stores hold."""

from covidcnn.paper.baseline_scores import further_tables
from covidcnn.paths import REPORTS
from covidcnn.study import protocol as study
from covidcnn.study.access_log import open_store
from covidcnn.study.conditions import Evidence, read_evidence
from covidcnn.trials.store import TrialStore

PROTOCOL = REPORTS / "paper" / study.PROTOCOL
"""The first study's; the others lie in folders beside it."""
STORE = PROTOCOL.with_name(study.STORE)
LEDGER = PROTOCOL.with_name("claims.csv")


def evidence_of(protocol: study.Protocol, store: TrialStore) -> Evidence:
    """What is finished of a study about this paper, trainings and baseline; DataError if a stored result is damaged,
    otherwise raises as ``read_evidence``."""
    return read_evidence(protocol, store, further_tables(store.folder))


def study_evidence(name: str) -> Evidence:
    """What the store of a study holds, by its folder in reports/; raises as ``evidence_of``, and a UserError if there
    is none of that name."""
    protocol = study.read_study(name)
    return evidence_of(protocol, open_store(protocol.store))
