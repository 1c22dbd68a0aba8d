"""A finished model as files for others: the model itself, a card that is made of its numbers, and checksums."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from covidcnn.errors import DataError
from covidcnn.models.model_file import ModelFacts, load_predictor
from covidcnn.models.predictor import KerasPredictor, Predictor
from covidcnn.paths import replacing_folder, require_new_folder
from covidcnn.perturbations import LUNGS_BLACK, REST_BLACK

CARD, CHECKSUMS = "MODEL_CARD.md", "SHA256SUMS"
WORST = 5
"""Perturbations that a card names."""
_PARTS = {"model", "identity", "split", "n", "metrics", "confusion matrix", "warnings", "note"}


def write_release(model: Path, evaluations: Sequence[Path], folder: Path, note: str = "") -> None:
    """Copy a model file into a new folder, with ``CARD`` and ``CHECKSUMS`` beside it, whole or not at all.

    Args:
        model: what ``covidcnn train`` or ``covidcnn export`` left.
        evaluations: what ``covidcnn evaluate --json`` printed of this very file, one or more.
        note: what a reader of its numbers has to know, for the card.

    Raises:
        DataError: the model cannot be read, or an evaluation is none, or of another model.
        UserError: the folder is not empty, or cannot be written.
    """
    require_new_folder(folder)
    predictor, facts = load_predictor(model)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    card = _card(model, digest, predictor, facts, [_read_evaluation(path, digest) for path in evaluations], note)
    of_card = hashlib.sha256(card.encode()).hexdigest()
    with replacing_folder(folder) as draft:
        shutil.copyfile(model, draft / model.name)
        (draft / CARD).write_bytes(card.encode())
        (draft / CHECKSUMS).write_text(f"{of_card}  {CARD}\n{digest}  {model.name}\n", encoding="utf-8")


def _card(model: Path, digest: str, predictor: Predictor, facts: ModelFacts, evaluations: Sequence[dict[str, Any]],
          note: str) -> str:
    parameters = predictor.model.count_params() if isinstance(predictor, KerasPredictor) else None
    environment = Environment(loader=PackageLoader("covidcnn.evaluation", "."), autoescape=False, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True)
    return environment.get_template("model_card.md.j2").render(
        file=model.name, quoted=quote(model.name), size=model.stat().st_size, sha256=digest, facts=facts,
        parameters=parameters, counts=_counts(facts), note=note, results=[_result(one) for one in evaluations])


def _counts(facts: ModelFacts) -> str:
    counts = pd.DataFrame(facts.training.get("counts", {})).T.reindex(columns=facts.task.classes).fillna(0).astype(int)
    return counts.rename_axis("images").reset_index().to_markdown(index=False)


def _result(evaluation: dict[str, Any]) -> dict[str, Any]:
    """One evaluation as the template shows it: tables in Markdown, and a sentence for each kind of error."""
    metrics = pd.DataFrame(evaluation["metrics"]).T.rename_axis("metric").reset_index()
    errors = [f"Of {row['images'] / row['share']:.0f} of class {row['class']}, {row['images']} are predicted "
              f"{row['predicted']}: {row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%})."
              for row in evaluation["confusion matrix"] if row["class"] != row["predicted"] and row["images"]]
    perturbed = pd.DataFrame(evaluation.get("perturbed", []))
    if len(perturbed):
        # These two ask where a model looks, and happen to no image.
        perturbed = perturbed[~perturbed["perturbation"].isin([LUNGS_BLACK, REST_BLACK])].reset_index(drop=True)
    return evaluation | {
        "table": metrics[["metric", "value", "low", "high", "interval"]].to_markdown(index=False, floatfmt=".3f"),
        "errors": errors,
        # The first row is of the images as they are.
        "worst": perturbed.loc[1:WORST, ["perturbation", "accuracy", "lost", "lost, low", "lost, high"]].to_markdown(
            index=False, floatfmt=".3f") if len(perturbed) else ""}


def _read_evaluation(path: Path, digest: str) -> dict[str, Any]:
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON; give what covidcnn evaluate --json printed") from error
    if not isinstance(evaluation, dict) or not evaluation.keys() >= _PARTS:
        raise DataError(f"{path}: not what covidcnn evaluate --json prints, or from an older version; evaluate anew")
    if evaluation["model"] != digest:
        raise DataError(f"{path}: of another model file; evaluate this one")
    return evaluation
