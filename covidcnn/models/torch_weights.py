"""Weights that PyTorch saved, read without PyTorch and without running what the file says.

A .pth file of before PyTorch 1.6 is a row of pickles, then the numbers: a magic number, a version, facts of the machine
that wrote it; an ordered dictionary of tensors, each of which names its storage and its place and strides there; the
names of the storages, and in their order the length and the numbers of each. Source: ``_legacy_load`` of
``torch/serialization.py``.
"""

import hashlib
import io
import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from covidcnn.errors import DataError

LARGEST = 100_000_000
"""Bytes of a file. The weights of EfficientNet-Lite0 have 19 MB."""
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def read_weights(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """The tensors of a .pth file by name, float32 or int64, read-only, in the file's order.

    Raises:
        DataError: there is no such file, it is too large, its SHA-256 is another one (nothing of it is unpickled
            then), or it holds something else than tensors.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); install its package again") from error
    if len(content) > LARGEST:
        raise DataError(f"{path}: larger than {LARGEST / 1e6:.0f} MB; install its package again")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path}: not the weights that were published (another SHA-256); install its package again")
    try:
        return _tensors(content)
    # A damaged pickle, or one that was tampered with, fails in as many ways as there are errors.
    except Exception as error:
        raise DataError(f"{path}: holds something else than tensors, or is damaged; install its package again"
                        ) from error


class _Tensor(NamedTuple):
    """Where a tensor's numbers are: in which storage, of which type, and where there."""

    storage: str
    kind: str
    start: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


class _Reader(pickle.Unpickler):
    """An unpickler that can make ordered dictionaries and ``_Tensor``, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A method and no class: a pickle could change the attributes of a class.
            return self._tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        what, kind, name, _device, _count, view = pid
        if what != "storage" or kind not in _STORAGES.values() or view is not None:
            raise pickle.UnpicklingError("no storage")
        return name, kind

    def _tensor(self, storage: tuple[str, str], start: int, shape: tuple[int, ...], steps: tuple[int, ...],
                _requires_gradient: bool, _hooks: Any) -> _Tensor:
        return _Tensor(*storage, start, shape, steps)


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    file = io.BytesIO(content)
    magic, version, machine, tensors, names = (_Reader(file).load() for _ in range(5))
    if (magic, version, machine["little_endian"]) != (_MAGIC, _VERSION, True):
        raise ValueError("another format")
    if not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise ValueError("no tensor")
    kinds = {tensor.storage: tensor.kind for tensor in tensors.values()}
    storages, place = {}, file.tell()
    for name in names:
        count = int.from_bytes(content[place : place + 8], "little")
        # A view of the file: a length that is a lie takes no memory.
        storages[name] = np.frombuffer(content, kinds[name], count, place + 8)
        place += 8 + storages[name].nbytes
    found = {}
    for name, tensor in tensors.items():
        values = storages[tensor.storage]
        if tensor.kind != values.dtype.str or math.prod(tensor.shape) > values.size:
            raise ValueError(f"{name} is larger than its storage")
        # NumPy refuses places and strides that lead out of the storage.
        found[name] = np.ndarray(tensor.shape, values.dtype, values.data, tensor.start * values.itemsize,
                                 [step * values.itemsize for step in tensor.steps])
    return found
