"""What the natural experiment measures: responses to stretches, its contrasts and its verdict."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from framing import reference_image

from covidcnn.evaluation.framing import align_each
from covidcnn.evaluation.statistics import Difference, over_seeds, patient_draws
from covidcnn.task import PNEUMONIA

Scores = Mapping[str, Sequence[pd.DataFrame]]
"""Of each arm a table a replicate, in their order, with the columns of ``Training.scores``."""
OPERATING_POINT = 0.9
"""Share of the NORMAL images, as they are, that every training is made to predict NORMAL: a threshold of its own, so
that arms whose scores lie higher or lower compare."""
Measure = Callable[[pd.DataFrame, np.ndarray], np.ndarray]
"""Of judged images, a row each, and weights, float (samples, images), that count how often each was drawn."""


def response(axis: str) -> Measure:
    """How many more NORMAL images are predicted PNEUMONIA when stretched to 1.10 along ``axis`` ('height', 'width' or
    'size') than when shrunk to 0.90: float (samples,) in -1..1."""
    return _rise(f"{axis} 1.10", f"{axis} 0.90")


def _rise(perturbed: str, otherwise: str) -> Measure:
    def measured(judged: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
        normal = (judged["label"] == PNEUMONIA.classes[0]).to_numpy()
        return _alarms(judged, weights, normal, perturbed) - _alarms(judged, weights, normal, otherwise)

    return measured


def alarm_rate(paths: Collection[str]) -> Measure:
    """The share of a group of images, as they are, that is predicted PNEUMONIA: float (samples,) in 0..1."""
    return lambda judged, weights: _alarms(judged, weights, judged.index.isin(paths), "")


def _alarms(judged: pd.DataFrame, weights: np.ndarray, group: np.ndarray, perturbation: str) -> np.ndarray:
    normal = (judged["label"] == PNEUMONIA.classes[0]).to_numpy()
    as_they_are = judged.loc[normal, ""].to_numpy()
    order = np.argsort(as_they_are)
    below = weights[:, normal][:, order].cumsum(axis=1)
    threshold = as_they_are[order][(below >= OPERATING_POINT * below[:, -1:]).argmax(axis=1)]
    alarms = judged.loc[group, perturbation].to_numpy() > threshold[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return (weights[:, group] * alarms).sum(axis=1) / weights[:, group].sum(axis=1)


def contrast(terms: Sequence[tuple[float, str, Measure]], scores: Scores) -> Difference:
    """A weighted sum of measures, paired by replicate, with an interval over replicates and patients. A term is a
    factor, an arm, and what is measured. Of arms with different numbers of replicates those that all have are taken."""
    tables = {arm: [_judged(table) for table in scores[arm]] for _, arm, _ in terms}
    replicates = min(map(len, tables.values()))
    images = pd.concat([table[["patient", "label"]] for table in tables[terms[0][1]][:replicates]])
    images = images[~images.index.duplicated()]
    images = images.assign(positive=PNEUMONIA.encode(images["label"]))
    # The first draw is the sample itself.
    draws = pd.DataFrame(np.vstack([np.ones(len(images)), patient_draws(images)]), columns=images.index)
    values = np.array([np.sum([factor * measure(tables[arm][replicate], draws[tables[arm][replicate].index].to_numpy())
                               for factor, arm, measure in terms], axis=0) for replicate in range(replicates)])
    return over_seeds(values[:, 0], float(np.nanstd(np.nanmean(values[:, 1:], axis=0), ddof=1)))


def _judged(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a judged image by its path, a column a perturbation ('': none), and ``patient`` and ``label``."""
    own = scores[scores["split"] == "test"]
    facts = own.drop_duplicates("path").set_index("path")[["patient", "label"]]
    return own.pivot(index="path", columns="perturbation", values="score").join(facts)


def verdict(scores: Scores) -> str:
    """Of the primary contrast, as the design lays it down: 'supported', 'refuted' or 'open'."""
    if contrast([(1, "unmatched", response("height"))], scores).low <= 0:
        return "open"
    primary = _heights(scores, (0.5, "unmatched"), (-1, "aspect"))
    return "supported" if primary.low > 0 else "refuted" if primary.high < 0 else "open"


def _heights(scores: Scores, *terms: tuple[float, str]) -> Difference:
    """A weighted sum of arms' responses to height."""
    return contrast([(factor, arm, response("height")) for factor, arm in terms], scores)


def groups(images: pd.DataFrame, pixels: np.ndarray) -> dict[str, list[str]]:
    """The NORMAL images of the design's groups, by path. ``images`` are the experiment's ``measured_images``;
    ``pixels`` are theirs, uint8 (n, size, size), squeezed to squares."""
    normal = (images["label"] == PNEUMONIA.classes[0]).to_numpy()
    own = images[normal]
    height = align_each(pixels[normal], reference_image(images, pixels))["height"].to_numpy()
    aspect = np.exp(own["aspect"].to_numpy())
    tight = height >= np.nanquantile(height, 0.75)
    return {name: own.loc[chosen, "path"].tolist() for name, chosen in (
        ("wide", aspect >= 1.3), ("narrow", aspect < 1.15), ("tight", tight), ("not tight", ~tight))}


def response_table(scores: Scores) -> pd.DataFrame:
    """H, W, S and the crop control (cropped as by a stretch of 1.10, but not stretched) of every arm: the mean over
    replicates with its 95 % interval."""
    measures = {axis: response(axis) for axis in ("height", "width", "size")}
    measures["cropped height"] = _rise("cropped height 1.10", "")
    return _table({(arm, name): contrast([(1, arm, measure)], scores)
                   for arm in scores for name, measure in measures.items()}, ["arm", "measure"])


def contrast_table(scores: Scores) -> pd.DataFrame:
    """The primary contrast, its guard, and each arm's response to height - that of 'unmatched'."""
    rows = {("primary", "H(unmatched) / 2 - H(aspect)"): _heights(scores, (0.5, "unmatched"), (-1, "aspect")),
            ("guard", "H(area) - H(aspect)"): _heights(scores, (1, "area"), (-1, "aspect"))}
    rows |= {("descriptive", f"H({arm}) - H(unmatched)"): _heights(scores, (1, arm), (-1, "unmatched"))
             for arm in scores if arm != "unmatched"}
    return _table(rows, ["rank", "contrast"])


def group_table(scores: Scores, paths: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """False alarms in groups of NORMAL images, and their differences, in the arms that have all replicates."""
    pairs = (("wide", "narrow"), ("tight", "not tight"))
    rows: dict[tuple[str, str], Difference] = {}
    for arm in ("unmatched", "aspect", "area"):
        rows |= {(arm, name): contrast([(1, arm, alarm_rate(own))], scores) for name, own in paths.items()}
        rows |= {(arm, f"{one} - {other}"): contrast([(1, arm, alarm_rate(paths[one])),
                                                      (-1, arm, alarm_rate(paths[other]))], scores)
                 for one, other in pairs}
    return _table(rows, ["arm", "images"])


def _table(rows: Mapping[tuple[str, str], Difference], names: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({key: {"mean": one.mean, "low": one.low, "high": one.high, "replicates": one.seeds}
                          for key, one in rows.items()}).T.rename_axis(names).reset_index()
    return table.astype({"replicates": int})
