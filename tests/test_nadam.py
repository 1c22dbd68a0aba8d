"""Nadam in NumPy, against numbers worked out by hand and against Keras."""

import numpy as np
import pytest

from covidcnn.training.nadam import follow_optimizer, keras_nadam, textbook_nadam
from covidcnn.training.optimizers import make_optimizer


def bowl(theta):
    return np.array([2 * theta[0], 20 * theta[1]])


def test_first_textbook_step_is_1_9_times_the_learning_rate():
    # m_hat and g / (1 - beta_1) * (1 - beta_1) are both g, so the step is (0.9 + 1) g / sqrt(g ** 2).
    path = textbook_nadam(bowl, np.array([1.0, 1.0]), 1, learning_rate=0.001, epsilon=0)
    assert path[0] == pytest.approx([1 - 0.0019, 1 - 0.0019], abs=1e-12)


def test_first_keras_step_follows_from_the_momentum_schedule():
    u_1, u_2 = 0.9 * (1 - 0.5 * 0.96), 0.9 * (1 - 0.5 * 0.96**2)
    expected = u_2 * 0.1 / (1 - u_1 * u_2) + (1 - u_1) / (1 - u_1)
    path = keras_nadam(bowl, np.array([1.0, 1.0]), 1, learning_rate=0.001, epsilon=0)
    assert path[0] == pytest.approx([1 - 0.001 * expected] * 2, abs=1e-12)
    assert 0.001 * expected == pytest.approx(0.00106, abs=5e-6)


def test_second_textbook_step_by_hand():
    theta = np.array([1.0])
    first, second = textbook_nadam(lambda t: 2 * t, theta, 2, epsilon=0)[:, 0]
    g_1, g_2 = 2.0, 2 * first
    m, v = 0.9 * 0.1 * g_1 + 0.1 * g_2, 0.999 * 0.001 * g_1**2 + 0.001 * g_2**2
    ahead = 0.9 * m / (1 - 0.9**2) + 0.1 * g_2 / (1 - 0.9**2)
    assert second == pytest.approx(first - 0.001 * ahead / np.sqrt(v / (1 - 0.999**2)), abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.001, 0.1])
def test_keras_variant_equals_keras_step_by_step(learning_rate):
    start = np.array([1.0, -2.0])
    ours = keras_nadam(bowl, start, 100, learning_rate)
    theirs = follow_optimizer(make_optimizer("Nadam", learning_rate), bowl, start, 100)
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * learning_rate / 0.001)


def test_textbook_form_differs_from_keras():
    start = np.array([1.0, -2.0])
    assert np.abs(textbook_nadam(bowl, start, 10) - keras_nadam(bowl, start, 10)).max() > 1e-3
