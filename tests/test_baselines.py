"""Shortcuts and shift: found where they were put, and not where they were not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from covidcnn.evaluation import baselines
from covidcnn.evaluation.measures import weighted_auc
from covidcnn.imaging.transforms import coarse_pixels

PATIENTS = 40
"""Of each split and class; two films each."""


def catalogue(splits=("train", "test")) -> pd.DataFrame:
    rows = [{"path": f"{split}/{label}/{patient}-{film}.png", "split": split, "label": label, "subtype": "",
             "patient": f"{split}-{label}-{patient}", "width": 200, "height": 100, "mode": "L"}
            for split in splits for label in ("NORMAL", "PNEUMONIA")
            for patient in range(PATIENTS) for film in range(2)]
    return pd.DataFrame(rows)


def noise(films: pd.DataFrame) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 120, (len(films), 32, 32)).astype(np.uint8)


def brighter(images: np.ndarray, chosen: pd.Series, by: int = 40) -> np.ndarray:
    """The films chosen are brighter in their left upper quarter."""
    images = images.copy()
    images[chosen.to_numpy(), :16, :16] += np.uint8(by)
    return images


def test_measures_are_those_of_each_film():
    films = catalogue()[:2].assign(width=[200, 300], mode=["L", "RGB"])
    images = np.stack([np.full((4, 4), 9, np.uint8), np.repeat(np.uint8([[0, 0, 200, 200]]), 4, axis=0)])
    table = baselines.film_measures(films, images)
    assert table["pixel area"].tolist() == [20_000, 30_000]
    assert table["width / height"].tolist() == [2, 3]
    assert table["stored in colour"].tolist() == [0, 1]
    assert table["mean grey"].tolist() == [9, 100]
    assert table["contrast"].tolist() == [0, 100]


def test_size_as_a_shortcut_is_found_with_its_direction():
    films = catalogue()
    sick = films["label"] == "PNEUMONIA"
    films["width"] = np.where(sick, 150, 200) + np.arange(len(films)) % 7
    table = baselines.single_measure_auc(baselines.film_measures(films, noise(films)), 50).set_index("measure")
    assert table.loc["pixel area", "auc"] == 1
    assert table.loc["pixel area", "higher in"] == "NORMAL"
    assert table.loc["pixel area", "read from"] == "file header"
    assert 0.5 <= table.loc["mean grey", "auc"] < 0.65
    assert table.loc["mean grey", "low"] <= table.loc["mean grey", "auc"] <= table.loc["mean grey", "high"]


def test_equal_sizes_say_nothing():
    films = catalogue()
    table = baselines.single_measure_auc(baselines.film_measures(films, noise(films)), 20).set_index("measure")
    assert table.loc["pixel area", "auc"] == 0.5
    assert table.loc["pixel area", "higher in"] == "all films are equal"


def test_single_measures_do_not_look_at_test_films():
    films = catalogue()
    images = noise(films)
    measures = baselines.film_measures(films, images)
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


def test_floor_finds_a_signal_in_the_pixels_and_scores_every_film_once():
    films = catalogue()
    pixels = coarse_pixels(brighter(noise(films), films["label"] == "PNEUMONIA"))
    scores = baselines.floor_scores(films, pixels)
    assert scores["path"].tolist() == films["path"].tolist()
    assert scores["score"].notna().all()
    table = baselines.floor_table(scores, 20)
    assert table["scored on"].tolist() == ["train, cross-validated by patient", "test"]
    assert table["films"].tolist() == [160, 160]
    assert (table["auc"] > 0.95).all()
    assert (table["accuracy"] > 0.9).all()


def test_floor_without_a_signal_is_a_coin_although_patients_repeat():
    """Both films of a patient are the same, so that a cut by film would find each again."""
    films = catalogue()
    images = noise(films)
    images[1::2] = images[::2]
    table = baselines.floor_table(baselines.floor_scores(films, coarse_pixels(images)), 20)
    assert table["auc"].between(0.3, 0.7).all()


@pytest.mark.parametrize("splits", [("train",), ("all",)])
def test_floor_without_a_test_split_has_one_row(splits):
    films = catalogue(splits)
    pixels = coarse_pixels(noise(films))
    scores = baselines.floor_scores(films, pixels)
    assert set(scores["split"]) == {"train"}
    assert len(baselines.floor_table(scores, 20)) == 1
    assert baselines.split_shift(films, pixels, 20).empty


def test_shift_is_found_in_the_class_that_has_it():
    films = catalogue()
    moved = (films["label"] == "NORMAL") & (films["split"] == "test")
    table = baselines.split_shift(films, coarse_pixels(brighter(noise(films), moved)), 50)
    table = table.set_index("label")
    assert table.loc["NORMAL", "auc"] > 0.95
    assert table.loc["PNEUMONIA", "low"] < 0.6
    assert table.loc["NORMAL", ["train films", "test films"]].tolist() == [80, 80]


def test_the_same_films_give_the_same_tables():
    films = catalogue()
    pixels = coarse_pixels(noise(films))
    pd.testing.assert_frame_equal(baselines.floor_scores(films, pixels), baselines.floor_scores(films, pixels))
    pd.testing.assert_frame_equal(baselines.split_shift(films, pixels, 20),
                                  baselines.split_shift(films, pixels, 20))
