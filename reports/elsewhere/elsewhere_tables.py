"""Tables of what ``elsewhere.py`` scored: from ``scores/`` alone, without images and models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from elsewhere_read import AS_THEY_ARE, PLACES, Networks, Scored

from covidcnn.evaluation.elsewhere import local_thresholds
from covidcnn.evaluation.statistics import Difference, by_seed, contrast, mean_over_seeds
from covidcnn.evaluation.weighted_metrics import METRICS, accuracy, sensitivity, specificity
from covidcnn.perturbations import LUNGS_BLACK, REST_BLACK, central_lungs
from covidcnn.study.pages import Tables
from covidcnn.task import PNEUMONIA

RANDOM = "random weights: "
OCCLUSION, GRAD_CAM, INSIDE = "occlusion", "Grad-CAM", "inside"
INT8 = "int8"
"""As a file for a small device in whole numbers; all else is scored with that in float32."""
PAPER, ZOOM, LITE0 = "the paper's network", "the paper's network with zoom", "EfficientNet-Lite0"
ENOUGH = 0.95
"""From which share of draws on so many local images are enough."""
LARGEST_LOSS, LARGEST_SHARE = 0.003, 1 / 3
"""The aim of an int8 file: of AUC, and of the size of the float32 one."""
_AUC = METRICS["AUC"]


def tables_of(networks: Networks, design: Mapping[str, Any]) -> Tables:
    """Every table, with its caption."""
    over = "95 % intervals over seeds and patients, not corrected for their number"
    local, device = local_table(networks, design), device_table(networks)
    return {
        "lost": (lost_table(networks, design["perturbations"]), (
            f"Accuracy and AUC that are lost when test images are changed, the worst first: means over seeds, {over}. "
            "Images are changed as the network sees them, so that noise, JPEG and blur at 64 px are not those at 224 "
            "px. Where all are predicted PNEUMONIA, accuracy is the share of PNEUMONIA and falls no further.")),
        "places": (places_table(networks), (
            f"At the training's threshold: means over seeds, {over}; and the AUC of the lowest seed. Images of "
            "PneumoniaMNIST have 28 px and were enlarged by repeating pixels. Added when the scores were known.")),
        "local": (local, (
            "A threshold set anew on so many images, judged on the others: medians over draws, averaged over seeds; "
            "'better' is the share of draws in which sensitivity and specificity there have a higher mean than at the "
            "training's threshold, its mean over seeds and the lowest seed.")),
        "where": (where_table(networks, design["where"]["cells"]), (
            "The share of a map's weight inside the circle where the lungs of a centred chest lie, and AUC with parts "
            f"blacked out, of trained networks and of such with random weights: means over seeds, {over}.")),
        "device": (device, (
            f"Files for a small device, int8 - float32, on test images: means over seeds, {over}.")),
        "files": (files_table(networks, device), (
            "Files for a small device: megabytes, the share of test images with the same prediction in both forms, and "
            "whether the aim of AUC and size is reached; times are in benchmarks/README.md.")),
        "predictions": (predictions_table(networks, design, local), (
            "The design's predictions, written before any of this was scored: one holds where its whole interval lies "
            "above 0; of a number of images, where the row says so."))}


def lost_table(networks: Networks, names: Sequence[str]) -> pd.DataFrame:
    """A row a network and perturbation."""
    rows = []
    for network, one in networks.items():
        for name in names:
            found = contrast(one.lost(name), one.images, draws=one.draws)
            ranking = contrast([(1, one.scores(AS_THEY_ARE)), (-1, one.scores(name))], one.images, _AUC, one.draws)
            rows.append({"network": network, "perturbation": name, "seeds": found.seeds}
                        | {quantity: by_seed([(1, seen)], one.images, metric).mean() for quantity, metric, seen in (
                            ("accuracy", accuracy, one.predicted(name)), ("sensitivity", sensitivity,
                             one.predicted(name)), ("specificity", specificity, one.predicted(name)),
                            ("AUC", _AUC, one.scores(name)))}
                        | {"lost": found.mean, "lost, low": found.low, "lost, high": found.high,
                           "AUC lost": ranking.mean, "AUC lost, low": ranking.low, "AUC lost, high": ranking.high,
                           "changed": (one.predicted(name) != one.predicted(AS_THEY_ARE)).mean()})
    table = pd.DataFrame(rows)
    order = table.assign(place=table["network"].map([*networks].index)).sort_values(
        ["place", "lost"], ascending=[True, False]).index
    return table.loc[order].reset_index(drop=True)


def places_table(networks: Networks) -> pd.DataFrame:
    """A row a network and place."""
    rows = []
    for network, one in networks.items():
        small = one.small[0][["patient", "label"]].assign(positive=PNEUMONIA.encode(one.small[0]["label"]))
        for place, images, scores in ((PLACES[0], one.images, one.scores(AS_THEY_ARE)),
                                      (PLACES[1], small, np.array([table["score"] for table in one.small]))):
            predicted = (scores >= one.thresholds[:, np.newaxis]).astype(float)
            row: dict[str, Any] = {"network": network, "place": place, "seeds": len(one.seeds)}
            for name, metric, seen in (
                    ("AUC", _AUC, scores), ("accuracy", accuracy, predicted), ("sensitivity", sensitivity, predicted),
                    ("specificity", specificity, predicted)):
                found = mean_over_seeds(seen, images, metric)
                row |= {name: found.mean, f"{name}, low": found.low, f"{name}, high": found.high}
            rows.append(row | {"AUC, lowest": by_seed([(1, scores)], images, _AUC).min()})
    return pd.DataFrame(rows)


def local_table(networks: Networks, design: Mapping[str, Any]) -> pd.DataFrame:
    """A row a network, place and number of local images."""
    counts, draws, rows = design["local images"]["counts"], design["local images"]["draws"], []
    for network, one in networks.items():
        for place, of_seed in zip(PLACES, ([table.rename(columns={AS_THEY_ARE: "score"}) for table in one.tables],
                                           one.small), strict=True):
            found = pd.concat([local_thresholds(scores, threshold, counts, draws).assign(seed=seed) for
                               scores, threshold, seed in zip(of_seed, one.thresholds, one.seeds, strict=True)])
            by_count = found.groupby("images")
            rows.append(by_count[["accuracy", "sensitivity", "specificity", "better"]].mean().assign(
                **{"better, lowest": by_count["better"].min(), "network": network, "place": place,
                   "seeds": len(one.seeds)}).reset_index())
    table = pd.concat(rows, ignore_index=True)
    return table[["network", "place", "images", "seeds", "accuracy", "sensitivity", "specificity", "better",
                  "better, lowest"]]


def enough(local: pd.DataFrame, network: str, place: str) -> float:
    """The smallest number of local images from which on the new threshold is better often enough; infinite if none."""
    own = local[(local["network"] == network) & (local["place"] == place) & (local["images"] > 0)].set_index("images")
    too_few = own.index[own["better"] < ENOUGH]
    return float(min(own.index[own.index > too_few.max()] if len(too_few) else own.index, default=np.inf))


def inside(one: Scored, what: str = OCCLUSION) -> Difference:
    """The share of a map inside the circle, over seeds and patients; NaN where all maps are 0 throughout."""
    shares = one.scores(f"{what}, {INSIDE}")
    shares = shares[~np.isnan(shares).all(axis=1)]
    drawn = ~np.isnan(shares).all(axis=0)
    if not drawn.any():
        return Difference(np.nan, np.nan, np.nan, np.nan, 0, np.nan, np.nan)
    return mean_over_seeds(shares[:, drawn], one.images[drawn].reset_index(drop=True), _mean)


def _mean(labels: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # A map that is 0 throughout has no share.
    kept = ~np.isnan(values)
    return weights[..., kept] @ values[kept] / weights[..., kept].sum(-1)


def where_table(networks: Networks, cells: int) -> pd.DataFrame:
    """A row a network and kind of weights."""
    rows = []
    for network, one in networks.items():
        for kind, weights in (("", "trained"), (RANDOM, "random")):
            found = {f"{what}, {INSIDE}": inside(one, kind + what) for what in (OCCLUSION, GRAD_CAM)} | {
                f"AUC, {view}": mean_over_seeds(one.scores(kind + view), one.images, _AUC, one.draws)
                for view in (AS_THEY_ARE, LUNGS_BLACK, REST_BLACK)}
            maps = {f"{what}, maps": int((~np.isnan(one.scores(f"{kind}{what}, {INSIDE}"))).sum())
                    for what in (OCCLUSION, GRAD_CAM)}
            rows.append({"network": network, "weights": weights, "seeds": len(one.seeds)} | maps | {
                name: value for quantity, each in found.items()
                for name, value in ((quantity, each.mean), (f"{quantity}, low", each.low),
                                    (f"{quantity}, high", each.high))} | {"even map, inside": even(cells)})
    return pd.DataFrame(rows)


def even(cells: int) -> float:
    """The share of an even map inside the circle."""
    return float(central_lungs(cells, cells).mean())


def device_table(networks: Networks) -> pd.DataFrame:
    """A row a network and measure."""
    rows = []
    for network, one in networks.items():
        for name, metric, seen in (("AUC", _AUC, one.scores), ("accuracy", accuracy, one.predicted),
                                   ("calibration error", METRICS["calibration error"], one.scores)):
            plain, whole = (seen(view) for view in (AS_THEY_ARE, INT8))
            found = contrast([(1, whole), (-1, plain)], one.images, metric, one.draws)
            rows.append({"network": network, "measure": name, "seeds": found.seeds} | {
                form: by_seed([(1, scores)], one.images, metric).mean()
                for form, scores in (("float32", plain), (INT8, whole))} | {
                "difference": found.mean, "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def files_table(networks: Networks, device: pd.DataFrame) -> pd.DataFrame:
    """A row a network; ``device`` from ``device_table``."""
    rows, differences = [], device.set_index(["network", "measure"])["difference"]
    for network, one in networks.items():
        same = (one.predicted(AS_THEY_ARE) == one.predicted(INT8)).mean(axis=1)
        plain, whole = (np.mean([facts["MB"][form] for facts in one.facts]) for form in ("float32", INT8))
        rows.append({"network": network, "seeds": len(one.seeds), "MB, float32": plain, "MB, int8": whole,
                     "share of the size": whole / plain, "same prediction": same.mean(),
                     "same prediction, lowest": same.min(),
                     "aim of AUC and size": bool(differences[network, "AUC"] >= -LARGEST_LOSS
                                                 and whole / plain <= LARGEST_SHARE)})
    return pd.DataFrame(rows)


def predictions_table(networks: Networks, design: Mapping[str, Any], local: pd.DataFrame) -> pd.DataFrame:
    """A row a prediction of the design and network, of networks that are scored."""
    return pd.DataFrame([
        {"prediction": words, "value": found.mean, "low": found.low, "high": found.high,
         "outcome": "holds" if found.low > 0 else "fails" if found.high < 0 else "open"}
        for words, found in _predictions(networks, design["where"]["cells"])] + [
        {"prediction": words, "value": number, "low": np.nan, "high": np.nan, "outcome": "holds" if holds else "fails"}
        for words, number, holds in _counts(networks, local)])


def _predictions(networks: Networks, cells: int) -> Iterator[tuple[str, Difference]]:
    """What is to lie above 0, in words."""
    for name, one in networks.items():
        yield (f"{name}: accuracy lost by inversion, less 0.2",
               contrast(one.lost("inverted"), one.images, draws=one.draws, fixed=-0.2))
    for view, more, less in (("height 1.15", PAPER, ZOOM), ("contrast 0.7", ZOOM, LITE0)):
        # A difference over seeds needs two.
        if {more, less} <= set(networks) and len(_shared(networks[more], networks[less])) > 1:
            yield f"accuracy lost by {view}: {more} - {less}", _paired(networks[more], networks[less], view)
    for name, one in networks.items():
        yield (f"{name}: AUC with the lungs black, less 0.7", _shifted(
            mean_over_seeds(one.scores(LUNGS_BLACK), one.images, _AUC, one.draws), 1, -0.7))
    for name, sign, words in ((PAPER, -1, "an even map's share inside the circle, less that of occlusion"),
                              (LITE0, 1, "the share of occlusion inside the circle, less an even map's")):
        if name in networks:
            yield f"{name}: {words}", _shifted(inside(networks[name]), sign, -sign * even(cells))


def _paired(first: Scored, second: Scored, view: str) -> Difference:
    shared = _shared(first, second)
    terms = [(factor, scores[[one.seeds.index(seed) for seed in shared]]) for one, sign in ((first, 1), (second, -1))
             for factor, scores in one.lost(view, sign)]
    return contrast(terms, first.images, accuracy, first.draws)


def _shared(first: Scored, second: Scored) -> list[int]:
    return sorted(set(first.seeds) & set(second.seeds))


def _shifted(found: Difference, sign: int, by: float) -> Difference:
    low, high = sorted((sign * found.low + by, sign * found.high + by))
    return replace(found, mean=sign * found.mean + by, low=low, high=high)


def _counts(networks: Networks, local: pd.DataFrame) -> Iterator[tuple[str, float, bool]]:
    for name, words, holds in ((PAPER, "20 local images are enough", lambda number: number <= 20),
                               (LITE0, "100 local images are not enough", lambda number: number > 100)):
        if name in networks:
            number = enough(local, name, PLACES[0])
            yield f"{name}: {words}, of the test images (value: how many are)", number, holds(number)
