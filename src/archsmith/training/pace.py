"""How long training takes: a few networks are timed, others are reckoned from what their layers do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsmith.space import Architecture
from archsmith.training.loop import train_step
from archsmith.training.recipe import Recipe, learning_rate
from archsmith.training.state import start

COUNTS = ("depth", "outputs", "macs")  # names of `metrics.cost.Costs`
_STEPS = 2  # timed after one that warms up; the fastest counts
_BATCH = 32  # images of a batch, at most: the pace is per image


@dataclass(frozen=True)
class Pace:
    """Metric: architecture -> milliseconds of training per image, the weighted sum of what `costs` counts in it."""

    costs: Callable[[Architecture], Mapping[str, float]]
    weights: Mapping[str, float]
    name: str = "train_ms"

    def __call__(self, arch: Architecture) -> float:
        """arch -> ms per image."""
        counts = self.costs(arch)
        return sum(weight * counts[name] for name, weight in self.weights.items())


def timed(
    networks: Iterable[nn.Module],
    batches: Sequence[tuple[Tensor, Tensor]],
    recipe: Recipe,
    *,
    device: torch.device,
    class_counts: Sequence[int] | None = None,
    images: int = _BATCH,
    now: Callable[[], float] = time.perf_counter,
) -> Iterator[float]:
    """Milliseconds per image of a training step of each network: x (B, C, H, W), labels y (B,); augmentation not counted.

    `images`: of each batch that are taken, at most.
    """
    for network in networks:
        state = start(network, recipe, device=device, class_counts=class_counts)
        taken = []
        for step in range(1 + _STEPS):
            x, y = batches[step % len(batches)]
            x, y = x[:images], y[:images]
            x = x.to(device).contiguous(memory_format=torch.channels_last)
            began = now()
            float(train_step(state, x, y.to(device), learning_rate(recipe, 0.01)))  # reading the loss waits for the device
            taken.append(1e3 * (now() - began) / len(x))
        yield min(taken[1:])
