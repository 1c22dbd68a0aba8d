"""Grad-CAM: where in an image the network finds what speaks for a class.

Selvaraju and others (2017), Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization. The maps
of the last convolution are added up, each weighted by the mean gradient of the output with regard to it.
"""

import textwrap
from itertools import chain
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from covidcnn.backend import keras, tf
from covidcnn.config import DISCLAIMER
from covidcnn.errors import DataError
from covidcnn.models.inspect import as_input, without_activation
from covidcnn.models.model_file import ModelFacts
from covidcnn.paths import slug
from covidcnn.prediction.images import Unreadable, read_images

SMALLEST_PICTURE = 448
"""Pixels a side of an overlay, at least: an image of 64 px is enlarged."""


class GradCam:
    """Heat maps of what a model's last average is of, or else of its last convolution."""

    def __init__(self, model: keras.Model) -> None:
        averaged = [layer.input for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
        # Maps that are averaged may be a sum, or several maps in one: the last convolution alone has a part of them.
        maps = averaged or [layer.output for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        # Before the sigmoid, whose slope vanishes where the network is sure.
        self._part = keras.Model(model.input, [maps[-1], without_activation(model.layers[-1])])

    def heat(self, images: np.ndarray, output: int = 0, sign: int = 1) -> np.ndarray:
        """Where each image speaks for a class: float32 (n, size, size), 0 to 1 within each image; 0 throughout where
        nothing speaks for it.

        Args:
            images: their pixels as the model sees them, uint8 (n, size, size).
            output: of the network: of two classes there is one, of the positive class.
            sign: -1 for what speaks against it.
        """
        with tf.GradientTape() as tape:
            maps, logits = self._part(as_input(images), training=False)
            logit = sign * logits[:, output]
        weights = tf.reduce_mean(tape.gradient(logit, maps), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy()
        largest = heat.max(axis=(1, 2), keepdims=True)
        heat = np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0)
        height, width = images.shape[1:]
        return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in heat])


def overlay(image: np.ndarray, heat: np.ndarray, lines: list[str]) -> Image.Image:
    """An image overlaid with its heat map in colour, and lines of text below.

    Args:
        image: uint8 (size, size), as the model sees it.
        heat: float (size, size), 0 to 1.
        lines: of text; those that are wider than the image are broken.
    """
    side = max(SMALLEST_PICTURE, len(image))
    radiograph = cv2.cvtColor(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), cv2.COLOR_GRAY2RGB)
    heat = cv2.resize(heat, (side, side), interpolation=cv2.INTER_LINEAR)[..., np.newaxis]
    colours = cv2.cvtColor(cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO),
                           cv2.COLOR_BGR2RGB)
    # Where nothing speaks for the class the image is left as it is.
    mixed = np.rint(radiograph * (1 - 0.6 * heat) + colours * 0.6 * heat).astype(np.uint8)
    line_height = side // 24
    # Matplotlib's, for Pillow's own has no accents, Greek or Cyrillic.
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 0.72 * line_height)
    # So many letters as fit at the line's own average.
    lines = [part for line in lines
             for part in textwrap.wrap(line, int(len(line) * (side - line_height) / font.getlength(line)))]
    picture = Image.new("RGB", (side, side + line_height * (len(lines) + 1)), "white")
    picture.paste(Image.fromarray(mixed), (0, 0))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((line_height // 2, side + line_height // 2 + number * line_height), line, "black", font)
    return picture


def write_overlays(folder: Path, model: keras.Model, facts: ModelFacts, images: pd.DataFrame, chosen: str = ""
                   ) -> list[str]:
    """One PNG an image into ``folder``; their names are numbered, so that images of one name in several folders stay
    apart.

    Args:
        folder: to write into.
        model: from ``load_model``, with its ``facts``.
        facts: see there.
        images: of ``Predictions``.
        chosen: the class that is looked for in every image; empty for the positive one, or of more than two classes for
            that which is predicted.

    Raises:
        DataError: an image can no longer be read.
    """
    task, width = facts.task, len(str(len(images)))
    names = [f"{number:0{width}d}-{slug(Path(path).stem)[:80]}.png" for number, path in enumerate(images["path"], 1)]
    information = PngImagePlugin.PngInfo()
    information.add_text("Disclaimer", DISCLAIMER)
    grad_cam = GradCam(model)
    read = chain.from_iterable(read_images([Path(path) for path in images["path"]], facts.images))
    for name, row, file in zip(names, images.to_dict("records"), read, strict=True):
        if isinstance(file, Unreadable):
            raise DataError(file.problem)
        predicted = row["predicted"]
        looked_for = chosen or (task.positive if task.is_binary else predicted)
        place = task.classes.index(looked_for)
        if task.is_binary:
            # The one output rises with the second class.
            output, sign = 0, 2 * place - 1
            said = (f"{task.positive} {row['probability']:.3f}, predicted {predicted} (threshold "
                    f"{row['threshold']:.3f})")
        else:
            output, sign = place, 1
            said = f"{looked_for} {row[f'probability {looked_for}']:.3f}, predicted {predicted}"
        picture = overlay(file.image, grad_cam.heat(file.image[np.newaxis], output, sign)[0], [
            said, *(f"warning: {warning}" for warning in row["warnings"]),
            f"bright: what speaks for {looked_for} (Grad-CAM)", "for research and teaching, not a medical device"])
        picture.save(folder / name, pnginfo=information)
    return names
