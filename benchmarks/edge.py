"""Networks on a small device: file size, milliseconds an image, memory, and whether int8 predicts what Keras does.

    python benchmarks/edge.py MODEL.keras --data FOLDER --json

The model is exported as ``covidcnn export`` does it, calibrated on images of FOLDER that it was trained on. Each form
then scores the test images, which are prepared and in memory, in a process of its own: bound to one core, and on all.
LiteRT takes one image at a time, Keras batches of 64, as ``covidcnn predict`` has them. A first image is not counted;
times are medians of three turns. Memory is the peak of the whole process, Python and its packages included.
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
from scipy.special import logit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL.keras")
    parser.add_argument("--data", metavar="DIR", help="the images that it was trained on, with a test split")
    parser.add_argument("--json", action="store_true", help="indented, for reading; the content is the same")
    parser.add_argument("--worker", nargs=3, metavar=("MODEL", "IMAGES", "CORES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        model, images, cores = options.worker
        print(json.dumps(score(Path(model), Path(images), int(cores))))
        return
    report: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        report |= measure(options, Path(folder))
    print(json.dumps(report, indent=2 if options.json else None))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Export, score with each form, compare."""
    from covidcnn.data.cache import load_images
    from covidcnn.data.dataset import open_dataset
    from covidcnn.evaluation.metrics import evaluate_scores
    from covidcnn.evaluation.scores import score_table
    from covidcnn.models.litert import calibration_images, save_litert
    from covidcnn.models.model_file import load_model

    model, facts = load_model(options.model)
    dataset = open_dataset(options.data, task=facts.task)
    images = dataset.images[dataset.images["split"] == "test"]
    np.save(folder / "images.npy", load_images(dataset.root, images, facts.images))
    forms = {"keras": options.model, "float32": folder / "float32.tflite", "int8": folder / "int8.tflite"}
    save_litert(forms["float32"], model, facts)
    save_litert(forms["int8"], model, facts, calibration_images(dataset, facts))
    report: dict[str, Any] = {"model": facts.model, "image size": facts.images.size, "data": dataset.name,
                              "test images": len(images)}
    logits = {}
    for name, path in forms.items():
        report[name] = {"MB": path.stat().st_size / 1e6}
        for cores in (1, os.cpu_count() or 1):
            # The cores that the libraries' threads see are those of the process when it starts.
            done = run_worker([sys.executable, __file__, "--worker", str(path), str(folder / "images.npy"), str(cores)])
            if "skipped" in done:
                raise SystemExit(f"{name}: {done['skipped']}")
            probabilities = np.array(done.pop("probabilities"))
            report[name][f"{cores} core{'s'[: cores > 1]}"] = done
        metrics = evaluate_scores(score_table(images, probabilities, facts.task), facts.threshold, 100, task=facts.task)
        report[name] |= {measure: metrics[measure].value for measure in ("accuracy", "auc")}
        predicted = facts.task.predict(probabilities, facts.threshold)
        # Keras's own, of float32, may be exactly 0 or 1.
        logits[name] = logit(np.clip(probabilities[:, 1], 1e-7, 1 - 1e-7))
        if name == "keras":
            expected, source = predicted, probabilities
        change = logits[name] - logits["keras"]
        report[name] |= {"predictions as in Keras": float((predicted == expected).mean()),
                         "largest change of a probability": float(abs(probabilities - source).max()),
                         "mean change of the logit": float(change.mean()), "its spread": float(change.std())}
    return report


def score(model: Path, images: Path, cores: int) -> dict[str, Any]:
    """Milliseconds an image, peak memory, and the probabilities."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    from covidcnn.models.model_file import load_predictor

    pixels = np.load(images)
    predictor, _ = load_predictor(model)
    predictor(pixels[:1])
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        probabilities = predictor(pixels)
        seconds.append(time.perf_counter() - begin)
    return {"ms an image": 1000 * statistics.median(seconds) / len(pixels), "peak memory MB": status_mb("VmHWM"),
            "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    main()
