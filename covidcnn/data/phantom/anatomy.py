"""The shapes of one child's chest, in body coordinates.

x runs to the right of the image, which is the patient's left, and y downwards. The unit is half the width of the rib
cage at its base, and (0, 0) lies in the midline at the height of the lung apices.
"""

import math
from dataclasses import dataclass

import numpy as np

LEFT, RIGHT = 1, -1
"""The patient's sides as the sign of x: the right lung is on the left of the image."""


@dataclass(frozen=True)
class Patient:
    """What stays the same in all images of one child. Lengths in body units."""

    lung_height: float
    """From the apices to the domes of the diaphragm at a middling breath."""
    taper: float
    """Exponent of the chest wall: small for a barrel, large for a cone."""
    fat: float
    """Soft tissue outside the rib cage."""
    heart_width: float
    heart_height: float
    heart_shift: float
    mediastinum: float
    """Half width of the upper mediastinum."""
    thymus: float
    """0 (not to be seen) to 1 (a wide sail)."""
    spine: float
    """Half width of the vertebral bodies."""
    rib_pitch: float
    rib_drop: float
    """How far a posterior rib descends from the spine to the lateral chest wall."""
    rib_width: float
    bone: float
    """Density of the bones, 1 in the middling child."""
    vessels: float
    dome_difference: float
    """How much higher the right hemidiaphragm stands."""
    stomach: float
    """Size of the gastric bubble; below 0.1 there is none."""
    texture_seed: int


def grow_patient(rng: np.random.Generator) -> Patient:
    """Draw one child."""
    # From 1 to 5 years: with age the chest grows taller and the heart relatively smaller.
    youth = (5 - rng.uniform(1, 5)) / 4
    return Patient(
        lung_height=1.52 - 0.22 * youth + rng.normal(0, 0.05), taper=rng.uniform(0.27, 0.37),
        fat=max(0.07, rng.normal(0.15, 0.05)),
        heart_width=0.40 + 0.07 * youth + rng.normal(0, 0.04), heart_height=0.46 + rng.normal(0, 0.04),
        heart_shift=rng.normal(0.0, 0.03), mediastinum=0.19 + 0.04 * youth + rng.normal(0, 0.02),
        thymus=float(np.clip(rng.normal(0.5 * youth, 0.25), 0, 0.8)),
        spine=rng.uniform(0.115, 0.145), rib_pitch=rng.uniform(0.148, 0.172), rib_drop=rng.uniform(0.10, 0.30),
        rib_width=rng.uniform(0.036, 0.052), bone=rng.uniform(0.75, 1.25), vessels=rng.uniform(0.5, 1.4),
        dome_difference=rng.uniform(0.02, 0.14), stomach=rng.uniform(0, 0.3), texture_seed=int(rng.integers(2**32)))


def chest_wall(patient: Patient, y: np.ndarray) -> np.ndarray:
    """Half width of the rib cage, inside, at the heights ``y``."""
    relative = np.clip((y + 0.03) / 1.5, 0, 1.2)
    return np.minimum(0.98 * relative**patient.taper, 1.0)


def diaphragm(patient: Patient, x: np.ndarray, breath: float) -> np.ndarray:
    """Height y of the diaphragm at ``x``; ``breath`` above 0 moves it down and flattens it."""
    from_top = np.abs(x) - 0.48
    # Steep at the chest wall (the costophrenic angle), shallow towards the heart.
    depth = 0.12 + (0.24 - 0.25 * breath) * (from_top > 0).astype(x.dtype)
    dome = patient.lung_height + breath - patient.dome_difference * (x < 0).astype(x.dtype)
    return dome + depth * np.clip(np.abs(from_top) / 0.52, 0, 1.2) ** 2.2


def posterior_rib(patient: Patient, index: int, side: int) -> np.ndarray:
    """Centre line of a posterior rib, float (24, 2), from the spine to the lateral chest wall."""
    along = np.linspace(0, 1, 24)
    start = -0.02 + index * patient.rib_pitch
    end = start + patient.rib_drop + 0.030 * index + 0.12
    # The upper ribs are short and strongly curved, the lower ones long and flatter.
    reach = max(float(chest_wall(patient, np.array(end))) + 0.02, 0.3)
    x = 0.10 + (reach - 0.10) * np.sin(along * np.pi / 2) ** 0.9
    y = start - 0.05 * np.sin(along * np.pi * 0.8) + (end - start) * along**2.1
    return np.stack([side * x, y], axis=1)


def anterior_rib(patient: Patient, index: int, side: int) -> np.ndarray:
    """Centre line of an anterior rib, float (16, 2), from the lateral chest wall towards the sternum."""
    along = np.linspace(0, 1, 16)
    wall_x, wall_y = posterior_rib(patient, index, side)[-1]
    # Bone ends at the costochondral junction; cartilage does not show.
    inner = 0.42 + 0.02 * index
    x = abs(wall_x) - (abs(wall_x) - inner) * (1 - np.cos(along * np.pi / 2))
    y = wall_y + (0.20 + 0.025 * index) * np.sin(along * np.pi / 2) ** 1.2
    return np.stack([side * x, y], axis=1)


def clavicle(side: int, lift: float) -> np.ndarray:
    """Centre line of a clavicle, float (20, 2), S-shaped; ``lift`` raises its outer end with the arm."""
    along = np.linspace(0, 1, 20)
    x = 0.09 + 0.78 * along
    y = 0.10 - 0.13 * along - lift * along**1.5 - 0.045 * np.sin(along * 2 * np.pi)
    return np.stack([side * x, y], axis=1)


def vessel_tree(rng: np.random.Generator, side: int, hilum: float) -> dict[float, list[np.ndarray]]:
    """Branches of one lung's vessels: centre lines, float (3, 2) each, by relative thickness 0..1."""
    branches: dict[float, list[np.ndarray]] = {}
    # From the hilum like a fan: up to the apex, outwards, and mostly down to the base.
    for angle in np.linspace(-1.25, 1.4, 8) + rng.normal(0, 0.2, 8):
        root = side * rng.uniform(0.14, 0.24), hilum + 0.14 * angle
        thickness = float(rng.choice([0.6, 0.8, 1.0]))
        _branch(rng, branches, root, angle, side, rng.uniform(0.22, 0.36), thickness)
    return branches


def _branch(rng: np.random.Generator, branches: dict[float, list[np.ndarray]], root: tuple[float, float],
            angle: float, side: int, length: float, thickness: float) -> None:
    bend = angle + rng.normal(0, 0.15)
    half = 0.5 * length
    middle = root[0] + half * side * math.cos(angle), root[1] + half * math.sin(angle)
    tip = middle[0] + half * side * math.cos(bend), middle[1] + half * math.sin(bend)
    branches.setdefault(thickness, []).append(np.array([root, middle, tip]))
    if thickness > 0.3:
        for turn in (-1, 1):
            _branch(rng, branches, tip, bend + turn * rng.uniform(0.15, 0.5), side,
                    length * rng.uniform(0.6, 0.9), round(0.62 * thickness, 2))
