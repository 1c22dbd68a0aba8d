"""How much a score hangs on how an image was made small: the copy at 224 px that the evidence rests on against cv2.

The copy is Pillow's: bilinear over all the pixels that a new one covers, then JPEG of quality 75. A public recipe's
``cv2.resize`` of the original, bilinear too, looks at four pixels and skips the rest; cv2's 'area' averages them. The
paper's network learns from training images of the copy; then the same originals are scored, made small in each way.
Their patients are kept out of training, and images of test are neither learnt from nor scored. Prints one JSON object.

    python benchmarks/resize_scores.py --data chest_xray_224 --originals chest_xray_originals
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from common import machine

from covidcnn.data.dataset import open_dataset
from covidcnn.evaluation.metrics import confusion
from covidcnn.imaging.reading import read_grey
from covidcnn.imaging.transforms import ImageSettings, resize
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.training.fit import train
from covidcnn.training.recipe import Recipe

WAYS = {"cv2, linear": "linear", "cv2, area": "area"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the published images at 224 px")
    parser.add_argument("--originals", type=Path, required=True, help="some of its training images at their own size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=800, help="to learn from, validation among them")
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    before, dataset = machine(), open_dataset(options.data)
    paths = sorted(path.relative_to(options.originals).as_posix() for path in options.originals.glob("*/*/*.jpeg"))
    images = dataset.images
    scored = images[images["path"].isin(paths)]
    if len(scored) != len(paths) or set(scored["split"]) != {"train"}:
        sys.exit(f"{options.originals}: not all of its images are training images of {options.data}")
    others = images[(images["split"] == "train") & ~images["patient"].isin(scored["patient"])]
    dataset = replace(dataset, images=others.reset_index(drop=True))
    rows, right = [], {}
    for size in options.sizes:
        pixels = {"copy": np.stack([resize(read_grey(options.data / path), size) for path in paths])}
        originals = [cv2.imread(str(options.originals / path), cv2.IMREAD_GRAYSCALE) for path in paths]
        pixels |= {name: np.stack([resize(image, size, how) for image in originals]) for name, how in WAYS.items()}
        recipe = Recipe(options.epochs, ImageSettings(size), PaperCnn(batch_norm_momentum=0.9), augmentation="paper",
                        max_training_images=options.images, precision="float32")
        scores: dict[str, list[np.ndarray]] = {name: [] for name in pixels}
        for seed in range(options.seeds):
            training = train(dataset, recipe, seed, score_roles=("validation",))
            right.setdefault(f"{size} px", []).append(round(confusion(training.scores).accuracy, 4))
            for name, own in pixels.items():
                scores[name].append(training.predictor(own)[:, 1])
            print(f"{size} px, seed {seed}: validation accuracy {right[f'{size} px'][-1]}", file=sys.stderr)
        rows += [{"px": size, "instead of the copy": name, **change(zip(scores["copy"], scores[name], strict=True))}
                 for name in WAYS]
        # A yardstick: the same copy, scored by a training with another seed.
        rows.append({"px": size, "instead of the copy": "another seed", **change(combinations(scores["copy"], 2))})
    print(json.dumps({"machine": before, "originals": len(paths), "seeds": options.seeds,
                      "training and validation images": options.images, "epochs": options.epochs,
                      "validation accuracy": right, "rows": rows}, indent=2))


def change(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float | int]:
    """How far scores of the same images lie apart, over all images and pairs of scorings."""
    one, other = np.concatenate([np.stack(pair, axis=1) for pair in pairs]).T
    return {"mean change": round(float(np.mean(other - one)), 4),
            "mean absolute change": round(float(np.abs(other - one).mean()), 4),
            "largest": round(float(np.abs(other - one).max()), 4),
            "predictions that flip at 0.5": int(((one >= 0.5) != (other >= 0.5)).sum()), "predictions": len(one)}


if __name__ == "__main__":
    main()
