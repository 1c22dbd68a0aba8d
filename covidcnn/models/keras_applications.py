"""Networks of ``keras.applications``, from weights learnt on ImageNet, which Keras fetches at the first use.

MobileNetV2: Sandler and others (2018). DenseNet121: Huang and others (2017), known from chest X-rays by CheXNet.
ResNet50V2: He and others (2016).
"""

import itertools
import warnings
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic.dataclasses import dataclass

from covidcnn.errors import UserError
from covidcnn.models.options import Pretrained, initial_weights, one_of
from covidcnn.task import Task

if TYPE_CHECKING:
    from covidcnn.backend import keras

# The grey of 0..1 is scaled as its ImageNet images were: of each channel the mean, and the standard deviation.
_SCALES = {"MobileNetV2": ((0.5,) * 3, (0.5,) * 3), "ResNet50V2": ((0.5,) * 3, (0.5,) * 3),
           "DenseNet121": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


@dataclass(frozen=True)
class KerasApplication(Pretrained):
    """MobileNetV2, DenseNet121 or ResNet50V2 of keras.applications, learnt on ImageNet.

    Keras fetches their weights, and keeps them.
    """

    network: Annotated[str, one_of(_SCALES, "network")] = "MobileNetV2"
    smallest_image: ClassVar[int] = 32

    def build(self, task: Task, image_size: int, seed: int) -> "keras.Model":
        """The network in plain Keras: see ``registry.Model``. A UserError if its weights cannot be fetched."""
        from covidcnn.backend import keras

        layers, positions = keras.layers, itertools.count()
        mean, deviation = _SCALES[self.network]
        image = keras.Input((image_size, image_size, 1), name="image")
        scaled = layers.Rescaling([1 / one for one in deviation],
                                  [-middle / one for middle, one in zip(mean, deviation, strict=True)], name="scale")(
            layers.Concatenate(name="three_channels")([image] * 3))
        try:
            with warnings.catch_warnings():
                # Of MobileNetV2 at other sizes: that the weights learnt at 224 px are taken.
                warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
                theirs = getattr(keras.applications, self.network)(
                    include_top=False, weights="imagenet" if self.pretrained else None, input_tensor=scaled,
                    pooling="avg", name=self.network)
        except Exception as error:  # Keras raises just that where it cannot fetch
            if not self.pretrained:
                raise
            raise UserError(f"the ImageNet weights of {self.network} cannot be had ({error}); go online, take "
                            "the model lite0, whose weights a package brings, or set pretrained to false") from error

        def with_options(layer: keras.layers.Layer) -> keras.layers.Layer:
            """The layer with initial weights of our seed, and our momentum."""
            config = layer.get_config()
            own = {"kernel_initializer": initial_weights(seed, next(positions)), "momentum": self.batch_norm_momentum}
            own["depthwise_initializer"] = own["kernel_initializer"]
            return type(layer).from_config(config | {name: own[name] for name in own.keys() & config.keys()})

        backbone = keras.models.clone_model(theirs, clone_function=with_options)
        if self.pretrained:
            backbone.set_weights(theirs.get_weights())
        backbone.trainable = self.trainable == "all"
        features = layers.Dropout(self.dropout, seed=1000 * seed + 901, name="dropout")(backbone.outputs[0])
        output = layers.Dense(task.outputs, activation=task.activation, kernel_initializer=initial_weights(seed, 902),
                              name="output")(features)
        return keras.Model(backbone.inputs[0], output, name=self.network)
