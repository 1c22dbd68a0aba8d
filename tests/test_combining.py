"""Scores that are made of stored scores."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from covidcnn.evaluation.combining import averaged_over, fit_temperature, tempered
from covidcnn.evaluation.weighted_metrics import expected_calibration_error


def table(**by_kind):
    return pd.concat([pd.DataFrame({"split": ["test", "validation"], "path": ["b", "a"], "label": "NORMAL",
                                    "score": values, "perturbation": kind.replace("plain", "")})
                      for kind, values in by_kind.items()], ignore_index=True)


def test_each_image_gets_the_mean_of_its_own_scores_in_the_order_of_the_table():
    scores = table(plain=[0.2, 0.9], mirrored=[0.4, 0.7], other=[0.0, 0.0])
    found = averaged_over(scores, ["mirrored"])
    assert found["path"].tolist() == ["b", "a"]
    assert found["score"].tolist() == pytest.approx([0.3, 0.8])
    assert averaged_over(scores, [])["score"].tolist() == [0.2, 0.9]


@pytest.mark.parametrize("scores", [table(plain=[0.2, 0.9]), table(plain=[0.2, 0.9], mirrored=[0.4, 0.7]).iloc[:3]])
def test_an_image_that_lacks_a_perturbation_is_refused(scores):
    with pytest.raises(ValueError, match="mirrored"):
        averaged_over(scores, ["mirrored"])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_of_scores_that_were_sharpened_is_found_again(temperature):
    generator = np.random.default_rng(0)
    honest = generator.uniform(0.02, 0.98, 20_000)
    labels = (generator.random(20_000) < honest).astype(int)
    sharpened = expit(temperature * logit(honest))
    found = fit_temperature(labels, sharpened)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = tempered(sharpened, found)
    np.testing.assert_array_equal(calibrated >= 0.5, sharpened >= 0.5)
    assert expected_calibration_error(labels, calibrated, np.ones(len(labels))) < 0.02


def test_scores_of_exactly_0_and_1_stay_numbers():
    assert np.isfinite(tempered(np.array([0.0, 1.0]), 2.0)).all()
    assert np.isfinite(fit_temperature(np.array([0, 1, 1]), np.array([0.0, 1.0, 0.0])))
