"""How chests stand in the frame, by split and class: what ``experiment.py framing`` writes. No model has a part in it.

Single images are registered as ``covidcnn.evaluation.framing`` does it, which says what that is worth.
"""

import numpy as np
import pandas as pd

from covidcnn.evaluation.framing import ALIGNMENT, as_row
from covidcnn.evaluation.metrics import CONFIDENCE
from covidcnn.imaging.registration import align
from covidcnn.task import PNEUMONIA


def reference_image(images: pd.DataFrame, pixels: np.ndarray) -> np.ndarray:
    """The average training image, float (size, size), both classes weighing the same. ``images`` has the columns
    ``split`` and ``label``; ``pixels`` are theirs, uint8 (n, size, size)."""
    return np.mean([pixels[((images["split"] == "train") & (images["label"] == label)).to_numpy()].mean(axis=0)
                    for label in PNEUMONIA.classes], axis=0)


def align_averages(image: tuple[np.ndarray, pd.Series], reference: tuple[np.ndarray, pd.Series], samples: int = 200,
                   seed: int = 0) -> pd.DataFrame:
    """Register the average image of one group to that of another. ``image`` and ``reference`` are the two groups: the
    pixels of their images, uint8 (n, size, size), and the patient of each.

    Returns:
        A row a measure of ``ALIGNMENT``: ``value``, ``low`` and ``high``, the 95 % percentile interval of a bootstrap
        by patient in both groups, and ``converged``, the share of its samples that did.
    """
    generator = np.random.default_rng(seed)
    values = as_row(align(image[0].mean(axis=0), reference[0].mean(axis=0)))
    drawn, beside = (_drawn_averages(*group, samples, generator) for group in (image, reference))
    draws = pd.DataFrame([as_row(align(*pair)) for pair in zip(drawn, beside, strict=True)], columns=list(ALIGNMENT))
    low, high = (draws.quantile(quantile) for quantile in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return pd.DataFrame({"value": values, "low": low, "high": high, "converged": draws.notna().mean()})


PAIRS = ((("test", "NORMAL"), ("train", "NORMAL")), (("test", "PNEUMONIA"), ("train", "PNEUMONIA")),
         (("train", "PNEUMONIA"), ("train", "NORMAL")), (("test", "PNEUMONIA"), ("test", "NORMAL")))
"""Whose average image is registered to whose: (split, label) each."""


def averages_table(images: pd.DataFrame, pixels: np.ndarray, samples: int = 200) -> pd.DataFrame:
    """The stretch between the average images of ``PAIRS``: a row a pair and measure, as ``align_averages`` has it.
    ``images`` has the columns ``split``, ``label`` and ``patient``; ``pixels`` are theirs, uint8 (n, size, size)."""
    def group(split: str, label: str) -> tuple[np.ndarray, pd.Series]:
        own = ((images["split"] == split) & (images["label"] == label)).to_numpy()
        return pixels[own], images.loc[own, "patient"]

    return pd.concat({(" ".join(image), " ".join(reference)): align_averages(group(*image), group(*reference), samples)
                      for image, reference in PAIRS}, names=["image", "reference", "measure"])


def distribution(images: pd.DataFrame, alignments: pd.DataFrame) -> pd.DataFrame:
    """How the stretches that ``align_each`` finds are spread; ``images`` has the ``split`` and ``label`` of each.

    Returns:
        A row a split, label and measure (``height``, ``width``, ``height by width``): ``images``, ``converged``
        (share), and quantiles ``5 %`` to ``95 %`` of those that converged.
    """
    table = alignments[["height", "width"]].assign(**{"height by width": alignments["height"] / alignments["width"]})
    table = table.set_index([images["split"], images["label"]]).rename_axis(columns="measure").stack(future_stack=True)
    groups = table.groupby(["split", "label", "measure"])
    quantiles = groups.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()
    quantiles.columns = [f"{round(100 * share)} %" for share in quantiles.columns]
    return pd.concat([groups.size().rename("images"), (groups.count() / groups.size()).rename("converged"), quantiles],
                     axis=1)


def _drawn_averages(pixels: np.ndarray, patients: pd.Series, samples: int, generator: np.random.Generator
                    ) -> np.ndarray:
    """Average images when patients are drawn with replacement: float (samples, size, size)."""
    patient = pd.factorize(patients)[0]
    sums, count = np.zeros((patient.max() + 1, pixels[0].size)), np.bincount(patient)
    # Image by image: all of them as floats would take gigabytes.
    for own, image in zip(patient, pixels, strict=True):
        sums[own] += image.ravel()
    times = generator.multinomial(len(count), np.full(len(count), 1 / len(count)), size=samples)
    return (times @ sums / (times @ count)[:, np.newaxis]).reshape(samples, *pixels.shape[1:])
