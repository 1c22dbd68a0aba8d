"""A tiny generated data set, the shared images, bad files, and a cache of the tests' own."""

# Before NumPy, which reads what the package asks of it only when it is first imported.
import covidcnn  # isort: skip # noqa: F401

import contextlib
import hashlib
import io
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from covidcnn.errors import UserError
from covidcnn.paths import REPORTS
from covidcnn.trials.pack import unpack

# No test opens a window.
matplotlib.use("agg")

DATA_VARIABLE = "COVIDCNN_TEST_DATA"
SHARED = Path(os.environ.get(DATA_VARIABLE) or Path(__file__).resolve().parents[2] / "shared" / "data").absolute()
"""Holds chest_xray_224, which ``covidcnn data resize`` makes, and what else there is of chest_xray_originals,
chest_xray_aspect_320 (``reports/aspect/experiment.py images``) and pneumoniamnist_28."""

TINY_COUNTS = {"train": (24, 40), "val": (4, 4), "test": (12, 20)}
"""Images of NORMAL and of PNEUMONIA in each split."""


def make_tree(folder: Path, counts: Mapping[str, tuple[int, int]] = TINY_COUNTS,
              size: tuple[int, int] = (48, 40), seed: int = 0) -> Path:
    """Write noise images in the published layout and naming; a PNEUMONIA has a bright spot.

    Every patient has two images, and no patient stands in two splits. ``size`` is (width, height).
    """
    first_number = {"train": 1000, "val": 2000, "test": 1}
    for position, (split, (normal, pneumonia)) in enumerate(counts.items()):
        generator = np.random.default_rng([seed, position])
        for label, images in (("NORMAL", normal), ("PNEUMONIA", pneumonia)):
            (folder / split / label).mkdir(parents=True)
            for image in range(images):
                patient, which = divmod(image, 2)
                number = first_number[split] + 20 * (patient // 2)
                if label == "NORMAL":
                    name = f"{('IM', 'NORMAL2-IM')[patient % 2]}-{number:04d}-{which + 1:04d}"
                else:
                    name = f"person{number}_{('bacteria', 'virus')[patient % 2]}_{image + 1}"
                pixels = generator.normal(90, 15, (size[1], size[0]))
                if label == "PNEUMONIA":
                    spot = np.zeros_like(pixels)
                    centre = generator.uniform(0.3, 0.7, 2) * size
                    cv2.circle(spot, centre.astype(int).tolist(), min(size) // 4, 80.0, -1)
                    pixels += cv2.GaussianBlur(spot, (0, 0), 2)
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
                    folder / split / label / f"{name}.jpeg", quality=90)
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need published images, a browser or a whole report by what they ask for; files with slow
    tests come first, so that no process waits for another at the end."""
    for item in items:
        asked = set(item.fixturenames)
        if asked & {"shared_images", "shared_originals", "shared_aspect", "shared_mnist", "published"}:
            item.add_marker("data")
        if "browser" in asked:
            item.add_marker("browser")
        if asked & {"smoke_report", "phantom_images"}:
            item.add_marker("slow")
    slow = {item.path for item in items for mark in ("slow", "long") if item.get_closest_marker(mark)}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the code were that of a commit, which while it is being worked on it is not; nor is git asked for it again
    and again."""
    monkeypatch.setattr("covidcnn.study.access_log.git_commit", lambda *results: "0" * 40)
    monkeypatch.setattr("covidcnn.trials.work.software_facts", lambda: {"git commit": "0" * 40})


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache, or is led to the user's data."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("COVIDCNN_CACHE", str(cache))
        patch.delenv("COVIDCNN_DATA", raising=False)
        yield cache


@pytest.fixture
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def ax(close_figures: None) -> Axes:
    return plt.figure().add_subplot()


@pytest.fixture(scope="session", name="make_tree")
def make_tree_fixture() -> Callable[..., Path]:
    return make_tree


@pytest.fixture(scope="session")
def tiny_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """104 images in the published layout. Shared by all tests: change a copy, not this."""
    return make_tree(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def phantom_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 phantom images."""
    from covidcnn.data.phantom import write_phantom

    folder = tmp_path_factory.mktemp("images") / "phantom"
    write_phantom(folder, {"train": 140, "val": 4, "test": 56})
    return folder


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """20 images in the published layout, for a test to change."""
    return make_tree(tmp_path / "small", {"train": (4, 8), "val": (2, 2), "test": (2, 2)})


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model for images of 16 px, in their files 48 x 40 px and grey. Change a copy, not this."""
    from covidcnn.data.appearance import Appearance
    from covidcnn.imaging.transforms import ImageSettings
    from covidcnn.models.model_file import ModelFacts, save_model
    from covidcnn.models.paper_cnn import paper_cnn

    appearance = Appearance(64, {"mean grey": (60.0, 140.0), "contrast": (5.0, 60.0), "aspect ratio": (1.1, 1.3),
                                 "shorter side": (40.0, 80.0)}, 0.0)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(path, paper_cnn(16, filters=(4, 8)),
               ModelFacts(ImageSettings(16), 0.45, "youden, on validation", {"seed": 0}, appearance=appearance))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: ``run('train', ...)`` gives (exit code, stdout, stderr), what libraries
    write past Python too; ``main`` may be that of a script."""
    from covidcnn.cli import main

    def call(*arguments: object, stdin: bytes = b"", main: Callable[[], None] = main) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["covidcnn", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        output = capfd.readouterr()
        return code, output.out, output.err

    return call


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in {SHARED}; {DATA_VARIABLE} names another folder that has it")
    return folder


@pytest.fixture(scope="session")
def shared_images() -> Path:
    """The 5,856 published images, at 224 px."""
    return _shared("chest_xray_224")


@pytest.fixture(scope="session")
def shared_originals() -> Path:
    """56 published training images in their original files."""
    return _shared("chest_xray_originals")


@pytest.fixture(scope="session")
def shared_aspect() -> Path:
    """1,655 published images with their aspect ratio kept."""
    return _shared("chest_xray_aspect_320")


@pytest.fixture(scope="session")
def shared_mnist() -> Path:
    """PneumoniaMNIST at 28 px, rebuilt from public copies."""
    return _shared("pneumoniamnist_28")


@pytest.fixture
def mnist_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as PneumoniaMNIST's at 28 px, of 12 images of noise, that counts as the official one."""
    from covidcnn.data import pneumoniamnist

    counts = {"train": (1, 3), "val": (1, 2), "test": (2, 3)}
    generator = np.random.default_rng(0)
    arrays = {}
    for split, (normal, pneumonia) in counts.items():
        labels = np.repeat([0, 1], [normal, pneumonia]).astype(np.uint8)
        generator.shuffle(labels)
        arrays[f"{split}_images"] = generator.integers(0, 256, (len(labels), 28, 28), np.uint8)
        arrays[f"{split}_labels"] = labels[:, np.newaxis]
    path = tmp_path / "official" / "pneumoniamnist.npz"
    path.parent.mkdir()
    np.savez_compressed(path, **arrays)
    monkeypatch.setattr(pneumoniamnist, "COUNTS", counts)
    monkeypatch.setattr(pneumoniamnist, "MD5", pneumoniamnist.MD5 | {28: hashlib.md5(path.read_bytes()).hexdigest()})
    return path


@pytest.fixture(scope="session")
def published(shared_images: Path, own_cache: Path):
    """The catalogue of the published images."""
    from covidcnn.data.index import index_folder

    return index_folder(shared_images)


@pytest.fixture(scope="session")
def refused() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """``with refused('image.jpeg', 'remove it'):`` the block must raise one line that holds these words."""

    @contextlib.contextmanager
    def refusal(*words: object, error: type[UserError] = UserError) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert str(word) in message

    return refusal


@pytest.fixture(scope="session")
def bad_images() -> dict[str, bytes]:
    """Files that are named as images and cannot be used, by name."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
    image = Image.fromarray(noise)
    jpeg, png = encoded(image, "JPEG"), encoded(image, "PNG")
    gif = encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)])
    return {
        "garbage.jpeg": b"no image " * 100,
        "text.png": b"hello\n",
        "truncated.jpeg": jpeg[: len(jpeg) // 2],
        "truncated.png": png[: len(png) // 2],
        "headless.jpeg": b"\0\0\0\0" + jpeg[4:],
        "empty.jpeg": b"",
        "one-pixel.png": encoded(Image.new("L", (1, 1), 255), "PNG"),
        "bomb.png": png_that_claims(20_000, 20_000),
        # The second frame's place and size stand behind its last control block of 8 bytes; they are cut.
        "cut-in-second-frame.gif": gif[: gif.rindex(b"!\xf9\x04") + 12],
    }


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises ``width`` x ``height`` grey pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
            + png_chunk(b"IEND", b""))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture(scope="session")
def first_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first study's folder with its store unpacked: for those who read its files without the library."""
    folder = tmp_path_factory.mktemp("first") / "paper"
    folder.mkdir()
    for name in ("protocol.yaml", "selections.yaml"):
        shutil.copy(REPORTS / "paper" / name, folder)
    shutil.copytree(REPORTS / "paper" / "store", folder / "store")
    unpack(folder / "store")
    return folder
