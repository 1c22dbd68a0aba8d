"""float32 beside bfloat16: validation over epochs and seeds, as a table and a chart.

    covidcnn sweep benchmarks/precision.yaml --store STORE --data FOLDER
    python benchmarks/precision.py STORE

The sweep trains at 128 px with the paper's augmentation, three seeds in each precision. Scores are always computed in
float32 by the plain model, so that a difference comes from training alone. Writes ``benchmarks/precision.png``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from covidcnn.plots.style import apply_style
from covidcnn.trials.store import TrialStore
from covidcnn.trials.work import TrialResult

CHART = Path(__file__).with_name("precision.png")
LOOKS = {"float32": {"color": "#0072B2", "linestyle": "-"}, "bfloat16": {"color": "#D55E00", "linestyle": "--"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    results, _ = TrialStore(parser.parse_args().store).read_all()
    results.sort(key=lambda result: (result.trial.recipe.precision, result.trial.seed))
    table = pd.DataFrame([_row(result) for result in results]).set_index(["precision", "seed"])
    print(table.to_markdown(floatfmt=".4f"))
    print(table.groupby("precision").agg(["mean", "std"]).to_markdown(floatfmt=".4f"))
    _chart(results)


def _row(result: TrialResult) -> dict[str, object]:
    scores, labels = result.scores, result.task.encode(result.scores["label"])
    return {"precision": result.trial.recipe.precision, "seed": result.trial.seed, "epoch kept": result.best_epoch,
            "AUC": roc_auc_score(labels, scores["score"]),
            "loss": log_loss(labels, scores["score"]), "seconds": result.facts["seconds"]}


def _chart(results: list[TrialResult]) -> None:
    apply_style()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True)
    for result in results:
        precision, first = result.trial.recipe.precision, result.trial.seed == 0
        for ax, column in zip(axes, ("loss", "val_loss"), strict=True):
            ax.plot(result.history.index, result.history[column], label=precision if first else None,
                    **LOOKS[precision])
    for ax, title in zip(axes, ("training", "validation"), strict=True):
        ax.set(title=f"{title} images", xlabel="epoch", ylabel="binary cross-entropy", yscale="log")
    axes[1].legend(title="precision, a line a seed")
    figure.savefig(CHART, dpi=120)


if __name__ == "__main__":
    main()
