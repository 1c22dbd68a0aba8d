"""Facts of the published data set (``CITATION``), and what its file names say.

The four series of file names (IM, NORMAL2-IM, bacteria, virus) are numbered separately. With the key (series, number)
train, val and test share no patient; true identities are not published, so that the key stands for one child is an
assumption.
"""

import re
from typing import NamedTuple

SOURCE = "Mendeley Data, doi 10.17632/rscbjbr9sj.2 (also paultimothymooney/chest-xray-pneumonia on Kaggle)"
LICENCE = "CC BY 4.0"
CITATION = ("Kermany D, Zhang K, Goldbaum M (2018): Labeled Optical Coherence Tomography (OCT) and Chest X-Ray "
            "Images for Classification. Mendeley Data, V2. doi 10.17632/rscbjbr9sj.2")
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
NAMES_SHA256 = "f5903bb281a292e124db97536abd7af833b7e5d94b80abbd6d6761c80b66f0b3"
"""Over the sorted 'split/label/name' of all images, endings left out: copies at another size or in another file format
are still the same set."""
TEST_NAMES_SHA256 = "d4e6f06303358d8addd95aee5cabdad50791070f5282224fceaad220f6e6861e"

# IM-0115-0001, IM-0666-0001-0002, NORMAL2-IM-1427-0001: patient number, image, sometimes a third number.
_NORMAL = re.compile(r"(?P<series>IM|NORMAL2-IM)-(?P<number>\d+)-\d+(-\d+)?")
# person1_bacteria_1, person447_virus_921_1: patient number, kind, image, once a further number.
_PNEUMONIA = re.compile(r"person(?P<number>\d+)_(?P<series>bacteria|virus)_\d+(_\d+)?")


class ImageName(NamedTuple):
    """The published meaning of one file name."""

    series: str
    """'IM', 'NORMAL2-IM', 'bacteria' or 'virus'."""
    number: int
    """The patient's number within the series."""
    subtype: str
    """'normal', 'bacteria' or 'virus'."""
    patient: str
    """The patient key (series, number) as one string, for example 'virus-447'."""


def parse_name(stem: str) -> ImageName | None:
    """Read a file name without its ending; None if it is not named as the published set is."""
    match = _NORMAL.fullmatch(stem) or _PNEUMONIA.fullmatch(stem)
    if not match:
        return None
    series, number = match["series"], int(match["number"])
    return ImageName(series, number, series if series in ("bacteria", "virus") else "normal", f"{series}-{number}")


def subtype_of(label: str) -> str:
    """What is known of an image whose name does not say it: 'normal' or 'unknown'."""
    return "normal" if label.upper() == "NORMAL" else "unknown"
