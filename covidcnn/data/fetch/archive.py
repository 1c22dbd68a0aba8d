"""Images out of a ZIP archive that is not trusted: nothing outside the folder, no links, no bombs.

Every member is judged before the first is unpacked. kagglehub's own unpacking has no limit of size, and installs all
that is in an archive: Kaggle's holds the set twice.
"""

import shutil
import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from covidcnn.data.fetch.transfer import OTHER_FOLDER
from covidcnn.data.folders import SPLITS, is_litter
from covidcnn.errors import DataError
from covidcnn.imaging.files import IMAGE_ENDINGS
from covidcnn.paths import require_space
from covidcnn.task import PNEUMONIA

MOST_MEMBERS = 100_000
"""Kaggle's archive has under 20,000."""
LARGEST_SET = 3_000_000_000
"""Bytes of all images; the published ones have 1.2 billion."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
"""What zipfile raises of bytes that no honest archive has: versions, methods and names that it cannot read too."""


def unpack_images(archive: Path, folder: Path) -> None:
    """Unpack the images of the published layout (train, val, test, with NORMAL and PNEUMONIA) into ``folder``; of
    several copies, one inside the other, the outermost. What else is in the archive is passed over.

    Raises:
        DataError: no ZIP archive, damaged, no images in it, or a member that no honest archive has: a name that leads
            outside, a link, too much data. ``folder`` then is to be thrown away.
        UserError: the disk is too full.
        OSError: ``folder`` cannot be written.
    """
    with opened_archive(archive) as opened:
        images = _images(opened.infolist())
        # Its parent, which the user knows: the folder itself may bear a temporary name.
        require_space(folder.parent, sum(member.file_size for member in images.values()), OTHER_FOLDER)
        for place, member in images.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            # zipfile reads no more of a member than the archive declares, whatever the stream holds.
            with opened.open(member) as source, path.open("xb") as file:
                shutil.copyfileobj(source, file)


@contextmanager
def opened_archive(archive: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive that is not trusted; a DataError, which names it, if it is none or damaged, or if the block finds
    fault with it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except DataError as error:
        raise DataError(f"{archive}: {error}; download the published archive") from error
    except OSError as error:
        # Not of what the block writes.
        if error.filename != str(archive):
            raise
        raise DataError(f"{archive}: cannot be read ({error.strerror}); give the downloaded archive") from error
    except DAMAGED as error:
        raise DataError(f"{archive}: no ZIP archive, or damaged ({error}); download it again") from error


def _images(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members to unpack, by their place in the published layout."""
    if len(members) > MOST_MEMBERS:
        raise DataError(f"{len(members):,} members, far more than the published archive has")
    copies: dict[tuple[str, ...], dict[str, zipfile.ZipInfo]] = defaultdict(dict)
    for member in members:
        require_harmless(member)
        parts = PurePosixPath(member.filename).parts
        if member.is_dir() or len(parts) < 3 or any(map(is_litter, parts)):
            continue
        split, label, name = parts[-3:]
        if split in SPLITS and label in PNEUMONIA.classes and PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS:
            copy, place = copies[parts[:-3]], f"{split}/{label}/{name}"
            if place in copy:
                raise DataError(f"the member '{member.filename}' is in it twice")
            copy[place] = member
    if not copies:
        raise DataError("no image in train, val or test with NORMAL and PNEUMONIA")
    outermost = min(copies, key=len)
    if sum(len(parents) == len(outermost) for parents in copies) > 1:
        raise DataError(f"several data sets side by side, one in '{'/'.join(outermost)}'")
    images = copies[outermost]
    if sum(member.file_size for member in images.values()) > LARGEST_SET:
        raise DataError("it unpacks to far more than the published images have")
    return images


def require_harmless(member: zipfile.ZipInfo) -> None:
    """Raise a DataError for a member that no honest archive has."""
    # As it is written in the archive: zipfile cuts names at a zero byte.
    name = member.orig_filename
    if "\0" in name or "\\" in name or name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
        raise DataError(f"the member '{name}' leads outside the folder")
    # Of an archive whose end says wrongly where its directory begins.
    if member.header_offset < 0:
        raise DataError(f"the member '{name}' lies outside the archive")
    # Unix keeps the kind of a file here; archives of other systems have zero.
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"the member '{name}' is a link or a device")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 0x1:
        raise DataError(f"the member '{name}' is encrypted, or compressed in an unusual way")
