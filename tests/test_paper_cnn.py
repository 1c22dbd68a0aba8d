"""The paper's network."""

import numpy as np
import pytest

from covidcnn.models.paper_cnn import count_parameters, layer_table, paper_cnn
from covidcnn.paper.reported import LAYER_LIST


@pytest.fixture(scope="module")
def full_size():
    return paper_cnn()


@pytest.fixture(scope="module")
def small():
    return paper_cnn(16, filters=(4, 8), batch_norm_momentum=0.9, dropout=0.3)


def test_parameters_are_those_worked_out_by_hand(full_size):
    by_hand = {"convolution_1": 320, "normalisation_1": 128, "convolution_2": 18_496, "normalisation_2": 256,
               "convolution_3": 73_856, "normalisation_3": 512, "convolution_4": 295_168, "normalisation_4": 1024,
               "dense_1": 6_422_656, "output": 129}
    assert count_parameters() == by_hand
    assert {layer.name: layer.count_params() for layer in full_size.layers if layer.count_params()} == by_hand
    assert full_size.count_params() == sum(by_hand.values()) == 6_812_545


@pytest.mark.parametrize(("size", "filters"), [(50, (32, 64, 128, 256)), (16, (4, 8)), (33, (2, 3, 5))])
def test_count_by_hand_agrees_with_keras_at_other_sizes(size, filters):
    model = paper_cnn(size, filters=filters)
    assert sum(count_parameters(size, filters).values()) == model.count_params()


def test_layers_are_those_the_paper_lists_with_input_and_flatten(full_size):
    kinds = [type(layer).__name__ for layer in full_size.layers]
    assert {kind: kinds.count(kind) for kind in LAYER_LIST} == LAYER_LIST
    assert sorted(set(kinds) - set(LAYER_LIST)) == ["Flatten", "InputLayer"]
    assert len(kinds) == 18


def test_layers_stand_in_the_assumed_order(full_size):
    kinds = [type(layer).__name__ for layer in full_size.layers]
    assert kinds == ["InputLayer", *["Conv2D", "BatchNormalization", "MaxPooling2D"] * 4, "Dropout", "Flatten",
                     "Dense", "Dropout", "Dense"]
    first = full_size.get_layer("convolution_1")
    assert (first.filters, first.kernel_size, first.padding, first.activation.__name__) == (32, (3, 3), "same", "relu")
    assert full_size.get_layer("output").activation.__name__ == "sigmoid"


def test_layer_table_has_a_row_for_every_layer(full_size):
    table = layer_table(full_size).set_index("layer")
    assert len(table) == 18
    assert table.loc["convolution_1", "output shape"] == "224 x 224 x 32"
    assert table.loc["pooling_4", "output shape"] == "14 x 14 x 256"
    assert table.loc["flatten", "output shape"] == "50176"
    assert table["parameters"].sum() == 6_812_545


def test_parameters_of_the_builder_reach_the_layers(small):
    assert small.get_layer("normalisation_2").momentum == 0.9
    assert small.get_layer("dropout_1").rate == small.get_layer("dropout_2").rate == 0.3
    assert small.input_shape == (None, 16, 16, 1)
    assert small.output_shape == (None, 1)


def test_output_is_a_probability(small):
    images = np.random.default_rng(0).random((5, 16, 16, 1), np.float32)
    scores = small(images).numpy()
    assert scores.shape == (5, 1)
    assert ((scores > 0) & (scores < 1)).all()
    assert len(np.unique(scores)) == 5


def test_without_batch_normalisation_the_rest_is_the_same():
    with_it, without = (paper_cnn(16, filters=(4, 8), batch_norm=choice) for choice in (True, False))
    names = [layer.name for layer in with_it.layers if not layer.name.startswith("normalisation")]
    assert [layer.name for layer in without.layers] == names
    first, second = (model.get_layer("convolution_1").get_weights()[0] for model in (with_it, without))
    np.testing.assert_array_equal(first, second)
