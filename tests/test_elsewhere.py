"""Models on images unlike those that they learnt from: perturbed ones, local thresholds, and what is seen."""

import json
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import pytest
from model_files import altered

from covidcnn.augment import warp
from covidcnn.evaluation.elsewhere import local_thresholds, perturbation_table
from covidcnn.imaging.registration import align
from covidcnn.perturbations import (
    LUNGS_BLACK,
    MISHAPS,
    PERTURBATIONS,
    REST_BLACK,
    central_lungs,
    perturbed,
)
from covidcnn.prediction.occlusion import inside_lungs, mean_map, occlusion
from covidcnn.task import PNEUMONIA

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(30, 226, (64, 60)).astype(np.uint8)


@dataclass(frozen=True)
class Mean:
    """Predicts by the mean grey of a part of the image."""

    task = PNEUMONIA
    part: tuple[slice, slice] = (slice(None), slice(None))

    def __call__(self, images, rows=None, perturbation=""):
        seen = [perturbed(image, perturbation) if perturbation else image for image in images]
        score = np.array([image[self.part].mean() / 255 for image in seen])
        return np.stack([1 - score, score], axis=1)


def images_of(greys, labels, size=16):
    pixels = np.stack([np.full((size, size), grey, np.uint8) for grey in greys])
    return pixels, pd.DataFrame({"split": "test", "path": [f"{number}.png" for number in range(len(greys))],
                                 "label": labels, "subtype": "", "patient": [f"p{n // 2}" for n in range(len(greys))]})


# ---------------------------------------------------------------- perturbations

@pytest.mark.parametrize("name", MISHAPS)
def test_mishaps_keep_form_and_input_and_are_the_same_again(name):
    before = IMAGE.copy()
    changed = perturbed(IMAGE, name)
    assert (changed.shape, changed.dtype) == (IMAGE.shape, np.uint8)
    assert not np.array_equal(changed, IMAGE)
    np.testing.assert_array_equal(IMAGE, before)
    np.testing.assert_array_equal(perturbed(IMAGE, name), changed)


def test_inversion_and_blacking_out_do_what_they_say():
    np.testing.assert_array_equal(perturbed(perturbed(IMAGE, "inverted"), "inverted"), IMAGE)
    lungs = central_lungs(*IMAGE.shape)
    # By the centres of cells, so that a coarse map has about the same share.
    assert central_lungs(16, 16).mean() == pytest.approx(np.pi * 0.38**2, abs=0.02)
    assert central_lungs(1, 1).all()
    inside, outside = perturbed(IMAGE, LUNGS_BLACK), perturbed(IMAGE, REST_BLACK)
    assert inside[lungs].max() == outside[~lungs].max() == 0
    np.testing.assert_array_equal(inside + outside, IMAGE)
    assert lungs.mean() == pytest.approx(np.pi * 0.38**2, abs=0.02)
    np.testing.assert_array_equal(lungs, lungs[:, ::-1])


def test_strengths_are_as_named():
    noise = perturbed(np.full((200, 200), 128, np.uint8), "noise 10").astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.02)
    # What is cropped to 0.85 shows the middle larger: the corner lies 0.075 further in.
    ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    assert perturbed(ramp, "cropped to 0.85")[100, 0] == pytest.approx(0.075 * 199, abs=1)
    assert perturbed(np.zeros((64, 64), np.uint8), "a letter")[:16, 48:].max() > 200
    assert perturbed(np.zeros((64, 64), np.uint8), "a letter")[32:].max() == 0


# ---------------------------------------------------------------- the tables

def test_table_of_perturbations_has_the_worst_first_and_what_was_lost():
    pixels, images = images_of([60, 70, 80, 90, 160, 170, 180, 190], ["NORMAL"] * 4 + ["PNEUMONIA"] * 4)
    table = perturbation_table(Mean(), pixels, images, 0.5, ["mirrored", "inverted", "brightness +0.1"], samples=200)
    assert table.index[0] == "as they are"
    assert table["lost"].iloc[1:].is_monotonic_decreasing
    assert table.loc["inverted", ["accuracy", "AUC", "lost", "changed"]].tolist() == [0, 0, 1, 1]
    assert table.loc["inverted", ["lost, low", "lost, high"]].tolist() == [1, 1]
    assert table.loc["mirrored", ["accuracy", "lost", "lost, low", "lost, high", "changed"]].tolist() == [1, 0, 0, 0, 0]


def test_interval_of_what_is_lost_is_over_patients():
    """Of 40 patients with two images each every fourth is predicted otherwise: a quarter, within sqrt(p q / n)."""
    greys = [120 if (number // 2) % 4 == 0 else 60 for number in range(80)]
    pixels, images = images_of(greys + [200, 200], ["NORMAL"] * 80 + ["PNEUMONIA"] * 2)
    row = perturbation_table(Mean(), pixels, images, 0.5, ["brightness +0.1"], samples=2000).iloc[1]
    assert row["lost"] == pytest.approx(20 / 82)
    assert row["lost, high"] - row["lost, low"] == pytest.approx(2 * 1.96 * np.sqrt(0.25 * 0.75 / 40), rel=0.12)


def test_threshold_set_on_local_images_mends_a_shift_and_more_images_mend_it_better():
    generator = np.random.default_rng(1)
    labels = np.repeat(["NORMAL", "PNEUMONIA"], 200)
    scores = np.concatenate([generator.normal(0.7, 0.08, 200), generator.normal(0.85, 0.08, 200)]).clip(0, 1)
    table = pd.DataFrame({"label": labels, "score": scores, "patient": [f"p{number // 2}" for number in range(400)]})
    found = local_thresholds(table, 0.5, [20, 100])
    assert found.index.tolist() == [0, 20, 100]
    # As the model comes, nearly everything is positive.
    assert found.loc[0, ["threshold", "accuracy"]].tolist() == [0.5, pytest.approx(0.5, abs=0.02)]
    assert found.loc[100, "threshold"] == pytest.approx(0.775, abs=0.03)
    assert found.loc[100, "accuracy"] > 0.78
    width = found["accuracy, high"] - found["accuracy, low"]
    assert width[0] == 0 < width[100] < width[20]
    assert found.loc[100, "better"] == 1
    assert found.loc[[0, 20], "drawn"].tolist() == [0, 20]


def test_patients_are_drawn_alike_and_what_was_drawn_is_said(refused):
    """One of three patients has most images: it is drawn first in a third of the draws, and then all of them count."""
    table = pd.DataFrame({"label": ["NORMAL", "PNEUMONIA"] * 24, "score": np.tile([0.2, 0.8], 24),
                          "patient": ["many"] * 32 + ["few"] * 8 + ["other"] * 8})
    found = local_thresholds(table, 0.5, [4], draws=600)
    assert found.loc[4, "drawn"] == pytest.approx((32 + 8 + 8) / 3, rel=0.1)
    with refused("40 images", "take fewer"):
        local_thresholds(table.assign(patient="one"), 0.5, [40])


def test_draw_without_a_class_keeps_the_models_threshold():
    table = pd.DataFrame({"label": ["NORMAL"] * 30 + ["PNEUMONIA"], "score": [0.4] * 30 + [0.9],
                          "patient": [f"p{number}" for number in range(31)]})
    found = local_thresholds(table, 0.5, [2], draws=50)
    assert found.loc[2, "threshold"] == 0.5


# ---------------------------------------------------------------- what a model sees

def test_occlusion_finds_the_part_by_which_a_model_predicts():
    pixels = np.full((3, 32, 32), 50, np.uint8)
    pixels[:, :8, 8:16] = 250
    maps = occlusion(Mean((slice(0, 8), slice(8, 16))), pixels, cells=4)
    assert maps.shape == (3, 4, 4)
    assert (maps[:, 0, 1] > 0.6).all()
    maps[:, 0, 1] = 0
    assert np.abs(maps).max() == 0


def test_maps_are_laid_onto_the_image_to_which_their_own_were_aligned():
    generator = np.random.default_rng(2)
    reference = cv2.GaussianBlur(generator.integers(0, 256, (64, 64)).astype(np.uint8), (0, 0), 4)
    reference = cv2.normalize(reference, None, 0, 255, cv2.NORM_MINMAX)
    taller, moved = warp(reference, height=1 / 1.1), warp(reference, rows=4, columns=-3)
    found = [align(image, reference) for image in (taller, moved)]
    spot = np.zeros((64, 64), np.float32)
    spot[20:24, 40:44] = 1
    maps = np.stack([warp(spot, height=1 / 1.1), warp(spot, rows=4, columns=-3)])
    for one, alignment in zip(maps, found, strict=True):
        laid = mean_map(one[np.newaxis], [alignment])
        assert np.corrcoef(laid.ravel(), spot.ravel())[0, 1] > 0.85
        assert np.corrcoef(laid.ravel(), spot.ravel())[0, 1] > np.corrcoef(one.ravel(), spot.ravel())[0, 1] + 0.1
    assert np.isnan(mean_map(maps, [None, None])).all()
    # What could not be aligned is left out.
    np.testing.assert_array_equal(mean_map(maps, [found[0], None]), mean_map(maps[:1], found[:1]))


def test_share_inside_the_lungs_is_that_of_the_weight():
    lungs = central_lungs(16, 16)
    maps = np.stack([lungs.astype(float), -1.0 * ~lungs, np.ones((16, 16)), np.zeros((16, 16))])
    found = inside_lungs(maps)
    assert found[:3].tolist() == [1, 0, pytest.approx(lungs.mean())]
    assert np.isnan(found[3])


# ---------------------------------------------------------------- the command

@pytest.mark.slow
def test_evaluate_tells_of_perturbations_and_of_local_thresholds(tiny_model, tiny_tree, tmp_path, run):
    code, out, err = run("evaluate", tiny_model, "--data", tiny_tree, "--json", "--perturbed", "--local-images", 4,
                         "--local-images", 8, "--bootstrap-samples", 10)
    assert code == 0, err
    result = json.loads(out)
    assert result["perturbed"][0]["perturbation"] == "as they are"
    assert len(result["perturbed"]) == 1 + len(PERTURBATIONS)
    assert [row["images"] for row in result["local threshold"]] == [0, 4, 8]
    assert result["perturbed"][0]["accuracy"] == pytest.approx(result["metrics"]["accuracy"]["value"])
    code, out, _ = run("evaluate", tiny_model, "--data", tiny_tree, "--perturbed", "--local-images", 4,
                       "--bootstrap-samples", 10)
    # Whole words in a terminal of 80 columns.
    assert all(f"│ {name} " in out or f"┃ {name} " in out for name in ("accuracy", "changed", "specificity", "better"))
    assert max(map(len, out.splitlines()[:60])) <= 80
    assert "the worst first" in out
    assert "inverted" in out
    assert "made after the preprocessing" not in out
    equalized = altered(tiny_model, tmp_path / "equalized.keras", covidcnn=lambda facts: facts.replace(
        b'"preprocess": "plain"', b'"preprocess": "equalize"'))
    code, out, _ = run("evaluate", equalized, "--data", tiny_tree, "--perturbed", "--bootstrap-samples", 10)
    assert (code, "perturbations are made after the preprocessing 'equalize'" in out) == (0, True)
    for more, words in ((("--local-images", 30), "take fewer"),
                        (("--perturbed", "--per-patient", "max"), "about images")):
        code, _, err = run("evaluate", tiny_model, "--data", tiny_tree, *more)
        assert code == 2
        assert words in err
