"""What one would write by hand: a ResNet-like and an airbench-like CNN within the budget, trained
for the whole time.

`python benchmarks/training/plain_cnn.py clothes --kind airbench --seconds 600` prints one JSON
object. Of archsmith it uses the reading of images alone, so that split and pixels are those of the
search. Learning rate, decay and input size were chosen by short trainings, on validation images
(benchmarks/RESULTS.md). airbench (K. Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU,
2024): its whitening of patches, its identities to begin with, its GELU and scaled outputs, without
its test-time augmentation.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from image_sets import GROUPS, SETS, source
from torch import Tensor, nn

from archsmith.data import load

BUDGET = (300_000, 20_000_000)  # parameters, MACs
SIZES = {"clothes": 96, "cells": 64}  # pixels; others are as large as they are
NO_FLIP = ("digits", "mnist")
KINDS = ("resnet", "airbench")


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He and others, 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _conv(inputs, outputs, stride), _conv(outputs, outputs, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        return F.relu(y + self.shortcut(x))


def _conv(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def resnet(channels: int, classes: int, size: int, width: int) -> nn.Sequential:
    """Three stages of two blocks, after a stem that halves large images once or twice."""
    layers: list[nn.Module] = [
        _conv(channels, width, 2 if size > 40 else 1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    if size > 80:
        layers.append(nn.MaxPool2d(2))
    inputs = width
    for stage, times in enumerate((1, 2, 4)):
        for block in range(2):
            layers.append(Block(inputs, width * times, 2 if stage and not block else 1))
            inputs = width * times
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def airbench(channels: int, classes: int, size: int, width: int) -> nn.Sequential:
    """Whitened patches, then groups of two convolutions of which the first is pooled."""
    patches = 2 * channels * 4
    layers: list[nn.Module] = [
        nn.Conv2d(channels, patches, 2, 2 if size > 80 else 1, bias=True),
        nn.GELU(),
    ]
    inputs = patches
    groups = (1, 3, 4) if size > 12 else (1, 2)
    for times in (*groups, 4) if size > 40 else groups:
        outputs = width * times
        layers += [_conv(inputs, outputs, 1), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.GELU()]
        layers += [_conv(outputs, outputs, 1), nn.BatchNorm2d(outputs), nn.GELU()]
        inputs = outputs
    return nn.Sequential(
        *layers,
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, classes, bias=False),
        Scaled(),
    )


class Scaled(nn.Module):
    """A third of what comes in."""

    def forward(self, x: Tensor) -> Tensor:
        """x -> x / 3."""
        return x / 3


def whitened(first: nn.Conv2d, images: Tensor) -> None:
    """The first convolution's filters: principal directions of the patches and their opposites,
    scaled to unit variance."""
    patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, first.in_channels * 4)
    values, vectors = torch.linalg.eigh(torch.cov((patches - patches.mean(0)).T))
    filters = (vectors / (values + 1e-2).sqrt()).T.reshape(-1, first.in_channels, 2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.cat([filters, -filters]))
        first.bias.zero_()  # type: ignore[union-attr]
    first.weight.requires_grad_(False)


def identical(network: nn.Module) -> None:
    """Each 3 x 3 convolution begins by passing on its channels, in as many filters as there are
    channels."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            nn.init.dirac_(layer.weight[: layer.in_channels])


def counted(network: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Parameters and MACs."""
    found = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal found
        assert isinstance(module, nn.Conv2d | nn.Linear)
        found += module.weight[0].numel() * output[0].numel()

    hooks = [
        m.register_forward_hook(count)
        for m in network.modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in network.parameters()), found


def widest(kind: str, channels: int, classes: int, size: int) -> nn.Sequential:
    """As wide as the budget allows."""
    make = {"resnet": resnet, "airbench": airbench}[kind]
    width = 4
    while True:
        found = counted(make(channels, classes, size, width + 1), (channels, size, size))
        if any(count > limit for count, limit in zip(found, BUDGET, strict=True)):
            break
        width += 1
    return make(channels, classes, size, width)


def augmented(x: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its side, mirrored in half of the cases."""
    count, _, size, _ = x.shape
    most = max(1, size // 8) if flip else 1
    padded = F.pad(x, (most,) * 4, mode="reflect")
    row, column = torch.randint(0, 2 * most + 1, (2, count), generator=generator)
    rows, columns = row[:, None] + torch.arange(size), column[:, None] + torch.arange(size)
    if flip:
        columns = torch.where(
            torch.rand(count, 1, generator=generator) < 0.5, columns.flip(1), columns
        )
    return padded[
        torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]
    ].permute(0, 3, 1, 2)


def pixels(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> about -2 to 2, channels last."""
    return ((images.float() / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Of the images as they are."""
    network.eval()
    pairs = zip(images.split(500), labels.split(500), strict=True)
    return sum(int((network(pixels(x)).argmax(1) == y).sum()) for x, y in pairs) / len(labels)


def main() -> None:
    """Trains one network and prints how good it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--kind", choices=KINDS, default="resnet")
    parser.add_argument("--seconds", type=float, default=600.0, help="in all, reading included")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of training instead")
    parser.add_argument("--lr", type=float, default=None)
    parser.add_argument("--decay", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/plain"))
    asked = parser.parse_args()
    now = time.process_time if asked.cpu else time.monotonic
    began = time.monotonic()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    size = asked.size or SIZES.get(asked.set)
    data = load(
        source(asked.set, asked.data, asked.work),
        size=size,
        seed=asked.seed,
        group=GROUPS.get(asked.set),
    )
    parts = {
        name: (part.images(range(len(part))), torch.as_tensor(part.labels))
        for name, part in data.parts.items()
    }
    network = widest(asked.kind, data.channels, len(data.classes), data.size)
    costs = counted(network, (data.channels, data.size, data.size))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, labels = parts["train"]
    if asked.kind == "airbench":
        first = network[0]
        assert isinstance(first, nn.Conv2d)
        identical(network)
        whitened(first, pixels(images[:2000]))
    batch = min(asked.batch, max(8, len(labels) // 16))
    peak = (asked.lr or {"resnet": 0.4, "airbench": 0.4}[asked.kind]) * (batch / 128) ** 0.5
    weights = [p for p in network.parameters() if p.requires_grad]
    matrices, vectors = [p for p in weights if p.dim() > 1], [p for p in weights if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": asked.decay}, {"params": vectors}]
    optimizer = torch.optim.SGD(groups, lr=peak, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(asked.seed)
    flip = asked.set not in NO_FLIP
    start, step = now() if asked.cpu else began, 0
    order: Tensor = torch.empty(0, dtype=torch.long)
    first_step = now()
    while (share := (now() - start) / asked.seconds) < 0.995:
        if len(order) < batch:
            order = torch.randperm(len(labels), generator=generator)
        chosen, order = order[:batch], order[batch:]
        warm = (first_step - start) / asked.seconds + 0.1
        lr = (
            peak
            * min(1.0, share / warm)
            * 0.5
            * (1 + math.cos(math.pi * max(0.0, share - warm) / (1 - warm)))
        )
        for group in optimizer.param_groups:
            group["lr"] = lr
        network.train()
        x = augmented(images[chosen], flip, generator)
        loss = F.cross_entropy(network(pixels(x)), labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    found: dict[str, object] = {
        name: round(accuracy(network, *parts[name]), 4)
        for name in (("val",) if asked.cpu else ("val", "test"))
    }
    found |= {
        "set": asked.set,
        "kind": asked.kind,
        "size": data.size,
        "params": costs[0],
        "macs": costs[1],
        "lr": peak,
    }
    found |= {
        "decay": asked.decay,
        "batch": batch,
        "seed": asked.seed,
        "passes": round(step * batch / len(labels), 1),
    }
    print(json.dumps({**found, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
