"""Figures of results: what stands in them are the numbers they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from covidcnn.evaluation.metrics import Confusion, Estimate, wilson
from covidcnn.evaluation.statistics import Difference
from covidcnn.plots import comparisons as evidence_plots
from covidcnn.plots import results as plots
from covidcnn.plots.elsewhere import accuracy_lost

pytestmark = pytest.mark.usefixtures("close_figures")


def points(line) -> list[tuple[float, float]]:
    return [(round(float(x), 6), round(float(y), 6)) for x, y in zip(*line.get_data(), strict=True)]


def scores(*of_normal: float, pneumonia: tuple[float, ...] = ()) -> pd.DataFrame:
    return pd.DataFrame({"label": ["NORMAL"] * len(of_normal) + ["PNEUMONIA"] * len(pneumonia),
                         "score": [*of_normal, *pneumonia]})


def test_confusion_matrix_gives_images_and_their_share_of_the_row(ax):
    plots.confusion_matrix(Confusion(true_negatives=3, false_positives=1, false_negatives=2, true_positives=6), "t", ax)
    assert [text.get_text() for text in ax.texts] == ["3\n75.0%", "1\n25.0%", "2\n25.0%", "6\n75.0%"]


def test_roc_has_the_operating_point_of_its_threshold(ax):
    plots.roc(scores(0.1, 0.5, pneumonia=(0.4, 0.6, 0.8)), 0.5, ax)
    assert (0.5, round(2 / 3, 6)) in [point for line in ax.lines if len(points(line)) == 1 for point in points(line)]


def test_calibration_counts_a_score_on_an_edge_where_the_calibration_error_does(ax):
    plots.calibration(scores(0.5, 0.05, pneumonia=(0.55, 0.9, 1.0)), ax)
    assert points(ax.lines[0]) == [(0.05, 0.0), (0.525, 0.5), (0.95, 1.0)]
    assert [text.get_text() for text in ax.texts] == ["1", "2", "2"]
    (bars,) = [collection for container in ax.containers for collection in container[2]]
    low, high = wilson(1, 2).low, wilson(1, 2).high
    assert bars.get_segments()[1] == pytest.approx(np.array([[0.525, low], [0.525, high]]))


def test_training_curves_draw_each_seed_of_both_sets():
    history = pd.DataFrame({"accuracy": [0.6, 0.7], "val_accuracy": [0.5, 0.6], "loss": [0.7, 0.5],
                            "val_loss": [0.8, 0.6]}, index=pd.RangeIndex(1, 3, name="epoch"))
    _, axes = plt.subplots(1, 2)
    plots.training_curves({0: history, 1: history + 0.1}, axes)
    assert [points(line)[-1] for line in axes[0].lines] == [(2, 0.7), (2, 0.8), (2, 0.6), (2, 0.7)]
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == ["training", "validation"]


def test_by_recipe_has_a_point_a_seed_with_the_first_recipe_above(ax):
    images = scores(0.1, 0.2, 0.9, pneumonia=(0.9,))
    table = pd.concat([images.assign(recipe="plain", seed=0), images.assign(recipe="plain", seed=1),
                       images.assign(recipe="weights", seed=0, score=0.1)])
    plots.by_recipe(table, "specificity", ax)
    found = sorted(points(container[0])[0] for container in ax.containers)
    assert [value for value, _ in found] == pytest.approx([2 / 3, 2 / 3, 1.0], abs=1e-6)
    rows = {label.get_text(): row for row, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    assert rows == {"plain": 1, "weights": 0}
    assert all(row > 0.5 for value, row in found if value < 1)


def test_values_by_condition_have_the_first_above_and_the_paper_in_its_row(ax):
    values = {"a": np.array([0.8, 0.9, 0.7]), "b": np.array([0.6, 0.6, 0.6])}
    evidence_plots.values_by_condition(values, "accuracy", {"b": 0.93}, ax, ("ridge", 0.8))
    drawn = [points(line) for line in ax.lines]
    # 0.8 - 4.3027 * 0.1 * sqrt(4 / 3), and cut off at 1.
    assert drawn[1] == [(pytest.approx(0.303167, abs=1e-5), 1), (1.0, 1)]
    assert [(0.8, 1), (0.9, 1), (0.7, 1)] in drawn
    assert [value for value, _ in drawn[5]] == [0.6, 0.6, 0.6]
    assert [row for _, row in drawn[5]] == pytest.approx([0, 0.15, 0.3])
    assert [(0.8, 1)] in drawn
    assert [(0.93, 0)] in drawn
    assert [(0.8, 0), (0.8, 1)] in drawn
    assert "ridge" in ax.get_legend_handles_labels()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    plain = evidence_plots.values_by_condition(values, "loss", None, plt.figure().add_subplot(), intervals=False)
    assert not any("new run" in label for label in plain.get_legend_handles_labels()[1])


def test_means_stand_below_their_points_and_rows_of_others_below_a_line(ax):
    found = Difference(mean=0.8, low=0.7, high=0.85, p_value=0.1, seeds=3, seed_deviation=0.1, patient_error=0.01)
    values = {"same": np.array([0.8]), "a": np.array([0.8, 0.9, 0.7])}
    evidence_plots.values_by_condition(values, "accuracy", {"x": 0.9}, ax, means={"a": found})
    drawn = [points(line) for line in ax.lines]
    assert [(0.8, pytest.approx(0.7))] in drawn
    (reach,) = [segment for collection in ax.collections for segment in collection.get_segments()]
    assert reach.tolist() == [[pytest.approx(0.7), pytest.approx(0.7)], [pytest.approx(0.85), pytest.approx(0.7)]]
    assert [(0, 0.5), (1, 0.5)] in drawn
    # Of a single value no interval for a new run can be made; the legend names the first that has one.
    labels = ax.get_legend_handles_labels()[1]
    assert labels.count("one new run, 95 %") == 1
    assert not any("median" in label for label in labels)


def test_validation_and_test_join_the_medians(ax):
    evidence_plots.validation_and_test({"a": np.array([0.9, 0.95, 1.0])}, {"a": np.array([0.4, 0.5, 0.9])}, "x", ax)
    assert [(0.5, 0), (0.95, 0)] in [points(line) for line in ax.lines]


def test_equal_seeds_and_equal_medians_do_not_hide_one_another(ax):
    evidence_plots.validation_and_test({"a": np.array([0.8, 0.8, 0.9])}, {"a": np.array([0.7, 0.8, 0.9])}, "x", ax)
    drawn = [point for line in ax.lines[1:] for point in points(line)]
    assert len(drawn) == len(set(drawn)) == 8


def test_difference_has_its_own_interval_and_the_papers_value(ax):
    found = {"a": Difference(mean=0.02, low=-0.01, high=0.05, p_value=0.1, seeds=5, seed_deviation=0.01,
                             patient_error=0.01)}
    evidence_plots.differences(found, {"a": 0.04}, "accuracy", ax)
    (bars,) = [collection for container in ax.containers for collection in container[2]]
    assert bars.get_segments()[0] == pytest.approx(np.array([[-0.01, 0], [0.05, 0]]))
    assert [(0.04, 0)] in [points(line) for line in ax.lines]


def test_differences_show_where_a_new_pair_would_lie(ax):
    found = {name: Difference(0.02, -0.01, 0.05, 0.1, 5, 0.01, 0.01) for name in ("a", "b")}
    evidence_plots.differences(found, None, "accuracy", ax, {"a": (-0.2, 0.2), "b": (-0.1, 0.3)})
    assert [(-0.2, 1), (0.2, 1)] in [points(line) for line in ax.lines]
    assert "a new pair of runs, 95 %" in ax.get_legend_handles_labels()[1]


def test_rank_probabilities_and_verdict_counts_print_their_numbers(ax):
    evidence_plots.rank_probabilities(pd.DataFrame({"1": [0.75, 0.001], "2": [0.25, 0.999]}, index=["a", "b"]), ax)
    assert [text.get_text() for text in ax.texts] == ["0.75", "0.25", "", "1.00"]
    other = plt.figure().add_subplot()
    evidence_plots.verdict_counts({"open": 3, "refuted": 12}, {"open": "0.5", "refuted": "0.2"}, other)
    assert [text.get_text() for text in other.texts] == ["3", "12"]
    assert [bar.get_width() for bar in other.patches] == [3, 12]


def test_precision_recall_marks_what_predicting_all_positive_gives(ax):
    plots.precision_recall(scores(0.1, 0.6, pneumonia=(0.4, 0.9)), ax)
    (all_positive,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert set(all_positive.get_ydata()) == {0.5}
    assert (0.5, 1.0) in points(ax.lines[0])  # above 0.6: one of two, and no false alarm


def test_losses_are_drawn_by_seed_and_their_mean_in_bold():
    rows = [(name, seed, epoch, 1.0 / epoch, (2.0 + seed) / epoch)
            for name in ("Nadam", "SGD") for seed in (0, 2) for epoch in (1, 2)]
    histories = pd.DataFrame(rows, columns=["optimizer", "seed", "epoch", "loss", "val_loss"])
    axes = plots.losses_by_optimizer(histories, plt.subplots(1, 2, squeeze=False)[1])
    assert [ax.get_title() for ax in axes.flat] == ["Nadam", "SGD"]
    assert [points(line) for line in axes[0, 1].lines] == [
        [(1, 2.0), (2, 1.0)], [(1, 4.0), (2, 2.0)], [(1, 3.0), (2, 1.5)], [(1, 1.0), (2, 0.5)]]


def test_estimates_stand_beside_the_papers_where_it_has_them(ax):
    here = {"accuracy": Estimate(0.8, 0.7, 0.85, ""), "AUC": Estimate(0.9, 0.8, 0.95, "")}
    plots.estimates_beside_paper(here, {"accuracy": Estimate(0.93, 0.9, 0.95, "")}, ax)
    ours, papers = ax.containers
    (row,) = ax.get_yticks()  # the AUC, which the paper does not give, has none
    assert [x for x, _ in points(ours[0])] == [0.8]
    assert ours[2][0].get_segments()[0][:, 0] == pytest.approx([0.7, 0.85])
    assert [x for x, _ in points(papers[0])] == [0.93]
    assert points(ours[0])[0][1] != points(papers[0])[0][1]
    assert abs(row - np.mean([points(one[0])[0][1] for one in (ours, papers)])) < 1e-6


def test_accuracy_lost_has_the_worst_above_and_its_interval(ax):
    def lost(*values):
        return pd.DataFrame({"lost": values, "lost, low": np.array(values) - 0.1, "lost, high": np.array(values) + 0.2},
                            index=["noise", "inversion"])

    accuracy_lost({"one": lost(0.0, 0.3), "two": lost(0.1, 0.2)}, "lost", ax)
    rows = {label.get_text(): row for row, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    assert rows["inversion"] > rows["noise"]
    assert [x for x, _ in points(ax.containers[0][0])] == [0.0, 0.3]
    assert ax.containers[1][2][0].get_segments()[1][:, 0] == pytest.approx([0.1, 0.4])
