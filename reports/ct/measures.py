"""What single numbers of a file or slice of COVID-CT tell of its class, among training slices, into measures.csv:

    python reports/ct/measures.py covid_ct
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from covidcnn.cli import main
from covidcnn.cli.common import open_data_of
from covidcnn.data.cache import load_images
from covidcnn.evaluation.baselines import IMAGE_MEASURES, image_measures, single_measure_auc
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.paths import replacing
from covidcnn.study.protocol import read_study

app = typer.Typer(add_completion=False)


@app.command()
def measures(data: Annotated[Path, typer.Argument(help="The folder that covidcnn data fetch covid-ct made.")]) -> None:
    """Write measures.csv beside the protocol."""
    protocol = read_study("ct")
    dataset = open_data_of(data, protocol.data, protocol.path, "covidcnn data fetch covid-ct")
    images = dataset.images[dataset.images["split"] == "train"]
    pixels = load_images(dataset.root, images, ImageSettings(64))
    found = image_measures(images, pixels).assign(**{
        "file is a PNG": images["path"].str.lower().str.endswith(".png").astype(int),
        # A slice is dark there: a letter, an arrow, or the page that it was cut from.
        "light corners": (np.concatenate([pixels[:, :12, [*range(12), *range(-12, 0)]],
                                          pixels[:, -12:, [*range(12), *range(-12, 0)]]], axis=1) >= 200).mean((1, 2))})
    sources = IMAGE_MEASURES | {"file is a PNG": "file name", "light corners": "pixels"}
    with replacing(protocol.path.with_name("measures.csv")) as temporary:
        single_measure_auc(found, 1000, protocol.task, sources).to_csv(temporary, index=False, float_format="%.4f")


if __name__ == "__main__":
    main(app, "measures.py")
