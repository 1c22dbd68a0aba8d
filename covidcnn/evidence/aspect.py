"""The natural experiment of ``reports/aspect``: does a network that is shown squeezed images learn their aspect ratio?

Trains on subsets of training images whose original sizes are known, and judges on the other half of their patients; no
image of the published val or test folder has a part in it. ``reports/aspect/design.yaml`` says what, and what each
hypothesis predicts.

    covidcnn evidence aspect --data chest_xray_aspect_320 [--shard 1/2] [--dry-run]
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from covidcnn.data.catalogue import LABELS, content_hash
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.framing import align_each
from covidcnn.data.matching import matched_pairs
from covidcnn.data.splits import hash_fraction
from covidcnn.errors import DataError, UserError
from covidcnn.evidence.statistics import Difference, over_seeds, patient_draws
from covidcnn.imaging.reading import read_grey
from covidcnn.imaging.transforms import resize
from covidcnn.paths import REPORTS, cache_folder, replacing_folder
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import Sweep, parse_sweep
from covidcnn.trials.sweep import shard as shard_of
from covidcnn.trials.trial import Trial
from covidcnn.yaml_files import read_yaml

DESIGN = REPORTS / "aspect" / "design.yaml"
SAMPLE = "random 30 %"
"""Of the manifest's column ``sample``: the images that no hand has picked."""
LARGER, SMALLER = "1.10", "0.90"
OPERATING_POINT = 0.9
"""Share of the NORMAL images, as they are, that every training is made to predict NORMAL: a threshold of its own, so
that arms whose scores lie higher or lower compare."""
Measure = Callable[[pd.DataFrame, np.ndarray], np.ndarray]
"""Of judged images, a row each, and weights, float (samples, images), that count how often each was drawn."""
Scores = Mapping[str, Sequence[pd.DataFrame]]
"""Of each arm a table a replicate, in their order, with the columns of ``Training.scores``."""


@dataclass(frozen=True)
class Arm:
    """One way of choosing the training images, or of making them square."""

    sweep: Sweep
    """Its seeds are the replicates."""
    question: str
    calipers: Mapping[str, float] = field(default_factory=dict)
    """Of the measures by which classes are matched; empty: images are drawn at random."""
    gaps: Mapping[str, float] = field(default_factory=dict)
    """See ``matched_pairs``."""
    common_aspect: float = 0.0
    """Width / height to which all images are cropped beforehand; 0: none is cropped."""


@dataclass(frozen=True)
class Design:
    """What ``design.yaml`` lays down and a program needs."""

    data: str
    """Content hash of chest_xray_aspect_320."""
    pairs: int
    """NORMAL images, and as many PNEUMONIA, that each training learns from."""
    arms: Mapping[str, Arm]


def read_design(path: Path = DESIGN) -> Design:
    """Read the design.

    Raises:
        UserError: a part of it is wrong.
    """
    value = read_yaml(path)
    try:
        shared = value["shared"]
        arms = {name: Arm(parse_sweep({"seeds": arm["seeds"], "score_test": True,
                                       "recipe": shared | arm.get("recipe", {})}), arm["question"],
                          arm.get("match", {}), arm.get("gaps", {}), arm.get("common_aspect", 0.0))
                for name, arm in value["arms"].items()}
        return Design(value["data"], value["pairs"], arms)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no design ({error}); mend it") from error


def measured_images(dataset: DataSet) -> pd.DataFrame:
    """The images of the random sample, with logarithms of three measures that need no model.

    Args:
        dataset: chest_xray_aspect_320, whose manifest.csv has the originals' sizes.

    Returns:
        ``dataset.films`` of the sample, and ``aspect`` (width / height) and ``area`` (pixels) of the original, and
        ``sharpness``: the variance of the Laplacian at 96 x 96 px by that of the grey levels.
    """
    manifest = pd.read_csv(dataset.root / "manifest.csv")
    manifest["path"] = manifest["split"] + "/" + manifest["class"] + "/" + manifest["file"]
    known = manifest[(manifest["sample"] == SAMPLE) & (manifest["split"] == "train")]
    films = dataset.films.merge(known[["path", "original_width", "original_height"]], on="path")
    films["aspect"] = np.log(films["original_width"] / films["original_height"])
    films["area"] = np.log(films["original_width"] * films["original_height"])
    films["sharpness"] = [_sharpness(read_grey(dataset.root / path)) for path in films["path"]]
    return films


def _sharpness(image: np.ndarray) -> float:
    small = resize(image, 96).astype(np.float32)
    return float(np.log(cv2.Laplacian(small, cv2.CV_32F).var() / small.var()))


def learns(films: pd.DataFrame, replicate: int) -> np.ndarray:
    """bool (films,): the half of the patients from which a replicate learns. Replicates 2 k and 2 k + 1 exchange their
    halves, as in five times two-fold cross-validation: each image is judged in every second replicate."""
    split, side = divmod(replicate, 2)
    first = np.array([hash_fraction(patient, split, "half") < 0.5 for patient in films["patient"]])
    return first == bool(side)


def training_images(films: pd.DataFrame, arm: Arm, replicate: int, pairs: int) -> pd.DataFrame:
    """What an arm learns from: ``pairs`` images of each class, the nearest where classes are matched.

    Raises:
        DataError: there are fewer.
    """
    half = films[learns(films, replicate)]
    normal, pneumonia = (half[half["label"] == label] for label in LABELS)
    if arm.calipers:
        matched = matched_pairs(normal, pneumonia, arm.calipers, arm.gaps)[:pairs]
        chosen = half.loc[[*matched["first"], *matched["second"]]]
    else:
        chosen = pd.concat([_drawn(each, pairs, replicate) for each in (normal, pneumonia)])
    if len(chosen) < 2 * pairs:
        raise DataError(f"replicate {replicate}: {len(chosen) // 2} pairs where {pairs} are wanted; widen the calipers")
    return chosen


def judged_images(films: pd.DataFrame, replicate: int) -> pd.DataFrame:
    """What a replicate is judged on, in all arms alike: all NORMAL images of the other half, and as many PNEUMONIA."""
    half = films[~learns(films, replicate)]
    normal, pneumonia = (half[half["label"] == label] for label in LABELS)
    return pd.concat([normal, _drawn(pneumonia, len(normal), replicate)])


def _drawn(films: pd.DataFrame, number: int, replicate: int) -> pd.DataFrame:
    place = films["path"].map(lambda path: hash_fraction(path, replicate, "drawn for the aspect arms"))
    return films.loc[place.sort_values().index[:number]]


def write_cropped(dataset: DataSet, folder: Path, aspect: float) -> None:
    """Copy a data set's images, cropped about their centre to one aspect ratio and not stretched.

    Args:
        dataset: of JPEG files.
        folder: a new one; it appears whole or not at all.
        aspect: width / height: wider images lose of their width, narrower ones of their height.
    """
    with replacing_folder(folder) as draft:
        for path in dataset.films["path"]:
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            # At the highest quality: the copy is decoded and made square like the others.
            cv2.imwrite(str(draft / path), cropped(read_grey(dataset.root / path), aspect),
                        [cv2.IMWRITE_JPEG_QUALITY, 100])


def _cropped_dataset(dataset: DataSet, aspect: float) -> DataSet:
    folder = cache_folder() / "aspect" / f"{dataset.content_hash[:20]}-{aspect:g}"
    try:
        if not folder.is_dir():
            write_cropped(dataset, folder, aspect)
    except UserError:
        # Another process may have written the same meanwhile.
        if not folder.is_dir():
            raise
    return open_dataset(folder)


def cropped(image: np.ndarray, aspect: float) -> np.ndarray:
    """The largest part of ``image``, uint8 (height, width), about its centre whose width / height is ``aspect``."""
    height, width = image.shape
    rows, columns = min(height, round(width / aspect)), min(width, round(height * aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


def planned(design: Design, dataset: DataSet, films: pd.DataFrame) -> Iterator[tuple[str, Trial, DataSet]]:
    """The arm, trial and images of every training, replicate by replicate: what is compared is trained side by side.

    Args:
        design: from ``read_design``.
        dataset: chest_xray_aspect_320.
        films: its ``measured_images``.
    """
    sources = {0.0: dataset}
    replicates = sorted({seed for arm in design.arms.values() for seed in arm.sweep.seeds})
    for replicate, (name, arm) in itertools.product(replicates, design.arms.items()):
        if replicate not in arm.sweep.seeds:
            continue
        if arm.common_aspect not in sources:
            sources[arm.common_aspect] = _cropped_dataset(dataset, arm.common_aspect)
        roles = dict.fromkeys(judged_images(films, replicate)["path"], "test") | dict.fromkeys(
            training_images(films, arm, replicate, design.pairs)["path"], "train")
        source = sources[arm.common_aspect]
        own = source.films[source.films["path"].isin(roles)]
        own = own.assign(split=own["path"].map(roles)).reset_index(drop=True)
        images = replace(source, films=own, content_hash=content_hash(own))
        [trial] = Sweep(arm.sweep.recipes, (replicate,), score_test=True).trials(images.content_hash)
        yield name, trial, images


def response(axis: str) -> Measure:
    """How many more NORMAL images are predicted PNEUMONIA when stretched to 1.10 along ``axis`` ('height', 'width' or
    'size') than when shrunk to 0.90: float (samples,) in -1..1."""
    def measured(judged: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
        normal = (judged["label"] == LABELS[0]).to_numpy()
        rates = [_alarms(judged, weights, normal, f"{axis} {factor}") for factor in (LARGER, SMALLER)]
        return rates[0] - rates[1]

    return measured


def alarm_rate(paths: Collection[str]) -> Measure:
    """The share of a group of images, as they are, that is predicted PNEUMONIA: float (samples,) in 0..1."""
    return lambda judged, weights: _alarms(judged, weights, judged.index.isin(paths), "")


def _alarms(judged: pd.DataFrame, weights: np.ndarray, group: np.ndarray, perturbation: str) -> np.ndarray:
    normal = (judged["label"] == LABELS[0]).to_numpy()
    as_they_are = judged.loc[normal, ""].to_numpy()
    order = np.argsort(as_they_are)
    below = weights[:, normal][:, order].cumsum(axis=1)
    threshold = as_they_are[order][(below >= OPERATING_POINT * below[:, -1:]).argmax(axis=1)]
    alarms = judged.loc[group, perturbation].to_numpy() > threshold[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return (weights[:, group] * alarms).sum(axis=1) / weights[:, group].sum(axis=1)


def contrast(terms: Sequence[tuple[float, str, Measure]], scores: Scores) -> Difference:
    """A weighted sum of measures, paired by replicate, with an interval over replicates and patients.

    Args:
        terms: a factor, the arm, and what is measured.
        scores: of arms of several lengths what all have is taken.
    """
    tables = {arm: [_judged(table) for table in scores[arm]] for _, arm, _ in terms}
    replicates = min(map(len, tables.values()))
    images = pd.concat([table[["patient", "label"]] for table in tables[terms[0][1]][:replicates]])
    images = images[~images.index.duplicated()]
    # The first draw is the sample itself.
    draws = pd.DataFrame(np.vstack([np.ones(len(images)), patient_draws(images)]), columns=images.index)
    values = np.array([np.sum([factor * measure(tables[arm][replicate],
                                                draws[tables[arm][replicate].index].to_numpy())
                               for factor, arm, measure in terms], axis=0) for replicate in range(replicates)])
    return over_seeds(values[:, 0], float(np.nanstd(np.nanmean(values[:, 1:], axis=0), ddof=1)))


def _judged(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a judged image by its path, a column a perturbation ('': none), and ``patient`` and ``label``."""
    own = scores[scores["split"] == "test"]
    facts = own.drop_duplicates("path").set_index("path")[["patient", "label"]]
    return own.pivot(index="path", columns="perturbation", values="score").join(facts)


def verdict(scores: Scores) -> str:
    """Of the primary contrast, as the design lays it down: 'supported', 'refuted' or 'open'."""
    height = response("height")
    if contrast([(1, "unmatched", height)], scores).low <= 0:
        return "open"
    primary = contrast([(0.5, "unmatched", height), (-1, "aspect", height)], scores)
    return "supported" if primary.low > 0 else "refuted" if primary.high < 0 else "open"


def read_scores(design: Design, dataset: DataSet, films: pd.DataFrame, store: TrialStore
                ) -> dict[str, list[pd.DataFrame]]:
    """The scores of every arm, a table a replicate.

    Raises:
        DataError: a training is not finished.
    """
    scores: dict[str, list[pd.DataFrame]] = {name: [] for name in design.arms}
    for name, trial, _ in planned(design, dataset, films):
        scores[name].append(store.read(trial.key).scores)
    return scores


def run_design(dataset: DataSet, store: TrialStore, shard: str = "1/1", dry_run: bool = False,
               watch: Callable[[str], None] = print) -> None:
    """Run what the store lacks; a killed training goes on after its last epoch.

    Args:
        dataset: chest_xray_aspect_320.
        store: receives the trials.
        shard: '1/2' for the first of two shares.
        dry_run: one epoch of each arm's first replicate, which scores nothing but its two images of validation.
        watch: is told of every training that ends.

    Raises:
        UserError: these are not the design's images.
    """
    design = read_design()
    if dataset.content_hash != design.data:
        raise UserError(f"{dataset.root}: not the images that {DESIGN} is about")
    store.prepare()
    of_arm = list(planned(design, dataset, measured_images(dataset)))
    chosen = {trial.key for trial in shard_of([trial for _, trial, _ in of_arm], shard)}
    for name, planned_trial, images in of_arm:
        if planned_trial.key not in chosen or (dry_run and planned_trial.seed > 0):
            continue
        trial = _without_judgement(planned_trial) if dry_run else planned_trial
        watch(f"{name}, replicate {trial.seed}: {store.run_unless_claimed(images, trial)}")


def _without_judgement(trial: Trial) -> Trial:
    return replace(trial, recipe=replace(trial.recipe, epochs=1, perturbations=()), score_test=False)


def facts(films: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The classes' differences (PNEUMONIA - NORMAL) in what an arm learns from, averaged over its replicates."""
    rows: dict[str, Any] = {}
    for name, arm in design.arms.items():
        means = [training_images(films, arm, replicate, design.pairs).groupby("label")[["aspect", "area", "sharpness"]]
                 .mean().diff().iloc[-1] for replicate in arm.sweep.seeds]
        rows[name] = pd.DataFrame(means).mean()
    return pd.DataFrame(rows).T


def groups(films: pd.DataFrame, images: np.ndarray) -> dict[str, list[str]]:
    """The NORMAL images of the design's groups, by path.

    Args:
        films: from ``measured_images``.
        images: uint8 (len(films), size, size), squeezed to squares.
    """
    normal = (films["label"] == LABELS[0]).to_numpy()
    own = films[normal]
    reference = np.mean([images[(films["label"] == label).to_numpy()].mean(axis=0) for label in LABELS], axis=0)
    height = align_each(images[normal], reference)["height"].to_numpy()
    aspect = np.exp(own["aspect"].to_numpy())
    tight = height >= np.nanquantile(height, 0.75)
    return {name: own.loc[chosen, "path"].tolist() for name, chosen in (
        ("wide", aspect >= 1.3), ("narrow", aspect < 1.15), ("tight", tight), ("not tight", ~tight))}


def cropping(judged: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """How many more NORMAL images are predicted PNEUMONIA when cropped as by a stretch of 1.10, but not stretched."""
    normal = (judged["label"] == LABELS[0]).to_numpy()
    return (_alarms(judged, weights, normal, f"cropped height {LARGER}") - _alarms(judged, weights, normal, ""))


def response_table(scores: Scores) -> pd.DataFrame:
    """H, W, S and the crop control of every arm: the mean over replicates with its 95 % interval."""
    measures = {"height": response("height"), "width": response("width"), "size": response("size"),
                "cropped height": cropping}
    return _table({(arm, name): contrast([(1, arm, measure)], scores)
                   for arm in scores for name, measure in measures.items()}, ["arm", "measure"])


def contrast_table(scores: Scores) -> pd.DataFrame:
    """The primary contrast, its guard, and each arm's response to height less that of 'unmatched'."""
    height = response("height")
    rows = {("primary", "H(unmatched) / 2 - H(aspect)"): contrast([(0.5, "unmatched", height), (-1, "aspect", height)],
                                                                  scores),
            ("guard", "H(area) - H(aspect)"): contrast([(1, "area", height), (-1, "aspect", height)], scores)}
    for arm in scores:
        if arm != "unmatched":
            rows["descriptive", f"H({arm}) - H(unmatched)"] = contrast([(1, arm, height), (-1, "unmatched", height)],
                                                                       scores)
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
