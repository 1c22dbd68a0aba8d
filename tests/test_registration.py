"""Registration recovers what was done to an image."""

import cv2
import numpy as np
import pandas as pd
import pytest
from framing import align_averages, averages_table, distribution, reference_image

from covidcnn.augment import warp
from covidcnn.evaluation.framing import align_each
from covidcnn.imaging.registration import align


def chest(size: int = 96, height: float = 1.0, width: float = 1.0, right: float = 0.0) -> np.ndarray:
    """A drawn chest, uint8 (size, size): two dark lungs in a grey trunk, ``height`` and ``width`` times as large."""
    rows, columns = (np.mgrid[:size, :size] / (size - 1) - 0.5) / np.array([height, width]).reshape(2, 1, 1)
    columns = columns - right / width
    image = 150.0 * np.exp(-((columns / 0.42) ** 6) - (rows / 0.48) ** 6)
    for side, tall in ((-0.19, 0.30), (0.17, 0.27)):
        image -= 100 * np.exp(-(((columns - side) / 0.13) ** 4) - ((rows + 0.05) / tall) ** 4)
    image += 60 * np.exp(-((columns - 0.05) / 0.09) ** 2 - ((rows - 0.08) / 0.13) ** 2)
    return cv2.GaussianBlur(np.clip(image + 20, 0, 255), (0, 0), 1).astype(np.uint8)


@pytest.mark.parametrize("height", [0.85, 0.95, 1.05, 1.15])
@pytest.mark.parametrize("width", [0.9, 1.0, 1.1])
def test_known_stretches(height, width):
    image = chest()
    found = align(warp(image, height=1 / height, width=1 / width), image)
    assert found.height == pytest.approx(height, abs=0.02)
    assert found.width == pytest.approx(width, abs=0.02)
    assert abs(found.rotation) < 0.5
    assert found.correlation > 0.98


def test_drawn_taller_without_the_warp():
    found = align(chest(height=1.1, right=0.05), chest())
    assert (found.height, found.width) == (pytest.approx(1.1, abs=0.02), pytest.approx(1.0, abs=0.02))
    assert (found.aside, found.down) == (pytest.approx(0.05, abs=0.01), pytest.approx(0, abs=0.01))


def test_rotation_is_with_the_clock():
    image = chest()
    # The warp turns what is seen against the clock for a positive angle of the view with it.
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((47.5, 47.5), -6, 1), (96, 96),
                            borderMode=cv2.BORDER_REPLICATE)
    assert align(turned, image).rotation == pytest.approx(6, abs=0.5)


def test_brightness_and_contrast_do_not_matter():
    image = chest()
    taller = warp(image, height=1 / 1.1)
    assert align((taller * 0.5 + 60).astype(np.uint8), image).height == pytest.approx(
        align(taller, image).height, abs=0.005)


def test_nothing_to_hold_on_to():
    assert align(np.full((96, 96), 100, np.uint8), chest()) is None
    noise = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8)
    assert align(noise, chest()) is None


def test_ran_away():
    assert align(chest(height=2.4, width=2.4), chest()) is None


def test_two_sizes():
    with pytest.raises(ValueError, match="one size"):
        align(chest(48), chest(96))


def test_each_image_and_the_reference():
    images = pd.DataFrame({"split": ["train", "train", "train", "test"],
                          "label": ["NORMAL", "NORMAL", "PNEUMONIA", "NORMAL"]})
    pixels = np.stack([np.full((96, 96), level, np.uint8) for level in (0, 20, 100, 255)])
    # Each class counts the same, test not at all.
    assert reference_image(images, pixels) == pytest.approx(np.full((96, 96), 55.0))
    table = align_each(np.stack([chest(height=1.1), pixels[2]]), chest())
    assert table["height"].to_list() == [pytest.approx(1.1, abs=0.02), pytest.approx(np.nan, nan_ok=True)]


def test_averages_with_their_interval():
    def group(height: float, seed: int) -> tuple[np.ndarray, pd.Series]:
        heights = np.random.default_rng(seed).normal(height, 0.05, 40)
        return np.stack([chest(height=each) for each in heights]), pd.Series([f"p{i // 2}" for i in range(40)])

    table = align_averages(group(1.08, 0), group(1.0, 1), samples=60)
    found = table.loc["height"]
    assert found["low"] < found["value"] < found["high"]
    assert found["value"] == pytest.approx(1.08, abs=0.03)
    # Twenty patients a group of deviation 0.05 / sqrt(2) at least.
    assert 0.02 < found["high"] - found["low"] < 0.1
    assert table["converged"].eq(1).all()


def test_distribution_by_split_and_label():
    images = pd.DataFrame({"split": ["train"] * 4 + ["test"], "label": ["NORMAL"] * 4 + ["PNEUMONIA"]})
    alignments = pd.DataFrame({"height": [1.0, 1.2, 1.4, np.nan, 0.9], "width": [1.0, 1.0, 0.7, np.nan, 0.9]})
    table = distribution(images, alignments)
    assert table.loc[("train", "NORMAL", "height"), ["images", "converged", "50 %"]].to_list() == [4, 0.75, 1.2]
    assert table.loc[("train", "NORMAL", "height by width"), "95 %"] == pytest.approx(1.2 + 0.9 * 0.8)
    assert table.loc[("test", "PNEUMONIA", "height by width"), "50 %"] == 1.0


def test_averages_of_all_pairs():
    images = pd.DataFrame([{"split": split, "label": label, "patient": f"{split}{label}{place}"}
                          for split in ("train", "test") for label in ("NORMAL", "PNEUMONIA") for place in range(4)])
    tall = {("test", "NORMAL"): 1.1, ("train", "PNEUMONIA"): 1.05}
    pixels = np.stack([chest(height=tall.get((split, label), 1.0))
                       for split, label in zip(images["split"], images["label"], strict=True)])
    table = averages_table(images, pixels, samples=3)
    assert table.loc[("test NORMAL", "train NORMAL", "height"), "value"] == pytest.approx(1.1, abs=0.02)
    assert table.loc[("test PNEUMONIA", "train PNEUMONIA", "height"), "value"] == pytest.approx(1 / 1.05, abs=0.02)
    assert table.loc[("train PNEUMONIA", "train NORMAL", "width"), "value"] == pytest.approx(1.0, abs=0.01)
