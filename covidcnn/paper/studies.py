"""The studies about this paper: where they lie, and what their stores hold."""

from covidcnn.paths import REPORTS
from covidcnn.study.access_log import open_store
from covidcnn.study.conditions import Evidence, read_evidence
from covidcnn.study.protocol import PROTOCOL as PROTOCOL_NAME
from covidcnn.study.protocol import STORE as STORE_NAME
from covidcnn.study.protocol import read_protocol, read_study

PROTOCOL = REPORTS / "paper" / PROTOCOL_NAME
"""The first study's; the second's lies in reports/recipe."""
STORE = PROTOCOL.with_name(STORE_NAME)
LEDGER = PROTOCOL.with_name("claims.csv")


def paper_evidence() -> Evidence:
    """What the store of ``reports/paper`` holds.

    Raises:
        DataError: a result is damaged.
        UserError: the protocol is not what it was when the first test image was scored.
    """
    return read_evidence(read_protocol(PROTOCOL), open_store(STORE))


def recipe_evidence() -> Evidence:
    """What the store of ``reports/recipe``, the second study, holds.

    Raises:
        as ``paper_evidence``.
    """
    protocol = read_study("recipe")
    return read_evidence(protocol, open_store(protocol.store))
