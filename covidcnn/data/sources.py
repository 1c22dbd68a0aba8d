"""Data sets that are known by their files, in the manner of MedMNIST's INFO: what each is, what may be done with it.

A further one is an entry here, and a function that knows a folder to hold it, called in ``covidcnn.data.check``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from covidcnn.data import facts, pneumoniamnist
from covidcnn.task import PNEUMONIA, Task


@dataclass(frozen=True)
class Source:
    """Where images come from. Empty texts mean that nothing is known or needs to be said."""

    name: str
    task: Task = PNEUMONIA
    """What it is published for."""
    licence: str = ""
    citation: str = ""
    credit: str = ""
    """Of figures that show its images."""
    origin: str = ""
    """What every figure and caption made from it says."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Images of each split."""
    grouping: str = "published file names, else a table"
    """What tells the patients apart."""
    validation: str = "patient"
    """The design of ``covidcnn.data.splits`` that stands for 'patient', the default, in it."""
    protects_test: bool = False
    """Whether its test split is the published one: scoring it outside a protocol is exploratory, and logged."""


OWN = Source("own")
"""A folder that is none of the others."""
PHANTOM = Source("phantom", origin="Phantom images, no patients.", grouping="file names")
CHEST_XRAY = Source(
    "chest-xray", licence=facts.LICENCE, citation=facts.CITATION,
    credit="Kermany, Zhang and Goldbaum 2018, CC BY 4.0",
    counts={split: sum(number for (own, _), number in facts.COUNTS.items() if own == split)
            for split in ("train", "val", "test")},
    grouping="published file names; true identities are not published", protects_test=True)
PNEUMONIAMNIST = Source(
    "pneumoniamnist", licence=facts.LICENCE, citation=f"{pneumoniamnist.CITATION}. Derived from: {facts.CITATION}",
    credit=f"PneumoniaMNIST, Yang et al. 2023, from {CHEST_XRAY.credit}",
    counts={split: sum(counts) for split, counts in pneumoniamnist.COUNTS.items()},
    # On its official validation its published results were chosen, and there are no patients to cut another by.
    grouping="none: its patients are not published", validation="published", protects_test=True)
PUBLISHED_TEST = Source("published test set", credit=CHEST_XRAY.credit, counts={"test": CHEST_XRAY.counts["test"]},
                        protects_test=True)
"""Its test split is the published one, or all of it where there are no splits; its other images are anybody's."""
SOURCES = {source.name: source for source in (OWN, PHANTOM, CHEST_XRAY, PUBLISHED_TEST, PNEUMONIAMNIST)}
"""By name."""
