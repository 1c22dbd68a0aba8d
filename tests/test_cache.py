"""The cache of decoded images."""

import errno
import multiprocessing
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

from covidcnn.data import cache as cache_module
from covidcnn.data.cache import load_images
from covidcnn.data.index import index_folder
from covidcnn.errors import DataError
from covidcnn.imaging.reading import in_threads, read_grey
from covidcnn.imaging.transforms import ImageSettings

SETTINGS = ImageSettings(20)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test's own."""
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def arrays(cache):
    return sorted(path for path in (cache / "images").rglob("*") if path.is_file())


def test_array_holds_each_image_as_the_model_sees_it(small_tree):
    images = index_folder(small_tree).images
    for settings in (SETTINGS, ImageSettings(24, "equalize", "linear", pad=True)):
        pixels = load_images(small_tree, images, settings)
        assert pixels.shape == (20, settings.size, settings.size)
        assert pixels.dtype == np.uint8
        for row in (0, 7, 19):
            np.testing.assert_array_equal(pixels[row], settings.prepare(read_grey(small_tree / images["path"][row])))


def test_array_is_mapped_from_disk_and_read_only(small_tree):
    images = load_images(small_tree, index_folder(small_tree).images, SETTINGS)
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0] = 1


def test_rows_keep_the_order_of_the_images(small_tree):
    images = index_folder(small_tree).images
    backwards = images.iloc[::-1]
    np.testing.assert_array_equal(load_images(small_tree, backwards, SETTINGS),
                                  load_images(small_tree, images, SETTINGS)[::-1])


def test_images_are_decoded_once(small_tree, cache, monkeypatch):
    images = index_folder(small_tree).images
    first = load_images(small_tree, images, SETTINGS)
    monkeypatch.setattr(cache_module, "read_grey", None)
    np.testing.assert_array_equal(load_images(small_tree, images, SETTINGS), first)


@pytest.mark.parametrize("spoil", [
    lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"no array"),
    lambda file: file.write_bytes(file.read_bytes()[:-9]), lambda file: file.write_bytes(file.read_bytes()[:60])],
    ids=["empty", "text", "cut", "header cut"])
def test_damaged_array_is_made_again(small_tree, cache, spoil):
    images = index_folder(small_tree).images
    whole = np.array(load_images(small_tree, images, SETTINGS))
    spoil(arrays(cache)[0])
    np.testing.assert_array_equal(load_images(small_tree, images, SETTINGS), whole)


def test_processes_that_begin_together_decode_once(small_tree, cache, tmp_path, monkeypatch):
    images = index_folder(small_tree).images

    def slowly(path):
        with (tmp_path / "decoded").open("a") as log:
            log.write(f"{path.name}\n")
        time.sleep(0.02)
        return read_grey(path)

    monkeypatch.setattr(cache_module, "read_grey", slowly)
    processes = [multiprocessing.get_context("fork").Process(target=load_images, args=(small_tree, images, SETTINGS))
                 for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len((tmp_path / "decoded").read_text().split()) == len(images)
    assert len(arrays(cache)) == 1


def test_renamed_folder_uses_the_same_array(small_tree, cache, tmp_path, monkeypatch):
    load_images(small_tree, index_folder(small_tree).images, SETTINGS)
    moved = small_tree.rename(tmp_path / "moved")
    images = index_folder(moved).images
    monkeypatch.setattr(cache_module, "read_grey", None)
    assert len(load_images(moved, images, SETTINGS)) == 20
    assert len(arrays(cache)) == 1


def test_changed_image_gets_a_new_array(small_tree, cache):
    before = load_images(small_tree, index_folder(small_tree).images, SETTINGS)
    shutil.copy(small_tree / "train" / "PNEUMONIA" / "person1000_virus_3.jpeg",
                small_tree / "train" / "NORMAL" / "IM-1000-0001.jpeg")
    images = index_folder(small_tree).images
    after = load_images(small_tree, images, SETTINGS)
    changed = [path for path, old, new in zip(images["path"], before, after, strict=True) if not (old == new).all()]
    assert changed == ["train/NORMAL/IM-1000-0001.jpeg"]


@pytest.mark.parametrize("other", [ImageSettings(24), ImageSettings(20, "invert"),
                                   ImageSettings(20, interpolation="nearest"), ImageSettings(20, pad=True)])
def test_other_settings_get_an_array_of_their_own(small_tree, cache, other):
    images = index_folder(small_tree).images
    load_images(small_tree, images, SETTINGS)
    np.testing.assert_array_equal(load_images(small_tree, images, other)[0],
                                  other.prepare(read_grey(small_tree / images["path"][0])))
    assert len(arrays(cache)) == 2


def test_image_spoilt_after_indexing_is_refused_and_leaves_nothing(small_tree, cache, refused):
    images = index_folder(small_tree).images
    spoilt = small_tree / images["path"][10]
    spoilt.write_bytes(spoilt.read_bytes()[:200])
    with refused(spoilt, "copy it again", error=DataError):
        load_images(small_tree, images, SETTINGS)
    assert arrays(cache) == []


def test_image_changed_after_indexing_is_refused_and_leaves_nothing(small_tree, cache, refused):
    images = index_folder(small_tree).images
    first, second = (small_tree / name for name in images["path"][:2])
    first.write_bytes(second.read_bytes())
    with refused(first, "not the image that was indexed", error=DataError):
        load_images(small_tree, images, SETTINGS)
    assert arrays(cache) == []


def test_full_disk_is_refused_before_anything_is_written(small_tree, cache, monkeypatch, refused):
    images = index_folder(small_tree).images
    # 20 images of 20 x 20 bytes need 8,000 bytes and a tenth.
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=10**9, used=10**9, free=8500))
    with refused(cache, "MB free", "COVIDCNN_CACHE"):
        load_images(small_tree, images, SETTINGS)
    assert arrays(cache) == []


def test_disk_that_fills_while_writing_is_refused_and_leaves_nothing(small_tree, cache, monkeypatch, refused):
    images = index_folder(small_tree).images

    def tenth_finds_no_space(images):
        for done, image in enumerate(images, start=1):
            if done == 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield image

    with monkeypatch.context() as patch, refused(cache, "No space left on device", "COVIDCNN_CACHE"):
        patch.setattr(cache_module, "in_threads", lambda *given: tenth_finds_no_space(in_threads(*given)))
        load_images(small_tree, images, SETTINGS)
    assert arrays(cache) == []
    assert len(load_images(small_tree, images, SETTINGS)) == 20


def test_cache_that_cannot_be_made_is_refused(small_tree, tmp_path, monkeypatch, refused):
    images = index_folder(small_tree).images
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("COVIDCNN_CACHE", str(tmp_path / "file" / "cache"))
    with refused(tmp_path / "file" / "cache", "COVIDCNN_CACHE"):
        load_images(small_tree, images, SETTINGS)


def test_interruption_leaves_nothing(small_tree, cache, monkeypatch):
    images = index_folder(small_tree).images

    def interrupt(*given):
        yield next(in_threads(*given))
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_module, "in_threads", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_images(small_tree, images, SETTINGS)
    assert arrays(cache) == []
