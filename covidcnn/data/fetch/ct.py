"""Two public sets of CT slices of COVID-19: their facts, and the folder of images that each becomes.

Neither set's images are part of this project. COVID-CT has no open licence: who fetches it may look at it, and may not
pass it on.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from covidcnn.data.fetch.archive import opened_archive, require_harmless
from covidcnn.data.fetch.transfer import OTHER_FOLDER
from covidcnn.data.folders import SPLITS, files_under, is_litter
from covidcnn.data.sources import COVID_CT, SARS_COV_2_CT, mark
from covidcnn.errors import DataError
from covidcnn.imaging.files import IMAGE_ENDINGS
from covidcnn.paths import replacing_folder, require_space
from covidcnn.task import COVID

REPOSITORY = "https://raw.githubusercontent.com/UCSD-AI4H/COVID-CT/master"
LISTS = {(split, label): f"Data-split/{label}/{split}CT_{label}.txt"
         for split in SPLITS for label in COVID.classes}
"""Of COVID-CT: the list of the images of each split and class."""
IMAGES = {label: f"Images-processed/CT_{label}" for label in COVID.classes}
"""Of COVID-CT: the folder with the images of a class, or with .zip its archive."""
COUNTS = {"train": (234, 191), "val": (58, 60), "test": (105, 98)}
"""Of COVID-CT: slices of NonCOVID and of COVID in each official split, 746 in all (Zhao and others 2020)."""
LARGEST_SET = 2_000_000_000
"""Bytes that the images of a set may take."""


def arrange_covid_ct(source: Path, folder: Path) -> None:
    """Lay the images of COVID-CT into the empty ``folder``, by split and class, with a table of patients.

    Args:
        source: a copy of its repository; the images of a class in a folder, or in the archive that it comes with.

    Raises:
        DataError: a list or an image is missing, or an archive is damaged or not to be trusted.
        UserError: the disk is too full.
        OSError: ``folder`` cannot be written.
    """
    lists = {place: _listed(source / file) for place, file in LISTS.items()}
    for split, counts in COUNTS.items():
        found = tuple(len(lists[split, label]) for label in COVID.classes)
        if found != counts:
            raise DataError(f"{source}: {found} slices of {' and '.join(COVID.classes)} in {split}, and {counts} were "
                            "published; give the published copy, or lay the images out as your own (docs/own-data.md)")
    for label, place in IMAGES.items():
        with _images(source / place) as image:
            for split in COUNTS:
                for name in lists[split, label]:
                    path = folder / split / label / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(image(name))
    mark(folder, COVID_CT)


def arrange_sars_cov_2_ct(target: Path, source: Path) -> None:
    """Put the images of SARS-CoV-2 CT, of its unpacked archive (``COVID`` and ``non-COVID``), by class into the new or
    empty folder ``target``, whole or not at all. Who is on which slice is not published.

    Raises:
        DataError: images are missing, or two have one name.
        UserError: ``target`` is taken or cannot be written, or the disk is too full.
    """
    with replacing_folder(target) as folder:
        for label, name in (("COVID", "COVID"), ("NonCOVID", "non-COVID")):
            images = [path for path in files_under(source / name) if path.suffix.lower() in IMAGE_ENDINGS] if (
                source / name).is_dir() else []
            if not images:
                raise DataError(f"{source / name}: no images; give the unpacked archive, which has COVID and non-COVID")
            require_space(folder.parent, sum(path.stat().st_size for path in images), OTHER_FOLDER)
            (folder / label).mkdir()
            for path in images:
                if (folder / label / path.name).exists():
                    raise DataError(f"{path}: there is another image of this name; give the unpacked archive as it is")
                (folder / label / path.name).write_bytes(_read(path))
        mark(folder, SARS_COV_2_CT)


def _listed(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in _read(path).decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read ({error}); give a whole copy of it") from error
    if len(set(names)) < len(names):
        raise DataError(f"{path}: an image is listed twice; give the published copy")
    for name in names:
        if Path(name).name != name or "\\" in name or not name.isprintable():
            raise DataError(f"{path}: '{name}' is no name of a file; give the published copy")
    return names


@contextmanager
def _images(place: Path) -> Iterator[Callable[[str], bytes]]:
    """A function that gives the bytes of an image by its name, from a folder or from the archive of that name."""
    archive = place.with_name(f"{place.name}.zip")
    if place.is_dir() or not archive.is_file():
        yield lambda name: _read(place / name)
        return
    with opened_archive(archive) as opened:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in opened.infolist():
            name = member.filename.rpartition("/")[2]
            if member.is_dir() or member.filename.startswith("__MACOSX"):
                continue
            if name in members and not is_litter(name):
                raise DataError(f"two files in it are called '{name}'")
            members[name] = member
        for member in members.values():
            require_harmless(member)
        if sum(member.file_size for member in members.values()) > LARGEST_SET:
            raise DataError("it unpacks to far more than the published images have")

        def image(name: str) -> bytes:
            if name not in members:
                raise DataError(f"the image '{name}' is not in it")
            return opened.read(members[name])

        yield image


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a whole copy of it") from error
