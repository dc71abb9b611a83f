"""The parts of a published network: its first stages, at a side of an image, as far as they keep a
budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import torch
from torch import nn

from archsmith.data import Seen
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import LAYERS, layer_sums
from archsmith.problem.budget import Limit
from archsmith.space import Architecture
from archsmith.spaces import build, described
from archsmith.spaces.reference import COUNTS

SMALLEST = 64  # side of an image that published weights make something of
_STRIDE = 32  # of a published network as a whole
SIDES = (224, 192, 160, 128, 96, SMALLEST)


@dataclass(frozen=True)
class Part:
    """The first stages of a published network, whole: where it ends, what it costs at a side."""

    arch: Architecture
    end: int
    side: int
    costs: Mapping[str, float]


def parts(
    space: str,
    seen: Seen,
    sides: Sequence[int],
    limits: Sequence[Limit],
    *,
    narrowest: bool = False,
) -> Iterator[Part]:
    """Those that keep the limits of what can be counted, side by side as they are given, the
    longest first; shares are of the whole network at that side. `narrowest`: all else is as small
    as there is, not whole."""
    published = described(space).pretrained
    assert published is not None
    model = build(space, seen.outputs, seen.channels, max(sides))
    decisions = search_space(model)
    whole = {name: max(options) for name, options in decisions.items()}
    least = {name: min(options) for name, options in decisions.items()}
    named = {"macs", "params", *(limit.metric for limit in limits)}

    @cache  # for as long as this is read
    def costs(arch: Architecture) -> Mapping[int, Mapping[str, float]]:
        plain = extract(model, arch, "fresh", device="meta").eval()
        return costs_at(plain, seen.channels, sides, named)

    entire = decisions.extreme(-1)
    chosen = least if narrowest else whole
    ends = sorted(decisions[published.cut], reverse=True)
    archs = {end: decisions.complete({**chosen, published.cut: end}, Random(0)) for end in ends}
    for side in sides:
        largest = costs(entire)[side]
        for end, arch in archs.items():
            own = costs(arch)[side]
            if all(_kept(limit, own, largest) for limit in limits if limit.metric in own):
                yield Part(arch, end, side, own)


def costs_at(
    plain: nn.Module, channels: int, sides: Sequence[int], named: set[str]
) -> dict[int, dict[str, float]]:
    """What can be counted of those that are named, by side.

    A convolutional network spends MACs on each pixel and, behind the pooling, on each image; where
    all maps halve evenly two sides tell those of the others.
    """
    even = [side for side in sorted(set(sides)) if side % _STRIDE == 0]
    if len(even) < 3 or not named <= {"macs", "params"}:
        return {side: _costs(plain, (channels, side, side), named) for side in sides}
    params = COUNTS["params"](plain, (channels, even[0], even[0]))
    known = {side: _costs(plain, (channels, side, side), {"macs"})["macs"] for side in even[:2]}
    (low, few), (high, many) = known.items()
    pixel = (many - few) / (high**2 - low**2)
    known |= {side: round(few + pixel * (side**2 - low**2)) for side in even[2:]}
    for side in set(sides) - set(even):
        known |= {side: _costs(plain, (channels, side, side), {"macs"})["macs"]}
    return {side: {"params": params, "macs": known[side]} for side in sides}


def _costs(plain: nn.Module, shape: tuple[int, int, int], named: set[str]) -> dict[str, float]:
    """Of those that are named what can be counted."""
    sums = layer_sums(plain, shape) if named & set(LAYERS) else {}
    return {name: count(plain, shape) for name, count in COUNTS.items() if name in named} | {
        name: value for name, value in sums.items() if name in named
    }


def _kept(limit: Limit, costs: Mapping[str, float], largest: Mapping[str, float]) -> bool:
    value = costs[limit.metric] / (largest[limit.metric] if limit.of else 1)
    return limit.excess(value) <= 0


def network(space: str, seen: Seen, part: Part) -> nn.Module:
    """A part, on the CPU, for timing: its weights are made up."""
    model = build(space, seen.outputs, seen.channels, part.side)
    return extract(model, part.arch, "fresh", torch.Generator().manual_seed(0))
