"""A small report folder, made without running a notebook: what the pages are rendered from."""

import json

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from IPython.core.formatters import format_display_data
from IPython.display import Image

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "javascript:alert(3)",
           "\"quoted\" & 'so'"]
"""What a file name or a caption may hold."""

RECORD = {
    "profile": {"name": "smoke", "image size": 32, "epochs": 2, "seeds": [0], "most training images": 96,
                "batch-norm momentum": 0.9, "bootstrap samples": 100},
    "data": {"name": "tiny", "identity": "These are test images.", "images": 3,
             "left out": [{"path": name, "problem": "empty"} for name in HOSTILE]},
    "exploratory test-set accesses": {"count": 0, "by notebook": {}},
    "notebooks": {
        "01_first": {"title": "01 · First", "question": "What is first?", "status": "done", "seconds": 61.0,
                     "message": ""},
        "02_second": {"title": "02 · Second", "status": "failed", "seconds": 2.0, "message": f"cell 3: {HOSTILE[0]}"},
    },
}


def numbers_table():
    """A column of words and numbers with ties and missing values, longer numbers, and hostile words."""
    return pd.DataFrame({
        "path": [*HOSTILE, "image10.jpeg", "image9.jpeg"],
        "n": [10, 9, pd.NA, 100, 9, 1],
        "share": [0.5, 0.123456, np.nan, -1.5e-7, 0.12345, 23456.7],
        "range": ["0.913 (0.88 to 0.94)", "0.09 (0.01 to 0.20)", "", "1.000 (1.0 to 1.0)", "0.5 (0.1 to 0.9)",
                  "0.2 (0 to 1)"],
    }).astype({"n": "Int64"})


def image_scores(images=60, seed=0):
    """Scores of both splits, of two recipes, one of them named to harm; with ties, some at 0.5 and one at 1."""
    generator = np.random.default_rng(seed)
    parts = []
    for recipe in ("plain", HOSTILE[1]):
        for split in ("test", "validation"):
            labels = np.where(np.arange(images) % 3 == 0, "NORMAL", "PNEUMONIA")
            scores = generator.beta(np.where(labels == "NORMAL", 2, 4), np.where(labels == "NORMAL", 4, 2)).round(2)
            scores[:3] = 0.5, 0.5, 1
            parts.append(pd.DataFrame({"split": split, "path": HOSTILE[1], "label": labels, "score": scores,
                                       "subtype": "", "patient": "p", "recipe": recipe, "seed": 0}))
    return pd.concat(parts, ignore_index=True)


def odd_scores():
    """Scores outside 0 to 1 without a validation split, all of one class and all equal."""
    return pd.DataFrame({"path": "a", "split": "test", "label": "PNEUMONIA", "subtype": "", "patient": "p",
                         "score": [-2.0] * 5})


def make_report(folder):
    """Two notebooks with a figure, tables and scores, and a record that holds hostile text wherever text may stand."""
    for part in ("figures", "tables", "scores", "record", "notebooks"):
        (folder / part).mkdir(parents=True)
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1])
    for ending in ("png", "svg"):
        figure.savefig(folder / f"figures/fig_01.{ending}")
    plt.close(figure)
    numbers_table().to_csv(folder / "tables/numbers.csv", index=False)
    pd.DataFrame({"metric": ["accuracy"], "value": [0.9279]}).to_csv(folder / "tables/final_metrics.csv", index=False)
    image_scores().to_csv(folder / "scores/trained.csv", index=False, float_format="%.7g")
    odd_scores().to_csv(folder / "scores/odd.csv", index=False)
    caption = f"A caption {HOSTILE[0]}"
    entered = {
        "01_first": {
            "figures": [{"name": "fig_01", "file": "figures/fig_01.png", "caption": caption}],
            "tables": [{"name": "numbers", "file": "tables/numbers.csv", "caption": caption, "headline": False},
                       {"name": "final_metrics", "file": "tables/final_metrics.csv", "caption": "Metrics.",
                        "headline": True}],
            "scores": [{"name": "odd", "file": "scores/odd.csv", "caption": "Odd.", "threshold": 0},
                       {"name": "trained", "file": "scores/trained.csv", "caption": caption, "threshold": 0.5}],
            "test-set accesses": []},
        # As earlier versions left it.
        "02_second": {"figures": [], "tables": [], "test-set accesses": []},
    }
    for name, record in entered.items():
        (folder / f"record/{name}.json").write_text(json.dumps(record), encoding="utf-8")
    picture = Image((folder / "figures/fig_01.png").read_bytes(), width=300, alt=caption,
                    metadata={"name": "fig_01", "file": "figures/fig_01.png"})
    write_executed(folder / "notebooks/01_first.ipynb", "# 01 · First\n\n## A formula\n\n$$x^2 \\tag{3}$$", [
        output("text/plain", f"a path: {HOSTILE[0]}"), displayed(picture),
        displayed(numbers_table().set_index("path").rename_axis(columns="what"))])
    write_executed(folder / "notebooks/02_second.ipynb", "# 02 · Second", [
        output("text/html", f"{HOSTILE[0]}<script>document.title = 'taken over'</script><b onclick='alert(4)'>bold</b>"
                            "<a href='javascript:alert(5)'>link</a>")])
    return folder


def output(kind, text):
    return nbformat.v4.new_output("display_data", {kind: text})


def displayed(thing):
    """What a notebook keeps of ``display(thing)``."""
    data, metadata = format_display_data(thing)
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def write_executed(path, markdown, outputs):
    cell = nbformat.v4.new_code_cell("print('once upon a time')  # a comment", outputs=outputs)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(markdown), cell])
    nbformat.write(notebook, path)
