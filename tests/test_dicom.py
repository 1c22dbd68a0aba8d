"""DICOM read as a viewer shows it, on known values, and without a word of its header."""

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import (
    POISON,
    POISONED_BYTES,
    dicom_dataset,
    functional_groups,
    lookup_table,
    without_mark,
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

from covidcnn.data.index import index_folder
from covidcnn.errors import DataError
from covidcnn.imaging import dicom
from covidcnn.imaging.files import COLOUR_MODES, is_dicom, is_image_file
from covidcnn.imaging.reading import read_grey, read_header

NOISE = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 4096, (40, 36), np.uint16)


def ramp(*values, kind=np.uint16):
    """An image of these values in its first row, at its left; the rest repeats them."""
    return np.resize(np.array(values, kind), (16, len(values) * 16))


def first(path, count):
    return read_grey(path)[0, :count].tolist()


# ---------------------------------------------------------------- grey levels

def test_eight_bits_without_a_window_are_read_as_they_are(tmp_path):
    path = write_dicom(tmp_path / "image.dcm", NOISE)
    image = read_grey(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, NOISE)
    header = read_header(path)
    assert (header.width, header.height, header.mode, header.frames) == (36, 40, "L", 1)


def test_monochrome1_is_inverted(tmp_path):
    write_dicom(tmp_path / "image.dcm", NOISE, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_grey(tmp_path / "image.dcm"), 255 - NOISE)


@pytest.mark.parametrize(("bits", "values", "expected"), [
    (12, (0, 1000, 2000, 4000), [0, 64, 128, 255]),
    (16, (100, 150, 200, 300), [0, 64, 128, 255]),
    (16, (7, 7, 7, 7), [0, 0, 0, 0]),
])
def test_more_bits_without_a_window_are_shown_from_darkest_to_brightest(tmp_path, bits, values, expected):
    write_dicom(tmp_path / "image.dcm", ramp(*values), bits)
    assert first(tmp_path / "image.dcm", 4) == expected
    assert read_header(tmp_path / "image.dcm").mode == "I;16"


def test_rescaling_that_changes_nothing_changes_nothing(tmp_path):
    """Of eight bits, so that the image is taken as it is, and not stretched from its darkest to its brightest."""
    for name, rescaling in (("with.dcm", {"RescaleSlope": 1, "RescaleIntercept": 0}), ("without.dcm", {})):
        write_dicom(tmp_path / name, ramp(50, 100, 200, kind=np.uint8), **rescaling)
    np.testing.assert_array_equal(read_grey(tmp_path / "with.dcm"), read_grey(tmp_path / "without.dcm"))
    assert read_grey(tmp_path / "with.dcm").max() == 200


def test_signed_values_with_a_rescale_keep_their_order(tmp_path):
    write_dicom(tmp_path / "image.dcm", ramp(-1000, -500, 0, 1000, kind=np.int16), RescaleSlope=2, RescaleIntercept=-10)
    assert first(tmp_path / "image.dcm", 4) == [0, 64, 128, 255]


def test_window_clips_and_stretches(tmp_path):
    # PS3.3 C.11.2.1.2: from 1000 to 1999 of a window with centre 1500 and width 1000.
    write_dicom(tmp_path / "image.dcm", ramp(0, 1000, 1250, 1500, 1999, 4095), 12, WindowCenter=1500, WindowWidth=1000)
    assert first(tmp_path / "image.dcm", 6) == [0, 0, 64, 128, 255, 255]


def test_of_several_windows_the_first_is_taken(tmp_path):
    write_dicom(tmp_path / "image.dcm", ramp(0, 1000, 1250, 1500, 1999, 4095), 12, WindowCenter=[1500, 40],
                WindowWidth=[1000, 80])
    assert first(tmp_path / "image.dcm", 6) == [0, 0, 64, 128, 255, 255]


def test_window_counts_in_rescaled_units(tmp_path):
    write_dicom(tmp_path / "image.dcm", ramp(0, 1000, 1250, 1500, 1999, 4095), 12, RescaleSlope=1,
                RescaleIntercept=-1024, WindowCenter=476, WindowWidth=1000)
    assert first(tmp_path / "image.dcm", 6) == [0, 0, 64, 128, 255, 255]


def test_falling_rescale_turns_the_greys_round_once(tmp_path):
    for name, window in (("plain", {}), ("window", {"WindowCenter": -2000, "WindowWidth": 100000})):
        write_dicom(tmp_path / name, ramp(0, 2000, 4000), 12, RescaleSlope=-1, RescaleIntercept=0, **window)
        dark, middle, bright = first(tmp_path / name, 3)
        assert dark > middle > bright


def test_sigmoid_window(tmp_path):
    write_dicom(tmp_path / "image.dcm", ramp(0, 2048, 4095), 12, WindowCenter=2048, WindowWidth=2048,
                VOILUTFunction="SIGMOID")
    expected = [round(255 / (1 + np.exp(-4 * (value - 2048) / 2048))) for value in (0, 2048, 4095)]
    assert first(tmp_path / "image.dcm", 3) == expected


@pytest.mark.parametrize("window", [{"WindowCenter": 1500, "WindowWidth": 0}, {"WindowCenter": 9, "WindowWidth": -4},
                                    {"WindowCenter": "", "WindowWidth": ""}, {"WindowCenter": 1500}])
def test_unusable_window_is_as_none(tmp_path, window):
    write_dicom(tmp_path / "image.dcm", ramp(0, 1000, 2000, 4000), 12, **window)
    assert first(tmp_path / "image.dcm", 4) == [0, 64, 128, 255]


LEVELS = (0, 300, 1000, 2500, 4095)


@pytest.mark.parametrize(("entries", "depth", "packed"), [
    (np.linspace(0, 255, 4096).astype(int), 8, False), (np.linspace(0, 255, 4096).astype(int), 8, True),
    (np.linspace(0, 255, 4095).astype(int), 16, True), (np.arange(4096), 12, False), (np.arange(4096) * 16, 16, False),
    (np.arange(4096), 16, False), (np.arange(4096) // 2, 12, False)])
def test_voi_table_of_every_depth_is_followed_up_to_its_largest_entry_and_goes_before_a_window(
        tmp_path, entries, depth, packed):
    write_dicom(tmp_path / "image.dcm", ramp(*LEVELS), 12, VOILUTSequence=lookup_table(entries, 0, depth, packed),
                WindowCenter=50, WindowWidth=10)
    assert first(tmp_path / "image.dcm", 5) == [
        round(255 * entries[min(level, len(entries) - 1)] / entries.max()) for level in LEVELS]


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(("start", "kind", "stated"), [
    (-1000, np.int16, -1000), (-1000, np.int16, 65536 - 1000), (40000, np.uint16, 40000),
    (40000, np.uint16, 40000 - 65536)])
def test_table_may_state_its_first_level_with_or_without_a_sign(tmp_path, name, start, kind, stated):
    levels = ramp(start - 1000, start, start + 500, start + 1000, start + 1009, kind=kind)
    write_dicom(tmp_path / "image.dcm", levels, **{name: lookup_table(np.arange(1001), stated, 16)})
    assert first(tmp_path / "image.dcm", 5) == [0, 0, 128, 255, 255]


def test_voi_table_of_monochrome1_is_inverted_once(tmp_path):
    write_dicom(tmp_path / "image.dcm", ramp(*LEVELS), 12, PhotometricInterpretation="MONOCHROME1",
                PresentationLUTShape="INVERSE", VOILUTSequence=lookup_table(np.arange(4096), 0, 16))
    assert first(tmp_path / "image.dcm", 5) == [round(255 * (1 - level / 4095)) for level in LEVELS]


@pytest.mark.parametrize(("depth", "packed"), [(8, True), (12, False), (16, False)])
def test_modality_table_is_followed(tmp_path, depth, packed):
    write_dicom(tmp_path / "image.dcm", ramp(0, 1, 2, 3, kind=np.uint8),
                ModalityLUTSequence=lookup_table([0, 100, 50, 200], 0, depth, packed))
    assert first(tmp_path / "image.dcm", 4) == [0, 128, 64, 255]


@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE", ""])
def test_presentation_shape_inverts_what_photometric_interpretation_does_not(tmp_path, shape):
    plain = read_grey(write_dicom(tmp_path / "plain.dcm", NOISE))
    shaped = read_grey(write_dicom(tmp_path / "shaped.dcm", NOISE, PresentationLUTShape=shape))
    np.testing.assert_array_equal(shaped, 255 - plain if shape == "INVERSE" else plain)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("stated", [
    {"WindowCenter": 1500, "WindowWidth": 1000}, {"VOILUTSequence": lookup_table(np.arange(0, 4096, 2), 1000, 16)},
    {"WindowCenter": 476, "WindowWidth": 1000, "RescaleSlope": 1, "RescaleIntercept": -1024},
    {"WindowCenter": 150, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT",
     "ModalityLUTSequence": lookup_table(np.arange(4096) // 10, 0, 16)}])
def test_what_an_enhanced_object_states_of_its_first_frame_goes_before_its_own(tmp_path, syntax, stated):
    own = {"WindowCenter": 9, "WindowWidth": 9}
    if not {"RescaleSlope", "ModalityLUTSequence"}.isdisjoint(stated):
        own |= {"RescaleSlope": 5, "RescaleIntercept": 5}
    levels = ramp(0, 1000, 1250, 1500, 1999, 4095)
    expected = read_grey(write_dicom(tmp_path / "expected.dcm", levels, 12, **stated))
    assert len(np.unique(expected)) >= 4
    for group in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        dataset = dicom_dataset(levels, 12, **own, **{group: functional_groups(**stated)})
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset["PixelData"].VR = "OW"
        dataset.save_as(tmp_path / "image.dcm", enforce_file_format=True)
        np.testing.assert_array_equal(read_grey(tmp_path / "image.dcm"), expected)


@pytest.mark.parametrize("empty", [
    {"RescaleSlope": "", "RescaleIntercept": ""}, {"RescaleSlope": 0, "RescaleIntercept": 0},
    {"PixelPaddingValue": None}, {"VOILUTFunction": ""}, {"VOILUTSequence": pydicom.Sequence([])},
    {"VOILUTSequence": pydicom.Sequence([pydicom.Dataset()])},
    {"ModalityLUTSequence": pydicom.Sequence([pydicom.Dataset()])}, {"NumberOfFrames": ""},
    {"PerFrameFunctionalGroupsSequence": functional_groups(WindowCenter="", WindowWidth="")}])
def test_empty_attribute_is_as_none(tmp_path, empty):
    window = {"WindowCenter": 800, "WindowWidth": 1000}
    dataset = dicom_dataset(DEEP, 12, **window)
    for name, value in empty.items():
        dataset.add_new(name, pydicom.datadict.dictionary_VR(name).split()[0], value)
    dataset.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_grey(tmp_path / "image.dcm"),
                                  read_grey(write_dicom(tmp_path / "plain.dcm", DEEP, 12, **window)))


@pytest.mark.parametrize("compression", ["", RLELossless])
@pytest.mark.parametrize(("kind", "high"), [(np.uint16, 15), (np.uint16, 11), (np.uint16, 13), (np.int16, 15),
                                            (np.int16, 11), (np.int16, None)])
def test_only_the_stored_bits_count_wherever_they_lie(tmp_path, compression, kind, high):
    levels = ramp(-2048, -700, 0, 2047, kind=np.int16) if kind == np.int16 else ramp(0, 1348, 2048, 4095)
    shift = (11 if high is None else high) - 11
    # All other bits are set.
    words = (levels.view(np.uint16) & 0xFFF) << shift | ~np.uint16(0xFFF << shift)
    write_dicom(tmp_path / "image.dcm", words.view(kind), 12, compression, HighBit=high)
    assert first(tmp_path / "image.dcm", 4) == [0, 84, 128, 255]


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


@pytest.mark.parametrize(("stated", "expected"), [
    ({"PixelPaddingValue": -2000, "LossyImageCompression": "01"}, [0, 0, 0, 0, 128, 255]),
    ({"PixelPaddingValue": -2000}, [0, 0, 1, 170, 213, 255]),
    ({"PixelPaddingValue": -2100, "LossyImageCompression": "01"}, [0, 0, 1, 170, 213, 255])])
def test_padding_is_known_after_lossy_compression_moved_it(tmp_path, stated, expected):
    write_dicom(tmp_path / "image.dcm", ramp(-2004, -2000, -1997, -1, 500, 1000, kind=np.int16), **stated)
    assert first(tmp_path / "image.dcm", 6) == expected


@pytest.mark.parametrize("image", [np.arange(2048, dtype=np.int16).reshape(64, 32), ramp(0, 20, 40, 60)],
                         ids=["no gap", "nothing beyond"])
def test_levels_beside_the_padding_stay_after_lossy_compression(tmp_path, image):
    stated = {"PixelPaddingValue": 0}
    exact = read_grey(write_dicom(tmp_path / "exact.dcm", image, **stated))
    lossy = read_grey(write_dicom(tmp_path / "lossy.dcm", image, **stated, LossyImageCompression="01"))
    np.testing.assert_array_equal(lossy, exact)


def test_image_of_padding_alone_is_black(tmp_path):
    write_dicom(tmp_path / "image.dcm", ramp(7, 7), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=7)
    assert first(tmp_path / "image.dcm", 2) == [0, 0]


def test_first_of_several_frames_is_read(tmp_path):
    write_dicom(tmp_path / "image.dcm", np.stack([NOISE, 255 - NOISE]))
    assert read_header(tmp_path / "image.dcm").frames == 2
    np.testing.assert_array_equal(read_grey(tmp_path / "image.dcm"), NOISE)


def test_colour_is_weighted_as_in_other_files(tmp_path):
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:4, :, 0], colours[4:8, :, 1], colours[8:12, :, 2], colours[12:] = 255, 255, 255, 255
    write_dicom(tmp_path / "image.dcm", colours)
    assert read_grey(tmp_path / "image.dcm")[::4, 0].tolist() == [76, 150, 29, 255]
    assert read_header(tmp_path / "image.dcm").mode in COLOUR_MODES


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
    image = read_grey(write_jpeg_dicom(tmp_path / "image.dcm", pixels))
    assert np.abs(image.astype(int) - pixels).max() <= 3


def test_jpeg_whose_scan_has_an_empty_spectrum_is_read_as_the_sound_one(tmp_path):
    """As one of pydicom's files says, which is the other but for that."""
    np.testing.assert_array_equal(read_grey(Path(get_testdata_file("JPEG-lossy.dcm"))),
                                  read_grey(Path(get_testdata_file("JPGExtended.dcm"))))
    np.testing.assert_array_equal(read_grey(write_jpeg_dicom(tmp_path / "empty.dcm", NOISE, empty_spectrum=True)),
                                  read_grey(write_jpeg_dicom(tmp_path / "sound.dcm", NOISE)))


@pytest.mark.parametrize(("process", "end"), [(0xC0, 63), (0xC1, 63), (0xC2, 0), (0xC3, 0)])
def test_spectrum_is_mended_in_every_scan_of_a_sequential_jpeg_and_of_no_other(process, end):
    def jpeg(last):
        header = b"\xff\xd8\xff\xfe\0\x0d\xff\xda\0\x08\1\1\0\0\0\0\0" + bytes([0xFF, process, 0, 3, 0])
        return header + b"".join(b"\xff\xda\0\x08\1" + bytes([number, 0, 0, last, 0]) + b"\x12\xff\0\xff\xd0\x34"
                                 for number in (1, 2)) + b"\xff\xd9"

    assert dicom._with_whole_spectrum(jpeg(0)) == jpeg(end)
    assert dicom._with_whole_spectrum(jpeg(5)) == jpeg(5)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders_are_read(tmp_path, syntax):
    dataset = dicom_dataset(DEEP, 12)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = DEEP.astype(">u2").tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset["PixelData"].VR = "OW"
        dataset.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_grey(tmp_path / "image.dcm"),
                                  read_grey(write_dicom(tmp_path / "plain.dcm", DEEP, 12)))


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm",
                                  "MR_small_bigendian.dcm", "MR_small_implicit.dcm"])
def test_files_of_other_programs_agree_with_their_plain_form(name):
    image = read_grey(Path(get_testdata_file(name)))
    np.testing.assert_array_equal(image, read_grey(Path(get_testdata_file("MR_small.dcm"))))
    assert image.std() > 20


@pytest.mark.parametrize(("name", "shape"), [
    ("JPGExtended.dcm", (1024, 256)), ("JPEG2000.dcm", (1024, 256)), ("SC_rgb_jls_lossy_line.dcm", (100, 100)),
    ("SC_rgb_jpeg_gdcm.dcm", (100, 100)), ("SC_rgb_dcmtk_+eb+cy+s4.dcm", (100, 100))])
def test_lossy_files_of_other_programs_are_read(name, shape):
    image = read_grey(Path(get_testdata_file(name)))
    assert image.shape == shape
    assert image.max() == 255


# ---------------------------------------------------------------- in folders

def test_dicom_is_known_by_its_mark_whatever_its_name(tmp_path):
    for name in ("image.dcm", "image", "1.2.840.113619.2.5", "image.jpeg"):
        write_dicom(tmp_path / name, NOISE)
        assert is_dicom(tmp_path / name)
        assert is_image_file(tmp_path / name)
        np.testing.assert_array_equal(read_grey(tmp_path / name), NOISE)
    (tmp_path / "notes").write_text("no image")
    assert not is_image_file(tmp_path / "notes")
    assert not is_dicom(tmp_path / "nowhere")
    assert not is_dicom(tmp_path)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("header", [False, True])
def test_data_set_without_mark_is_read(tmp_path, syntax, header):
    dataset = dicom_dataset(DEEP, 12)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].VR = "OW"
    path = tmp_path / "IM0001"
    dataset.save_as(path, enforce_file_format=True)
    expected = read_grey(path)
    path.write_bytes(path.read_bytes()[132:]) if header else without_mark(path)
    assert is_image_file(path)
    assert read_header(path).width == 36
    np.testing.assert_array_equal(read_grey(path), expected)


@pytest.mark.parametrize("content", [
    b"", b"\0" * 400, b"\x08\0", b"\x08\0\0\0\4\0\0\0" + b"\0" * 400, np.arange(8, 400, dtype="<u2").tobytes(),
    np.arange(8, 400, 4, dtype="<u4").tobytes(), np.full(99, 8, "<u4").tobytes(), b"\x08\0\x10\0 of a text" * 40,
    b"\x89PNG\r\n\x1a\n" + b"\x08\0" * 99])
def test_other_files_are_not_taken_for_data_sets_without_mark(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert not is_dicom(tmp_path / "file")


def test_compressed_data_set_that_does_not_say_how_is_refused(tmp_path, refused):
    path = without_mark(write_jpeg_dicom(tmp_path / "image.dcm", NOISE))
    with refused(path, "TransferSyntaxUID", error=DataError):
        read_grey(path)


def test_folder_of_dicom_is_indexed(small_tree):
    write_dicom(small_tree / "train/NORMAL/1.2.840.1", DEEP, 12)
    write_dicom(small_tree / "train/PNEUMONIA/image.dcm", np.stack([NOISE, NOISE]))
    (small_tree / "train/NORMAL/DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (small_tree / "train/NORMAL/cut.dcm").write_bytes(b"\0" * 128 + b"DICM")
    catalogue = index_folder(small_tree)
    images = catalogue.images.set_index("path")
    assert images.loc["train/NORMAL/1.2.840.1", ["width", "height", "mode"]].tolist() == [36, 40, "I;16"]
    assert images.loc["train/PNEUMONIA/image.dcm", "note"] == "2 frames, only the first is read"
    assert catalogue.unreadable["path"].tolist() == ["train/NORMAL/cut.dcm"]


def test_many_at_once_are_read_as_one_after_the_other(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (24, 20, 24), np.uint8)
    paths = [write_dicom(tmp_path / f"{number}.dcm", radiograph) for number, radiograph in enumerate(images)]
    with ThreadPoolExecutor(8) as pool:
        for radiograph, image in zip(images, pool.map(read_grey, paths), strict=True):
            np.testing.assert_array_equal(image, radiograph)
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


def compressed_as(path, syntax):
    """A DICOM file that says that it is compressed so, and holds the first bytes of something."""
    dataset = dicom_dataset(NOISE)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 80])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    # pydicom does not know all of them.
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    return path


def short_table():
    """A lookup table of fewer entries than it states, and of more than half of them."""
    sequence = lookup_table(np.arange(30), 0, 16)
    sequence[0].LUTDescriptor = [40, 0, 16]
    return sequence


REFUSED = {
    "no image": (lambda path: write_dicom(path, NOISE, Rows=None, Columns=None, PixelData=None), "holds no image"),
    "no pixels": (lambda path: write_dicom(path, NOISE, PixelData=None), "only its description"),
    "huge": (lambda path: write_dicom(path, NOISE, Rows=60000, Columns=60000), "60000 x 60000 pixels"),
    "small": (lambda path: write_dicom(path, NOISE[:8]), "36 x 8 pixels are no image"),
    "none": (lambda path: write_dicom(path, NOISE, Rows=0), "pixels are no image"),
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
    **{f"without {name}": (lambda path, name=name: write_dicom(path, NOISE, **{name: None}), f"state its {name}")
       for name in ("PhotometricInterpretation", "SamplesPerPixel", "BitsStored", "PixelRepresentation")},
    "without bits": (lambda path: write_dicom(path, DEEP, 12, HighBit=16), "HighBit"),
    "fewer bits": (lambda path: write_dicom(path, DEEP, 12, HighBit=10), "HighBit"),
    **{f"compressed as {name}": (lambda path, uid=uid: compressed_as(path, uid), name) for name, uid in (
        ("JPEG XL", "1.2.840.10008.1.2.4.112"), ("MPEG2", "1.2.840.10008.1.2.4.100"),
        ("MPEG-4", "1.2.840.10008.1.2.4.102"), ("HEVC", "1.2.840.10008.1.2.4.107"),
        ("JPIP", "1.2.840.10008.1.2.4.204"), ("an unknown kind", "1.2.4711"))},
    "LUT of other entries": (lambda path: write_dicom(
        path, DEEP, 12, VOILUTSequence=short_table()), "damaged"),
    "LUT of other length": (lambda path: write_dicom(
        path, DEEP, 12, VOILUTSequence=lookup_table([1, 2, 3], 0, 77)), "damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_image_is_refused_in_one_line_that_quotes_nothing(case, tmp_path, refused, caplog, capfd):
    make, words = REFUSED[case]
    path = make(tmp_path / "image.dcm")
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
        dataset.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    with refused("image.dcm", "deflated", "Explicit VR", error=DataError):
        read_grey(tmp_path / "image.dcm")


def test_file_beyond_the_largest_is_refused_before_it_is_read(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(dicom, "LARGEST_FILE", 1000)
    write_dicom(tmp_path / "image.dcm", np.stack([NOISE] * 10))
    with refused("image.dcm", "first frame", error=DataError):
        read_header(tmp_path / "image.dcm")


def test_only_the_image_is_read_of_a_header(tmp_path):
    groups = functional_groups(WindowCenter=128, WindowWidth=256)
    groups[0].FrameVOILUTSequence[0].WindowCenterWidthExplanation = f"{POISON} 4711 19420230 {POISON.upper()}"
    path = write_poisoned_dicom(tmp_path / "image.dcm", NOISE, SharedFunctionalGroupsSequence=groups)
    text = str(pydicom.dcmread(path))
    image = dicom._open(path, pixels=True)
    # pydicom takes up the file's own header (group 0002), too, from which nothing but the transfer syntax is asked.
    image.file_meta = None
    for word in POISONED_BYTES:
        assert text.count(word.decode()) > 20
        assert word.decode() not in str(image)
    np.testing.assert_array_equal(read_grey(path), NOISE)
