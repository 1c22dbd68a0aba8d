"""``covidcnn evaluate``: a model file on a folder of labelled films."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from covidcnn.data.appearance import compare, measure
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError
from covidcnn.evaluation.metrics import confusion, evaluate_scores
from covidcnn.models.model_file import KNOWN_AS, load_model
from covidcnn.models.scoring import predict
from covidcnn.provenance import EXPLORATORY
from covidcnn.training.result import SCORE_COLUMNS


def evaluate_model(model_path: Path, dataset: DataSet, split: str = "", samples: int = 1000) -> dict[str, Any]:
    """Score films with a model as its file says, and compute every metric with its interval.

    Args:
        model_path: a file that ``covidcnn train`` left.
        dataset: films of any kinds and sizes.
        split: 'train', 'val', 'test' or 'all'; empty takes 'test' where there is one, else everything.
        samples: of the bootstrap.

    Returns:
        What ``--json`` prints, and under 'scores' the per-image table.

    Raises:
        DataError: no usable model file, no such split, or a class is missing.
    """
    model, facts = load_model(model_path)
    splits = set(dataset.films["split"])
    chosen = split or ("test" if "test" in splits else "all")
    films = dataset.films if chosen == "all" else dataset.films[dataset.films["split"] == chosen]
    if films.empty:
        raise DataError(f"{dataset.root}: no split '{chosen}'; there is {', '.join(sorted(splits))} "
                        "(all takes everything)")
    if films["label"].nunique() < 2:
        raise DataError(f"{dataset.root}: only {films['label'].iloc[0]} films in '{chosen}'; specificity and "
                        "AUC need both classes")
    images = load_images(dataset.root, films, facts.images)
    scores = films.assign(score=predict(model, images, np.arange(len(films))))
    matrix = confusion(scores, facts.threshold)
    known = Counter(facts.known_as(films["sha256"])) if facts.image_hashes is not None else None
    opens_test = dataset.has_published_test and chosen in ("test", "all")
    return {
        "data": dataset.name, "identity": dataset.identity, "split": chosen, "n": matrix.n,
        "threshold": facts.threshold, "threshold rule": facts.threshold_rule,
        "confusion matrix": asdict(matrix),
        "metrics": {name: asdict(estimate) for name, estimate in
                    evaluate_scores(scores, facts.threshold, samples).items()},
        "images": asdict(facts.images), "left out": dataset.left_out.to_dict("records"),
        "distance from the training films": (compare(measure(films, images), facts.appearance)
                                             if facts.appearance else None),
        "known to the model": None if known is None else {role: known[role] for role in KNOWN_AS},
        "warnings": _of_known(known, len(films)),
        "note": EXPLORATORY if opens_test else "", "disclaimer": facts.disclaimer,
        "scores": scores.assign(perturbation="")[SCORE_COLUMNS],
    }


def _of_known(known: Counter[str] | None, films: int) -> list[str]:
    if known is None:
        return ["the model file does not say which images the model was trained on, so it cannot be told whether these "
                "are among them; models trained from now on do"]
    return [f"the model was {what} {known[role]:,} of these {films:,} images, the very files: metrics are too good"
            for role, what in KNOWN_AS.items() if known[role]]
