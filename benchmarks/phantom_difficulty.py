"""What the phantom images teach: networks by condition, a ridge on 16 x 16 pixels, and size alone.

Draws 560 train, 16 val and 224 test phantoms into a temporary folder and trains the paper's network at the scale of the
profile 'quick' with each condition of notebook 03. The epoch is chosen on validation, cut from train by patient; the
threshold is 0.5. Prints one JSON object.

    python benchmarks/phantom_difficulty.py --data-seed 1
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from covidcnn.config import PROFILES
from covidcnn.data import phantom
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.evaluation.baselines import baseline_scores, baseline_table, image_measures, single_measure_auc
from covidcnn.imaging.transforms import ImageSettings, coarse_pixels
from covidcnn.training.comparison import compare, gap_table
from covidcnn.training.fit import train
from covidcnn.training.recipe import Recipe, profile_recipe
from covidcnn.training.result import Training

TREATMENTS = {
    "no processing": {}, "class weights": {"balance": "class-weight"}, "oversampling": {"balance": "oversample"},
    "flips and shifts": {"augmentation": "paper"},
    "flips, shifts and class weights": {"augmentation": "paper", "balance": "class-weight"},
    "flips, shifts and oversampling": {"augmentation": "paper", "balance": "oversample"},
    "flips, shifts and zoom": {"augmentation": "paper and zoom"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-seed", type=int, default=0, help="of the phantom images")
    parser.add_argument("--test-images", type=int, default=224)
    options = parser.parse_args()
    counts = {"train": 560, "val": 16, "test": options.test_images}
    with tempfile.TemporaryDirectory() as parent:
        folder, start = Path(parent) / "phantom", time.perf_counter()
        phantom.write_phantom(folder, counts, options.data_seed)
        seconds = time.perf_counter() - start
        dataset = open_dataset(folder)
        result = {
            "counts": counts, "data seed": options.data_seed, "generator version": phantom.GENERATOR_VERSION,
            "seconds to draw 800 images": round(800 * seconds / sum(counts.values()), 1),
            **size_and_ridge(dataset), **networks(dataset),
        }
    print(json.dumps(result, indent=2))


def size_and_ridge(dataset: DataSet) -> dict[str, object]:
    """AUC of size alone on training images, and the ridge's accuracy on test images."""
    images = load_images(dataset.root, dataset.images, ImageSettings(64))
    sizes = single_measure_auc(image_measures(dataset.images, images)).set_index("measure")["auc"]
    ridge = baseline_table(baseline_scores(dataset.images, coarse_pixels(images))).set_index("scored on")
    return {"AUC of pixel area": round(sizes["pixel area"], 3), "AUC of aspect": round(sizes["width / height"], 3),
            "ridge, test accuracy": round(ridge.loc["test", "accuracy"], 4)}


def networks(dataset: DataSet) -> dict[str, object]:
    """Means over seeds by condition."""
    profile = PROFILES["quick"]

    def trained(recipe: Recipe, seed: int) -> Training:
        print(f"{recipe.augmentation}, {recipe.balance}, seed {seed}", file=sys.stderr)
        return train(dataset, recipe, seed)

    recipes = {name: profile_recipe(profile, **changes) for name, changes in TREATMENTS.items()}
    results = compare(trained, recipes, profile.seeds).results
    others = results.pivot_table(index="recipe", columns="split", values=["sensitivity", "AUC"], sort=False)
    others.columns = [f"{measure}, {split}" for measure, split in others.columns]
    return {"image size": profile.image_size, "epochs": profile.epochs,
            "conditions": pd.concat([gap_table(results), others], axis=1).round(4).to_dict("index")}


if __name__ == "__main__":
    main()
