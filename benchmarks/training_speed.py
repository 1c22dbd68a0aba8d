"""Images a second of a training step: this project, Keras as usual, and PyTorch.

Every figure is the median step of a process of its own on a batch that is kept in memory; the variants take turns,
and all of it is repeated, so that a slow minute of the machine hits all alike. The floating-point operations of the
network, counted by hand, and the product of two large matrices give the share of the machine's peak that is reached.

    python benchmarks/training_speed.py --json
    python benchmarks/training_speed.py --torch-python OTHER_ENVIRONMENT/bin/python

PyTorch is optional: without it (``pip install torch``, here or in the environment of ``--torch-python``) its rows
are skipped, and the reason is given.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

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
        result = peak() if variant == "peak" else measure(variant, int(size), options.batch, options.seconds)
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
        sizes[size] = _summary(found, size, peaks)
    return {"machine": about, "peak, GFLOP/s": peaks, "batch": options.batch,
            "operations, GFLOP an image": {size: operations(size) / 1e9 for size in options.sizes}, "sizes": sizes}


def _command(variant: str, size: int, options: argparse.Namespace) -> list[str]:
    if variant.startswith("PyTorch"):
        # About as many steps as the others take in their seconds.
        steps = max(8, round(options.seconds * 60 / options.batch * (224 / size) ** 2))
        return [options.torch_python, str(PEER), "train", "--size", str(size), "--batch", str(options.batch),
                "--steps", str(steps), "--precision", variant.split(", ")[1]]
    return [sys.executable, __file__, "--worker", variant, str(size), "--batch", str(options.batch),
            "--seconds", str(options.seconds)]


def _summary(found: dict[str, list[dict[str, Any]]], size: int, peaks: dict[str, float]) -> dict[str, Any]:
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
            "share of the matrix-product peak": rates["median"] * operations(size) / 1e9 / peaks[precision]}
        if "torch" in results[0]:
            summary[variant]["torch"] = results[0]["torch"]
    own = summary.get("covidcnn", {}).get("median")
    for variant, entry in summary.items():
        if own and "median" in entry and variant != "covidcnn":
            entry["covidcnn is faster by"] = own / entry["median"]
    return summary


def operations(size: int) -> float:
    """Floating-point operations of a training step, an image: two for each multiply-add; forward, and backward once
    for the weights and once for the inputs, which the first convolution does not need."""
    multiply_adds, first, channels, side = 0, 0, 1, size
    for kernels in (32, 64, 128, 256):
        layer = side**2 * 9 * channels * kernels
        first = first or layer
        multiply_adds += layer
        channels, side = kernels, side // 2
    multiply_adds += side**2 * channels * 128 + 128
    return 2.0 * (3 * multiply_adds - first)


def measure(variant: str, size: int, batch: int, seconds: float) -> dict[str, Any]:
    """One process: images a second of the compiled training step."""
    from covidcnn.backend import keras, tf
    from covidcnn.models.fused import training_form
    from covidcnn.models.paper_cnn import paper_cnn
    from covidcnn.training.fit import make_repeatable
    from covidcnn.training.precision import keras_policy, resolve_precision

    if variant.startswith("covidcnn"):
        # As the library trains, determinism included.
        make_repeatable(0)
        precision = "float32" if variant.endswith("float32") else resolve_precision("auto")
        model = training_form(paper_cnn(size), keras_policy(precision))
    else:
        precision = "bfloat16" if variant.endswith("bfloat16") else "float32"
        keras.mixed_precision.set_dtype_policy(keras_policy(precision))
        model = usual_keras(paper_cnn(size))
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
        del config["dtype"]
        return type(layer)(**config, dtype="float32" if layer.name == "output" else None)

    features = images = keras.Input(model.input_shape[1:])
    for layer in model.layers[1:]:
        features = rebuilt(layer)(features)
    return keras.Model(images, features)


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
