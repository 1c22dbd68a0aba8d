"""Getting images to the network: augmentation, the input pipeline, decoding and caching, memory.

    python benchmarks/data_speed.py --data FOLDER --json

- augmentation: the paper's flips and shifts, and the public recipe's rotation and zoom besides, on the same images,
  here and in Keras's ImageDataGenerator, taking turns;
- pipeline: training steps fed with augmented images, beside the same compiled step on one batch kept in memory,
  taking turns;
- decoding: all images of FOLDER into an empty cache, then again from the cache, beside one epoch of
  ImageDataGenerator.flow_from_directory over the same files; opening the folder (every image is checked and hashed
  once) is given beside it, for it is part of a first run;
- memory: peak of a process that shows all images of a generated array once to the network's input and trains on
  every tenth batch, for 10,000 and for 100,000 images at 64 px.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, run_worker, status_mb

SHIFT = 0.1
STEPS = 15
PARTS = ("augmentation", "pipeline", "decoding", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="images in the published layout")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128, 64], help="for the pipeline")
    parser.add_argument("--repeats", type=int, default=12, help="turns of fed and constant steps")
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000], help="for memory")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--json", action="store_true", help="indented, for reading; the content is the same")
    parser.add_argument("--worker", nargs=2, metavar=("PART", "NUMBER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    workers = {"augmentation": augmentation, "pipeline": pipeline, "decoding": decoding, "memory": memory}
    if options.worker:
        part, number = options.worker
        print(json.dumps(workers[part](options, int(number))))
        return

    def ask(part: str, number: int = 0) -> dict[str, Any]:
        command = [sys.executable, __file__, "--data", options.data, "--repeats", str(options.repeats)]
        return run_worker([*command, "--worker", part, str(number)])

    report: dict[str, Any] = {"machine": machine()}
    for part in options.parts:
        numbers = {"augmentation": options.sizes, "pipeline": options.sizes, "memory": options.images}.get(part)
        report[part] = {number: ask(part, number) for number in numbers} if numbers else ask(part)
    print(json.dumps(report, indent=2 if options.json else None))


def augmentation(options: argparse.Namespace, size: int) -> dict[str, dict[str, float]]:
    """Images a second by the name of the augmentation."""
    import cv2

    cv2.setNumThreads(1)
    images = np.random.default_rng(0).integers(0, 256, (512, size, size), np.uint8)
    return {"paper": _augmented(images, "paper", options.repeats),
            "public recipe": _augmented(images, "public recipe", options.repeats, rotation_range=30, zoom_range=0.2)}


def _augmented(images: np.ndarray, name: str, repeats: int, **ranges: float) -> dict[str, float]:
    """Images a second, medians over turns: one after the other on one thread, and in batches as ``model.fit`` gets
    them, for which the library uses two threads and ``flow`` one."""
    from covidcnn.augment import AUGMENTATIONS, augment_images
    from covidcnn.backend import tf
    from covidcnn.data.pipeline import training_batches

    keras_generator = tf.keras.preprocessing.image.ImageDataGenerator(
        horizontal_flip=True, width_shift_range=SHIFT, height_shift_range=SHIFT, rescale=1 / 255, **ranges)
    generator, labels = np.random.default_rng(0), np.arange(len(images)) % 2
    as_keras_wants = images[..., np.newaxis].astype(np.float32)
    ours = iter(training_batches(images, labels, np.arange(len(images)), batch_size=32, seed=0, epochs=range(1000),
                                 augmentation=AUGMENTATIONS[name]))
    theirs = keras_generator.flow(as_keras_wants, labels, batch_size=32)
    shown = {
        "covidcnn, one thread": (128, lambda: augment_images(list(images[:128]), AUGMENTATIONS[name], generator)),
        "ImageDataGenerator, one thread": (32, lambda: [keras_generator.random_transform(image)
                                                        for image in as_keras_wants[:32]]),
        "covidcnn, batches": (640, lambda: [next(ours) for _ in range(20)]),
        "ImageDataGenerator, batches": (64, lambda: [next(theirs) for _ in range(2)])}
    seconds: dict[str, list[float]] = {what: [] for what in shown}
    for _ in range(repeats):
        for what, (number, run) in shown.items():
            begin = time.perf_counter()
            run()
            seconds[what].append((time.perf_counter() - begin) / number)
    rates = {f"{what}, images/s": 1 / statistics.median(taken) for what, taken in seconds.items()}
    for how in ("one thread", "batches"):
        rates[f"covidcnn is faster by, {how}"] = statistics.median(
            peer / own for own, peer in zip(seconds[f"covidcnn, {how}"], seconds[f"ImageDataGenerator, {how}"],
                                            strict=True))
    return rates


def pipeline(options: argparse.Namespace, size: int) -> dict[str, float]:
    """Images a second of fed and of constant steps; the share is the median over turns."""
    from covidcnn.augment import AUGMENTATIONS
    from covidcnn.backend import tf
    from covidcnn.data.cache import load_images
    from covidcnn.data.dataset import open_dataset
    from covidcnn.data.pipeline import training_batches
    from covidcnn.imaging.transforms import ImageSettings

    dataset = open_dataset(options.data)
    images = dataset.images[dataset.images["split"] == "train"].reset_index(drop=True)
    pixels, labels = load_images(dataset.root, images, ImageSettings(size)), dataset.task.encode(images["label"])
    model = _compiled(size)
    fed = iter(training_batches(pixels, labels, np.arange(len(images)), batch_size=32, seed=0, epochs=range(1000),
                                augmentation=AUGMENTATIONS["paper"]))
    batch = next(fed)
    constant = iter(tf.data.Dataset.from_tensors(batch).cache().repeat())
    # Both are shown once before: the step is traced for both kinds of iterator.
    _seconds(model, fed, 3), _seconds(model, constant, 3)
    # Many short turns: what else the machine does hits both kinds. After a turn of constant steps
    # four fed batches lie ready, two fetched ahead and two in the making; they are not counted.
    turns = []
    for _ in range(options.repeats):
        _seconds(model, fed, 4)
        turns.append((_seconds(model, fed, STEPS), _seconds(model, constant, STEPS)))
    ratios = [sum(other) / sum(one) for one, other in turns]
    return {"fed, images/s": 32 / statistics.mean(second for one, _ in turns for second in one),
            "constant, images/s": 32 / statistics.mean(second for _, other in turns for second in other),
            "share": statistics.median(ratios), "shares": [round(ratio, 3) for ratio in ratios]}


def decoding(options: argparse.Namespace, _: int) -> dict[str, float]:
    """Seconds for all images at 224 px."""
    from covidcnn.backend import tf
    from covidcnn.data.cache import load_images
    from covidcnn.data.dataset import open_dataset
    from covidcnn.imaging.transforms import ImageSettings

    # Read once beforehand, so that no one is the first to fetch the files from the disk.
    for path in Path(options.data).rglob("*"):
        if path.is_file():
            path.read_bytes()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["COVIDCNN_CACHE"] = cache
        for turn in ("covidcnn, first", "covidcnn, from the cache"):
            begin = time.perf_counter()
            dataset = open_dataset(options.data)
            seconds |= {"images": len(dataset.images), f"{turn}, opening": time.perf_counter() - begin}
            begin = time.perf_counter()
            images = load_images(dataset.root, dataset.images, ImageSettings(224))
            for first in range(0, len(images), 32):
                np.asarray(images[first : first + 32]).sum()
            seconds[turn] = time.perf_counter() - begin
    begin = time.perf_counter()
    for split in sorted(set(dataset.images["split"])):
        flow = tf.keras.preprocessing.image.ImageDataGenerator().flow_from_directory(
            dataset.root / split, target_size=(224, 224), color_mode="grayscale", class_mode="binary", batch_size=32,
            shuffle=False)
        for index in range(len(flow)):
            flow[index]
    seconds["ImageDataGenerator, one epoch"] = time.perf_counter() - begin
    return seconds


def memory(options: argparse.Namespace, count: int) -> dict[str, float]:
    """Peak memory in MB, of all pages and of those that are not files."""
    from covidcnn.augment import AUGMENTATIONS
    from covidcnn.data.pipeline import training_batches

    with tempfile.TemporaryDirectory() as folder:
        path, generator = Path(folder) / "images.npy", np.random.default_rng(0)
        # Not through a map: its pages would stay in the peak of this process for good.
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (count, 64, 64)})
            for first in range(0, count, 1000):
                file.write(generator.integers(0, 256, (min(1000, count - first), 64, 64), np.uint8).tobytes())
        images, labels = np.load(path, mmap_mode="r"), np.arange(count) % 2
        model = _compiled(64)
        largest, trained = {"RssAnon": 0.0, "RssFile": 0.0}, 0
        batches = training_batches(images, labels, np.arange(count), batch_size=32, seed=0, epochs=range(1),
                                   augmentation=AUGMENTATIONS["paper"])
        for number, (pixels, targets) in enumerate(batches):
            if number % 10 == 0:
                model.train_on_batch(pixels, targets)
                trained += 1
            largest = {name: max(value, status_mb(name)) for name, value in largest.items()}
    return {"peak MB": status_mb("VmHWM"), "largest without files MB": largest["RssAnon"],
            "largest of files MB": largest["RssFile"], "steps trained": trained}


def _compiled(size: int) -> Any:
    """The network as the library trains it."""
    from covidcnn.models.fused import training_form
    from covidcnn.models.paper_cnn import paper_cnn
    from covidcnn.training.fit import make_repeatable
    from covidcnn.training.precision import keras_policy, resolve_precision

    make_repeatable(0)
    model = training_form(paper_cnn(size), keras_policy(resolve_precision("auto")))
    model.compile(optimizer="nadam", loss="binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.make_train_function()
    return model


def _seconds(model: Any, batches: Any, steps: int) -> list[float]:
    """Of each step."""
    taken = []
    for _ in range(steps):
        begin = time.perf_counter()
        model.train_function(batches)
        taken.append(time.perf_counter() - begin)
    return taken


if __name__ == "__main__":
    main()
