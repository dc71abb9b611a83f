"""A small network with every kind of tensor a checkpoint must hold, and a stream whose batch is a
function of its step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Depthwise and 1 x 1 convolution with a residual connection, and a buffer that is not
    persistent."""

    counter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.inner = nn.BatchNorm2d(channels)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.2)
        self.register_buffer("counter", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.counter += 1.0
        return x + self.norm(self.project(self.drop(torch.relu(self.inner(self.depthwise(x))))))


def network(seed: int = 0, classes: int = 4) -> nn.Sequential:
    """Input (B, 1, 8, 8)."""
    before = torch.default_generator.get_state()
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        Block(8),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, classes),
    )
    torch.default_generator.set_state(before)
    return net


def batch(step: int, count: int = 16, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Classes differ by the quadrant that is bright; learnable in a few dozen steps."""
    generator = torch.Generator().manual_seed(step)
    y = torch.randint(0, classes, (count,), generator=generator)
    x = torch.randn(count, 1, 8, 8, generator=generator)
    for i, label in enumerate(y.tolist()):
        row, column = 4 * (label // 2 % 2), 4 * (label % 2)
        x[i, 0, row : row + 4, column : column + 4] += 1.5
    return x.contiguous(memory_format=torch.channels_last), y


def stream(start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches start, start + 1, ..."""
    return (batch(step) for step in itertools.count(start))


class Clock:
    """A clock that tests turn by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time
