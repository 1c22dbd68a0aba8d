"""A packed store: the same results as its files, in one file that unpacks to them."""

import hashlib
import json
import tarfile

import pandas as pd
import pytest
from invented import invented_result
from small_protocol import write_protocol

from covidcnn.errors import DataError
from covidcnn.trials.pack import PACKED, pack, unpack
from covidcnn.trials.store import TrialStore


@pytest.fixture
def trials(tmp_path):
    return write_protocol(tmp_path).trials("plain")


@pytest.fixture
def store(tmp_path, trials):
    made = TrialStore(tmp_path / "store")
    made.prepare()
    for trial in trials:
        made.write(invented_result(trial))
    return made


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file()}


def test_pack_is_read_like_the_files_and_unpacks_to_them(store, trials):
    before, results = contents(store.folder), [store.read(trial.key) for trial in trials]
    assert pack(store.folder) == len(trials)
    assert [*contents(store.folder)] == [PACKED]
    assert store.finished_keys() == sorted(trial.key for trial in trials)
    assert all(store.is_finished(trial) and store.has_scores(trial) for trial in trials)
    for one, trial in zip(results, trials, strict=True):
        again = store.read(trial.key)
        pd.testing.assert_frame_equal(again.scores, one.scores)
        pd.testing.assert_frame_equal(again.history, one.history)
        assert (again.trial, again.facts, again.digest) == (one.trial, one.facts, one.digest)
    assert unpack(store.folder) == len(trials)
    assert contents(store.folder) == before


def test_what_is_run_after_packing_joins_the_pack(store, trials):
    pack(store.folder)
    first = (store.folder / PACKED).read_bytes()
    later = invented_result(write_protocol(store.folder.parent).trials("tuning")[0])
    store.write(later)
    assert later.trial.key in store.finished_keys()
    assert len(store.read_all()[0]) == len(trials) + 1
    assert pack(store.folder) == len(trials) + 1
    assert (store.folder / PACKED).read_bytes() != first
    assert store.read(later.trial.key).trial == later.trial


def test_same_trials_give_the_same_pack(store, tmp_path, trials):
    other = TrialStore(tmp_path / "other")
    other.prepare()
    for trial in reversed(trials):
        other.write(invented_result(trial))
    for folder in (store.folder, other.folder):
        pack(folder)
    assert (store.folder / PACKED).read_bytes() == (other.folder / PACKED).read_bytes()


def test_unpacked_scores_have_their_digest_whatever_compressed_them(store, trials, monkeypatch):
    pack(store.folder)
    compress = __import__("gzip").compress
    monkeypatch.setattr("covidcnn.trials.pack.gzip.compress", lambda text, mtime: compress(text, 1, mtime=mtime))
    unpack(store.folder)
    for trial in trials:
        scores = (store.folder / "scores" / f"{trial.key}.csv.gz").read_bytes()
        value = json.loads((store.folder / "trials" / f"{trial.key}.json").read_text())
        assert value["scores sha256"] == hashlib.sha256(scores).hexdigest()
        assert len(store.read(trial.key).scores)


def test_damaged_pack_is_named(store, trials):
    pack(store.folder)
    whole = (store.folder / PACKED).read_bytes()
    (store.folder / PACKED).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=PACKED):
        store.read(trials[0].key)


@pytest.mark.parametrize("damage", ["swapped", "cut", "gone", "no JSON"])
def test_what_is_damaged_is_not_packed_and_nothing_is_lost(store, trials, damage, refused):
    """In a pack nothing has a digest any more."""
    one, other = (store.folder / "scores" / f"{trial.key}.csv.gz" for trial in trials[:2])
    named = store.folder / "trials" / f"{trials[0].key}.json"
    if damage == "swapped":
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
        named = store.folder / "trials" / f"{min(trials[:2], key=lambda trial: trial.key).key}.json"
    elif damage == "cut":
        one.write_bytes(one.read_bytes()[:-9])
    elif damage == "gone":
        one.unlink()
    else:
        named.write_text("{")
    before = contents(store.folder)
    with refused(named, "damaged", error=DataError):
        pack(store.folder)
    assert contents(store.folder) == before


def test_unfinished_store_is_not_packed(store, trials, refused):
    (store.folder / "unfinished" / trials[0].key).mkdir()
    (store.folder / "unfinished" / trials[0].key / "unfinished.npz").write_bytes(b"begun")
    with refused("unfinished", "let it end"):
        pack(store.folder)
    assert not (store.folder / PACKED).exists()


def test_nothing_is_packed_or_unpacked_where_nothing_is(tmp_path, refused):
    with refused("nothing to pack"):
        pack(tmp_path / "none")
    with refused("none to unpack"):
        unpack(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_scores_that_come_while_the_pack_is_written_stay(store, monkeypatch):
    later = invented_result(write_protocol(store.folder.parent).trials("tuning")[0])
    whole = tarfile.open

    def slow(*arguments, **options):
        store.write(later)
        return whole(*arguments, **options)

    monkeypatch.setattr("covidcnn.trials.pack.tarfile.open", slow)
    pack(store.folder)
    monkeypatch.undo()
    assert len(store.read(later.trial.key).scores)
