"""Labels that a model suggests, in a table that a person can correct and a training can read."""

from pathlib import Path

import pandas as pd

from covidcnn.data.index import require_text
from covidcnn.data.tables import as_cell
from covidcnn.prediction.score import Predictions
from covidcnn.task import Task


def label_table(predictions: Predictions, task: Task, folder: Path, min_confidence: float) -> pd.DataFrame:
    """What a model says of the images of a folder, as ``--labels`` reads it, the least sure first.

    Args:
        min_confidence: in 0..1; images of which the model is less sure get no label.

    Returns:
        A row an image: ``path`` within the folder, ``label`` (a class, or empty), ``suggested`` (the predicted class),
        ``confidence`` (its score, 0..1) and ``warnings``, in one text. Texts that a spreadsheet would take for formulas
        begin with an apostrophe.

    Raises:
        DataError: the name of an image is no text.
    """
    for path in predictions.images["path"]:
        require_text(Path(path))
    images = predictions.images
    confidence = (images["probability"].where(images["predicted"] == task.positive, 1 - images["probability"])
                  if task.is_binary else images.filter(like="probability ").max(axis=1))
    table = pd.DataFrame({
        "path": images["path"].map(lambda path: Path(path).relative_to(folder).as_posix()),
        "label": images["predicted"].where(confidence >= min_confidence, ""), "suggested": images["predicted"],
        "confidence": confidence, "warnings": images["warnings"].map("; ".join)})
    texts = table.columns.drop("confidence")
    table[texts] = table[texts].map(as_cell)
    return table.sort_values("confidence", ignore_index=True, kind="stable")
