"""What the published file names say: series, patient number and kind of pneumonia.

The four series (IM, NORMAL2-IM, bacteria, virus) are numbered separately. With the key
(series, number) train, val and test share no patient; true identities are not published, so that the
key stands for one child is an assumption.
"""

import re
from dataclasses import dataclass

# IM-0115-0001, IM-0666-0001-0002, NORMAL2-IM-1427-0001: patient number, image, sometimes a third number.
_NORMAL = re.compile(r"(?P<series>IM|NORMAL2-IM)-(?P<number>\d+)-\d+(-\d+)?")
# person1_bacteria_1, person447_virus_921_1: patient number, kind, image, once a further number.
_PNEUMONIA = re.compile(r"person(?P<number>\d+)_(?P<series>bacteria|virus)_\d+(_\d+)?")


@dataclass(frozen=True)
class ImageName:
    """The published meaning of one file name."""

    series: str
    """'IM', 'NORMAL2-IM', 'bacteria' or 'virus'."""
    number: int
    """The patient's number within the series."""

    @property
    def subtype(self) -> str:
        """'normal', 'bacteria' or 'virus'."""
        return self.series if self.series in ("bacteria", "virus") else "normal"

    @property
    def patient(self) -> str:
        """The patient key (series, number) as one string, for example 'virus-447'."""
        return f"{self.series}-{self.number}"


def parse_name(stem: str) -> ImageName | None:
    """Read a file name without its ending; None if it is not named as the published set is."""
    match = _NORMAL.fullmatch(stem) or _PNEUMONIA.fullmatch(stem)
    return ImageName(match["series"], int(match["number"])) if match else None


def subtype_of(label: str) -> str:
    """What is known of an image whose name does not say it: 'normal' or 'unknown'."""
    return "normal" if label.upper() == "NORMAL" else "unknown"
