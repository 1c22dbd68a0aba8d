"""``covidcnn evaluate``: a model file on a folder of labelled images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from covidcnn.data.appearance import compare, measure
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError, named
from covidcnn.evaluation.combining import PER_PATIENT, by_patient
from covidcnn.evaluation.elsewhere import local_thresholds, perturbation_table
from covidcnn.evaluation.metrics import confusion_rows, evaluate_classes, evaluate_scores
from covidcnn.evaluation.scores import score_table
from covidcnn.models.model_file import KNOWN_AS, ModelFacts
from covidcnn.models.predictor import Predictor
from covidcnn.provenance import EXPLORATORY


def evaluate_model(predictor: Predictor, facts: ModelFacts, dataset: DataSet, split: str = "", samples: int = 1000,
                   per_patient: str = "", perturbed: bool = False, local_images: Sequence[int] = ()) -> dict[str, Any]:
    """Score images with a model as its file says, and compute every metric with its interval.

    Args:
        predictor, facts: from ``load_predictor``.
        split: 'train', 'val', 'test' or 'all'; empty takes 'test' where there is one, else everything.
        samples: of the bootstrap.
        per_patient: 'mean' or 'max' of a patient's scores, where patients and not images are judged.
        perturbed: whether the images are scored under perturbations, too (``elsewhere.perturbation_table``).
        local_images: on how many of the images the threshold is set anew (``elsewhere.local_thresholds``).

    Returns:
        What ``--json`` prints, and under 'scores' the per-image table.

    Raises:
        DataError: no such split, or a class of the model's task is missing, or a patient has two labels.
        UserError: one of these three is asked for, and there are more than two classes, or too few images.
    """
    task = facts.task
    if (per_patient or perturbed or local_images) and not task.is_binary:
        raise UserError("scores by patient, perturbed images and a local threshold are of two classes, and the model "
                        f"has {len(task.classes)}; leave them out")
    if per_patient:
        named(dict.fromkeys(PER_PATIENT), per_patient, "score of a patient")
        if perturbed or local_images:
            raise UserError("perturbed images and a local threshold are about images; leave them out, or the scores by "
                            "patient")
    splits = set(dataset.images["split"])
    chosen = split or ("test" if "test" in splits else "all")
    images = dataset.images if chosen == "all" else dataset.images[dataset.images["split"] == chosen]
    if images.empty:
        raise DataError(f"{dataset.root}: no split '{chosen}'; there is {', '.join(sorted(splits))} "
                        "(all takes everything)")
    if missing := [name for name in task.classes if name not in set(images["label"])]:
        raise DataError(f"{dataset.root}: no image of class {missing[0]} in '{chosen}'; specificity and AUC need every "
                        "class")
    if max(local_images, default=0) > len(images) / 2:
        raise UserError(f"local images {max(local_images)}: there are {len(images)}, and at least half have to be left "
                        "to judge the threshold by; take fewer")
    pixels = load_images(dataset.root, images, facts.images)
    scores = score_table(images, predictor(pixels), task)
    if per_patient:
        scores = by_patient(scores, per_patient)
    tables = {}
    if perturbed:
        tables["perturbed"] = perturbation_table(predictor, pixels, images, facts.threshold, samples=samples)
    if local_images:
        tables["local threshold"] = local_thresholds(scores, facts.threshold, local_images, task=task)
    metrics = (evaluate_scores(scores, facts.threshold, samples, task=task) if task.is_binary else
               evaluate_classes(scores, task, samples))
    known = Counter(facts.known_as(images["sha256"])) if facts.image_hashes is not None else None
    warnings = _of_known(known, len(images))
    if per_patient:
        warnings.append("the threshold was fixed on scores of single images; the mean or the highest of several passes "
                        "it more or less often")
    patients = images.groupby("label")["patient"].nunique()
    warnings += [f"all images of class {name} are of one patient: intervals do not know how much patients of it differ"
                 for name in patients.index[patients == 1]]
    if per_patient == "max":
        counts = images.groupby(["label", "patient"]).size().groupby("label").mean()
        # Where all classes have as many, the highest favours none.
        if counts.nunique() > 1:
            warnings.append("images a patient, on average: "
                            + ", ".join(f"{name} {count:.1f}" for name, count in counts.items())
                            + "; the highest of more scores is higher by chance")
    if perturbed and facts.images.preprocess != "plain":
        warnings.append(f"perturbations are made after the preprocessing '{facts.images.preprocess}', which a changed "
                        "file would go through first")
    uses_test = dataset.source.protects_test and chosen in ("test", "all")
    return {
        "data": dataset.name, "identity": dataset.identity, "split": chosen, "n": len(scores), "classes": task.classes,
        "per patient": per_patient, "threshold": facts.threshold, "threshold rule": facts.threshold_rule,
        "confusion matrix": confusion_rows(scores, task, facts.threshold).to_dict("records"),
        "metrics": {name: asdict(estimate) for name, estimate in metrics.items()},
        "images": asdict(facts.images), "left out": dataset.left_out.to_dict("records"),
        "distance from the training images": facts.appearance and compare(measure(images, pixels), facts.appearance),
        "known to the model": None if known is None else {role: known[role] for role in KNOWN_AS},
        "warnings": warnings,
        "note": EXPLORATORY if uses_test else "",
        "disclaimer": facts.disclaimer, "scores": scores,
    } | {name: table.reset_index().to_dict("records") for name, table in tables.items()}


def _of_known(known: Counter[str] | None, images: int) -> list[str]:
    if known is None:
        return ["the model file does not say which images the model was trained on, so it cannot be told whether these "
                "are among them; models trained from now on do"]
    return [f"the model was {what} {known[role]:,} of these {images:,} images, the very files: metrics are too good"
            for role, what in KNOWN_AS.items() if known[role]]
