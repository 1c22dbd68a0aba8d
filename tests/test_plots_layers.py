"""What the figures of layers draw, and the numbers that they are given."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from covidcnn.models import inspect
from covidcnn.models.paper_cnn import layer_table, paper_cnn
from covidcnn.paper.network import assumptions
from covidcnn.plots import architecture, layers

SIZE = 32


pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture(scope="module")
def model():
    """The paper's network, untrained, with normalisations and biases that are not the identity."""
    network = paper_cnn(SIZE, filters=(4, 6, 6, 8), seed=1)
    generator = np.random.default_rng(0)
    for layer in network.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, value.shape) for value in weights])
        elif weights:
            layer.set_weights([weights[0], generator.normal(0, 0.1, weights[1].shape)])
    return network


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE), dtype=np.uint8)


def written(ax):
    return [text.get_text() for text in ax.texts]


def test_layer_outputs_are_those_of_the_whole_model(model, images):
    whole = model.predict(inspect.as_input(images), verbose=0)
    assert np.allclose(inspect.layer_output(model, "output", images, batch_size=2), whole, atol=1e-6)


@pytest.mark.parametrize("name", ["convolution_1", "convolution_3", "dense_1"])
def test_relu_of_pre_activations_is_the_layers_output(model, images, name):
    before = inspect.pre_activations(model, name, images)
    assert (before < 0).any()
    assert np.allclose(np.maximum(before, 0), inspect.layer_output(model, name, images), atol=1e-5)


def test_pre_activations_leave_the_model_as_it_was(model, images):
    before = [weight.copy() for weight in model.get_weights()]
    inspect.pre_activations(model, "dense_1", images)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert model.get_layer("dense_1").activation is keras.activations.relu


def test_normalise_is_kerass_batch_normalisation(images):
    values = np.random.default_rng(2).normal(3, 2, (5, 4, 4, 6)).astype(np.float32)
    keras_values = keras.layers.BatchNormalization()(values, training=True)
    assert np.allclose(inspect.normalise(values), keras_values, atol=1e-4)


def test_tanh_table_counts_what_lies_on_the_flat_part():
    values = np.array([[-10.0], [0.0], [0.0], [10.0]])
    row = inspect.tanh_table({"dense_1": values}).loc["dense_1"]
    assert row["saturated, plain"] == 0.5
    assert row["slope, plain"] == pytest.approx(0.5)
    assert row["saturated, normalised"] == 0
    assert row["mean"] == 0


def test_telling_window_finds_the_edge_on_even_corners_away_from_the_border():
    response = np.zeros((32, 32))
    response[:, 0] = 100
    response[12:20, 15] = 1
    row, column = inspect.telling_window(response, 6)
    assert row % 2 == column % 2 == 0
    assert 8 <= row <= 18
    assert column <= 15 < column + 6


def test_three_positions_are_largest_middling_and_smallest_inside_the_rim():
    response = np.arange(100.0).reshape(10, 10)
    # Inside rows and columns 3 to 6 the middle one of 16 is the ninth: row 5, column 3.
    assert inspect.three_positions(response, (2, 2), 6) == [(6, 6), (5, 3), (3, 3)]


def test_distinct_channels_pass_over_copies_and_constants():
    channel = np.random.default_rng(3).normal(size=(8, 8))
    other = np.random.default_rng(4).normal(size=(8, 8))
    maps = np.stack([channel, 3 * channel, np.ones((8, 8)), 2 * other], axis=-1)
    assert inspect.distinct_channels(maps, 3) == [1, 3]


def test_typical_images_have_the_median_score():
    scores = pd.DataFrame({"path": list("abcdef"), "label": ["NORMAL"] * 3 + ["PNEUMONIA"] * 3,
                           "score": [0.9, 0.1, 0.3, 0.2, 0.8, 0.7]})
    assert inspect.typical_images(scores) == {"NORMAL": "c", "PNEUMONIA": "f"}


def test_receptive_fields_by_the_gradient():
    """A unit's gradient reaches as many pixels as the formula says."""
    import tensorflow as tf

    network = paper_cnn(64, filters=(2, 2, 2), seed=3)
    fields = inspect.receptive_fields(network).set_index("layer")
    assert fields.loc["pooling_3"].tolist() == [22, 8]
    for name in ("convolution_2", "convolution_3"):
        # Positive weights: ReLU and max pooling then let every pixel through that can come through.
        part = keras.Model(network.input, network.get_layer(name).output)
        part.set_weights([np.abs(weight) + 0.01 for weight in part.get_weights()])
        reached = np.zeros((64, 64), bool)
        for seed in range(12):
            noise = tf.constant(np.random.default_rng(seed).uniform(0.5, 1, (1, 64, 64, 1)), tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(noise)
                outputs = part(noise)
                unit = outputs[0, outputs.shape[1] // 2, outputs.shape[2] // 2, 0]
            reached |= tape.gradient(unit, noise).numpy()[0, :, :, 0] != 0
        rows = np.flatnonzero(reached.any(1))
        assert rows[-1] - rows[0] + 1 == fields.loc[name, "receptive field"]


def test_assumptions_are_read_from_the_model():
    found = assumptions(paper_cnn(SIZE, batch_norm_momentum=0.9)).set_index("left open by the paper")
    taken = found["taken here"]
    assert taken["padding of convolutions"] == "same"
    assert taken["dropout rate"] == "0.2"
    assert taken["momentum of batch normalisation"] == "0.99 (this model: 0.9)"
    assert taken["order within a block"] == "Conv2D (relu) - BatchNormalization - MaxPooling2D"
    assert taken["places of the two dropouts"] == (
        "between pooling_4 and flatten; between dense_1 and output")


def test_number_grid_writes_every_value_and_no_negative_zero():
    _, ax = plt.subplots()
    layers.number_grid(np.array([[0.5, -0.001], [1.0, 0.25]]), ax)
    assert written(ax) == ["0.50", "0.00", "1.00", "0.25"]
    assert [text.get_color() for text in ax.texts] == ["black", "white", "black", "white"]


def test_convolution_steps_write_the_layers_own_output(model, images):
    image = images[0]
    kernels, biases = model.get_layer("convolution_1").get_weights()
    response = inspect.pre_activations(model, "convolution_1", images[:1])[0, :, :, 2]
    positions = [(12, 12), (13, 14), (15, 13)]
    figure = layers.convolution_steps(image, kernels[:, :, 0, 2], biases[2], response, (10, 10), 8, positions)
    equations = [ax for ax in figure.axes if "after ReLU" in written(ax)]
    assert len(equations) == 3
    for ax, place in zip(equations, positions, strict=True):
        lines = written(ax)
        assert lines[lines.index("= before ReLU") + 1] == f"{response[place]:.3f}"
        assert lines[lines.index("after ReLU") + 1] == f"{max(response[place], 0):.3f}"


def test_feature_maps_name_their_kernels_and_survive_a_silent_one(images):
    kernels, maps = np.ones((3, 3, 2)), np.stack([images[0] / 255, np.zeros((SIZE, SIZE))], axis=-1)
    figure = layers.feature_maps(images[0], kernels, maps, [7, 3])
    titles = [ax.get_title() for ax in figure.axes]
    assert {"kernel 7", "kernel 3", "the image"} <= set(titles)
    figure.canvas.draw()


def test_block_maps_show_the_channels_asked_for(images):
    maps = {"convolution_1": np.random.default_rng(0).normal(size=(8, 8, 4))}
    figure = layers.block_maps(images[0], maps, {"convolution_1": [2, 0]})
    shown = {ax.get_title(): ax.images[0].get_array() for ax in figure.axes if ax.images}
    assert np.array_equal(shown["channel 2"], maps["convolution_1"][..., 2])
    assert "8 x 8 x 4" in next(ax.get_ylabel() for ax in figure.axes if ax.get_ylabel())


def test_tanh_activation_counts_all_values_and_says_the_saturated_share():
    values = np.array([-100.0, -0.5, 0.5, 100.0])
    figure = layers.tanh_activation({"plain": values, "small": values / 1000})
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["plain: 50% saturated", "small: 0% saturated"]
    bars = next(ax for ax in figure.subfigs[0].axes if ax.get_ylabel() == "share").patches
    heights = [bar.get_height() for bar in bars if bar.get_height() in (0.25, 0.5)]
    assert sum(heights) == 1


def test_pooling_shows_the_patch_before_and_after():
    before = np.arange(64.0).reshape(8, 8)
    cells = before.reshape(4, 2, 4, 2)
    figure = layers.pooling(before, {"max pooling": cells.max((1, 3)), "average pooling": cells.mean((1, 3))},
                            (2, 0), side=4)
    lower = figure.axes[3:]
    assert written(lower[0])[:4] == ["16.00", "17.00", "18.00", "19.00"]
    assert written(lower[1]) == ["25.00", "27.00", "41.00", "43.00"]
    assert written(lower[2]) == ["20.50", "22.50", "36.50", "38.50"]
    # The largest of each four is framed; here always the lower right one.
    frames = {(round(patch.get_x()), round(patch.get_y())) for patch in lower[0].patches}
    assert frames == {(1, 1), (3, 1), (1, 3), (3, 3)}


def test_dense_contributions_end_at_the_models_probability(model, images):
    pictures = {"NORMAL": images[0], "PNEUMONIA": images[1]}
    hidden = inspect.layer_output(model, "dense_1", images[:2])
    weights, bias = model.get_layer("output").get_weights()
    figure = layers.dense_contributions(pictures, hidden * weights[:, 0], float(bias[0]))
    probabilities = model.predict(inspect.as_input(images[:2]), verbose=0)[:, 0]
    for row, (activations, probability) in enumerate(zip(hidden, probabilities, strict=True)):
        bars, sigmoid = figure.axes[3 * row + 1 : 3 * row + 3]
        assert len(bars.patches) == (activations != 0).sum()
        assert sigmoid.get_title().endswith(f"= {probability:.3f}")


def test_unit_parts_write_small_maps_and_only_colour_large_ones(images):
    small = layers.unit_parts({"NORMAL": images[0]}, np.ones((1, 2, 2)), [5])
    assert written(small.axes[1]) == ["1.00"] * 4
    assert small.axes[1].get_title() == "added to unit 5"
    large = layers.unit_parts({"NORMAL": images[0]}, np.ones((1, 14, 14)), [5])
    assert written(large.axes[1]) == []


def test_network_diagram_shows_every_layer_once():
    table = layer_table(paper_cnn(SIZE))
    assert len(architecture.stages(table)) == 8
    ax = architecture.network_diagram(table).axes[0]
    names = [text.split("\n")[0] for text in written(ax)]
    assert all(names.count(layer) == 1 for layer in table["layer"])
    assert "2 x 2 x 256" in names


def test_parameter_bars_have_the_tables_lengths():
    table = layer_table(paper_cnn(SIZE))
    ax = architecture.parameter_bars(table, plt.gca())
    expected = table.loc[table["parameters"] > 0, "parameters"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx((expected / 1e6).tolist())
    assert ax.get_title() == f"{table['parameters'].sum():,} parameters in all"


def test_seen_by_one_unit_draws_squares_of_the_fields(images):
    fields = pd.DataFrame({"layer": ["pooling_1", "pooling_2"], "receptive field": [4, 10]})
    figure = architecture.seen_by_one_unit({"small": images[0], "large": np.zeros((64, 64), np.uint8)}, fields)
    assert [[patch.get_width() for patch in ax.patches] for ax in figure.axes] == [[4, 10], [4, 10]]
