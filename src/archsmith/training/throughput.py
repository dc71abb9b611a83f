"""How long training takes: a few networks are timed, others are reckoned from what their layers
do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsmith._internal.onednn import sound
from archsmith.space import Architecture
from archsmith.training.precision import tried
from archsmith.training.recipe import Precision, Recipe
from archsmith.training.state import TrainState, start
from archsmith.training.step import Step
from archsmith.training.threads import LEAST, threaded

COUNTS = ("depth", "outputs", "macs")  # names of `metrics.cost.Costs`
_BATCH = 32  # images of a batch, at most: the pace is per image
_STEPS, _SLOW_S = 2, 1.0  # timed after one that warms up, which is believed where it takes so long
_SHARED = 4  # threads that have LEAST images each, at most


@dataclass(frozen=True)
class Pace:
    """Metric: architecture -> milliseconds of training per image, the weighted sum of what `costs`
    counts in it."""

    costs: Callable[[Architecture], Mapping[str, float]]
    weights: Mapping[str, float]
    name: str = "train_ms"

    def __call__(self, arch: Architecture) -> float:
        """arch -> ms per image."""
        counts = self.costs(arch)
        return sum(weight * counts[name] for name, weight in self.weights.items())


def images_per_second(
    network: nn.Module,
    shape: tuple[int, int, int],
    recipe: Recipe,
    *,
    device: torch.device,
    now: Callable[[], float] = time.monotonic,
) -> float:
    """Of one network in training, on random images of `shape` (C, H, W); the faster of a few steps.
    It is moved and changed.

    Bounded: a first step that takes a second is the only one.
    """
    count = LEAST * (min(torch.get_num_threads(), _SHARED) if device.type == "cpu" else 1)
    state = start(network, recipe, device=device)
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    x, taken = x.to(device, memory_format=torch.channels_last), []
    with threaded(Step(_learn), state.module) as step, sound(state.module):
        for _ in range(1 + _STEPS):
            began = now()
            step(state, x, x, 0.0)
            state.optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(now() - began)
            if taken[0] > _SLOW_S:
                break
    return count / min(taken[1:] or taken)


def _learn(state: TrainState, x: Tensor, y: Tensor, drawn: Sequence[Architecture]) -> Tensor:
    loss = state.module(x).square().mean()  # any will do
    loss.backward()
    return loss.detach()


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
    """Milliseconds per image of a training step of each network: x (B, C, H, W), labels y (B,);
    augmentation not counted.

    `images`: of each batch that are taken, at most. `precisions`: timed is the fastest of these and
    the recipe's.
    """
    few = [(x[:images], y[:images]) for x, y in batches]
    for network in networks:
        trial = tried(
            network,
            few,
            recipe,
            device=device,
            precisions=precisions,
            class_counts=class_counts,
            now=now,
        )
        yield trial.least_ms
