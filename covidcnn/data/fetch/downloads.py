"""Where the published data come from, and how each becomes a folder that works everywhere."""

import base64
import shutil
from pathlib import Path

import requests

from covidcnn.data import pneumoniamnist
from covidcnn.data.fetch import ct
from covidcnn.data.fetch.archive import unpack_images
from covidcnn.data.fetch.transfer import OTHER_FOLDER, Progress, Remote, download, md5_of, reserved, unreachable
from covidcnn.errors import DataError, UserError
from covidcnn.paths import replacing_folder, require_space, require_writable

KAGGLE_OWNER, KAGGLE_DATASET, KAGGLE_VERSION = "paultimothymooney", "chest-xray-pneumonia", 2
LARGEST_ARCHIVE = 4_000_000_000
"""Bytes; Kaggle's has 2.5 billion."""


def fetch_chest_xray(target: Path, archive: Path | None = None, progress: Progress | None = None) -> None:
    """Put the published images into the new or empty folder ``target``, whole or not at all; from Kaggle's archive,
    downloaded by hand, or without one from Kaggle.

    Raises:
        UserError: ``target`` is taken or cannot be written, the disk is too full, or the transfer failed; the
            next call goes on with what has come.
        DataError: the archive is damaged, or not what it should be; what was fetched of it is removed.
    """
    with reserved(target) as partial:
        if archive is None:
            download(_kaggle_archive(), partial, progress)
        try:
            with replacing_folder(target) as folder:
                unpack_images(archive or partial, folder)
        except DataError:
            if archive is None:
                partial.unlink()
            raise


def fetch_pneumoniamnist(target: Path, size: int, file: Path | None = None, unofficial: bool = False,
                         progress: Progress | None = None) -> None:
    """Put PneumoniaMNIST of 28, 64, 128 or 224 pixels into the new or empty folder ``target``, whole or not at all;
    from a ``file`` downloaded by hand, be it ``unofficial``, or without one from Zenodo.

    Raises:
        UserError: as for ``fetch_chest_xray``, or there is no such size.
        DataError: ``file`` is not PneumoniaMNIST of this size, or not the official one.
    """
    if size not in pneumoniamnist.MD5:
        raise UserError(f"--size {size}: there is no PneumoniaMNIST of this size; choose one of "
                        f"{', '.join(map(str, pneumoniamnist.MD5))}")
    official = pneumoniamnist.MD5[size]
    with reserved(target) as partial:
        if file is None:
            download(_pneumoniamnist_file(size), partial, progress)
        elif (found := md5_of(file)) != official and not unofficial:
            raise DataError(f"{file}: not the official file (MD5 {found}, not {official}); download it again, or take "
                            "it as it is with --unofficial")
        require_space(target.resolve().parent, pneumoniamnist.folder_bytes(size), OTHER_FOLDER)
        with replacing_folder(target) as folder:
            pneumoniamnist.write_folder(file or partial, size, found if file else official, folder)


def fetch_covid_ct(target: Path, copy: Path | None = None, progress: Progress | None = None) -> None:
    """Put COVID-CT into the new or empty folder ``target``, whole or not at all; from a ``copy`` of its repository, or
    without one from GitHub. Raises as ``fetch_chest_xray``."""
    with reserved(target) as partial:
        fetched = partial.with_suffix(".files")
        if copy is None:
            for place in (*(f"{images}.zip" for images in ct.IMAGES.values()), *ct.LISTS.values()):
                if not (fetched / place).exists():
                    part = fetched / f"{place}.part"
                    require_writable(part)
                    part.parent.mkdir(parents=True, exist_ok=True)
                    download(_covid_ct_file(place), part, progress)
                    part.rename(fetched / place)
        try:
            with replacing_folder(target) as folder:
                ct.arrange_covid_ct(copy or fetched, folder)
        except DataError:
            if copy is None:
                shutil.rmtree(fetched, ignore_errors=True)
            raise
        shutil.rmtree(fetched, ignore_errors=True)


def _covid_ct_file(place: str) -> Remote:
    return Remote(
        name=f"{place} of COVID-CT", url=f"{ct.REPOSITORY}/{place}", md5=None, largest=ct.LARGEST_SET, unpacked=0,
        by_hand="clone https://github.com/UCSD-AI4H/COVID-CT, then covidcnn data fetch covid-ct --from COVID-CT")


def _pneumoniamnist_file(size: int) -> Remote:
    name, unpacked = pneumoniamnist.file_name(size), pneumoniamnist.folder_bytes(size)
    return Remote(
        name=f"{name} of Zenodo", url=f"{pneumoniamnist.PAGE}/files/{name}?download=1", md5=pneumoniamnist.MD5[size],
        # Its arrays are compressed, and an image in the folder has a header beside its pixels.
        largest=unpacked, unpacked=unpacked,
        by_hand=f"download {name} from {pneumoniamnist.PAGE} with a browser, then covidcnn data fetch pneumoniamnist "
                f"--size {size} --from {name}")


def _kaggle_archive() -> Remote:
    """Ask Kaggle, through kagglehub, where the archive lies at present. kagglehub's ``dataset_download`` would unpack
    whatever and however much is in it, into a cache where a second copy stays, or into a folder without resuming."""
    # Imported here: kagglehub takes its time.
    from kagglehub.clients import build_kaggle_client
    from kagglehub.integrity import get_md5_checksum_from_response
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    name = f"kaggle.com/datasets/{KAGGLE_OWNER}/{KAGGLE_DATASET}"
    by_hand = (f"download the archive from https://www.{name} or https://doi.org/10.17632/rscbjbr9sj.2 with a browser, "
               "then covidcnn data fetch chest-xray --from ARCHIVE.zip; or unpack it anywhere and give the folder with "
               "--data")
    wanted = ApiDownloadDatasetRequest()
    wanted.owner_slug, wanted.dataset_slug = KAGGLE_OWNER, KAGGLE_DATASET
    wanted.dataset_version_number = KAGGLE_VERSION
    try:
        with (build_kaggle_client() as client,
              client.datasets.dataset_api_client.download_dataset(wanted) as response):
            size = int(response.headers.get("Content-Length", 0))
            checksum = get_md5_checksum_from_response(response)
            # Half of the archive is a second copy, and JPEG files are no smaller in it.
            return Remote(name, response.url, base64.b64decode(checksum).hex() if checksum else None,
                          LARGEST_ARCHIVE, size // 2, by_hand)
    except requests.RequestException as error:
        raise unreachable(name, by_hand, error) from error
    except ValueError as error:
        raise UserError(f"{error}; mend or remove it: this download needs no account") from error
