"""The parts of a published network: its first stages, at a side of an image, as far as they keep a
budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from torch import nn

from archsmith.data import Seen
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import macs, params
from archsmith.problem.budget import Limit
from archsmith.space import Architecture
from archsmith.spaces import build, described

SMALLEST = 64  # side of an image that published weights make something of
SIDES = (224, 192, 160, 128, 96, SMALLEST)


@dataclass(frozen=True)
class Part:
    """The first stages of a published network, whole: where it ends, what it costs at a side."""

    arch: Architecture
    end: int
    side: int
    macs: int
    params: int


def parts(space: str, seen: Seen, side: int, limits: Sequence[Limit]) -> Iterator[Part]:
    """Those that keep the upper limits of MACs and parameters, the longest first."""
    published = described(space).pretrained
    assert published is not None
    model = build(space, seen.outputs, seen.channels, side)
    decisions = search_space(model)
    whole = {name: max(options) for name, options in decisions.items()}
    bounds: dict[str, float] = {}
    for end in sorted(decisions[published.cut], reverse=True):
        arch = decisions.complete({**whole, published.cut: end}, Random(0))
        plain = extract(model, arch, "fresh", device="meta").eval()
        part = Part(arch, end, side, macs(plain, (seen.channels, side, side)), params(plain))
        costs = {"macs": part.macs, "params": part.params}
        if not bounds:  # of the largest, of which some limits are shares
            bounds = {
                limit.metric: limit.value * (costs[limit.metric] if limit.of else 1)
                for limit in limits
                if limit.metric in costs
            }
        if all(value <= bounds.get(name, value) for name, value in costs.items()):
            yield part


def network(space: str, seen: Seen, part: Part) -> nn.Module:
    """A part, on the CPU, for timing: its weights are made up."""
    import torch

    model = build(space, seen.outputs, seen.channels, part.side)
    return extract(model, part.arch, "fresh", torch.Generator().manual_seed(0))
