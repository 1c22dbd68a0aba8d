"""Guesses that are answered, sliders, and the pictures that they draw."""

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from covidcnn.plots.explore import at_threshold, under_stretch
from covidcnn.report.interaction import answer, sliders
from covidcnn.report.notebook_run import OUT_VARIABLE


@pytest.mark.parametrize(("guess", "found", "words"), [
    (None, 0.456, ["It is 0.46", "No guess"]), (0.8, 0.45, ["0.80", "0.45", "0.35 too high"]),
    (0.2, 0.45, ["0.25 too low"]), (0.452, 0.45, ["on the spot"]), ("half", 0.45, ["'half' is no number"]),
    (True, 0.45, ["no number"]), ("sgd", "SGD", ["so it is"]), ("Adam", "SGD", ["You guessed Adam; it is SGD"]),
    (["b", "A"], ["a", "B"], ["so it is"]), (["a"], ["a", "b"], ["it is a, b"]), ("a", ["a", "b"], ["it is a, b"])])
def test_a_guess_is_answered(guess, found, words):
    said = answer(guess, found)
    assert all(word in said for word in words), said


def test_sliders_call_with_the_middle_value_and_stay_out_of_reports(monkeypatch, capsys):
    called = []
    monkeypatch.delenv(OUT_VARIABLE, raising=False)
    sliders(lambda threshold: called.append(threshold), threshold=[0.1, 0.5, 0.9])
    assert called == [0.5]
    monkeypatch.setenv(OUT_VARIABLE, "report")
    sliders(lambda threshold: called.append(threshold), threshold=[0.1, 0.5, 0.9])
    assert called == [0.5]
    assert "JupyterLab" in capsys.readouterr().out


@pytest.mark.slow
def test_sliders_show_a_figure_once(monkeypatch):
    monkeypatch.delenv(OUT_VARIABLE, raising=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(
        "import matplotlib.pyplot as plt\nfrom covidcnn.report.interaction import sliders\n"
        "sliders(lambda number: plt.plot([0, number])[0].figure, number=[1, 2, 3])")])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    widgets = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    shown = [output for widget in widgets if widget["model_name"] == "OutputModel"
             for output in widget["state"]["outputs"]]
    assert ["image/png" in output["data"] for output in shown] == [True]


def bars_of(figure):
    ax = figure.axes[-1]
    values = dict(zip((label.get_text() for label in ax.get_yticklabels()), (bar.get_width() for bar in ax.patches),
                      strict=True))
    plt.close(figure)
    return values


def test_precision_follows_the_prevalence_and_sensitivity_does_not():
    scores = pd.DataFrame({"label": ["NORMAL"] * 4 + ["PNEUMONIA"] * 4,
                           "score": [0.1, 0.2, 0.3, 0.8, 0.4, 0.6, 0.7, 0.9]})
    values = bars_of(at_threshold(scores, 0.5, 0.1))
    assert values["sensitivity"] == values["specificity"] == 0.75
    assert values["precision, 10% PNEUMONIA"] == pytest.approx(0.075 / (0.075 + 0.225))
    assert values["accuracy, 10% PNEUMONIA"] == pytest.approx(0.75)
    assert np.isnan(bars_of(at_threshold(scores, 1.0, 0.1))["precision, 10% PNEUMONIA"])


def test_each_network_scores_the_stretched_image():
    image = np.zeros((40, 40), np.uint8)
    image[10:30] = 255

    def share_of_white(images):
        white = images.mean(axis=(1, 2)) / 255
        return np.stack([1 - white, white], axis=1)

    assert bars_of(under_stretch(image, {"a": share_of_white}, "none")) == {"a": pytest.approx(0.5)}
    assert bars_of(under_stretch(image, {"a": share_of_white}, "height 1.10"))["a"] == pytest.approx(0.55, abs=0.02)
