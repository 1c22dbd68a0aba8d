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
        UserError: no trial is finished, or one is unfinished, or the folder cannot be written.
        DataError: an earlier pack is damaged, or a trial, or its scores are not those that it was written with.
    """
    if any((folder / "unfinished").glob("[!.]*/[!.]*")):
        raise UserError(f"{folder}: a trial is unfinished; let it end, or remove {folder / 'unfinished'}")
    trials = sorted((folder / "trials").glob("*.json"))
    files = dict(packed_files(folder))
    for path in trials:
        files |= _contents(path, folder / "scores" / f"{path.stem}.csv.gz")
    if not files:
        raise UserError(f"{folder}: no trial is finished, so that there is nothing to pack")
    with replacing(folder / PACKED) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    for path in trials:
        # In this order: a trial that is there without its scores would be damaged. No scores but those that are packed.
        path.unlink()
        (folder / "scores" / f"{path.stem}.csv.gz").unlink(missing_ok=True)
    return sum(name.startswith("trials/") for name in files)


def _contents(trial: Path, scores: Path) -> dict[str, bytes]:
    """What a pack holds of a trial. Nothing checks it any more once it is packed."""
    try:
        content = trial.read_bytes()
        digest = json.loads(content)["scores sha256"]
        if not digest:
            return {f"trials/{trial.name}": content}
        compressed = scores.read_bytes()
        if hashlib.sha256(compressed).hexdigest() != digest:
            raise ValueError(f"{scores.name} is not what it was written with")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{trial}: damaged ({error}); remove it and the trial is run again") from error
    return {f"trials/{trial.name}": content, f"scores/{trial.stem}.csv": gzip.decompress(compressed)}


def unpack(folder: Path) -> int:
    """Make a store's files anew from its pack, scores first, and remove the pack.

    Returns:
        How many trials it held.

    Raises:
        DataError: the pack is damaged.
        UserError: there is none, or the folder cannot be written.
    """
    files = packed_files(folder)
    if not files:
        raise UserError(f"{folder / PACKED}: there is none to unpack")
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
