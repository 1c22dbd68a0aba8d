"""Attenuation of a healthy chest: soft tissue, lungs, heart, bones, abdomen.

Attenuations add up along the beam, so the parts are added; the middle of the abdomen has about 1. All fields are
float32 (height, width).
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from covidcnn.data.phantom import anatomy
from covidcnn.data.phantom.anatomy import LEFT, RIGHT, Patient
from covidcnn.data.phantom.view import View, clouds, ramp, soften


@dataclass(frozen=True)
class Chest:
    """One child in one image: the outlines that several tissues and the disease share."""

    patient: Patient
    view: View

    @cached_property
    def wall(self) -> np.ndarray:
        """Half width of the rib cage at the height of each pixel."""
        return anatomy.chest_wall(self.patient, self.view.body_grid[1])

    @cached_property
    def relative_x(self) -> np.ndarray:
        """Distance from the midline, 0..1.1, 1 at the chest wall."""
        return np.minimum(np.abs(self.view.body_grid[0]) / np.maximum(self.wall, 0.2), np.float32(1.1))

    @cached_property
    def diaphragm(self) -> np.ndarray:
        """Height y of the diaphragm above or below each pixel."""
        return anatomy.diaphragm(self.patient, self.view.body_grid[0], self.view.breath)


def hilum_height(patient: Patient) -> float:
    """Height y of the hila in body units."""
    return 0.44 * patient.lung_height


def soft_tissue(chest: Chest) -> np.ndarray:
    """Trunk, neck, head and arms."""
    patient, view = chest.patient, chest.view
    x, y = view.body_grid
    # Down from the shoulders the trunk narrows to the rib cage.
    flank = np.maximum(chest.wall, 0.90 - 0.5 * ramp(y - 0.35, 0.8)) + patient.fat
    half_width = 0.30 + (flank - 0.30) * ramp(y + 0.16, 0.58)
    relative = x / half_width
    # Between a slab (power 0) and a cylinder (power 0.5).
    trunk = (0.55 + 0.27 * ramp(y - 0.1, 0.9)) * cv2.pow(np.maximum(1 - relative * relative, 0), 0.35)
    arms = view.blank()
    for side, direction in zip((RIGHT, LEFT), view.arms, strict=True):
        view.stroke(arms, [_upper_arm(side, direction)], 0.40 + patient.fat, 1.0)
    # A limb is a cylinder: from the distance to its edge follows the thickness along the beam.
    radius = (0.20 + patient.fat / 2) * view.scale
    depth = np.clip(1 - cv2.distanceTransform(arms, cv2.DIST_L2, 3) / radius, 0, 1)
    limbs = np.where(arms > 0, 0.40 * np.sqrt(1 - depth * depth), 0)
    # The shoulder runs into the trunk without an edge.
    attenuation = cv2.magnitude(trunk, limbs)
    if y.min() < -0.4:
        head = 1 - (x / 0.56) ** 2 - ((y + 1.02) / 0.62) ** 2
        attenuation = np.maximum(attenuation, 0.95 * np.sqrt(np.maximum(head, 0)))
    return attenuation


def _upper_arm(side: int, direction: float) -> np.ndarray:
    angle = direction * 1.25
    reach = 1.3 * np.array([np.cos(angle), np.sin(angle)])
    return (np.array([0.98, 0.02]) + np.outer([0, 0.5, 1], reach)) * (side, 1)


def heart_shadow(chest: Chest) -> np.ndarray:
    """Heart, thymus and mediastinum, 0..1: where there is no lung between the lungs."""
    patient, view = chest.patient, chest.view
    x, y = view.body_grid
    x = x - view.turn
    base = patient.lung_height + 0.7 * view.breath
    # A deep breath draws the heart long and narrow.
    width, middle = patient.heart_width - 0.2 * view.breath, patient.mediastinum
    top = base - 2 * patient.heart_height
    # On the right of the image, downwards: great vessels, aortic knob, waist of the heart, left ventricle, apex.
    left = _half_width(y, top, base, [
        (-0.30, middle), (0.02, middle + 0.06), (0.20, middle + 0.06), (0.50, 0.28 + 0.35 * width),
        (0.78, 0.18 + width), (0.92, 0.19 + width), (1.10, 0.08 + width)])
    # On the left of the image: superior vena cava, right atrium.
    right = _half_width(y, top, base, [
        (-0.30, middle - 0.03), (0.30, middle - 0.01), (0.62, 0.10 + 0.36 * width),
        (0.80, 0.10 + 0.42 * width), (1.05, 0.06 + 0.36 * width)])
    # The thymus of the small child: a sail beside the upper mediastinum, wider downwards.
    sail = 0.28 * patient.thymus * ramp(0.60 - y, 0.5) * ramp(y - 0.10, 0.7)
    return (ramp(left + patient.heart_shift + sail - x, 0.07)
            * ramp(right - patient.heart_shift + 0.6 * sail + x, 0.07)).astype(np.float32)


def _half_width(y: np.ndarray, top: float, base: float, parts: list[tuple[float, float]]) -> np.ndarray:
    """At each height y: a smooth curve through (part of the way from top to base, half width)."""
    along, half_width = np.array(parts).T
    dense = np.linspace(along[0], along[-1], 60)
    weights = np.exp(-(((dense[:, None] - dense) / 0.09) ** 2))
    smooth = weights @ np.interp(dense, along, half_width) / weights.sum(axis=1)
    return np.interp(y, top + dense * (base - top), smooth).astype(np.float32)


def air_depth(chest: Chest, shadow: np.ndarray) -> np.ndarray:
    """Air along the beam, 0..1: the lungs, thinner at their edges, and what shows behind the heart."""
    x, y = chest.view.body_grid
    lungs = (ramp(chest.wall - 0.035 - np.abs(x), 0.06) * ramp(chest.diaphragm - y, 0.05)).astype(np.float32)
    thickness = np.sqrt(np.maximum(1 - chest.relative_x**2, 0))
    return lungs * (1 - 0.9 * shadow) * (0.62 + 0.38 * thickness)


def abdomen(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Liver and bowel below the diaphragm, with the gas of the stomach."""
    patient, view = chest.patient, chest.view
    x, y = view.body_grid
    below = ramp(y - chest.diaphragm, 0.05)
    # The lungs reach down behind the domes of the diaphragm.
    depth = 0.02 + 0.14 * ramp(y - patient.lung_height - view.breath - 0.15, 0.5)
    gas = np.zeros_like(x)
    if patient.stomach > 0.1:
        top = patient.lung_height + view.breath + 0.10 + 0.6 * patient.stomach
        gas = ramp(1 - np.hypot((x - 0.5) / (1.3 * patient.stomach), (y - top) / (0.8 * patient.stomach))
                   + 0.12 * clouds(rng, view, 0.3), 0.3)
    bowel = ramp(clouds(rng, view, 0.34) - 0.8, 0.8) * ramp(y - patient.lung_height - 0.65, 0.4)
    return (below * (depth - 0.22 * gas - 0.20 * bowel)).astype(np.float32)


def lung_vessels(chest: Chest, cuffing: float) -> np.ndarray:
    """Vessels and bronchial walls of both lungs, 0..1; ``cuffing`` (0..1) thickens them near the hila."""
    patient, view = chest.patient, chest.view
    rng = np.random.default_rng(patient.texture_seed)
    canvas = view.blank()
    for side in (RIGHT, LEFT):
        for thickness, lines in anatomy.vessel_tree(rng, side, hilum_height(patient)).items():
            wide = thickness * (0.024 + 0.022 * cuffing * (thickness > 0.5))
            view.stroke(canvas, [line + (0.5 * view.turn, 0) for line in lines], wide, 0.40 + 0.3 * thickness)
    return soften(canvas, 0.007 * view.scale + 0.3)


def trachea(chest: Chest) -> np.ndarray:
    """The column of air above the hila, and the main bronchi, 0..1."""
    patient, view = chest.patient, chest.view
    carina = hilum_height(patient) - 0.12
    shift = np.array([0.5 * view.turn - 0.015, 0])
    canvas = view.blank()
    windpipe = np.array([[0.01, -1.0], [0, 0], [0, carina]])
    bronchi = [np.array([[0, carina], [side * 0.16, carina + 0.13]]) for side in (RIGHT, LEFT)]
    view.stroke(canvas, [windpipe + shift], 0.085, 1.0)
    view.stroke(canvas, [line + shift for line in bronchi], 0.06, 0.7)
    return soften(canvas, 0.018 * view.scale)


def spine(chest: Chest) -> np.ndarray:
    """Vertebral bodies with end plates, pedicles and spinous processes, 0..1."""
    patient, view = chest.patient, chest.view
    x, y = view.body_grid
    columns = slice(*np.flatnonzero((np.abs(x + 0.6 * view.turn) < 1.5 * patient.spine).any(axis=0))[[0, -1]])
    across = (x[:, columns] + 0.6 * view.turn) / patient.spine
    position = (y[:, columns] / patient.rib_pitch + 0.25) % 1
    body = ramp(1 - np.abs(across) - 0.12 * np.cos(2 * np.pi * position), 0.22)
    # End plates are dense, the disc between two vertebrae is not.
    disc = ramp(0.13 - np.abs(position - 0.5), 0.07)
    end_plate = np.exp(-(((np.abs(position - 0.5) - 0.17) / 0.06) ** 2))
    pedicles = np.exp(-(((np.abs(across) - 0.62) / 0.17) ** 2) - ((position - 0.9) / 0.16) ** 2)
    process = np.exp(-((across / 0.16) ** 2) - ((position - 0.25) / 0.17) ** 2)
    column = np.zeros_like(x)
    column[:, columns] = body * (0.62 - 0.34 * disc + 0.22 * end_plate + 0.34 * pedicles + 0.22 * process)
    return column


def rib_cage(chest: Chest) -> np.ndarray:
    """Posterior and anterior ribs, about 0..1; denser where the beam runs along the chest wall."""
    patient, view = chest.patient, chest.view
    behind = [anatomy.posterior_rib(patient, index, side) - (0.4 * view.turn, 0)
              for index in range(11) for side in (RIGHT, LEFT)]
    before = [anatomy.anterior_rib(patient, index, side) + (0.4 * view.turn, 0)
              for index in range(1, 7) for side in (RIGHT, LEFT)]
    steep = (chest.relative_x * chest.relative_x) ** 3
    posterior = _hollow(view, behind, patient.rib_width) * (0.85 + 0.35 * steep)
    anterior = _hollow(view, before, 1.25 * patient.rib_width) * (0.45 + 0.45 * steep)
    return posterior + anterior


def shoulder_girdle(chest: Chest) -> np.ndarray:
    """Clavicles, scapulae and humeri, about 0..1."""
    view = chest.view
    lines, humeri, heads, scapula = [], [], [], view.blank()
    for side, direction in zip((RIGHT, LEFT), view.arms, strict=True):
        lift = 0.05 - 0.14 * min(direction, 0.3)
        lines.append(anatomy.clavicle(side, lift) + (0.6 * view.turn, 0))
        spread = 0.06 * direction
        blade = np.array([[0.86, 0.02], [0.72 - spread, 0.12], [0.80 - spread, 0.72], [0.95, 0.15]])
        view.stroke(scapula, [np.vstack([blade, blade[:1]]) * (side, 1)], 0.022, 0.5)
        arm = _upper_arm(side, direction)
        humeri.append(arm)
        heads.append(arm[:1] + 0.05 * (arm[1:2] - arm[:1]) * np.array([[0], [1]]))
    bones = _hollow(view, lines, 0.066) + 1.1 * _hollow(view, humeri, 0.105)
    return np.maximum(bones, _hollow(view, heads, 0.19)) + 0.5 * soften(scapula, 0.008 * view.scale + 0.3)


def _hollow(view: View, lines: list[np.ndarray], width: float) -> np.ndarray:
    """Bones seen from the side: a dense cortex around a lighter marrow."""
    canvas = view.blank()
    view.stroke(canvas, lines, width, 1.0)
    if width * view.scale > 4:
        view.stroke(canvas, lines, 0.55 * width, 0.66)
    return soften(canvas, 0.16 * width * view.scale + 0.3)
