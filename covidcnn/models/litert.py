"""A network as a LiteRT file, for small devices: converted by Keras and TensorFlow, run by ``ai-edge-litert``.

Behind LiteRT's own content stands a zip archive with ``covidcnn.json``, where LiteRT's metadata keeps its files, too:
what runs the network passes over it. It holds the SHA-256 of that content, so that the facts of one network are not
taken for those of another.

The network ends before its sigmoid or softmax, in floats. In 8 bits there are 256 values: as probabilities, multiples
of 1/256, they would not tell apart the images of which the network is sure, and many thresholds would mean the same.
The logits, from which they would be computed, have 256 values over all that calibration saw.
"""

import hashlib
import io
import json
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from covidcnn.backend import keras, tf
from covidcnn.config import CALIBRATION_IMAGES
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.errors import DataError, UserError
from covidcnn.models.inspect import as_input, without_activation
from covidcnn.models.model_file import MEMBER, ModelFacts, temporary_archive
from covidcnn.paths import replacing
from covidcnn.quiet import quiet


def calibration_images(dataset: DataSet, facts: ModelFacts, number: int = CALIBRATION_IMAGES, seed: int = 0
                       ) -> np.ndarray:
    """Images that the network learnt from, to measure the ranges of its numbers on: a memory map, uint8 (n, size,
    size).

    They are drawn by seed and content, whatever their names, as many of each class as of another, or all that there
    are. Of a model file of version 0.1, which does not say what it learnt from, all count but those of val and test.

    Raises:
        DataError: none of the data set's images is one that the network learnt from.
    """
    images = dataset.images
    learnt = np.equal(facts.known_as(images["sha256"]), "train") if facts.image_hashes else (
        images["split"].isin(["train", "all"]))
    if not learnt.any():
        raise DataError(f"{dataset.root}: the model was trained on none of these images, and must not be calibrated on "
                        "others; give the folder that it was trained on")
    shuffled = images[learnt].sort_values("sha256").sample(frac=1, random_state=seed)
    drawn = shuffled.groupby("label").head(max(1, number // len(facts.task.classes)))
    return load_images(dataset.root, drawn, facts.images)


def save_litert(path: Path, model: keras.Model, facts: ModelFacts, calibration: np.ndarray | None = None) -> None:
    """Write a network and its facts as one LiteRT file, whole or not at all.

    Args:
        path: of the file.
        model: from ``load_model``, with its ``facts``.
        facts: see there.
        calibration: uint8 (n, size, size), from ``calibration_images``: the network becomes one of 8-bit whole numbers,
            by post-training quantisation (Jacob and others, 2018), with weights scaled by channel. None leaves floats.

    Raises:
        UserError: Keras runs on another backend than TensorFlow, or the file, or a temporary copy, cannot be written.
    """
    if tf is None:
        raise UserError("export needs TensorFlow; set KERAS_BACKEND=tensorflow, or leave it out")
    network = _converted(path, model, facts.images.size, calibration)
    facts = replace(facts, export={
        "to": "litert", "sha256": hashlib.sha256(network).hexdigest(),
        "numbers": "float32" if calibration is None else "int8",
        "calibration images": 0 if calibration is None else len(calibration)})
    content = io.BytesIO(network)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as members:
        members.writestr(MEMBER, json.dumps(asdict(facts), indent=2))
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _scales_moved(model: keras.Model) -> keras.Model:
    """A network of the same outputs, where what batch normalisation after a ReLU multiplies by is moved into the
    convolution before. There each channel has a scale of its own; in int8 the factors would share one, which small ones
    are rounded by, and all logits be shifted."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    made_by = {id(layer.output): layer for layer in copy.layers}
    uses = Counter(id(tensor) for layer in copy.layers for tensor in keras.tree.flatten(layer.input))
    for layer in copy.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        source = made_by[id(layer.input)]
        while isinstance(source, keras.layers.Dropout) and uses[id(source.output)] == 1:
            source = made_by[id(source.input)]
        if (isinstance(source, keras.layers.Conv2D) and source.activation is keras.activations.relu
                and uses[id(source.output)] == 1):
            gamma, beta, mean, variance = layer.get_weights()
            factors = gamma / np.sqrt(variance + layer.epsilon)
            source.set_weights([weights * np.abs(factors) for weights in source.get_weights()])
            layer.set_weights([np.sign(factors), beta - mean * factors, 0 * mean, 0 * variance + 1 - layer.epsilon])
    return copy


def _converted(path: Path, model: keras.Model, size: int, calibration: np.ndarray | None) -> bytes:
    model, signature = _scales_moved(model), [keras.InputSpec("float32", (1, size, size, 1))]
    # Nothing but LiteRT's own operations, in int8 those of whole numbers.
    operations, options = tf.lite.OpsSet.TFLITE_BUILTINS, {}
    if calibration is not None:
        operations = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        options = {"optimizations": [tf.lite.Optimize.DEFAULT], "inference_input_type": tf.uint8,
                   "representative_dataset": lambda: _samples(calibration)}
    with temporary_archive(path) as archive, warnings.catch_warnings(), quiet():
        # TensorFlow warns of statistics that are not there while it measures them.
        warnings.simplefilter("ignore")
        target = archive.with_suffix(".tflite")
        keras.Model(model.input, without_activation(model.layers[-1])).export(
            target, format="litert", verbose=False, input_signature=signature,
            target_spec={"supported_ops": [operations]}, **options)
        return target.read_bytes()


def _samples(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for number, image in enumerate(images):
        values = as_input(image[np.newaxis])
        if number == 0:
            # Black and white, so that the scale of the input is 1/255 and no pixel is beyond it.
            values[0, 0, :2] = [[0], [1]]
        yield [values]
