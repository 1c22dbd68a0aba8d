"""Shortcuts and shift: found where they were put, and not where they were not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from covidcnn.evaluation import baselines
from covidcnn.evaluation.weighted_metrics import weighted_auc
from covidcnn.imaging.transforms import coarse_pixels

PATIENTS = 40
"""Of each split and class; two images each."""


def catalogue(splits=("train", "test")) -> pd.DataFrame:
    rows = [{"path": f"{split}/{label}/{patient}-{image}.png", "split": split, "label": label, "subtype": "",
             "patient": f"{split}-{label}-{patient}", "width": 200, "height": 100, "mode": "L"}
            for split in splits for label in ("NORMAL", "PNEUMONIA")
            for patient in range(PATIENTS) for image in range(2)]
    return pd.DataFrame(rows)


def noise(images: pd.DataFrame) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 120, (len(images), 32, 32)).astype(np.uint8)


def brighter(images: np.ndarray, chosen: pd.Series, by: int = 40) -> np.ndarray:
    """The images chosen are brighter in their left upper quarter."""
    images = images.copy()
    images[chosen.to_numpy(), :16, :16] += np.uint8(by)
    return images


def test_measures_are_those_of_each_image():
    images = catalogue()[:2].assign(width=[200, 300], mode=["L", "RGB"])
    pixels = np.stack([np.full((4, 4), 9, np.uint8), np.repeat(np.uint8([[0, 0, 200, 200]]), 4, axis=0)])
    table = baselines.image_measures(images, pixels)
    assert table["pixel area"].tolist() == [20_000, 30_000]
    assert table["width / height"].tolist() == [2, 3]
    assert table["stored in colour"].tolist() == [0, 1]
    assert table["mean grey"].tolist() == [9, 100]
    assert table["contrast"].tolist() == [0, 100]


def test_size_as_a_shortcut_is_found_with_its_direction():
    images = catalogue()
    sick = images["label"] == "PNEUMONIA"
    images["width"] = np.where(sick, 150, 200) + np.arange(len(images)) % 7
    table = baselines.single_measure_auc(baselines.image_measures(images, noise(images)), 50).set_index("measure")
    assert table.loc["pixel area", "auc"] == 1
    assert table.loc["pixel area", "higher in"] == "NORMAL"
    assert table.loc["pixel area", "read from"] == "file header"
    assert 0.5 <= table.loc["mean grey", "auc"] < 0.65
    assert table.loc["mean grey", "low"] <= table.loc["mean grey", "auc"] <= table.loc["mean grey", "high"]


def test_equal_sizes_say_nothing():
    images = catalogue()
    table = baselines.single_measure_auc(baselines.image_measures(images, noise(images)), 20).set_index("measure")
    assert table.loc["pixel area", "auc"] == 0.5
    assert table.loc["pixel area", "higher in"] == "all images are equal"


def test_single_measures_do_not_look_at_test_images():
    images = catalogue()
    pixels = noise(images)
    measures = baselines.image_measures(images, pixels)
    altered = measures.copy()
    altered.loc[altered["split"] == "test", "mean grey"] = 0.0
    pd.testing.assert_frame_equal(baselines.single_measure_auc(measures, 20),
                                  baselines.single_measure_auc(altered, 20))


def test_weighted_auc_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, 200), generator.integers(0, 30, 200) / 7
    for weight in (np.ones(200), generator.integers(0, 4, 200)):
        assert weighted_auc(labels, scores, weight) == pytest.approx(
            roc_auc_score(labels, scores, sample_weight=weight))


def test_coarse_pixels_are_means_of_blocks():
    images = np.zeros((1, 32, 32), np.uint8)
    images[0, :2, :2] = 255
    pixels = coarse_pixels(images)
    assert pixels.shape == (1, 256)
    assert pixels.dtype == np.float32
    assert pixels[0, 0] == 1
    assert pixels.sum() == 1


def test_baseline_finds_a_signal_in_the_pixels_and_scores_every_image_once():
    images = catalogue()
    pixels = coarse_pixels(brighter(noise(images), images["label"] == "PNEUMONIA"))
    scores = baselines.baseline_scores(images, pixels)
    assert scores["path"].tolist() == images["path"].tolist()
    assert scores["score"].notna().all()
    table = baselines.baseline_table(scores, 20)
    assert table["scored on"].tolist() == ["train, cross-validated by patient", "test"]
    assert table["images"].tolist() == [160, 160]
    assert (table["auc"] > 0.95).all()
    assert (table["accuracy"] > 0.9).all()


def test_baseline_without_a_signal_is_a_coin_although_patients_repeat():
    """Both images of a patient are the same, so that a cut by image would find each again."""
    images = catalogue()
    pixels = noise(images)
    pixels[1::2] = pixels[::2]
    table = baselines.baseline_table(baselines.baseline_scores(images, coarse_pixels(pixels)), 20)
    assert table["auc"].between(0.3, 0.7).all()


@pytest.mark.parametrize("splits", [("train",), ("all",)])
def test_baseline_without_a_test_split_has_one_row(splits):
    images = catalogue(splits)
    pixels = coarse_pixels(noise(images))
    scores = baselines.baseline_scores(images, pixels)
    assert set(scores["split"]) == {"train"}
    assert len(baselines.baseline_table(scores, 20)) == 1
    assert baselines.split_shift(images, pixels, 20).empty


def test_shift_is_found_in_the_class_that_has_it():
    images = catalogue()
    moved = (images["label"] == "NORMAL") & (images["split"] == "test")
    table = baselines.split_shift(images, coarse_pixels(brighter(noise(images), moved)), 50)
    table = table.set_index("label")
    assert table.loc["NORMAL", "auc"] > 0.95
    assert table.loc["PNEUMONIA", "low"] < 0.6
    assert table.loc["NORMAL", ["train images", "test images"]].tolist() == [80, 80]


def test_the_same_images_give_the_same_tables():
    images = catalogue()
    pixels = coarse_pixels(noise(images))
    pd.testing.assert_frame_equal(baselines.baseline_scores(images, pixels), baselines.baseline_scores(images, pixels))
    pd.testing.assert_frame_equal(baselines.split_shift(images, pixels, 20),
                                  baselines.split_shift(images, pixels, 20))
