"""How long training takes: a few networks are timed, others are reckoned from what their layers do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsmith.space import Architecture
from archsmith.training.precision import tried
from archsmith.training.recipe import Precision, Recipe

COUNTS = ("depth", "outputs", "macs")  # names of `metrics.cost.Costs`
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
    precisions: Sequence[Precision] = (),
    class_counts: Sequence[int] | None = None,
    images: int = _BATCH,
    now: Callable[[], float] = time.perf_counter,
) -> Iterator[float]:
    """Milliseconds per image of a training step of each network: x (B, C, H, W), labels y (B,); augmentation not counted.

    `images`: of each batch that are taken, at most. `precisions`: timed is the fastest of these and the recipe's.
    """
    few = [(x[:images], y[:images]) for x, y in batches]
    for network in networks:
        found = tried(network, few, recipe, device=device, precisions=precisions, class_counts=class_counts, now=now)
        yield found.least_ms
