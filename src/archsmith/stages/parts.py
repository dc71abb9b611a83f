"""The parts of a published network: its first stages, at a side of an image, as far as they keep a
budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
SIDES = (224, 192, 160, 128, 96, SMALLEST)


@dataclass(frozen=True)
class Part:
    """The first stages of a published network, whole: where it ends, what it costs at a side."""

    arch: Architecture
    end: int
    side: int
    costs: Mapping[str, float]


def parts(
    space: str, seen: Seen, side: int, limits: Sequence[Limit], *, narrowest: bool = False
) -> Iterator[Part]:
    """Those that keep the limits of what can be counted, the longest first; shares are of the
    whole network at that side. `narrowest`: all else is as small as there is, not whole."""
    published = described(space).pretrained
    assert published is not None
    shape = (seen.channels, side, side)
    model = build(space, seen.outputs, seen.channels, side)
    decisions = search_space(model)
    whole = {name: max(options) for name, options in decisions.items()}
    least = {name: min(options) for name, options in decisions.items()}

    def counted(arch: Architecture) -> Mapping[str, float]:
        return _costs(extract(model, arch, "fresh", device="meta").eval(), shape, named)

    named = {"macs", "params", *(limit.metric for limit in limits)}
    entire = decisions.extreme(-1)
    largest = counted(entire)
    for end in sorted(decisions[published.cut], reverse=True):
        chosen = least if narrowest else whole
        arch = decisions.complete({**chosen, published.cut: end}, Random(0))
        costs = largest if arch == entire else counted(arch)
        if all(_kept(limit, costs, largest) for limit in limits if limit.metric in costs):
            yield Part(arch, end, side, costs)


def _costs(plain: nn.Module, shape: tuple[int, int, int], named: set[str]) -> Mapping[str, float]:
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
