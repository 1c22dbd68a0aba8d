"""Weights of PyTorch's older format: read as they were saved, and anything else refused without running it."""

import hashlib
import pickle

import numpy as np
import pytest
from model_files import pickled

from covidcnn.errors import DataError
from covidcnn.models import torch_weights
from covidcnn.models.torch_weights import read_weights

REBUILD, DICTIONARY = b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n)R"
KINDS = {"float32": b"ctorch\nFloatStorage\n", "int64": b"ctorch\nLongStorage\n", "float64": b"ctorch\nDoubleStorage\n"}
NUMBERS = np.arange(12, dtype=np.float32)
WHOLE = (NUMBERS, 0, (12,), (1,))


def code(value):
    """What a pickle says of a value, without its frame."""
    return pickle.dumps(value, 2)[2:-1]


def saved(path, tensors, parts=None, counts=None):
    """Write tensors, (numbers, start, shape, strides) by name, as PyTorch 1.4 did, without needing it; and the SHA-256.
    ``parts`` are pickles to stand in the place of its five, and ``counts`` false lengths."""
    state = b"\x80\x02" + DICTIONARY + b"("
    numbers = b""
    for place, (name, (storage, start, shape, strides)) in enumerate(tensors.items()):
        state += (code(name) + REBUILD + b"((" + code("storage") + KINDS[storage.dtype.name] + code(str(place))
                  + code("cpu") + code(storage.size) + b"NtQ" + code(start) + code(shape) + code(strides) + b"\x89"
                  + DICTIONARY + b"tR")
        numbers += (counts or {}).get(name, storage.size).to_bytes(8, "little") + storage.tobytes()
    pickles = {0: code(0x1950A86A20F9469CFC6C) + b".", 1: code(1001) + b".", 2: code({"little_endian": True}) + b".",
               3: state + b"u.", 4: code([str(place) for place in range(len(tensors))]) + b"."} | (parts or {})
    path.write_bytes(b"".join(pickles.values()) + numbers)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_tensors_come_back_in_order_whatever_their_strides(tmp_path):
    tensors = {"b": (NUMBERS, 2, (2, 3), (1, 3)), "a": (np.array([7]), 0, (), ()), "c": WHOLE}
    read = read_weights(tmp_path / "w.pth", saved(tmp_path / "w.pth", tensors))
    assert list(read) == ["b", "a", "c"]
    np.testing.assert_array_equal(read["b"], [[2, 5, 8], [3, 6, 9]])
    np.testing.assert_array_equal(read["c"], NUMBERS)
    assert (read["a"], read["a"].dtype, read["c"].dtype) == (7, np.int64, np.float32)


def test_file_that_was_tampered_with_is_refused_before_it_is_read(tmp_path, refused, monkeypatch):
    path = tmp_path / "w.pth"
    digest = saved(path, {"a": WHOLE})
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr(torch_weights, "_tensors", None)
    with refused(path, "another SHA-256", "install its package again", error=DataError):
        read_weights(path, digest)


@pytest.mark.parametrize("place", range(5))
def test_no_code_of_the_file_is_run_even_if_its_digest_is_expected(tmp_path, refused, place):
    path, ran = tmp_path / "w.pth", tmp_path / "ran"
    evils = (pickled(ran), b"cposix\nsystem\n(" + code(f"touch {ran}") + b"tR.",
             b"cbuiltins\neval\n(" + code("1") + b"tR.", b"ctorch\nload\n(" + code("x") + b"tR.",
             b"ctorch._utils\n_rebuild_tensor\n.", b"ccopyreg\n_reconstructor\n.",
             KINDS["float32"] + b"(" + code("x") + b"tR.", b"\x82\x01.", REBUILD + b"}b.", b"]Q.", b".")
    for evil in evils:
        digest = saved(path, {"a": WHOLE}, {place: evil})
        with refused(path, "something else than tensors", error=DataError):
            read_weights(path, digest)
    assert not ran.exists()


@pytest.mark.parametrize("tensor", [
    (NUMBERS, 1, (12,), (1,)), (NUMBERS, -1, (2,), (1,)), (NUMBERS, 0, (13,), (1,)), (NUMBERS, 0, (2, 2), (1, 11)),
    (NUMBERS, 11, (2,), (-12,)), (NUMBERS, 0, (10**12,), (0,)), (NUMBERS, 0, (2**62, 8), (0, 0)),
    (NUMBERS, 0, (2,), ()), (NUMBERS, 0, (-1,), (1,)), (NUMBERS, 0, (1.5,), (1,)), (NUMBERS, 0, "12", (1,)),
    (NUMBERS.astype(float), 0, (1,), (1,))])
def test_tensor_that_leads_out_of_its_storage_is_refused(tmp_path, refused, tensor):
    with refused("w.pth", "something else than tensors", error=DataError):
        read_weights(tmp_path / "w.pth", saved(tmp_path / "w.pth", {"a": tensor}))


@pytest.mark.parametrize("count", [13, 10**15, 2**64 - 1])
def test_storage_that_is_longer_than_the_file_is_refused(tmp_path, refused, count):
    with refused("w.pth", error=DataError):
        read_weights(tmp_path / "w.pth", saved(tmp_path / "w.pth", {"a": WHOLE}, counts={"a": count}))


def test_file_that_is_cut_short_too_large_or_not_there_is_refused(tmp_path, refused, monkeypatch):
    path = tmp_path / "w.pth"
    saved(path, {"a": WHOLE})
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with refused(path, "damaged", error=DataError):
            read_weights(path, hashlib.sha256(content[:end]).hexdigest())
    monkeypatch.setattr(torch_weights, "LARGEST", 10)
    path.write_bytes(content)
    with refused(path, "larger than", error=DataError):
        read_weights(path, hashlib.sha256(content).hexdigest())
    with refused("none.pth", "cannot be read", error=DataError):
        read_weights(tmp_path / "none.pth", "")
