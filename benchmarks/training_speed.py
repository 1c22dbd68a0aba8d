"""Images a second of a training step, of the paper's network or EfficientNet-Lite0: this project, Keras as usual, and
PyTorch.

Every figure is the median step of a process of its own on a batch that is kept in memory; the variants take turns,
and all of it is repeated, so that a slow minute of the machine hits all alike. The floating-point operations of the
network, and the product of two large matrices, give the share of the machine's peak that is reached.

    python benchmarks/training_speed.py --json
    python benchmarks/training_speed.py --torch-python OTHER_ENVIRONMENT/bin/python
    python benchmarks/training_speed.py --model lite0 --sizes 224

PyTorch is optional: without it (``pip install torch``, here or in the environment of ``--torch-python``; for
EfficientNet-Lite0 ``efficientnet-lite-pytorch``, too) its rows are skipped, and the reason is given.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, run_worker, spread
from rich.console import Console
from rich.table import Table

VARIANTS = ("covidcnn", "covidcnn, float32", "Keras, float32", "Keras, mixed bfloat16", "PyTorch, bfloat16",
            "PyTorch, float32")
PEER = Path(__file__).with_name("torch_peer.py")
WARM_UP = 3
PEAK_SIDE = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("paper", "lite0"), default="paper")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128, 96, 64])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3, help="processes for each variant and size")
    parser.add_argument("--seconds", type=float, default=4.0, help="of timed steps in a process, about")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=2, metavar=("VARIANT", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        variant, size = options.worker
        result = peak() if variant == "peak" else measure(
            options.model, variant, int(size), options.batch, options.seconds)
        print(json.dumps(result))
        return
    report = compare(options)
    print(json.dumps(report, indent=2)) if options.json else show(report)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run all workers, variants taking turns."""
    about = machine()
    peaks = run_worker([sys.executable, __file__, "--worker", "peak", "0"])
    if "skipped" in peaks:
        raise SystemExit(f"the matrix product could not be measured: {peaks['skipped']}")
    sizes = {}
    for size in options.sizes:
        found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in options.variants}
        for _ in range(options.repeats):
            for variant, results in found.items():
                results.append(run_worker(_command(variant, size, options)))
        sizes[size] = _summary(found, operations(options.model, size), peaks)
    return {"machine": about, "model": options.model, "peak, GFLOP/s": peaks, "batch": options.batch,
            "operations, GFLOP an image": {size: operations(options.model, size) / 1e9 for size in options.sizes},
            "sizes": sizes}


def _command(variant: str, size: int, options: argparse.Namespace) -> list[str]:
    if variant.startswith("PyTorch"):
        # About as many steps as the others take in their seconds.
        steps = max(8, round(options.seconds * 60 / options.batch * (224 / size) ** 2))
        return [options.torch_python, str(PEER), "train", "--model", options.model, "--size", str(size), "--batch",
                str(options.batch), "--steps", str(steps), "--precision", variant.split(", ")[1]]
    return [sys.executable, __file__, "--model", options.model, "--worker", variant, str(size), "--batch",
            str(options.batch), "--seconds", str(options.seconds)]


def _summary(found: dict[str, list[dict[str, Any]]], operations: float, peaks: dict[str, float]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for variant, results in found.items():
        failed = [result for result in results if "skipped" in result]
        if failed:
            summary[variant] = failed[0]
            continue
        rates = spread([result["images per second"] for result in results])
        precision = results[0].get("precision", variant.split()[-1])
        summary[variant] = rates | {
            "peak memory MB": max(result["peak memory MB"] for result in results),
            "share of the matrix-product peak": rates["median"] * operations / 1e9 / peaks[precision]}
        if "torch" in results[0]:
            summary[variant]["torch"] = results[0]["torch"]
    own = summary.get("covidcnn", {}).get("median")
    for variant, entry in summary.items():
        if own and "median" in entry and variant != "covidcnn":
            entry["covidcnn is faster by"] = own / entry["median"]
    return summary


def network(name: str, size: int) -> Any:
    """With weights of a seed."""
    from covidcnn.models.registry import model_named, untrained
    from covidcnn.task import PNEUMONIA

    return untrained(model_named(name)()).build(PNEUMONIA, size, 0)


def operations(name: str, size: int) -> float:
    """Floating-point operations of a training step, an image: two for each multiply-add; forward, and backward once
    for the weights and once for the inputs, which the first convolution does not need."""
    from covidcnn.backend import keras
    from covidcnn.models.inspect import multiply_adds

    model = network(name, size)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    _, height, width, kernels = first.output.shape
    return 2.0 * (3 * multiply_adds(model) - height * width * kernels * int(np.prod(first.kernel.shape[:3])))


def measure(name: str, variant: str, size: int, batch: int, seconds: float) -> dict[str, Any]:
    """One process: images a second of the compiled training step."""
    from covidcnn.backend import keras, tf
    from covidcnn.models.fused import training_form
    from covidcnn.training.fit import make_repeatable
    from covidcnn.training.precision import keras_policy, resolve_precision

    if variant.startswith("covidcnn"):
        # As the library trains, determinism included.
        make_repeatable(0)
        precision = "float32" if variant.endswith("float32") else resolve_precision("auto")
        model = training_form(network(name, size), keras_policy(precision))
    else:
        precision = "bfloat16" if variant.endswith("bfloat16") else "float32"
        keras.mixed_precision.set_dtype_policy(keras_policy(precision))
        model = usual_keras(network(name, size))
    model.compile(optimizer="nadam", loss="binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    pixels = tf.random.stateless_uniform((batch, size, size, 1), seed=(0, 0))
    labels = tf.cast(tf.range(batch)[:, tf.newaxis] % 2, tf.float32)
    batches = iter(tf.data.Dataset.from_tensors((pixels, labels)).cache().repeat())
    model.make_train_function()
    taken: list[float] = []
    begin = 0.0
    while len(taken) < WARM_UP + 5 or time.perf_counter() < begin + seconds:
        if len(taken) == WARM_UP:
            begin = time.perf_counter()
        start = time.perf_counter()
        model.train_function(batches)
        taken.append(time.perf_counter() - start)
    return {"images per second": batch / statistics.median(taken[WARM_UP:]), "precision": precision,
            "peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def usual_keras(model: Any) -> Any:
    """The same layers under the global policy, as a user of Keras would write them; output in float32."""
    from covidcnn.backend import keras

    def rebuilt(layer: Any) -> Any:
        config = layer.get_config()
        config.pop("dtype", None)
        return type(layer)(**config, dtype="float32" if layer is model.layers[-1] else None)

    return keras.models.clone_model(model, clone_function=rebuilt)


def peak() -> dict[str, float]:
    """GFLOP/s of the product of two large matrices in each precision, the best of five."""
    from covidcnn.backend import tf

    rates = {}
    for kind in (tf.float32, tf.bfloat16):
        matrix = tf.cast(tf.random.stateless_normal((PEAK_SIDE, PEAK_SIDE), seed=(0, 0)), kind)
        product = tf.function(lambda one: tf.linalg.matmul(one, one))
        product(matrix)
        best = float("inf")
        for _ in range(5):
            begin = time.perf_counter()
            product(matrix).numpy()
            best = min(best, time.perf_counter() - begin)
        rates[kind.name] = 2 * PEAK_SIDE**3 / best / 1e9
    return rates


def show(report: dict[str, Any]) -> None:
    table = Table("px", "variant", "images/s", "lowest to highest", "share of peak", "covidcnn is faster by",
                  title=report["machine"]["processor"])
    for size, summary in report["sizes"].items():
        for variant, entry in summary.items():
            if "skipped" in entry:
                table.add_row(str(size), variant, "skipped", entry["skipped"])
                continue
            faster = entry.get("covidcnn is faster by")
            table.add_row(str(size), variant, f"{entry['median']:.1f}", f"{entry['min']:.1f} to {entry['max']:.1f}",
                          f"{entry['share of the matrix-product peak']:.0%}", f"{faster:.2f}" if faster else "")
    Console().print(table)


if __name__ == "__main__":
    main()
