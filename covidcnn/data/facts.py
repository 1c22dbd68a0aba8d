"""Facts of the published data set, and whether a folder is that set.

Kermany, Zhang and Goldbaum (2018): Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images
for Classification, Mendeley Data, version 2, doi 10.17632/rscbjbr9sj.2.
"""

import hashlib
from dataclasses import dataclass

import pandas as pd

SOURCE = "Mendeley Data, doi 10.17632/rscbjbr9sj.2 (also paultimothymooney/chest-xray-pneumonia on Kaggle)"
LICENCE = "CC BY 4.0"
CITATION = (
    "Kermany D, Zhang K, Goldbaum M (2018): Labeled Optical Coherence Tomography (OCT) and Chest X-Ray "
    "Images for Classification. Mendeley Data, V2. doi 10.17632/rscbjbr9sj.2"
)
PATIENTS = ("children of one to five years, Guangzhou Women and Children's Medical Center; age, sex and true "
            "identity of the single child are not published")

COUNTS = {
    ("train", "normal"): 1341, ("train", "bacteria"): 2530, ("train", "virus"): 1345,
    ("val", "normal"): 8, ("val", "bacteria"): 8,
    ("test", "normal"): 234, ("test", "bacteria"): 242, ("test", "virus"): 148,
}
"""Images by (split, subtype): 5,856 in all."""
DUPLICATE_GROUPS = 30
"""Groups of byte-identical files: 24 inside train, 6 inside test, none across splits or labels."""

TEST_COPIES = (
    "test/NORMAL/NORMAL2-IM-0096-0001", "test/NORMAL/NORMAL2-IM-0173-0001-0002",
    "test/NORMAL/NORMAL2-IM-0246-0001-0002", "test/PNEUMONIA/person128_bacteria_607",
    "test/PNEUMONIA/person134_bacteria_644", "test/PNEUMONIA/person1661_virus_2873",
)
"""Of each group inside test, the copy: without them there are 618 distinct test images. Endings left out."""

# SHA-256 over the sorted 'split/label/name' of all images, endings left out: copies at another size or
# in another file format are still the same set.
_NAMES_SHA256 = "f5903bb281a292e124db97536abd7af833b7e5d94b80abbd6d6761c80b66f0b3"
_TEST_NAMES_SHA256 = "d4e6f06303358d8addd95aee5cabdad50791070f5282224fceaad220f6e6861e"


@dataclass(frozen=True)
class Identity:
    """Which data set a folder holds."""

    source: str
    """A name of ``covidcnn.data.sources.SOURCES``."""
    sentence: str
    warning: str = ""


def identify(images: pd.DataFrame) -> Identity:
    """Compare the names, splits and classes of ``images`` with the published set's."""
    is_published = _names_digest(images) == _NAMES_SHA256
    # The folder test of the published set, given by itself, has no splits.
    of_test = images[images["split"].isin(("test", "all"))].assign(split="test")
    has_test = _names_digest(of_test) == _TEST_NAMES_SHA256
    if is_published:
        sentence = (f"This is the published set: all {sum(COUNTS.values()):,} images, known by their names. "
                    f"{SOURCE}; licence {LICENCE}; {PATIENTS}.")
    else:
        differing = [f"{split} {subtype} {found} (published {published})"
                     for (split, subtype), published in COUNTS.items()
                     if (found := int(((images["split"] == split) & (images["subtype"] == subtype)).sum()))
                     != published]
        total = sum(COUNTS.values())
        # What differs is worth telling where the folder is nearly the published set.
        nearly = abs(len(images) - total) < total / 10
        reason = f": {', '.join(differing) or 'names differ'}" if nearly else ""
        sentence = f"This is not the published set ({len(images):,} images, {total:,} published{reason})."
    return Identity("chest-xray" if is_published else "published test set" if has_test else "own", sentence)


def _names_digest(images: pd.DataFrame) -> str:
    stems = images["path"].map(lambda path: path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    lines = sorted(images["split"] + "/" + images["label"] + "/" + stems)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
