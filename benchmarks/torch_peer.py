"""The paper's network, or EfficientNet-Lite0, in PyTorch, for the speed benchmarks: a worker that prints one JSON
object.

It imports PyTorch and NumPy alone, and for EfficientNet-Lite0 the reference implementation, the package
``efficientnet-lite-pytorch``, so that it can run in an environment of its own (PyTorch is no dependency of the
project). The network, the batch and the optimizer are those of covidcnn, but for the reference implementation's stem,
which takes three channels, and its padding, which it writes as layers; its stochastic depth is switched off, as ours
has none. Memory is channels-last and products are in bfloat16 or float32. It is PyTorch as written, without
torch.compile.

    python benchmarks/torch_peer.py train --size 224 --batch 32 --steps 10 --precision bfloat16
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch
from torch import nn

WARM_UP = 3


class Lite0(nn.Module):
    """The reference implementation, for two classes and grey images: one of three equal channels."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.inner = EfficientNet.from_name("efficientnet-lite0", num_classes=1, drop_connect_rate=0.0)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.inner(pixels.expand(-1, 3, -1, -1))


def network(size: int, name: str) -> nn.Module:
    if name == "lite0":
        return Lite0().to(memory_format=torch.channels_last)
    layers: list[nn.Module] = []
    channels = 1
    for kernels in (32, 64, 128, 256):
        layers += [nn.Conv2d(channels, kernels, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(kernels, eps=1e-3),
                   nn.MaxPool2d(2)]
        channels = kernels
    layers += [nn.Dropout(0.2), nn.Flatten(), nn.Linear(256 * (size // 16) ** 2, 128), nn.ReLU(), nn.Dropout(0.2),
               nn.Linear(128, 1)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def images(count: int, size: int) -> torch.Tensor:
    pixels = np.random.default_rng(0).random((count, 1, size, size), dtype=np.float32)
    return torch.from_numpy(pixels).to(memory_format=torch.channels_last)


def train(name: str, size: int, batch: int, steps: int, mixed: bool) -> list[float]:
    """Seconds of each training step on one batch that is kept in memory."""
    model = network(size, name)
    optimizer = torch.optim.NAdam(model.parameters(), foreach=True)
    pixels, labels = images(batch, size), torch.arange(batch).remainder(2).float()[:, None]
    loss_of = nn.BCEWithLogitsLoss()
    seconds = []
    for _ in range(WARM_UP + steps):
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            output = model(pixels)
        loss = loss_of(output.float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - begin)
    return seconds[WARM_UP:]


def infer(name: str, size: int, batch: int, count: int, mixed: bool) -> float:
    """Seconds to score so many images, the second time."""
    model = network(size, name).eval()
    pixels = images(count, size)
    for _ in range(2):
        begin = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            for first in range(0, count, batch):
                torch.sigmoid(model(pixels[first : first + batch])).float().numpy()
        seconds = time.perf_counter() - begin
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("train", "infer"))
    parser.add_argument("--model", choices=("paper", "lite0"), default="paper")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--images", type=int, default=624)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    options = parser.parse_args()
    mixed = options.precision == "bfloat16"
    if options.task == "train":
        seconds = train(options.model, options.size, options.batch, options.steps, mixed)
        result = {"images per second": options.batch / statistics.median(seconds)}
    else:
        result = {"images per second": options.images / infer(
            options.model, options.size, options.batch, options.images, mixed)}
    result |= {"peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "torch": torch.__version__}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
