"""Render one phantom image: position the child, expose, add noise, collimate and mark."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from covidcnn.data.phantom import tissue
from covidcnn.data.phantom.anatomy import Patient, grow_patient
from covidcnn.data.phantom.disease import Disease, consolidation, contract, interstitial_streaks
from covidcnn.data.phantom.markings import add_markings, collimate
from covidcnn.data.phantom.plan import ImagePlan
from covidcnn.data.phantom.view import View, clouds

_DRAWN_SIDE = 384
"""Long side, in pixels, of the grid on which the anatomy is drawn before it is enlarged."""


@dataclass(frozen=True)
class Exposure:
    """From attenuation to grey."""

    level: float
    """Attenuation that becomes mid-grey: the higher, the darker the image."""
    latitude: float
    """Range of attenuations between black and white: the wider, the flatter the image."""
    gamma: float
    haze: float
    """Scattered radiation: grey added to the darkest parts."""
    mottle: float
    """Spread of the quantum noise, as a part of full scale, on the drawn grid."""


def draw_image(plan: ImagePlan) -> np.ndarray:
    """Draw one image: uint8 (plan.height, plan.width), 0 black, a pure function of ``plan``."""
    patient_rng = np.random.default_rng(plan.patient_seed)
    patient = grow_patient(patient_rng)
    disease = contract(plan.subtype, patient, patient_rng)
    position_rng, exposure_rng, noise_rng, marking_rng = (
        np.random.default_rng([*plan.image_seed, stream]) for stream in range(4))
    view = _position(plan, patient, position_rng)
    exposure = _expose(exposure_rng)
    grey = _develop(_attenuation(patient, disease, view, exposure_rng), exposure)
    grey += exposure.mottle * (0.4 + 0.6 * grey) * cv2.GaussianBlur(
        noise_rng.standard_normal(grey.shape, dtype=np.float32), (0, 0), 0.7)
    add_markings(grey, view, marking_rng)
    collimate(grey, marking_rng)
    return _enlarge(grey, plan.width, plan.height, noise_rng)


def _position(plan: ImagePlan, patient: Patient, rng: np.random.Generator) -> View:
    shrink = _DRAWN_SIDE / max(plan.width, plan.height)
    width, height = round(plan.width * shrink), round(plan.height * shrink)
    across = rng.uniform(2.3, 2.8) + patient.fat
    # A tall image shows the neck and the abdomen, a strip the middle of the chest.
    centre_y = 0.48 * patient.lung_height + rng.normal(0, 0.07)
    arms_up = rng.random() < 0.45
    arms = rng.uniform(-1.0, -0.45, 2) if arms_up else rng.uniform(0.35, 1.0, 2)
    return View(
        width=width,
        height=height,
        scale=width / across,
        centre=(rng.normal(0, 0.06), centre_y),
        tilt=rng.normal(0, 0.045),
        turn=float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
        breath=float(np.clip(rng.normal(0, 0.06), -0.25, 0.2)),
        arms=(float(arms[0]), float(arms[1])),
    )


def _expose(rng: np.random.Generator) -> Exposure:
    level, latitude = rng.normal(0.50, 0.03), rng.uniform(1.0, 1.28)
    gamma, haze = math.exp(rng.normal(0, 0.10)), rng.uniform(0, 0.07)
    return Exposure(level, latitude, gamma, haze, mottle=rng.uniform(0.012, 0.035))


def _attenuation(patient: Patient, disease: Disease, view: View, rng: np.random.Generator) -> np.ndarray:
    chest = tissue.Chest(patient, view)
    x, y = view.body_grid
    anatomy_rng = np.random.default_rng([patient.texture_seed, 1])
    shadow = tissue.heart_shadow(chest)
    air = tissue.air_depth(chest, shadow)
    streaks = interstitial_streaks(chest, disease)
    vessels = tissue.lung_vessels(chest, disease.interstitial)
    # Lungs differ in how much air they hold, from child to child and a little from side to side.
    aeration = rng.uniform(0.50, 0.58) + 0.25 * view.breath
    side_difference = rng.normal(0, 0.02) + 0.2 * view.turn
    opacity = 0.10 * patient.vessels * vessels + 0.44 * streaks + 0.02 * clouds(anatomy_rng, view, 0.06)
    lung = air * (aeration + side_difference * np.sign(x)) * (1 - consolidation(chest, disease))
    attenuation = tissue.soft_tissue(chest)
    # Nothing but air lies beside the child.
    child = np.clip(4 * attenuation, 0, 1)
    attenuation += air * opacity - lung + 0.05 * shadow + child * tissue.abdomen(chest, anatomy_rng)
    attenuation -= 0.14 * tissue.trachea(chest)
    bones = (0.20 * tissue.spine(chest) + 0.165 * tissue.rib_cage(chest)
             + 0.20 * tissue.shoulder_girdle(chest))
    attenuation += patient.bone * bones * child
    # Heel effect and uneven scatter: slow changes over the image.
    slope = [rng.normal(0, 0.03), rng.normal(0, 0.03)]
    return attenuation + child * (slope[0] * x + slope[1] * (y - 0.7) + 0.02 * clouds(rng, view, 1.4))


def _develop(attenuation: np.ndarray, exposure: Exposure) -> np.ndarray:
    """Grey 0..1 by a characteristic curve with a toe and a shoulder."""
    steepness = 4.4 / exposure.latitude
    grey = 1 / (1 + np.exp(steepness * (exposure.level - attenuation)))
    # The bare detector is black, whatever the exposure.
    black = 1 / (1 + math.exp(steepness * exposure.level))
    grey = np.clip((grey - black) / (1 - black), 0, 1)
    darkened = np.asarray(cv2.pow(grey, exposure.gamma))
    return exposure.haze * np.clip(8 * attenuation, 0, 1) + (0.96 - exposure.haze) * darkened


def _enlarge(grey: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """To the image's own size, with grain of one grey level or two."""
    smaller = width < grey.shape[1]
    enlarged = cv2.resize(cv2.convertScaleAbs(np.maximum(grey, 0), alpha=255), (width, height),
                          interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    # Random bytes, of which the two highest bits are kept: -2 to 1, evenly.
    grain = np.frombuffer(rng.bytes(width * height), np.int8).reshape(height, width) >> 6
    return cv2.add(enlarged, grain, dtype=cv2.CV_8U)
