"""What the paper leaves open about its network."""

from dataclasses import asdict, fields

import pandas as pd

from covidcnn.backend import keras
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import KERNEL, PaperCnn
from covidcnn.training.recipe import Recipe


def assumptions(model: keras.Model) -> pd.DataFrame:
    """``left open by the paper`` about its network, and what is ``taken here``: all but the division by 255 is read
    from the model as it was built, or from the library's defaults."""
    default, images = asdict(PaperCnn()), {field.name: field.default for field in fields(ImageSettings)}
    second, pooling = model.get_layer("convolution_2"), model.get_layer("pooling_1")
    normalisation = model.get_layer("normalisation_1")
    names = [layer.name for layer in model.layers]
    block = " - ".join(f"Conv2D ({second.activation.__name__})" if isinstance(layer, keras.layers.Conv2D)
                       else type(layer).__name__ for layer in model.layers[1:4])
    dropouts = "; ".join(f"between {names[position - 1]} and {names[position + 1]}"
                         for position, name in enumerate(names) if name.startswith("dropout"))
    return pd.DataFrame({
        "filters in convolutions 2 to 4 (the first has 32)": ", ".join(map(str, default["filters"][1:])),
        "size of the kernels there (the first: 3 x 3)": f"{KERNEL} x {KERNEL}",
        "padding of convolutions": second.padding,
        "stride of convolutions, of pooling": f"{second.strides[0]}, {pooling.strides[0]}",
        "order within a block": block,
        "activation of convolutions 2 to 4": second.activation.__name__,
        "from maps to a vector": type(model.get_layer("flatten")).__name__,
        "dropout rate": default["dropout"],
        "places of the two dropouts": dropouts,
        "momentum of batch normalisation": f"{default['batch_norm_momentum']} (this model: {normalisation.momentum:g})",
        "epsilon of batch normalisation": normalisation.epsilon,
        "initial weights": type(second.kernel_initializer).__name__,
        "weight decay": "none" if second.kernel_regularizer is None else str(second.kernel_regularizer),
        "batch size": Recipe.batch_size,
        "interpolation of the resizing": images["interpolation"],
        "pixel values": "divided by 255",
    }.items(), columns=["left open by the paper", "taken here"]).astype(str)
