"""How hard the phantom films are: the paper's network, a ridge on 16 x 16 pixels, and size alone.

Draws 560 train, 16 val and 2,000 test phantoms into a temporary folder and trains the network at the scale
of the profile 'quick', without and with the paper's augmentation. The epoch is chosen on validation, cut
from train by patient; the threshold is 0.5. Prints one JSON object.

    python benchmarks/phantom_difficulty.py --data-seed 1
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from covidcnn.data import phantom
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.shortcuts import coarse_pixels, film_measures, floor_scores, floor_table, single_measure_auc
from covidcnn.imaging.transforms import ImageSettings
from covidcnn.models.paper_cnn import PaperCnn
from covidcnn.training.comparison import summary
from covidcnn.training.fit import train
from covidcnn.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-seed", type=int, default=0, help="of the phantom films")
    parser.add_argument("--seeds", type=int, default=5, help="trainings with each augmentation")
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    counts = {"train": 560, "val": 16, "test": options.test_images}
    with tempfile.TemporaryDirectory() as parent:
        folder, start = Path(parent) / "phantom", time.perf_counter()
        phantom.write_phantom(folder, counts, options.data_seed)
        seconds = time.perf_counter() - start
        dataset = open_dataset(folder)
        result = {
            "counts": counts, "data seed": options.data_seed, "generator version": phantom.GENERATOR_VERSION,
            "image size": options.image_size, "epochs": options.epochs,
            "seconds to draw 800 films": round(800 * seconds / sum(counts.values()), 1),
            **size_and_ridge(dataset),
            **{f"network, augmentation {name}": network(dataset, options, name) for name in ("none", "paper")},
        }
    print(json.dumps(result, indent=2))


def size_and_ridge(dataset: DataSet) -> dict[str, object]:
    """AUC of size alone on training films, and the ridge's accuracy on test films."""
    images = load_images(dataset.root, dataset.films, ImageSettings(64))
    sizes = single_measure_auc(film_measures(dataset.films, images)).set_index("measure")["auc"]
    ridge = floor_table(floor_scores(dataset.films, coarse_pixels(images))).set_index("scored on")
    return {"AUC of pixel area": round(sizes["pixel area"], 3), "AUC of aspect": round(sizes["width / height"], 3),
            "ridge, test accuracy": round(ridge.loc["test", "accuracy"], 4)}


def network(dataset: DataSet, options: argparse.Namespace, augmentation: str) -> dict[str, object]:
    """Test results of each seed, and the median accuracy."""
    recipe = Recipe(epochs=options.epochs, images=ImageSettings(options.image_size), augmentation=augmentation,
                    model=PaperCnn(batch_norm_momentum=0.9))
    runs = []
    for seed in range(options.seeds):
        scores = train(dataset, recipe, seed).scores
        runs.append({f"{split} {name}": round(value, 4) for split, films in scores.groupby("split")
                     for name, value in summary(films).items()})
        print(f"{augmentation}, seed {seed}: test accuracy {runs[-1]['test accuracy']}", file=sys.stderr)
    return {"median test accuracy": statistics.median(run["test accuracy"] for run in runs), "runs": runs}


if __name__ == "__main__":
    main()
