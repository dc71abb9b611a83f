"""What one would have picked by hand: a MobileNet of the same family, scaled to the budget at three depths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from archsmith.errors import UserError
from archsmith.metrics.cost import macs, params, peak_memory
from archsmith.models.mobilenet import fixed_mobilenet
from archsmith.seeding import mix
from archsmith.supernet import extract

_DEPTHS = (2, 3, 4)
_FINEST = 0.01  # steps of the width multiplier
_WIDEST = 16.0
_COUNT = {"params": lambda network, shape: params(network), "macs": macs, "memory": peak_memory}
BOUNDING = (*_COUNT, "latency")  # what it is scaled to; its depth is what it is


Headed = Callable[[nn.Module], nn.Module]


def _as_it_is(model: nn.Module) -> nn.Module:
    return model


@dataclass(frozen=True)
class Reference:
    """A hand-made network for so many `classes`, or other outputs: `depth` blocks in each stage, all widths times `width`,
    `head` channels before pooling.
    """

    name: str
    classes: int
    channels: int
    size: int
    depth: int
    width: float
    head: int

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.depth} blocks a stage, width x {self.width:.2f}, kernel 3, expansion 4, head {self.head}"

    def make(self, seed: int | None, headed: Headed = _as_it_is) -> nn.Module:
        """The plain network, freshly initialised; None: on `meta`, for counting. `headed` appends what must follow it."""
        with torch.device("meta"):
            model = headed(fixed_mobilenet(self.classes, self.channels, self.size, self.depth, self.width, self.head))
        if seed is None:
            return extract(model, {}, "fresh", device="meta")
        return extract(model, {}, "fresh", torch.Generator().manual_seed(mix(seed, self.name)))


def costs(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    """params, macs, memory."""
    return {name: count(network, shape) for name, count in _COUNT.items()}


def reference(
    classes: int,
    channels: int,
    size: int,
    limits: Mapping[str, float],
    latency_ms: Callable[[nn.Module], float] | None = None,
    headed: Headed = _as_it_is,
) -> list[Reference]:
    """One network per depth, each the widest that keeps every limit (upper ones, of params, macs, memory, latency).

    The width multiplier is found by halving, then the head is widened, channel by channel, up to the limit that binds, so that
    it is used to 95 % or more (of a latency limit as near as timing allows). Depths at which even the narrowest network is too
    large are left out. UserError where none fits. `latency_ms`: times a network that is on `meta`; needed for a latency limit.
    """
    known = BOUNDING if latency_ms is not None else tuple(_COUNT)
    unknown = sorted(set(limits) - set(known))
    if unknown or not limits:
        raise UserError(f"reference: limits {sorted(limits)} must be some of {', '.join(known)}")
    shape = (channels, size, size)

    def fits(candidate: Reference) -> bool:
        network = candidate.make(None, headed)
        counted = all(_COUNT[name](network, shape) <= limit for name, limit in limits.items() if name != "latency")
        return counted and ("latency" not in limits or latency_ms(network) <= limits["latency"])  # type: ignore[misc]

    found = []
    for depth in _DEPTHS:
        scaled = partial(_scaled, classes, channels, size, depth)
        steps = _largest(lambda n, scaled=scaled: fits(scaled(n)), int(_WIDEST / _FINEST))  # type: ignore[misc]
        if steps == 0:
            continue
        best = scaled(steps)
        wider = _largest(lambda n, best=best: fits(_widened(best, n)), 4096)  # type: ignore[misc]
        found.append(_widened(best, wider))
    if not found:
        text = ", ".join(f"{name}<={limit:,.0f}" for name, limit in limits.items())
        raise UserError(f"no MobileNet of {_DEPTHS} blocks a stage fits {text}; relax it, or give --no-reference")
    return found


def _scaled(classes: int, channels: int, size: int, depth: int, steps: int) -> Reference:
    width = steps * _FINEST
    return Reference(f"mobilenet-d{depth}", classes, channels, size, depth, width, max(8, round(128 * width)))


def _widened(best: Reference, more: int) -> Reference:
    return Reference(best.name, best.classes, best.channels, best.size, best.depth, best.width, best.head + more)


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest n in 0..most for which `fits(n)`, monotone, fits(0) taken for granted; found by halving."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
