"""Render one phantom image: position the child, expose, add noise, collimate and mark."""

import math

import cv2
import numpy as np

from covidcnn.data.phantom import tissue
from covidcnn.data.phantom.anatomy import Patient, grow_patient
from covidcnn.data.phantom.disease import Disease, consolidation, contract, interstitial_streaks
from covidcnn.data.phantom.plan import ImagePlan
from covidcnn.data.phantom.view import View, clouds

_DRAWN_SIDE = 384
"""Long side, in pixels, of the grid on which the anatomy is drawn before it is enlarged."""
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX)


def draw_image(plan: ImagePlan) -> np.ndarray:
    """Draw one image: uint8 (plan.height, plan.width), 0 black, a pure function of ``plan``."""
    patient_rng = np.random.default_rng(plan.patient_seed)
    patient = grow_patient(patient_rng)
    disease = contract(plan.subtype, patient, patient_rng)
    position_rng, exposure_rng, noise_rng, marking_rng = (
        np.random.default_rng([*plan.image_seed, stream]) for stream in range(4))
    view = _position(plan, patient, position_rng)
    level, latitude = exposure_rng.normal(0.50, 0.03), exposure_rng.uniform(1.0, 1.28)
    gamma, haze = math.exp(exposure_rng.normal(0, 0.10)), exposure_rng.uniform(0, 0.07)
    mottle = exposure_rng.uniform(0.012, 0.035)
    grey = _develop(_attenuation(patient, disease, view, exposure_rng), level, latitude, gamma, haze)
    noise = noise_rng.standard_normal(grey.shape, dtype=np.float32)
    grey += mottle * (0.4 + 0.6 * grey) * cv2.GaussianBlur(noise, (0, 0), 0.7)
    _add_markings(grey, view, marking_rng)
    _collimate(grey, marking_rng)
    return _enlarge(grey, plan.width, plan.height, noise_rng)


def _position(plan: ImagePlan, patient: Patient, rng: np.random.Generator) -> View:
    shrink = _DRAWN_SIDE / max(plan.width, plan.height)
    width, height = round(plan.width * shrink), round(plan.height * shrink)
    across = rng.uniform(2.3, 2.8) + patient.fat
    # A tall image shows the neck and the abdomen, a strip the middle of the chest.
    centre_y = 0.48 * patient.lung_height + rng.normal(0, 0.07)
    arms_up = rng.random() < 0.45
    arms = rng.uniform(-1.0, -0.45, 2) if arms_up else rng.uniform(0.35, 1.0, 2)
    return View(width, height, scale=width / across, centre=(rng.normal(0, 0.06), centre_y), tilt=rng.normal(0, 0.045),
                turn=float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
                breath=float(np.clip(rng.normal(0, 0.06), -0.25, 0.2)), arms=(float(arms[0]), float(arms[1])))


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
    bones = 0.20 * tissue.spine(chest) + 0.165 * tissue.rib_cage(chest) + 0.20 * tissue.shoulder_girdle(chest)
    attenuation += patient.bone * bones * child
    # Heel effect and uneven scatter: slow changes over the image.
    slope = [rng.normal(0, 0.03), rng.normal(0, 0.03)]
    return attenuation + child * (slope[0] * x + slope[1] * (y - 0.7) + 0.02 * clouds(rng, view, 1.4))


def _develop(attenuation: np.ndarray, level: float, latitude: float, gamma: float, haze: float) -> np.ndarray:
    """Grey 0..1 by a characteristic curve with a toe and a shoulder: the attenuation ``level`` becomes mid-grey,
    ``latitude`` is the range between black and white, ``haze`` is scattered radiation, grey added to the darkest."""
    steepness = 4.4 / latitude
    grey = 1 / (1 + np.exp(steepness * (level - attenuation)))
    # The bare detector is black, whatever the exposure.
    black = 1 / (1 + math.exp(steepness * level))
    grey = np.clip((grey - black) / (1 - black), 0, 1)
    return haze * np.clip(8 * attenuation, 0, 1) + (0.96 - haze) * np.asarray(cv2.pow(grey, gamma))


def _enlarge(grey: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """To the image's own size, with grain of one grey level or two."""
    smaller = width < grey.shape[1]
    enlarged = cv2.resize(cv2.convertScaleAbs(np.maximum(grey, 0), alpha=255), (width, height),
                          interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    # Random bytes, of which the two highest bits are kept: -2 to 1, evenly.
    grain = np.frombuffer(rng.bytes(width * height), np.int8).reshape(height, width) >> 6
    return cv2.add(enlarged, grain, dtype=cv2.CV_8U)


def _add_markings(grey: np.ndarray, view: View, rng: np.random.Generator) -> None:
    """Draw letters, and sometimes electrodes and their leads, on ``grey``; none of it depends on the class."""
    if rng.random() < 0.18:
        _electrodes(grey, view, rng)
    letters = view.blank()
    if rng.random() < 0.85:
        _side_marker(letters, rng)
    if rng.random() < 0.2:
        text = str(rng.choice(["AP", "SUPINE", "AP SUPINE", "PORTABLE"]))
        scale = view.width / 512 * rng.uniform(0.3, 0.5)
        corner = int(rng.uniform(0.72, 0.82) * view.width), int(rng.uniform(0.92, 0.97) * view.height)
        cv2.putText(letters, text, corner, _FONTS[0], scale, 230, 1, cv2.LINE_AA)
    np.maximum(grey, letters.astype(np.float32) / 255, out=grey)


def _side_marker(letters: np.ndarray, rng: np.random.Generator) -> None:
    height, width = letters.shape
    letter = "L" if rng.random() < 0.15 else "R"
    # The letter stands on the patient's own side: R on the left of the image.
    column = rng.uniform(0.02, 0.12) if letter == "R" else rng.uniform(0.86, 0.94)
    corner = int(column * width), int(rng.uniform(0.08, 0.35) * height)
    font, size = _FONTS[int(rng.integers(len(_FONTS)))], width / 512 * rng.uniform(0.55, 1.0)
    cv2.putText(letters, letter, corner, font, size, 255, 1 + (rng.random() < 0.5), cv2.LINE_AA)


def _electrodes(grey: np.ndarray, view: View, rng: np.random.Generator) -> None:
    canvas = view.blank()
    for _ in range(int(rng.integers(1, 4))):
        spot = np.array([rng.choice([-1, 1]) * rng.uniform(0.45, 0.95), rng.uniform(0.2, 1.3)])
        way_out = spot + np.array([[0, 0], [0.1, -0.35], [0.35, -0.6], [0.3, -1.6]]) * (np.sign(spot[0]), 1)
        view.stroke(canvas, [way_out], 0.010, 0.5)
        place = np.round(view.to_pixels(spot[None])[0]).astype(int).tolist()
        cv2.circle(canvas, place, view.pixels(0.035), 200, -1, cv2.LINE_AA)
        cv2.circle(canvas, place, view.pixels(0.014), 255, -1, cv2.LINE_AA)
    grey += canvas.astype(np.float32) * np.float32(0.4 / 255)


def _collimate(grey: np.ndarray, rng: np.random.Generator) -> None:
    """Black borders of random width on some sides of the image, in place."""
    height, width = grey.shape
    top, bottom, left, right = (
        int(rng.uniform(0.005, 0.035) * width) if rng.random() < 0.4 else 0 for _ in range(4))
    black = rng.uniform(0, 0.03)
    for border in (grey[:top], grey[height - bottom :], grey[:, :left], grey[:, width - right :]):
        border[:] = black
