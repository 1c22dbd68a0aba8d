"""Data sets that are known by their files, in the manner of MedMNIST's INFO: what each is, what may be done with it.

A further one is an entry here, and a function that knows a folder to hold it.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from covidcnn.data import facts, phantom, pneumoniamnist
from covidcnn.errors import DataError
from covidcnn.task import COVID, Task

MARKER, PATIENTS = "covidcnn-source.json", "patients.csv"
"""Files beside the images of a source: which it is, and who is on which image (as ``--patients`` reads it)."""


@dataclass(frozen=True)
class Source:
    """Where images come from. Empty texts mean that nothing is known or needs to be said."""

    name: str
    licence: str = ""
    citation: str = ""
    credit: str = ""
    """Of figures that show its images."""
    origin: str = ""
    """What every figure and caption made from it says."""
    validation: str = "patient"
    """The design of ``covidcnn.data.splits`` that is taken where none is asked for."""
    task: Task | None = None
    """What its labels tell apart, where that is not read from its folders."""
    identity: str = ""
    """A sentence on it, where nothing has to be counted for one."""
    protects_test: bool = False
    """Whether its test split is the published one: scoring it outside a protocol is exploratory."""


OWN = Source("own")
"""A folder that is none of the others."""
PHANTOM = Source("phantom", origin="Phantom images, no patients.")
CHEST_XRAY = Source("chest-xray", facts.LICENCE, facts.CITATION, "Kermany, Zhang and Goldbaum 2018, CC BY 4.0",
                    protects_test=True)
# On its official validation its published results were chosen, and there are no patients to split it by.
PNEUMONIAMNIST = Source(
    "pneumoniamnist", facts.LICENCE, f"{pneumoniamnist.CITATION}. Derived from: {facts.CITATION}",
    f"PneumoniaMNIST, Yang et al. 2023, from {CHEST_XRAY.credit}", validation="published", protects_test=True)
COVID_CT = Source(
    "covid-ct", "none that is open: for research, not to be passed on",
    "Zhao J, Zhang Y, He X, Xie P (2020): COVID-CT-Dataset: a CT scan dataset about COVID-19. arXiv 2003.13865",
    "COVID-CT, Zhao et al. 2020", validation="published", task=COVID,
    identity="These are CT slices of COVID-CT (Zhao et al. 2020) with the official split; those of COVID are cut from "
             "the figures of articles. They have no open licence: do not pass them on. Who is on a slice is guessed "
             "from its file name.")
SARS_COV_2_CT = Source(
    "sars-cov-2-ct", "CC BY-NC-SA 4.0",
    "Soares E, Angelov P, Biaso S, Froes MH, Abe DK (2020): SARS-CoV-2 CT-scan dataset. medRxiv 2020.04.24.20078584",
    "SARS-CoV-2 CT, Soares et al. 2020, CC BY-NC-SA 4.0", task=COVID,
    identity="These are the slices of the SARS-CoV-2 CT set (Soares et al. 2020). It has no official split, and does "
             "not say who is on which slice: slices of one patient may be learnt from and judged by.")
CT_STAND_IN = Source(
    "ct-stand-in", origin="Phantom images, no patients: drawn slices.", validation="published", task=COVID,
    identity="These are drawn slices, a stand-in for CT: no patient was imaged, and no number measured on them is "
             "evidence on CT. They have some of the faults of public sets.")
_MARKED = {source.name: source for source in (COVID_CT, SARS_COV_2_CT, CT_STAND_IN)}
PUBLISHED_TEST = Source("published test set", credit=CHEST_XRAY.credit, protects_test=True)
"""Its test split is the published one, or all of it where there are no splits; its other images are anybody's."""


def identify(images: pd.DataFrame) -> tuple[Source, str]:
    """Which of the sources that are known by their names, splits and classes has these images, and a sentence on it."""
    # The folder test of the published set, given by itself, has no splits.
    of_test = images[images["split"].isin(("test", "all"))].assign(split="test")
    if _names_digest(images) == facts.NAMES_SHA256:
        return CHEST_XRAY, (f"This is the published set: all {len(images):,} images, known by their names. "
                            f"{facts.SOURCE}; licence {facts.LICENCE}; {facts.PATIENTS}.")
    found = images.groupby(["split", "subtype"]).size()
    differing = [f"{split} {subtype} {found.get((split, subtype), 0)} (published {published})"
                 for (split, subtype), published in facts.COUNTS.items()
                 if found.get((split, subtype), 0) != published]
    total = sum(facts.COUNTS.values())
    # What differs is worth telling where the folder is nearly the published set.
    reason = f": {', '.join(differing) or 'names differ'}" if abs(len(images) - total) < total / 10 else ""
    sentence = (f"This is not the published set ({len(images):,} images, {total:,} published{reason})." if reason else
                f"These are {len(images):,} images of your own, not the published set.")
    return PUBLISHED_TEST if _names_digest(of_test) == facts.TEST_NAMES_SHA256 else OWN, sentence


def marked_source(root: Path) -> Source | None:
    """The source that the marker in a folder names; None without one.

    Raises:
        DataError: the marker is damaged, or names none that is known.
    """
    marker = root / MARKER
    if not marker.is_file():
        return None
    try:
        return _MARKED[json.loads(marker.read_text(encoding="utf-8"))["source"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{marker}: damaged; fetch the images again, or remove it to use them as images of your own"
                        ) from error


def mark(folder: Path, source: Source) -> None:
    """Write beside the images of a folder of which source they are, and whose, where their names tell."""
    (folder / MARKER).write_text(json.dumps({"source": source.name}) + "\n", encoding="utf-8")
    if source is not SARS_COV_2_CT:
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*/*"))
        pd.DataFrame({"path": paths, "patient": [*map(patient_of, paths)]}).to_csv(folder / PATIENTS, index=False)


def patient_of(name: str) -> str:
    """Which patient a slice of COVID-CT is taken to be of, by its file name: slices of NonCOVID are numbered
    PATIENT%SLICE. Those of COVID are cut from the pages of articles (ARTICLE-pPAGE-FIGURE%PART), and all of such an
    article count as one patient, for several of its figures may show the same. Any other name is a patient of its own.
    """
    return re.split(r"-p\d+|%", Path(name).stem, maxsplit=1)[0]


def phantom_identity(root: Path) -> str:
    """A sentence on a folder of phantom images; empty if it does not say that it is one.

    Raises:
        DataError: its marker is damaged.
    """
    marker = root / phantom.MARKER
    if not marker.is_file():
        return ""
    try:
        seed = int(json.loads(marker.read_text(encoding="utf-8"))["seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{marker}: damaged; draw the phantom images again") from error
    return (f"These are phantom images, drawn by a program from seed {seed}: no child was imaged. They are a positive "
            "control with a planted cue, and no number measured on them is evidence on real images.")


def _names_digest(images: pd.DataFrame) -> str:
    stems = images["path"].map(lambda path: path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    lines = sorted(images["split"] + "/" + images["label"] + "/" + stems)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
