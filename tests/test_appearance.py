"""What makes images unlike those that a model was trained on, on known values."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from covidcnn.data.appearance import MEASURES, Appearance, compare, describe, differences, measure, of_files, outside

TRAINING = Appearance(100, {"mean grey": (80.0, 120.0), "contrast": (20.0, 60.0), "aspect ratio": (1.0, 1.5),
                            "shorter side": (400.0, 2000.0)}, 0.2)


def measured(**values):
    usual = {"mean grey": 100.0, "contrast": 40.0, "aspect ratio": 1.2, "shorter side": 900.0, "in colour": False}
    return pd.DataFrame([usual | {name.replace("_", " "): value for name, value in values.items()}])


def test_measures_are_those_of_file_and_prepared_image():
    images = pd.DataFrame({"width": [300, 100], "height": [150, 400], "mode": ["L", "RGB"]}, index=[7, 3])
    pixels = np.stack([np.full((4, 4), 9, np.uint8), np.tile(np.array([0, 255], np.uint8), (4, 2))])
    table = measure(images, pixels)
    assert table.index.tolist() == [7, 3]
    assert table["mean grey"].tolist() == [9, 127.5]
    assert table["contrast"].tolist() == [0, 127.5]
    assert table["aspect ratio"].tolist() == [2, 0.25]
    assert table["shorter side"].tolist() == [150, 100]
    assert table["in colour"].tolist() == [False, True]


def test_range_holds_99_percent_and_survives_json():
    table = pd.DataFrame(dict.fromkeys(MEASURES, np.arange(1001.0))).assign(**{"in colour": [True] + [False] * 1000})
    appearance = describe(table)
    assert appearance.ranges == dict.fromkeys(MEASURES, (5.0, 995.0))
    assert appearance.colour_share == pytest.approx(1 / 1001)
    assert Appearance.from_json(asdict(appearance)) == appearance
    assert compare(table, appearance)["measures"]["contrast"]["share outside"] == pytest.approx(10 / 1001)


@pytest.mark.parametrize("value", [{}, 3, {"images": 1, "ranges": {}, "colour_share": 0},
                                   asdict(TRAINING) | {"colour_share": 2},
                                   asdict(TRAINING) | {"ranges": dict.fromkeys(MEASURES, (2, 1))},
                                   asdict(TRAINING) | {"ranges": dict.fromkeys(MEASURES, (1, 2, 3))}])
def test_other_values_are_refused(value):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Appearance.from_json(value)


@pytest.mark.parametrize(("values", "expected"), [
    ({}, []), ({"mean_grey": 80.0, "contrast": 60.0}, []),
    ({"mean_grey": 79.9}, ["mean grey 79.9, training images 80 to 120"]),
    ({"contrast": 61.0, "aspect_ratio": 0.5},
     ["contrast 61, training images 20 to 60", "aspect ratio 0.5, training images 1 to 1.5"]),
    ({"shorter_side": 300.0}, ["shorter side 300 px, smaller than the model's input of 320 px"]),
    # The model sees neither.
    ({"shorter_side": 350.0}, []), ({"in_colour": True}, []),
])
def test_differences_are_told_with_both_values(values, expected):
    assert differences(measured(**values), TRAINING, 320) == [expected]


@pytest.mark.parametrize(("share", "in_colour", "told"), [(0.0, True, True), (0.0, False, False), (1.0, False, False),
                                                          (1.0, True, False), (0.5, True, False)])
def test_colour_is_told_where_hardly_a_training_image_was_stored_so(share, in_colour, told):
    training = Appearance(100, TRAINING.ranges, share)
    assert outside(measured(in_colour=in_colour), training)["in colour"].tolist() == [told]
    assert bool(of_files(measured(in_colour=in_colour).set_axis(["a.png"]), training)) is told


def test_what_only_files_have_is_told_once_for_all():
    images = pd.concat([measured(shorter_side=side) for side in (500.0, 300.0, 2500.0, 300.0, 300.0)])
    (line,) = of_files(images.set_axis(["a", "b", "c", "d", "e"]), TRAINING)
    assert line.startswith("4 of 5 files have a shorter side outside 400 to 2000 px")
    assert line.endswith(": b, c, d and 1 more")


def test_sizes_of_a_resized_copy_say_nothing_of_other_images():
    # All training images 224 px and in colour, as in the copy of the published ones; model files of before too.
    copy = Appearance(100, TRAINING.ranges | {"aspect ratio": (1.0, 1.0), "shorter side": (224.0, 224.0)}, 1.0)
    originals = pd.concat([measured(aspect_ratio=1.4), measured(shorter_side=1800.0, mean_grey=10.0)])
    assert differences(originals, copy, 224) == [[], ["mean grey 10, training images 80 to 120"]]
    assert of_files(originals.set_axis(["a", "b"]), copy) == []
    distance = compare(originals, copy)
    assert distance["measures"].keys() == {"mean grey", "contrast"}
    assert distance["share outside in any"] == 0.5
    assert differences(measured(shorter_side=100.0), copy, 224) != [[]]


def test_without_an_appearance_only_the_size_is_looked_at():
    images = pd.concat([measured(mean_grey=1.0), measured(shorter_side=20.0)], ignore_index=True)
    assert differences(images, None, 64) == [[], ["shorter side 20 px, smaller than the model's input of 64 px"]]
