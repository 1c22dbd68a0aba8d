"""Images a second and memory of scoring a labelled folder, beside plain model.predict and PyTorch.

    python benchmarks/inference_speed.py --data FOLDER --json

Each in a process of its own, a network of random weights at 224 px. ``covidcnn evaluate`` is measured as a user has
it: decoding, scoring and every metric with its interval, first with an empty cache and then again. The peers get
arrays that are in memory already. PyTorch is optional (see training_speed.py).
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, run_worker

PEER = Path(__file__).with_name("torch_peer.py")
SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="images in the published layout")
    parser.add_argument("--split", default="test", help="the split to score")
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--json", action="store_true", help="indented, for reading; the content is the same")
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "IMAGES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, images = options.worker
        print(json.dumps(evaluate(options) if kind == "evaluate" else predict(int(images))))
        return
    own = [sys.executable, __file__, "--data", options.data, "--split", options.split, "--worker"]
    report: dict[str, Any] = {"machine": machine(), "covidcnn evaluate": run_worker([*own, "evaluate", "0"])}
    if "skipped" in report["covidcnn evaluate"]:
        raise SystemExit(f"covidcnn evaluate failed: {report['covidcnn evaluate']['skipped']}")
    images = str(report["covidcnn evaluate"]["images"])
    report["Keras model.predict"] = run_worker([*own, "predict", images])
    for precision in ("float32", "bfloat16"):
        report[f"PyTorch, {precision}"] = run_worker(
            [options.torch_python, str(PEER), "infer", "--images", images, "--batch", "64", "--precision", precision])
    print(json.dumps(report, indent=2 if options.json else None))


def evaluate(options: argparse.Namespace) -> dict[str, float]:
    """The library's whole way from files to metrics."""
    from covidcnn.data.dataset import open_dataset
    from covidcnn.evaluation.folder import evaluate_model
    from covidcnn.imaging.transforms import ImageSettings
    from covidcnn.models.model_file import ModelFacts, save_model
    from covidcnn.models.paper_cnn import paper_cnn

    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVIDCNN_CACHE"] = folder
        model = Path(folder) / "model.keras"
        save_model(model, paper_cnn(SIZE), ModelFacts(ImageSettings(SIZE), 0.5, "0.5", {}))
        for turn in ("empty cache", "again"):
            begin = time.perf_counter()
            # Opened anew each time, as the command does it.
            dataset = open_dataset(options.data)
            result[f"seconds to open the folder, {turn}"] = time.perf_counter() - begin
            result["images"] = evaluate_model(model, dataset, options.split)["n"]
            result[f"images per second, {turn}"] = result["images"] / (time.perf_counter() - begin)
    return result | _memory()


def predict(images: int) -> dict[str, float]:
    """``model.predict`` on a float32 array, the second call."""
    from covidcnn.models.paper_cnn import paper_cnn

    model = paper_cnn(SIZE)
    pixels = np.random.default_rng(0).random((images, SIZE, SIZE, 1), dtype=np.float32)
    for _ in range(2):
        begin = time.perf_counter()
        model.predict(pixels, batch_size=64, verbose=0)
        seconds = time.perf_counter() - begin
    return {"images per second": images / seconds} | _memory()


def _memory() -> dict[str, float]:
    return {"peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    main()
