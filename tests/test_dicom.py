"""DICOM read as a viewer shows it, on known values, and without a word of its header."""

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
from dicom_files import (
    POISON,
    POISONED_BYTES,
    dicom_dataset,
    lookup_table,
    write_dicom,
    write_jpeg_dicom,
    write_poisoned_dicom,
)
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from covidcnn.data.catalogue import index_folder
from covidcnn.errors import DataError
from covidcnn.imaging import dicom
from covidcnn.imaging.files import COLOUR_MODES, is_dicom, is_image_file
from covidcnn.imaging.reading import read_grey, read_header

NOISE = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 4096, (40, 36), np.uint16)


def ramp(*values, kind=np.uint16):
    """A film of these values in its first row, at its left; the rest repeats them."""
    return np.resize(np.array(values, kind), (16, len(values) * 16))


def first(path, count):
    return read_grey(path)[0, :count].tolist()


# ---------------------------------------------------------------- grey levels

def test_eight_bits_without_a_window_are_read_as_they_are(tmp_path):
    path = write_dicom(tmp_path / "film.dcm", NOISE)
    image = read_grey(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, NOISE)
    header = read_header(path)
    assert (header.width, header.height, header.mode, header.frames) == (36, 40, "L", 1)


def test_monochrome1_is_inverted(tmp_path):
    write_dicom(tmp_path / "film.dcm", NOISE, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_grey(tmp_path / "film.dcm"), 255 - NOISE)


@pytest.mark.parametrize(("bits", "values", "expected"), [
    (12, (0, 1000, 2000, 4000), [0, 64, 128, 255]),
    (16, (100, 150, 200, 300), [0, 64, 128, 255]),
    (16, (7, 7, 7, 7), [0, 0, 0, 0]),
])
def test_more_bits_without_a_window_are_shown_from_darkest_to_brightest(tmp_path, bits, values, expected):
    write_dicom(tmp_path / "film.dcm", ramp(*values), bits)
    assert first(tmp_path / "film.dcm", 4) == expected
    assert read_header(tmp_path / "film.dcm").mode == "I;16"


def test_rescaling_that_changes_nothing_changes_nothing(tmp_path):
    """Of eight bits, so that the film is taken as it is, and not stretched from its darkest to its brightest."""
    for name, rescaling in (("with.dcm", {"RescaleSlope": 1, "RescaleIntercept": 0}), ("without.dcm", {})):
        write_dicom(tmp_path / name, ramp(50, 100, 200, kind=np.uint8), **rescaling)
    np.testing.assert_array_equal(read_grey(tmp_path / "with.dcm"), read_grey(tmp_path / "without.dcm"))
    assert read_grey(tmp_path / "with.dcm").max() == 200


def test_signed_values_with_a_rescale_keep_their_order(tmp_path):
    write_dicom(tmp_path / "film.dcm", ramp(-1000, -500, 0, 1000, kind=np.int16), RescaleSlope=2, RescaleIntercept=-10)
    assert first(tmp_path / "film.dcm", 4) == [0, 64, 128, 255]


def test_window_clips_and_stretches(tmp_path):
    # PS3.3 C.11.2.1.2: from 1000 to 1999 of a window with centre 1500 and width 1000.
    write_dicom(tmp_path / "film.dcm", ramp(0, 1000, 1250, 1500, 1999, 4095), 12, WindowCenter=1500, WindowWidth=1000)
    assert first(tmp_path / "film.dcm", 6) == [0, 0, 64, 128, 255, 255]


def test_of_several_windows_the_first_is_taken(tmp_path):
    write_dicom(tmp_path / "film.dcm", ramp(0, 1000, 1250, 1500, 1999, 4095), 12, WindowCenter=[1500, 40],
                WindowWidth=[1000, 80])
    assert first(tmp_path / "film.dcm", 6) == [0, 0, 64, 128, 255, 255]


def test_window_counts_in_rescaled_units(tmp_path):
    write_dicom(tmp_path / "film.dcm", ramp(0, 1000, 1250, 1500, 1999, 4095), 12, RescaleSlope=1,
                RescaleIntercept=-1024, WindowCenter=476, WindowWidth=1000)
    assert first(tmp_path / "film.dcm", 6) == [0, 0, 64, 128, 255, 255]


def test_falling_rescale_turns_the_greys_round_once(tmp_path):
    for name, window in (("plain", {}), ("window", {"WindowCenter": -2000, "WindowWidth": 100000})):
        write_dicom(tmp_path / name, ramp(0, 2000, 4000), 12, RescaleSlope=-1, RescaleIntercept=0, **window)
        dark, middle, bright = first(tmp_path / name, 3)
        assert dark > middle > bright


def test_sigmoid_window(tmp_path):
    write_dicom(tmp_path / "film.dcm", ramp(0, 2048, 4095), 12, WindowCenter=2048, WindowWidth=2048,
                VOILUTFunction="SIGMOID")
    expected = [round(255 / (1 + np.exp(-4 * (value - 2048) / 2048))) for value in (0, 2048, 4095)]
    assert first(tmp_path / "film.dcm", 3) == expected


@pytest.mark.parametrize("window", [{"WindowCenter": 1500, "WindowWidth": 0}, {"WindowCenter": 9, "WindowWidth": -4},
                                    {"WindowCenter": "", "WindowWidth": ""}, {"WindowCenter": 1500}])
def test_unusable_window_is_as_none(tmp_path, window):
    write_dicom(tmp_path / "film.dcm", ramp(0, 1000, 2000, 4000), 12, **window)
    assert first(tmp_path / "film.dcm", 4) == [0, 64, 128, 255]


@pytest.mark.parametrize(("entries", "depth", "scale"), [
    (np.linspace(0, 255, 4096).astype(int), 8, 255), (np.arange(4096), 12, 4095), (np.arange(4096) * 16, 16, 65535)])
def test_voi_table_of_every_depth_is_followed_and_goes_before_a_window(tmp_path, entries, depth, scale):
    levels = (0, 300, 1000, 2500, 4095)
    write_dicom(tmp_path / "film.dcm", ramp(*levels), 12, VOILUTSequence=lookup_table(entries.tolist(), 0, depth),
                WindowCenter=50, WindowWidth=10)
    assert first(tmp_path / "film.dcm", 5) == [round(255 * entries[level] / scale) for level in levels]


def test_modality_table_is_followed(tmp_path):
    write_dicom(tmp_path / "film.dcm", ramp(0, 1, 2, 3, kind=np.uint8),
                ModalityLUTSequence=lookup_table([0, 3000, 1500, 6000], 0, 16))
    assert first(tmp_path / "film.dcm", 4) == [0, 128, 64, 255]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(("kind", "padding", "stated"), [
    (np.int16, (-32768,), {"PixelPaddingValue": -32768}),
    (np.uint16, (9000,), {"PixelPaddingValue": 9000}),
    (np.uint16, (9000, 9500), {"PixelPaddingValue": 9500, "PixelPaddingRangeLimit": 9000})])
def test_padding_is_black_and_does_not_stretch_the_greys(tmp_path, syntax, kind, padding, stated):
    for name, photometric, expected in (("2", "MONOCHROME2", [0, 64, 255]), ("1", "MONOCHROME1", [255, 191, 0])):
        dataset = dicom_dataset(ramp(100, 200, 500, *padding, kind=kind), PhotometricInterpretation=photometric)
        dataset.file_meta.TransferSyntaxUID = syntax
        for keyword, value in stated.items():
            dataset.add_new(keyword, "SS" if kind == np.int16 else "US", value)
        dataset["PixelData"].VR = "OW"
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        assert first(tmp_path / name, 3 + len(padding)) == expected + [0] * len(padding)


def test_film_of_padding_alone_is_black(tmp_path):
    write_dicom(tmp_path / "film.dcm", ramp(7, 7), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=7)
    assert first(tmp_path / "film.dcm", 2) == [0, 0]


def test_first_of_several_frames_is_read(tmp_path):
    write_dicom(tmp_path / "film.dcm", np.stack([NOISE, 255 - NOISE]))
    assert read_header(tmp_path / "film.dcm").frames == 2
    np.testing.assert_array_equal(read_grey(tmp_path / "film.dcm"), NOISE)


def test_colour_is_weighted_as_in_other_files(tmp_path):
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:4, :, 0], colours[4:8, :, 1], colours[8:12, :, 2], colours[12:] = 255, 255, 255, 255
    write_dicom(tmp_path / "film.dcm", colours)
    assert read_grey(tmp_path / "film.dcm")[::4, 0].tolist() == [76, 150, 29, 255]
    assert read_header(tmp_path / "film.dcm").mode in COLOUR_MODES


# ---------------------------------------------------------------- transfer syntaxes

@pytest.mark.parametrize("compression", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("pixels", [NOISE, DEEP, NOISE[..., np.newaxis].repeat(3, 2)], ids=["8", "12", "colour"])
def test_lossless_compression_changes_nothing(tmp_path, compression, pixels):
    bits = 12 if pixels.dtype == np.uint16 else 8
    plain = write_dicom(tmp_path / "plain.dcm", pixels, bits)
    small = write_dicom(tmp_path / "small.dcm", pixels, bits, compression)
    np.testing.assert_array_equal(read_grey(small), read_grey(plain))


def test_baseline_jpeg_is_read(tmp_path):
    pixels = np.tile(np.linspace(20, 230, 32, dtype=np.uint8), (32, 1))
    image = read_grey(write_jpeg_dicom(tmp_path / "film.dcm", pixels))
    assert np.abs(image.astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders_are_read(tmp_path, syntax):
    dataset = dicom_dataset(DEEP, 12)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = DEEP.astype(">u2").tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset["PixelData"].VR = "OW"
        dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_grey(tmp_path / "film.dcm"),
                                  read_grey(write_dicom(tmp_path / "plain.dcm", DEEP, 12)))


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm",
                                  "MR_small_bigendian.dcm", "MR_small_implicit.dcm"])
def test_files_of_other_programs_agree_with_their_plain_form(name):
    from pathlib import Path

    image = read_grey(Path(get_testdata_file(name)))
    np.testing.assert_array_equal(image, read_grey(Path(get_testdata_file("MR_small.dcm"))))
    assert image.std() > 20


@pytest.mark.parametrize(("name", "shape"), [
    ("JPGExtended.dcm", (1024, 256)), ("JPEG2000.dcm", (1024, 256)), ("SC_rgb_jls_lossy_line.dcm", (100, 100)),
    ("SC_rgb_jpeg_gdcm.dcm", (100, 100)), ("SC_rgb_dcmtk_+eb+cy+s4.dcm", (100, 100))])
def test_lossy_files_of_other_programs_are_read(name, shape):
    from pathlib import Path

    image = read_grey(Path(get_testdata_file(name)))
    assert image.shape == shape
    assert image.max() == 255


# ---------------------------------------------------------------- in folders

def test_dicom_is_known_by_its_mark_whatever_its_name(tmp_path):
    for name in ("film.dcm", "film", "1.2.840.113619.2.5", "film.jpeg"):
        write_dicom(tmp_path / name, NOISE)
        assert is_dicom(tmp_path / name)
        assert is_image_file(tmp_path / name)
        np.testing.assert_array_equal(read_grey(tmp_path / name), NOISE)
    (tmp_path / "notes").write_text("no film")
    assert not is_image_file(tmp_path / "notes")
    assert not is_dicom(tmp_path / "nowhere")
    assert not is_dicom(tmp_path)


def test_folder_of_dicom_is_indexed(small_tree):
    write_dicom(small_tree / "train/NORMAL/1.2.840.1", DEEP, 12)
    write_dicom(small_tree / "train/PNEUMONIA/film.dcm", np.stack([NOISE, NOISE]))
    (small_tree / "train/NORMAL/DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (small_tree / "train/NORMAL/cut.dcm").write_bytes(b"\0" * 128 + b"DICM")
    catalogue = index_folder(small_tree)
    films = catalogue.films.set_index("path")
    assert films.loc["train/NORMAL/1.2.840.1", ["width", "height", "mode"]].tolist() == [36, 40, "I;16"]
    assert films.loc["train/PNEUMONIA/film.dcm", "note"] == "2 frames, only the first is read"
    assert catalogue.unreadable["path"].tolist() == ["train/NORMAL/cut.dcm"]


def test_many_at_once_are_read_as_one_after_the_other(tmp_path):
    films = np.random.default_rng(2).integers(0, 256, (24, 20, 24), np.uint8)
    paths = [write_dicom(tmp_path / f"{number}.dcm", film) for number, film in enumerate(films)]
    with ThreadPoolExecutor(8) as pool:
        for film, image in zip(films, pool.map(read_grey, paths), strict=True):
            np.testing.assert_array_equal(image, film)
    assert all(log.level == 0 or log.name == "pydicom" for log in dicom._logs)


# ---------------------------------------------------------------- refusals, and what they must not say

def jpeg_2000_that_claims(path, width, height):
    """A DICOM file of 36 x 40 pixels whose compressed image claims another size."""
    dataset = dicom_dataset(NOISE)
    dataset.compress(JPEG2000Lossless)
    data = bytearray(dataset.PixelData)
    size = data.index(b"\xff\x4f\xff\x51") + 8
    struct.pack_into(">II", data, size, width, height)
    struct.pack_into(">II", data, size + 16, width, height)
    dataset.PixelData = bytes(data)
    dataset.save_as(path, enforce_file_format=True)
    return path


def cut(path, share=0.7):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


REFUSED = {
    "no image": (lambda path: write_dicom(path, NOISE, Rows=None, Columns=None, PixelData=None), "holds no image"),
    "no pixels": (lambda path: write_dicom(path, NOISE, PixelData=None), "only its description"),
    "huge": (lambda path: write_dicom(path, NOISE, Rows=60000, Columns=60000), "60000 x 60000 pixels"),
    "small": (lambda path: write_dicom(path, NOISE[:8]), "36 x 8 pixels are no film"),
    "none": (lambda path: write_dicom(path, NOISE, Rows=0), "pixels are no film"),
    "cut": (lambda path: cut(write_dicom(path, NOISE)), "damaged or cut short"),
    "cut in JPEG 2000": (lambda path: cut(write_dicom(path, DEEP, 12, JPEG2000Lossless), 0.5), ""),
    "cut in header": (lambda path: cut(write_dicom(path, NOISE), 0.2), ""),
    "fewer pixels": (lambda path: write_dicom(path, NOISE, Rows=48), "damaged or cut short"),
    "palette": (lambda path: write_dicom(path, NOISE, PhotometricInterpretation="PALETTE COLOR"), "neither greyscale"),
    "unknown colour": (lambda path: write_dicom(path, NOISE, PhotometricInterpretation=POISON.upper()),
                       "neither greyscale"),
    "32 bits": (lambda path: write_dicom(path, DEEP.astype(np.uint32)), "8 or 16 bits"),
    "colour of 16 bits": (lambda path: write_dicom(path, DEEP[..., np.newaxis].repeat(3, 2)), "8 or 16 bits"),
    "other size inside": (lambda path: jpeg_2000_that_claims(path, 60000, 60000), ""),
    "slightly other size inside": (lambda path: jpeg_2000_that_claims(path, 37, 40), "disagree on the size"),
    "LUT of other length": (lambda path: write_dicom(
        path, DEEP, 12, VOILUTSequence=lookup_table([1, 2, 3], 0, 77)), "damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_film_is_refused_in_one_line_that_quotes_nothing(case, tmp_path, refused, caplog, capfd):
    make, words = REFUSED[case]
    path = make(tmp_path / "film.dcm")
    caplog.set_level(0)
    with warnings.catch_warnings(record=True) as caught, refused(path, words, error=DataError):
        read_grey(path)
    assert not caught
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    with pytest.raises(DataError) as refusal:
        read_grey(path)
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None
    for word in POISONED_BYTES:
        assert word.decode() not in str(refusal.value)


def test_deflated_file_is_refused_before_it_is_inflated(tmp_path, refused):
    dataset = dicom_dataset(NOISE)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    with refused("film.dcm", "deflated", "Explicit VR", error=DataError):
        read_grey(tmp_path / "film.dcm")


def test_file_beyond_the_largest_is_refused_before_it_is_read(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(dicom, "LARGEST_FILE", 1000)
    write_dicom(tmp_path / "film.dcm", np.stack([NOISE] * 10))
    with refused("film.dcm", "first frame", error=DataError):
        read_header(tmp_path / "film.dcm")


def test_only_the_image_is_read_of_a_header(tmp_path):
    path = write_poisoned_dicom(tmp_path / "film.dcm", NOISE)
    text = str(pydicom.dcmread(path))
    image = dicom._open(path, pixels=True)
    # pydicom takes up the file's own header (group 0002), too, from which nothing but the transfer syntax is asked.
    image.file_meta = None
    for word in POISONED_BYTES:
        assert text.count(word.decode()) > 20
        assert word.decode() not in str(image)
    np.testing.assert_array_equal(read_grey(path), NOISE)


def test_empty_function_of_the_window_is_as_none(tmp_path):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    window = {"bits": 12, "WindowCenter": 800, "WindowWidth": 1000}
    stated = read_grey(write_dicom(tmp_path / "stated", pixels, **window))
    empty = read_grey(write_dicom(tmp_path / "empty", pixels, **window, VOILUTFunction=""))
    np.testing.assert_array_equal(empty, stated)
