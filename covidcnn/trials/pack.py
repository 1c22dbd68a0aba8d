"""A finished store in one file: small to publish, read without unpacking, unpacked before more is added to it.

``packed.tar.xz`` in the store's folder holds ``trials/KEY.json`` as they were and ``scores/KEY.csv`` as plain text: a
text that is compressed with its neighbours takes a third of what it takes alone.
"""

import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from covidcnn.errors import DataError, UserError
from covidcnn.paths import replacing

PACKED = "packed.tar.xz"


def packed_files(folder: Path) -> Mapping[str, bytes]:
    """What a store's pack holds, by name; empty where it has none.

    Raises:
        DataError: the pack is damaged.
    """
    path = folder / PACKED
    if not path.is_file():
        return {}
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


# A study opens its store several times, and to decompress it takes a second.
@lru_cache(maxsize=2)
def _read(path: Path, _changed: int, _size: int) -> Mapping[str, bytes]:
    try:
        with tarfile.open(path, "r:xz") as archive:
            return {member.name: file.read() for member in archive if (file := archive.extractfile(member))}
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise DataError(f"{path}: damaged ({error}); bring it back as it was") from error


def pack(folder: Path) -> int:
    """Pack all finished trials of a store, those of an earlier pack too, and remove what the pack holds.

    The same trials give the same file.

    Returns:
        How many trials the pack holds.

    Raises:
        UserError: a trial is unfinished, or the folder cannot be written.
        DataError: an earlier pack is damaged.
    """
    if any((folder / "unfinished").glob("[!.]*/[!.]*")):
        raise UserError(f"{folder}: a trial is unfinished; let it end, or remove {folder / 'unfinished'}")
    loose = {path: f"{part}/{path.name.removesuffix('.gz')}"
             # These first to go: one that is there without its scores would be damaged.
             for part, ending in (("trials", "json"), ("scores", "csv.gz"))
             for path in sorted((folder / part).glob(f"*.{ending}"))}
    files = dict(packed_files(folder))
    for path, name in loose.items():
        content = path.read_bytes()
        files[name] = gzip.decompress(content) if path.suffix == ".gz" else content
    with replacing(folder / PACKED) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    for path in loose:
        path.unlink()
    return sum(name.startswith("trials/") for name in files)


def unpack(folder: Path) -> int:
    """Make a store's files anew from its pack, scores first, and remove the pack.

    Returns:
        How many trials it held.

    Raises:
        DataError: the pack is damaged.
        UserError: the folder cannot be written.
    """
    files = packed_files(folder)
    for name in sorted(files):
        content = files[name]
        if name.startswith("trials/"):
            content = _with_digest(content, folder / "scores" / f"{Path(name).stem}.csv.gz")
            target = folder / name
        else:
            content, target = gzip.compress(content, mtime=0), folder / f"{name}.gz"
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    (folder / PACKED).unlink(missing_ok=True)
    return sum(name.startswith("trials/") for name in files)


def _with_digest(content: bytes, scores: Path) -> bytes:
    """A trial's JSON with the digest of its scores as they were compressed here: another zlib gives other bytes."""
    value = json.loads(content)
    if not value["scores sha256"]:
        return content
    digest = hashlib.sha256(scores.read_bytes()).hexdigest()
    return content.replace(value["scores sha256"].encode(), digest.encode())
