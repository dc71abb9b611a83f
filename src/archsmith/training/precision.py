"""Which precision trains fastest here: a few steps in each, of one network on one batch after
another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from archsmith.training.loop import train_step
from archsmith.training.recipe import Precision, Recipe, learning_rate
from archsmith.training.state import TrainState, start
from archsmith.training.step import Backward, forward, loss_of, whole
from archsmith.training.threads import threaded

_STEPS = 2  # timed in each after one that warms up; the fastest counts
# images of the first steps in another precision: emulated, a whole batch takes seconds (result
# emulated-bf16)
_FEW = 4
_EMULATED = 4.0  # times as long with so few images: not tried further
_PAYS = 0.95  # of the time, at most, for another precision than the recipe's
_SAME = 0.02  # relative difference of the losses, at most, that counts as the same


@dataclass(frozen=True)
class Tried:
    """Milliseconds of a step per image in each precision that was tried, and which of them to train
    in."""

    ms: Mapping[str, float]
    fastest: Precision

    @property
    def least_ms(self) -> float:
        """In that one."""
        return self.ms[self.fastest]


def tried(
    network: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    recipe: Recipe,
    *,
    device: torch.device,
    precisions: Sequence[Precision] = (),
    class_counts: Sequence[int] | None = None,
    backward: Backward = whole,
    now: Callable[[], float] = time.perf_counter,
    judge: Callable[[], float] | None = None,
) -> Tried:
    """Trains the network a few steps on batches x (B, C, H, W), labels y (B,), in the recipe's
    precision and in `precisions`.

    Another precision than the recipe's is taken where it is faster by a twentieth and gives the
    same loss to 2 % on the first batch: by the clock `judge`, if not by `now` (CPU time, where
    other processes disturb). One that takes far longer for a few images is tried no further.
    `backward`: what a step computes. The network is moved and changed.
    """
    state = start(network, recipe, device=device, class_counts=class_counts)
    ready = [
        (x.to(device).contiguous(memory_format=torch.channels_last), y.to(device))
        for x, y in batches
    ]
    others = [precision for precision in precisions if precision != recipe.precision]
    with threaded(backward, state.module) as step:
        timed = partial(_timed, state, clocks=(now, judge or now), backward=step)
        ms: dict[str, float] = _of_few(state, timed, others, ready[0]) if others else {}
        close = [one for one in others if ms.get(one, math.inf) <= _EMULATED * ms[recipe.precision]]
        expected = _loss(state, recipe.precision, *ready[0]) if close else 0.0
        losses = {one: _loss(state, one, *ready[0]) for one in close}
        fastest = recipe.precision
        ms[fastest], judged = timed(ready, precision=fastest)
        for one in close:
            if not abs(losses[one] - expected) <= _SAME * abs(expected):  # nan too
                del ms[one]
                continue
            ms[one], other = timed(ready, precision=one)
            if other < _PAYS * judged:
                fastest, judged = one, other
    return Tried(ms, fastest)


def _of_few(
    state: TrainState,
    timed: Callable[..., tuple[float, float]],
    others: Sequence[Precision],
    batch: tuple[Tensor, Tensor],
) -> dict[str, float]:
    """Milliseconds per image of a step of few images in the recipe's precision and in the others
    that the network takes."""
    x, y = batch[0][:_FEW], batch[1][:_FEW]
    own = state.recipe.precision
    takes = [own, *(one for one in others if math.isfinite(_loss(state, one, x, y)))]
    return {one: timed([(x, y)], precision=one, steps=1)[0] for one in takes}


def _timed(
    state: TrainState,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    clocks: tuple[Callable[[], float], Callable[[], float]],
    backward: Backward,
    precision: Precision,
    steps: int = _STEPS,
) -> tuple[float, float]:
    """Milliseconds per image by two clocks: the least of so many steps after one that warms up."""
    own, state.recipe = state.recipe, replace(state.recipe, precision=precision)
    taken: list[tuple[float, ...]] = []
    for step in range(1 + steps):
        x, y = batches[step % len(batches)]
        began = _read(clocks)
        loss = train_step(state, x, y, learning_rate(state.recipe, 0.01), backward=backward)
        float(loss)  # reading it waits for the device
        taken.append(
            tuple(
                1e3 * (end - start) / len(x)
                for start, end in zip(began, _read(clocks), strict=True)
            )
        )
    state.recipe = own
    first, second = (min(times) for times in zip(*taken[1:], strict=True))
    return first, second


def _read(clocks: tuple[Callable[[], float], Callable[[], float]]) -> tuple[float, float]:
    now = clocks[0]()
    return now, now if clocks[1] is clocks[0] else clocks[1]()


@torch.no_grad()
def _loss(state: TrainState, precision: Precision, x: Tensor, y: Tensor) -> float:
    """Of the network as it is, in training mode."""
    before, state.recipe = state.recipe, replace(state.recipe, precision=precision)
    try:
        return float(loss_of(state, forward(state, x), y))
    except RuntimeError:  # a layer of the user's own that knows float32 alone
        return float("nan")
    finally:
        state.recipe = before
