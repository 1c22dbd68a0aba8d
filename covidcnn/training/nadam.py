"""Nadam in NumPy, twice: as the paper's Eq. 1 to 4 and the textbook have it, and as Keras does it.

Both give the parameters after each step, float64 (steps, len(start)), so that they can be held against an optimizer.
Dozat (2016), Incorporating Nesterov Momentum into Adam.
"""

from collections.abc import Callable

import numpy as np

from covidcnn.backend import keras

Gradient = Callable[[np.ndarray], np.ndarray]


def textbook_nadam(gradient: Gradient, start: np.ndarray, steps: int, learning_rate: float = 0.001,
                   beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> np.ndarray:
    """Eq. 1 to 4: Adam whose first moment looks one step ahead."""
    theta, path = np.array(start, float), []
    m = v = np.zeros_like(theta)
    for t in range(1, steps + 1):
        g = gradient(theta)                                             # Eq. 1
        m = beta_1 * m + (1 - beta_1) * g                               # Eq. 3
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)         # Eq. 2
        ahead = beta_1 * m_hat + (1 - beta_1) * g / (1 - beta_1**t)
        theta = theta - learning_rate * ahead / (np.sqrt(v_hat) + epsilon)  # Eq. 4
        path.append(theta)
    return np.array(path)


def keras_nadam(gradient: Gradient, start: np.ndarray, steps: int, learning_rate: float = 0.001,
                beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> np.ndarray:
    """Nadam of Keras 3: its momentum u grows from about beta_1 / 2 to beta_1, with 0.96 ** t.

    Dozat's own schedule, which earlier versions of Keras had, is 250 times as slow: 0.96 ** (t / 250).
    """
    theta, u_product, path = np.array(start, float), 1.0, []
    m = v = np.zeros_like(theta)
    for t in range(1, steps + 1):
        g = gradient(theta)
        u, u_next = (beta_1 * (1 - 0.5 * 0.96**step) for step in (t, t + 1))
        u_product *= u
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        ahead = u_next * m / (1 - u_product * u_next) + (1 - u) * g / (1 - u_product)
        theta = theta - learning_rate * ahead / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
        path.append(theta)
    return np.array(path)


def follow_optimizer(optimizer: keras.optimizers.Optimizer, gradient: Gradient, start: np.ndarray, steps: int
                     ) -> np.ndarray:
    """The parameters after each step of a Keras optimizer: float32 (steps, len(start))."""
    theta, path = keras.Variable(np.array(start, np.float32)), []
    for _ in range(steps):
        current = keras.ops.convert_to_numpy(theta)
        optimizer.apply([keras.ops.convert_to_tensor(gradient(current).astype(np.float32))], [theta])
        path.append(keras.ops.convert_to_numpy(theta))
    return np.array(path)
