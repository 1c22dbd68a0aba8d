"""How far this goes: time, memory and disk for a data set of any size, from what is measured on this machine.

    python benchmarks/scaling.py --data FOLDER --originals FOLDER --images 377000 --megapixels 7.8

``--data`` holds images to train on, ``--originals`` some as they come from a hospital, for the time that decoding
takes. Everything else is arithmetic on these: images that are shown by images a second. Prints what was measured as
JSON, and the table of docs/scaling.md. A GPU is not asked for: its column rests on the pilot of benchmarks/README.md.
"""

import argparse
import json
import math
import os
import pickle
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import machine

from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.index import content_hash
from covidcnn.imaging.reading import in_threads, read_grey
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.training.fit import select_images
from covidcnn.trials.forecast import forecast, stored_bytes
from covidcnn.trials.spec import parse_sweep

SIZES = (64, 128, 224)
EPOCHS, OPTIMIZERS, SEEDS = 10, 6, 5
GPU_CORES = 16
GPU_STEPS = {64: 650, 128: 650, 224: 1000 / 3.1}
"""Steps of 32 images a second on one H200: of ten processes together at 128 px, taken for 64 px too; of one alone at
224 px."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--originals", type=Path, required=True)
    parser.add_argument("--images", type=int, default=377_000)
    parser.add_argument("--megapixels", type=float, default=7.8, help="of an image as it comes")
    options = parser.parse_args()
    about = machine()
    dataset = open_dataset(options.data)
    measured = {"decoding": decoding(options.originals), "training": {
        size: training(dataset, size) for size in SIZES}, "table": table(dataset, options.images)}
    print(json.dumps({"machine": about, "measured": measured}, indent=2))
    print(predicted(measured, options.images, options.megapixels).to_markdown())


def decoding(folder: Path) -> dict[str, float]:
    """Megapixels a second, all cores, to 224 px."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpeg", ".jpg", ".png"))
    begin = time.monotonic()
    areas = list(in_threads(decoded_area, paths))
    return {"files": len(paths), "mean megapixels": sum(areas) / len(areas) / 1e6,
            "megapixels a second": sum(areas) / 1e6 / (time.monotonic() - begin)}


def decoded_area(path: Path) -> int:
    pixels = read_grey(path)
    ImageSettings(224).prepare(pixels)
    return pixels.size


def training(dataset: DataSet, size: int) -> dict[str, float]:
    """Images a second that are learnt from, and memory, as the forecast of a sweep has them."""
    expected, longer = (forecast(trials(dataset, size, epochs), dataset) for epochs in (1, 2))
    images = select_images(dataset.images, trials(dataset, size, 1)[0].recipe, 0)["role"].value_counts()
    return {"images a second": (images["train"] + images["validation"] / 3) / (
        longer.seconds[0] - expected.seconds[0]), "memory GB": expected.memory_bytes / 1e9}


def trials(dataset: DataSet, size: int, epochs: int) -> list[Any]:
    return parse_sweep({"seeds": [0], "recipe": {"epochs": epochs, "size": size, "augmentation": "paper"}}).trials(
        dataset.content_hash)


def table(dataset: DataSet, images: int) -> dict[str, float]:
    """What the table of so many images takes: in memory, to be sent, to be hashed and split, in the store."""
    drawn = dataset.images.iloc[np.arange(images) % len(dataset.images)].reset_index(drop=True)
    numbers = pd.Series([f"{number:07d}" for number in range(images)])
    # Of its own for each image, as long as MIMIC-CXR's names: pickle writes equal texts once.
    hashes = numbers.map(lambda number: sha256(number.encode()).hexdigest())
    many = replace(dataset, images=drawn.assign(path="train/" + drawn["label"] + "/" + hashes.str[:40] + ".jpeg",
                                                sha256=hashes, patient="p" + numbers.str[:-1], split="train"))
    begin = time.monotonic()
    content_hash(many.images)
    hashed = time.monotonic()
    trial = trials(many, 64, EPOCHS)[0]
    with_roles = select_images(many.images, trial.recipe, 0)
    end = time.monotonic()
    return {"MB in memory": many.images.memory_usage(deep=True).sum() / 1e6, "MB sent": len(pickle.dumps(many)) / 1e6,
            "seconds to hash": hashed - begin, "seconds to split": end - hashed,
            "MB in the store a training": stored_bytes(trial, with_roles) / 1e6}


def predicted(measured: dict[str, Any], images: int, megapixels: float) -> pd.DataFrame:
    """Hours, GB and MB on one machine like this, on eight, and on a node with a GPU."""
    cores = os.cpu_count() or 1
    decode = images * megapixels / measured["decoding"]["megapixels a second"] / 3600
    # Every image is decoded once to be looked at, and once to be kept.
    looked = [decode, decode, decode * cores / GPU_CORES]
    rows = {"index, hours": looked, "decode, hours": looked}
    for size in SIZES:
        speed = measured["training"][size]["images a second"]
        one, on_gpu = (images * EPOCHS / rate / 3600 for rate in (speed, 32 * GPU_STEPS[size]))
        together = OPTIMIZERS * SEEDS
        # Eight machines do not share a training.
        rows[f"{together} trainings at {size} px, hours"] = [
            together * one, math.ceil(together / 8) * one, together * on_gpu]
        rows[f"decoded images at {size} px, GB"] = [images * size**2 / 1e9] * 3
    rows["store, MB"] = [OPTIMIZERS * SEEDS * measured["table"]["MB in the store a training"]] * 3
    figures = pd.DataFrame(rows, index=["this machine", "eight of it", f"one GPU, {GPU_CORES} cores"]).T
    return figures.map(lambda value: f"{value:,.2g}" if value < 10 else f"{value:,.0f}")


if __name__ == "__main__":
    main()
