"""Figures of images: what was drawn, not its pixels."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from covidcnn.imaging.registration import Alignment
from covidcnn.plots import images as plots
from covidcnn.plots.style import NEGATIVE

pytestmark = pytest.mark.usefixtures("close_figures")


def drawn(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def image(height: int = 30, width: int = 40, grey: int = 100) -> np.ndarray:
    return np.full((height, width), grey, np.uint8)


def catalogue() -> pd.DataFrame:
    return pd.DataFrame({
        "split": ["train", "train", "train", "train", "test", "test"],
        "label": ["NORMAL", "PNEUMONIA", "PNEUMONIA", "PNEUMONIA", "NORMAL", "PNEUMONIA"],
        "patient": ["a", "b", "b", "c", "d", "e"],
        "width": [40, 60, 60, 80, 50, 30], "height": [30, 30, 40, 50, 50, 20]})


def test_show_image_keeps_black_black_and_has_no_ticks(ax):
    plots.show_image(image(), ax, "an image")
    picture = ax.images[0]
    assert picture.get_clim() == (0, 255)
    assert picture.get_array().shape == (30, 40)
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []
    assert ax.get_title() == "an image"


def test_show_image_frames_the_box(ax):
    plots.show_image(image(), ax, box=[0.25, 0.5, 0.5, 0.2])
    frame = ax.patches[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (9.5, 14.5, 20, 6)


def test_show_image_draws_no_more_pixels_than_it_can_show(ax):
    large = image(1500, 3000)
    plots.show_image(large, ax)
    assert ax.images[0].get_array().shape == (350, 700)
    assert large.shape == (1500, 3000)


def test_cut_takes_the_box_and_never_nothing():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(plots.cut(image, [0.2, 0.4, 0.3, 0.1]), [[42, 43, 44]])
    assert plots.cut(image, [0.5, 0.5, 0.001, 0.001]).shape == (1, 1)


def test_image_grid_draws_each_image_under_its_title_and_no_empty_axes():
    images = [image(), image(60, 20, 7), image()]
    figure = plots.image_grid(images, ["one", "two", "three"], columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["one", "two", "three"]
    for ax, shown in zip(figure.axes, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), shown)


@pytest.mark.parametrize(("images", "titles"), [([], []), ([image()], []), ([image()], ["one", "two"])])
def test_image_grid_refuses_images_without_titles(images, titles):
    with pytest.raises(ValueError, match="one title for each"):
        plots.image_grid(images, titles)


def test_class_distribution_shows_shares_and_counts_of_both_sources():
    here = pd.DataFrame({"NORMAL": [1, 3], "PNEUMONIA": [3, 3]}, index=["train", "test"])
    paper = {"train": {"NORMAL": 1341, "PNEUMONIA": 3875}, "test": {"NORMAL": 234, "PNEUMONIA": 390}}
    figure = plots.class_distribution(here, paper)
    train, test = figure.axes
    heights = [bar.get_height() for bar in train.patches]
    assert heights == pytest.approx([0.25, 0.75, 1341 / 5216, 3875 / 5216])
    assert "here\n1\n25.0%" in drawn(train)
    assert "paper\n390\n62.5%" in drawn(test)


def test_class_distribution_without_a_test_split():
    here = pd.DataFrame({"NORMAL": [1], "PNEUMONIA": [3]}, index=["train"])
    figure = plots.class_distribution(here, {"train": {"NORMAL": 1, "PNEUMONIA": 1},
                                             "test": {"NORMAL": 1, "PNEUMONIA": 1}})
    assert "here\n0\n0.0%" in drawn(figure.axes[1])


def test_size_scatter_has_a_point_a_image_in_its_class_colour(ax):
    table = catalogue()
    plots.size_scatter(table, ax)
    clouds = {cloud.get_label(): cloud for cloud in ax.collections}
    assert {label: len(cloud.get_offsets()) for label, cloud in clouds.items()} == {"NORMAL": 2, "PNEUMONIA": 4}
    assert to_hex(clouds["NORMAL"].get_facecolor()[0]) == NEGATIVE.lower()
    assert ax.get_title() == "6 images, 6 sizes"
    assert "[pixels]" in ax.get_xlabel()


def test_size_scatter_says_that_equal_sizes_are_equal(ax):
    plots.size_scatter(catalogue().assign(width=224, height=224), ax)
    assert ax.get_title().startswith("one size, 224 x 224")


def test_densities_has_a_line_for_each_class_and_split_with_values(ax):
    table = pd.concat([catalogue()] * 3).assign(grey=np.linspace(0, 9, 18))
    plots.densities(table, "grey", ax, "grey levels")
    styles = {line.get_label(): line.get_linestyle() for line in ax.lines}
    assert styles == {"train NORMAL": "-", "train PNEUMONIA": "-", "test NORMAL": "--", "test PNEUMONIA": "--"}
    assert ax.get_xlabel() == "grey [grey levels]"


def test_densities_says_that_a_constant_says_nothing(ax):
    plots.densities(catalogue().assign(grey=1.0), "grey", ax)
    assert not ax.lines
    assert "it says nothing" in drawn(ax)[0]


def test_images_per_patient_counts_patients(ax):
    plots.images_per_patient(catalogue(), ax)
    bars = {(round(bar.get_x() + bar.get_width() / 2, 1), bar.get_height()) for bar in ax.patches}
    assert bars == {(0.8, 2), (1.2, 2), (2.2, 1)}
    assert ax.get_yscale() == "log"


def test_auc_rows_run_from_the_top_and_bear_missing_intervals(ax):
    table = pd.DataFrame({"measure": ["area", "colour"], "auc": [0.9, 0.5], "low": [0.85, np.nan],
                          "high": [0.95, np.nan]})
    plots.auc_rows(table, "measure", ax)
    names = dict(zip(ax.get_yticks(), [label.get_text() for label in ax.get_yticklabels()], strict=True))
    assert names == {1: "area", 0: "colour"}
    assert {"0.90", "0.50"} <= set(drawn(ax))
    assert ax.get_xlim()[0] < 0.5


def test_mean_images_shows_test_minus_train():
    table = catalogue()
    images = np.stack([image(8, 8, grey) for grey in (10, 20, 30, 40, 15, 25)])
    figure = plots.mean_images(table, images)
    pictures = {ax.get_title(): ax.images[0] for ax in figure.axes if ax.images}
    assert float(pictures["PNEUMONIA, mean of train"].get_array().mean()) == 30
    assert float(pictures["NORMAL, test - train"].get_array().mean()) == 5
    assert float(pictures["PNEUMONIA, test - train"].get_array().mean()) == -5
    assert pictures["NORMAL, test - train"].get_clim() == pictures["PNEUMONIA, test - train"].get_clim() == (-5, 5)


def test_mean_images_without_test_images():
    table = catalogue()[:4]
    figure = plots.mean_images(table, np.stack([image(8, 8)] * 4))
    assert [ax.get_title() for ax in figure.axes] == ["NORMAL, mean of train", "PNEUMONIA, mean of train"]


def test_histogram_holds_every_pixel_and_names_what_leaves_the_picture(ax):
    image = np.zeros((10, 10), np.uint8)
    image[0, :4] = [7, 7, 7, 255]
    plots.histogram(image, ax)
    heights = ax.patches[0].get_data().values
    assert len(heights) == 256
    assert heights.sum() == pytest.approx(1)
    assert heights[7] == pytest.approx(0.03)
    assert drawn(ax) == ["level 0: 96.0%"]


def test_histogram_of_a_black_image_is_drawn(ax):
    plots.histogram(image(grey=0), ax)
    assert ax.patches[0].get_data().values[0] == 1
    assert ax.get_ylim() == (0, 1)


def test_image_and_histogram_rows_has_a_row_an_image():
    figure = plots.image_and_histogram_rows({"original": image(), "inverted": image(grey=155)})
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["original", "inverted"]
    assert [ax.patches[0].get_data().values.argmax() for ax in figure.axes[1::2]] == [100, 155]
    assert [ax.get_xlabel() for ax in figure.axes[1::2]] == ["", "grey level"]


def test_drawing_leaves_random_states_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 the state that is to stay
    plots.image_grid([image()], ["one"])
    plots.densities(pd.concat([catalogue()] * 2).assign(grey=np.arange(12.0)), "grey", Figure().subplots())
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_frame_of_an_average_image_is_drawn_where_registration_finds_it():
    images = {name: np.full((40, 40), 100.0) for name in ("reference", "taller", "lost")}
    figure = plots.framed_averages(images, {"taller": Alignment(1.1, 0.9, 0.0, 0.05, 0.0, 0.99), "lost": None})
    frames = [ax.patches for ax in figure.axes]
    assert [len(patches) for patches in frames] == [1, 1, 0]
    first, second = frames[0][0], frames[1][0]
    assert second.get_height() == pytest.approx(1.1 * first.get_height())
    assert second.get_width() == pytest.approx(0.9 * first.get_width())
    centre = second.get_y() + second.get_height() / 2 - (first.get_y() + first.get_height() / 2)
    assert centre == pytest.approx(0.05 * 40)
    assert figure.axes[1].get_xlabel() == "1.10 times as tall,\n0.90 times as wide"
