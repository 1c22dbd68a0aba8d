"""Reading, resizing and grey-level transforms, on known values."""

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from covidcnn.errors import DataError
from covidcnn.imaging.reading import read_grey, read_header
from covidcnn.imaging.transforms import (
    INTERPOLATIONS,
    PREPROCESSING,
    ImageSettings,
    clahe,
    equalize,
    invert,
    invert_equalize,
    plain,
    resize,
)

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
TRANSFORMS = {**PREPROCESSING, **{f"resize {name}": lambda image, name=name: resize(image, 20, name)
                                  for name in INTERPOLATIONS},
              "resize pad": lambda image: resize(image, 20, pad=True)}


# ---------------------------------------------------------------- reading

def test_grey_png_is_read_pixel_for_pixel(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "image.png")
    image = read_grey(tmp_path / "image.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, NOISE)
    header = read_header(tmp_path / "image.png")
    assert (header.width, header.height, header.mode, header.frames) == (48, 40, "L", 1)


def test_colour_is_weighted_as_itu_r_601(tmp_path):
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:4, :, 0], colours[4:8, :, 1], colours[8:12, :, 2], colours[12:] = 255, 255, 255, 255
    Image.fromarray(colours).save(tmp_path / "image.png")
    assert read_grey(tmp_path / "image.png")[::4, 0].tolist() == [76, 150, 29, 255]


def test_coloured_file_of_a_grey_image_is_read_as_the_grey_one(tmp_path):
    Image.fromarray(NOISE).convert("RGB").save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "image.png"), NOISE)


def test_transparency_is_laid_on_black(tmp_path):
    image = Image.new("RGBA", (16, 16), (200, 200, 200, 255))
    image.paste((200, 200, 200, 0), (0, 0, 8, 16))
    image.paste((200, 200, 200, 128), (8, 0, 12, 16))
    image.save(tmp_path / "image.png")
    assert read_grey(tmp_path / "image.png")[0].tolist() == [0] * 8 + [100] * 4 + [200] * 4


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_every_colour_mode_is_read_as_its_grey_level(tmp_path, mode):
    Image.new("L", (32, 24), 200).convert(mode).save(tmp_path / "image.jpeg", quality=95)
    assert read_header(tmp_path / "image.jpeg").mode == mode
    image = read_grey(tmp_path / "image.jpeg")
    assert image.shape == (24, 32)
    assert np.abs(image.astype(int) - 200).max() <= 1


@pytest.mark.parametrize(("values", "expected"), [
    ((0, 2048, 4095), (0, 128, 255)),
    ((0, 32768, 65535), (0, 128, 255)),
    ((0, 128, 255), (0, 128, 255)),
    ((0, 512, 1023), (0, 128, 255)),
    ((0, 8192, 16383), (0, 128, 255)),
    ((0, 4096, 4096), (0, 64, 64)),
])
@pytest.mark.parametrize(("kind", "name"), [(np.uint16, "image.png"), (np.int32, "image.tif"),
                                            (np.float32, "image.tif")])
def test_deep_file_is_scaled_by_the_depth_its_values_need(tmp_path, values, expected, kind, name):
    radiograph = np.resize(np.array(values, kind), (18, 18))
    Image.fromarray(radiograph).save(tmp_path / name)
    image = read_grey(tmp_path / name)
    assert image.dtype == np.uint8
    assert image[0, :3].tolist() == list(expected)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_beyond_sixteen_bits_are_scaled_by_the_largest(tmp_path, kind):
    Image.fromarray(np.resize(np.array([0, 50_000, 100_000], kind), (18, 18))).save(tmp_path / "image.tiff")
    assert read_grey(tmp_path / "image.tiff")[0, :3].tolist() == [0, 128, 255]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_below_zero_are_refused_and_what_overshoots_is_not(tmp_path, refused, kind):
    image = np.resize(np.array([-1024, 0, 1024], kind), (18, 18))
    Image.fromarray(image).save(tmp_path / "image.tiff")
    with refused("image.tiff", "below 0", "8-bit", error=DataError):
        read_grey(tmp_path / "image.tiff")
    Image.fromarray(image.clip(-1)).save(tmp_path / "image.tiff")
    assert read_grey(tmp_path / "image.tiff")[0, :3].tolist() == [0, 0, 64]


def test_what_is_no_finite_number_leaves_the_other_values(tmp_path):
    image = np.resize(np.array([np.nan, np.inf, -np.inf, 0.5, 1], np.float32), (20, 20))
    Image.fromarray(image).save(tmp_path / "image.tiff")
    assert read_grey(tmp_path / "image.tiff")[0, :5].tolist() == [0, 0, 0, 128, 255]


def test_float_file_of_values_up_to_one_keeps_its_grey_levels(tmp_path):
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "image.tiff")
    np.testing.assert_array_equal(read_grey(tmp_path / "image.tiff").ravel(), np.arange(256))


def test_first_frame_of_an_animated_file_is_read(tmp_path):
    frames = [Image.new("L", (20, 20), level) for level in (10, 120, 240)]
    frames[0].save(tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    assert read_header(tmp_path / "image.gif").frames == 3
    assert set(read_grey(tmp_path / "image.gif").ravel().tolist()) == {10}


@pytest.mark.parametrize(("orientation", "turned"), [
    (1, NOISE), (3, NOISE[::-1, ::-1]), (5, NOISE.T), (6, np.rot90(NOISE, -1)), (7, NOISE[::-1, ::-1].T),
    (8, np.rot90(NOISE))])
@pytest.mark.parametrize(("kind", "options"), [
    ("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True}), ("JPEG", {})])
def test_stored_orientation_is_applied_and_the_header_knows(tmp_path, kind, options, orientation, turned):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(NOISE).save(tmp_path / "image", kind, exif=exif, **options)
    image, header = read_grey(tmp_path / "image"), read_header(tmp_path / "image")
    assert (header.height, header.width) == image.shape == turned.shape
    if kind != "JPEG":
        np.testing.assert_array_equal(image, turned)


def test_ending_in_capitals_and_wrong_ending_are_no_matter(tmp_path):
    for name in ("image.JPG", "image.png"):
        Image.fromarray(NOISE).save(tmp_path / name, format="JPEG", quality=95)
        assert read_grey(tmp_path / name).shape == (40, 48)


@pytest.mark.parametrize(("name", "words"), [
    ("garbage.jpeg", ("not a readable image",)),
    ("text.png", ("not a readable image",)),
    ("truncated.jpeg", ("damaged or cut short",)),
    ("truncated.png", ("damaged or cut short",)),
    ("headless.jpeg", ("not a readable image",)),
    ("empty.jpeg", ("empty",)),
    ("one-pixel.png", ("1 x 1 pixels", "at least 16")),
    ("bomb.png", ("too many pixels",)),
])
def test_bad_file_is_refused_in_one_line_with_its_path_and_remedy(tmp_path, bad_images, refused, name, words):
    path = tmp_path / name
    path.write_bytes(bad_images[name])
    with refused(path, "remove it", *words, error=DataError):
        read_grey(path)


def test_image_just_beyond_the_largest_area_is_refused_by_its_size(tmp_path, refused):
    from conftest import png_that_claims

    (tmp_path / "wide.png").write_bytes(png_that_claims(12_000, 10_000))
    with refused("wide.png", "12000 x 10000", "scale it down", error=DataError):
        read_header(tmp_path / "wide.png")


def test_file_damaged_in_a_later_frame_is_refused_by_the_header(tmp_path, bad_images, refused):
    path = tmp_path / "image.gif"
    path.write_bytes(bad_images["cut-in-second-frame.gif"])
    with refused(path, "remove it", error=DataError):
        read_header(path)


@pytest.mark.parametrize(("image", "largest"), [
    (np.array([0, 4095, 30000, 65535], np.uint16), 65535), (np.array([0, 819, 2048, 4095], np.uint16), 65535),
    (np.array([0, 819, 2048, 4095], np.uint16), 4095), (np.array([0, 0.25, 0.5, 1], np.float32), 1)])
@pytest.mark.parametrize("compression", [None, "tiff_deflate"])
def test_tiff_where_zero_is_white_is_read_as_its_mirror_image(tmp_path, image, largest, compression):
    image = np.resize(image, (16, 32))
    Image.fromarray(image).save(tmp_path / "black.tif")
    Image.fromarray(largest - image).save(tmp_path / "white.tif", tiffinfo={262: 0}, compression=compression)
    np.testing.assert_array_equal(read_grey(tmp_path / "white.tif"), read_grey(tmp_path / "black.tif"))


def test_missing_file_and_folder_are_refused(tmp_path, refused):
    with refused("nowhere.png", error=DataError):
        read_grey(tmp_path / "nowhere.png")
    (tmp_path / "folder.png").mkdir()
    with refused("folder.png", error=DataError):
        read_grey(tmp_path / "folder.png")


@pytest.mark.parametrize(("side", "accepted"), [(15, False), (16, True)])
def test_smallest_side_is_16_pixels(tmp_path, side, accepted):
    Image.new("L", (40, side), 9).save(tmp_path / "image.png")
    if accepted:
        assert read_grey(tmp_path / "image.png").shape == (side, 40)
    else:
        with pytest.raises(DataError):
            read_grey(tmp_path / "image.png")


def test_published_originals_are_read_in_full(shared_originals):
    manifest = pd.read_csv(shared_originals / "manifest.csv").sort_values("bytes")
    for row in pd.concat([manifest.head(4), manifest[manifest["mode"] == "RGB"].head(4)]).itertuples():
        image = read_grey(shared_originals / row.file)
        assert image.shape == (row.height, row.width)
        assert image.std() > 20


# ---------------------------------------------------------------- what all transforms promise

@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform_gives_a_new_uint8_array_and_leaves_its_input(name):
    image = NOISE.copy()
    result = TRANSFORMS[name](image)
    assert result.dtype == np.uint8
    assert result.shape == ((20, 20) if name.startswith("resize") else (40, 48))
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, NOISE)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform_takes_read_only_and_strided_arrays(name):
    frozen = NOISE.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(TRANSFORMS[name](frozen), TRANSFORMS[name](NOISE.copy()))
    strided = np.asfortranarray(NOISE)
    np.testing.assert_array_equal(TRANSFORMS[name](strided), TRANSFORMS[name](NOISE.copy()))


# ---------------------------------------------------------------- grey levels

def equalized_by_hand(image):
    """The formula of histogram equalisation: round(255 (cdf - cdf_min) / (n - cdf_min))."""
    counts = np.bincount(image.ravel(), minlength=256)
    cumulated = counts.cumsum()
    lowest = cumulated[cumulated > 0][0]
    table = np.rint(255 * (cumulated - lowest) / (image.size - lowest)).clip(0, 255).astype(np.uint8)
    return table[image]


def test_equalisation_of_a_small_array_is_as_worked_out_on_paper():
    # cdf 2, 3, 4 of n = 4, cdf_min 2: 255 (cdf - 2) / 2 = 0, 127.5, 255.
    image = np.array([[50, 50], [60, 200]], np.uint8)
    assert equalize(image).tolist() in ([[0, 0], [128, 255]], [[0, 0], [127, 255]])
    # n = 8, cdf_min 3: 255 (6 - 3) / 5 = 153.
    image = np.array([[10, 10, 10, 11], [11, 11, 12, 12]], np.uint8)
    assert equalize(image).tolist() == [[0, 0, 0, 153], [153, 153, 255, 255]]


def test_equalisation_follows_the_formula_on_a_low_contrast_image():
    image = (NOISE // 8 + 100).astype(np.uint8)
    np.testing.assert_array_equal(equalize(image), equalized_by_hand(image))
    assert (equalize(image).min(), equalize(image).max()) == (0, 255)


def test_equalisation_leaves_an_image_of_one_level():
    assert set(equalize(np.full((8, 8), 77, np.uint8)).ravel().tolist()) == {77}


def test_inversion_is_255_minus_the_image_and_undoes_itself():
    np.testing.assert_array_equal(invert(NOISE), 255 - NOISE)
    np.testing.assert_array_equal(invert(invert(NOISE)), NOISE)
    assert invert(np.array([[0, 255, 100]], np.uint8)).tolist() == [[255, 0, 155]]


def test_inversion_and_equalisation_are_done_in_this_order():
    image = np.array([[10, 10, 10, 11], [11, 11, 12, 12]], np.uint8)
    # Inverted: 243 twice, 244 three times, 245 three times; 255 (5 - 2) / 6 = 127.5.
    result = invert_equalize(image)
    assert result[1, 2:].tolist() == [0, 0]
    assert result[0, :3].tolist() == [255] * 3
    assert result[1, 0] in (127, 128)


def test_plain_changes_nothing():
    np.testing.assert_array_equal(plain(NOISE), NOISE)


def test_clahe_is_limited_where_equalisation_is_not():
    flat = (NOISE // 64 + 120).astype(np.uint8)
    assert np.ptp(equalize(flat)) == 255
    assert np.ptp(flat) < np.ptp(clahe(flat)) < 255


# ---------------------------------------------------------------- resizing

def test_area_averages_all_pixels():
    image = np.array([[0, 100, 40, 60], [200, 100, 50, 50]], np.uint8).repeat(2, axis=0)
    # Blocks of 2 columns x 2 rows of the 4 x 4 image.
    assert resize(image, 2).tolist() == [[50, 50], [150, 50]]


def test_linear_is_what_cv2_does_by_default():
    np.testing.assert_array_equal(resize(NOISE, 20, "linear"), cv2.resize(NOISE, (20, 20)))


def test_stretching_ignores_the_aspect_ratio():
    image = np.zeros((20, 40), np.uint8)
    image[:, 20:] = 255
    assert (resize(image, 10)[:, 5:] == 255).all()
    assert (resize(image, 10)[:, :5] == 0).all()


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (30, 30)])
def test_padding_keeps_the_aspect_ratio_and_centres_the_image_on_black(shape):
    # Size 10: an image of 2 to 1 becomes 10 x 5, with 2 rows above and 3 below.
    result = resize(np.full(shape, 200, np.uint8), 10, pad=True)
    expected = np.zeros((10, 10), np.uint8)
    height, width = (10 * side // max(shape) for side in shape)
    top, left = (10 - height) // 2, (10 - width) // 2
    expected[top : top + height, left : left + width] = 200
    np.testing.assert_array_equal(result, expected)


def test_padding_of_a_very_long_image_keeps_a_line_of_it():
    result = resize(np.full((16, 2000), 255, np.uint8), 32, pad=True)
    assert result.any(axis=1).sum() == 1


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_interpolation_keeps_a_flat_image_flat(interpolation):
    assert set(resize(np.full((31, 57), 90, np.uint8), 16, interpolation).ravel().tolist()) == {90}


# ---------------------------------------------------------------- settings

def test_image_is_resized_before_it_is_equalised():
    settings = ImageSettings(20, "equalize")
    np.testing.assert_array_equal(settings.prepare(NOISE), equalize(resize(NOISE, 20)))
    assert not np.array_equal(settings.prepare(NOISE), resize(equalize(NOISE), 20))


def test_all_settings_reach_the_resizing():
    result = ImageSettings(20, "invert", "nearest", pad=True).prepare(NOISE)
    np.testing.assert_array_equal(result, invert(resize(NOISE, 20, "nearest", pad=True)))


@pytest.mark.parametrize(("change", "words"), [
    ({"preprocess": "equalise"}, ("'equalise'", "equalize", "clahe")),
    ({"interpolation": "bilinear"}, ("'bilinear'", "linear", "area")),
    ({"size": 15}, ("15", "at least 16")), ({"size": 4097}, ("4097", "at most 4096")),
])
def test_unknown_setting_is_refused_with_what_there_is(change, words, refused):
    with refused(*words):
        ImageSettings(**change)


def test_colour_jpeg_is_weighted_as_a_colour_png_is(tmp_path):
    """A JPEG's own grey is taken without decoding its colours; it must be the grey of its decoded colours."""
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8), (0, 0), 6)
    stretched = cv2.normalize(smooth, None, 40, 215, cv2.NORM_MINMAX)
    Image.fromarray(stretched).save(tmp_path / "image.jpeg", quality=95)
    with Image.open(tmp_path / "image.jpeg") as decoded:
        colours = np.array(decoded.convert("RGB"))
    expected = colours.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(read_grey(tmp_path / "image.jpeg") - expected).max() <= 2
