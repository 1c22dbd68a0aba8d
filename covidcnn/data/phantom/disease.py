"""What pneumonia adds to the lungs: consolidation (bacterial) or interstitial streaks (viral)."""

from dataclasses import dataclass

import cv2
import numpy as np

from covidcnn.data.phantom.anatomy import LEFT, RIGHT, Patient, chest_wall, diaphragm, vessel_tree
from covidcnn.data.phantom.tissue import Chest, hilum_height
from covidcnn.data.phantom.view import View, clouds, ramp, soften


@dataclass(frozen=True)
class Focus:
    """One consolidation, in body units."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    density: float
    """0..1: the part of the air that is replaced."""
    bronchogram: bool
    """Bronchi that hold air show dark in the dense lung."""
    effusion: float
    """Height of fluid in the costophrenic angle of that side; 0 for none."""


@dataclass(frozen=True)
class Disease:
    """The disease of one child."""

    foci: tuple[Focus, ...]
    interstitial: float
    """Severity, 0 to 1.2, of diffuse streaks in both lungs."""
    seed: int


def contract(subtype: str, patient: Patient, rng: np.random.Generator) -> Disease:
    """Draw the disease of a 'normal', 'bacteria' or 'virus' patient."""
    number = 1 + (rng.random() < 0.45) if subtype == "bacteria" else 0
    foci = tuple(_focus(patient, rng) for _ in range(number))
    interstitial = rng.uniform(0.75, 1.2) if subtype == "virus" else 0.0
    return Disease(foci, interstitial, int(rng.integers(2**32)))


def _focus(patient: Patient, rng: np.random.Generator) -> Focus:
    side = RIGHT if rng.random() < 0.6 else LEFT
    y = patient.lung_height * rng.uniform(0.2, 0.88)
    # On the patient's left the heart takes the inner half.
    inner = 0.34 if side == RIGHT else 0.48
    x = side * rng.uniform(inner, 0.78) * float(chest_wall(patient, np.array(y)))
    radius, squeeze = rng.uniform(0.44, 0.70), rng.uniform(0.8, 1.3)
    return Focus((x, y), radii=(radius * squeeze, radius / squeeze), density=rng.uniform(0.85, 1.0),
                 bronchogram=rng.random() < 0.4, effusion=rng.uniform(0.1, 0.35) if rng.random() < 0.2 else 0.0)


def consolidation(chest: Chest, disease: Disease) -> np.ndarray:
    """The part of the air, 0..1, that consolidations and effusions replace; float32 (height, width)."""
    patient, view = chest.patient, chest.view
    x, y = view.body_grid
    rng = np.random.default_rng([disease.seed, 1])
    replaced = np.zeros_like(x)
    for focus in disease.foci:
        side = LEFT if focus.centre[0] > 0 else RIGHT
        # Foci move with the diaphragm, the more the lower they lie.
        depth = focus.centre[1] + view.breath * focus.centre[1] / patient.lung_height
        distance = np.hypot((x - focus.centre[0]) / focus.radii[0], (y - depth) / focus.radii[1])
        distance += 0.17 * clouds(rng, view, 0.34) + 0.05 * clouds(rng, view, 0.14)
        patch = ramp(1 - distance, 0.7) * (1 + 0.08 * clouds(rng, view, 0.12)) * (x * side > 0)
        if focus.bronchogram:
            patch -= 0.40 * ramp(0.9 - distance, 0.3) * _bronchogram(rng, view, side, depth)
        replaced = np.maximum(replaced, focus.density * patch)
        if focus.effusion:
            # A meniscus: the fluid climbs along the chest wall.
            bottom = float(diaphragm(patient, np.array(side * 0.9), view.breath))
            level = bottom - focus.effusion * (chest.relative_x * chest.relative_x) ** 2
            replaced = np.maximum(replaced, 0.9 * ramp(y - level, 0.1) * (x * side > 0))
    return np.clip(replaced, 0, 1)


def _bronchogram(rng: np.random.Generator, view: View, side: int, depth: float) -> np.ndarray:
    canvas = view.blank()
    for thickness, lines in vessel_tree(rng, side, depth).items():
        if thickness > 0.5:
            view.stroke(canvas, lines, 0.022 * thickness, 1.0)
    return soften(canvas, 0.010 * view.scale + 0.3)


def interstitial_streaks(chest: Chest, disease: Disease) -> np.ndarray:
    """Streaks and a net in both lungs, about -0.5..1.5 where severe; float32 (height, width)."""
    patient, view = chest.patient, chest.view
    x, y = view.body_grid
    if not disease.interstitial:
        return np.zeros_like(x)
    rng = np.random.default_rng([disease.seed, 2])
    # Noise on polar coordinates about the hila is drawn out into streaks that run outwards.
    radius = np.hypot(x - 0.2 * np.sign(x), y - hilum_height(patient))
    angle = np.arctan2(y - hilum_height(patient), np.abs(x) - 0.2)
    cells = rng.standard_normal((96, 48), dtype=np.float32)
    columns, rows = radius / 0.20 + 18 * (x > 0).astype(np.float32) + 2, (angle + np.pi) * 8
    rays = cv2.remap(cells, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_CUBIC,
                     borderMode=cv2.BORDER_REFLECT)
    net, fine = _crests(clouds(rng, view, 0.22)), _crests(clouds(rng, view, 0.12))
    patchy = np.clip(0.8 + 0.35 * clouds(rng, view, 0.6), 0, 1.4)
    perihilar = 0.45 + 0.6 * np.exp(-((radius / 0.6) ** 2))
    # Rays meet in the hilum: there they would be a star.
    outwards = ramp(radius - 0.15, 0.3) * _crests(rays)
    streaks = 0.62 + 0.38 * net + 0.20 * fine + 0.26 * outwards
    # Between the streaks there is no more air than in a healthy lung.
    return disease.interstitial * perihilar * patchy * np.maximum(streaks, -0.3)


def _crests(noise: np.ndarray) -> np.ndarray:
    """Soft lines where ``noise`` passes through zero: about 1 on them, -1 beside them, mean about 0."""
    return 2 * np.exp(-1.6 * noise * noise) - 1
