"""A budget as constraints on the costs and the latency of an architecture, its shares made numbers
by what the largest network of the space costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from archsmith.metrics.cost import Costs
from archsmith.problem import Constraint, Metric
from archsmith.problem.budget import Limit, require_room
from archsmith.space import Architecture, SearchSpace

_SLOW = ("memory", "latency")  # a trace, or a time, of each network


def resolved(limits: Iterable[Limit], largest: Callable[[str], float]) -> tuple[Limit, ...]:
    """The limits with absolute ones for shares of what the largest network costs; others as they
    are.

    `largest`: metric -> that cost, in the metric's own unit; asked only where there is such a
    share. Raises UserError where a share and an absolute limit leave nothing between them.
    """
    bounds = tuple(
        replace(limit, value=_whole(limit.value * largest(limit.metric)), of="", asked=limit)
        if limit.of
        else limit
        for limit in limits
    )
    require_room(bounds)
    return bounds


def _whole(value: float) -> float:
    """Without what multiplying adds at the end: 0.29 x 100 is 29, not 28.999999999999996."""
    return float(f"{value:.12g}")


def largest(
    space: SearchSpace, costs: Costs, latency: Callable[[Architecture], float] | None = None
) -> Callable[[str], float]:
    """Metric -> the most that a network of the space costs, as far as climbing from the ends of the
    space finds it.

    Options need not ascend, so the last of each (`SearchSpace.extreme`) may make a small network: a
    cell of nothing but pooling. `costs`: what it counts can be asked for, and must hold params and
    macs. Memory, and `latency` (ms), which take long for each network: the most of those with the
    most MACs and the most parameters.
    """

    @cache
    def network(name: str) -> Architecture:
        count = costs.showing(name)
        return climbed(space, lambda arch: count(arch)[name])

    def most(name: str) -> float:
        if name not in _SLOW:
            return costs.showing(name)(network(name))[name]
        archs = dict.fromkeys((network("macs"), network("params")))
        if name == "memory":
            return max(costs.showing(name)(arch)[name] for arch in archs)
        assert latency is not None, "a latency limit needs a latency table"
        return max(latency(arch) for arch in archs)

    return most


def climbed(space: SearchSpace, cost: Callable[[Architecture], float]) -> Architecture:
    """From the end of the space that costs more, one decision after the other to the option that
    costs most, until none costs more."""
    ends = [end for end in (space.extreme(-1), space.extreme(0)) if space.contains(end)]
    arch = max(ends or [space.sample(Random(0))], key=cost)
    value, before = cost(arch), -math.inf
    while value > before:
        before = value
        for name in space:
            best = max(space.neighbors(arch, (name,)), key=cost, default=arch)
            if (most := cost(best)) > value:
                arch, value = best, most
    return arch


def constraints_of(
    limits: tuple[Limit, ...], costs: Metric, latency: Metric | None
) -> tuple[Constraint, ...]:
    """A budget as constraints; latency by its table."""
    constraints = []
    for limit in limits:
        assert not limit.of, "shares are resolved first"
        metric = latency if limit.metric == "latency" else costs
        assert metric is not None, "a latency limit needs a latency table"
        constraints.append(
            Constraint(limit.metric, metric, high=limit.value)
            if limit.op == "<="
            else Constraint(limit.metric, metric, low=limit.value)
        )
    return tuple(constraints)


def counted(
    limits: Iterable[Limit], names: tuple[str, ...] = ("params", "macs")
) -> tuple[str, ...]:
    """What `Costs` must count beside `names` for a budget; what is slow (memory: a trace of each
    network) only if bounded."""
    bounded = dict.fromkeys(limit.metric for limit in limits if limit.metric != "latency")
    return tuple(dict.fromkeys([*names, *bounded]))


def as_json(limit: Limit) -> dict[str, Any]:
    """A limit for the record, with the share that it was asked for as, where it was."""
    return {
        "metric": limit.metric,
        "op": limit.op,
        "limit": limit.value,
        "unit": limit.unit,
        "text": str(limit),
        **({} if limit.asked is None else {"share": limit.asked.value}),
    }
