"""The paper profile's evidence as notebooks show it: results on the published films, whatever films they run on."""

import numpy as np

from covidcnn.evidence.openings import open_store
from covidcnn.evidence.protocol import PROTOCOL, STORE, read_protocol
from covidcnn.evidence.results import ArmResults, Evidence, read_evidence


def paper_evidence() -> Evidence:
    """What the store of ``reports/paper`` holds.

    Raises:
        DataError: a result is damaged.
        UserError: the protocol is not what it was when the first test film was scored.
    """
    return read_evidence(read_protocol(PROTOCOL), open_store(STORE))


def finished_arm(evidence: Evidence, name: str) -> ArmResults | None:
    """An arm of the evidence; None, and a line that says why, if trainings are missing or left no validation scores."""
    if name not in evidence.arms:
        trials, finished = evidence.progress.loc[name]
        of = "" if np.isnan(trials) else f" of {trials:.0f}"
        print(f"Arm {name}: {finished:.0f}{of} trainings are finished; what belongs here waits for the others.")
        return None
    arm = evidence.arms[name]
    diverged = sum(bool(result.diverged) for treatment in arm.treatments for result in treatment.results)
    if diverged:
        print(f"Arm {name}: {diverged} trainings diverged and left no validation scores; nothing is shown here.")
        return None
    return arm
