"""A budget as constraints on the costs and the latency of an architecture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from archsmith.problem import Constraint, Metric
from archsmith.problem.budget import Limit


def constraints_of(
    limits: tuple[Limit, ...], costs: Metric, latency: Metric | None
) -> tuple[Constraint, ...]:
    """A budget as constraints; latency by its table."""
    found = []
    for limit in limits:
        metric = latency if limit.metric == "latency" else costs
        assert metric is not None, "a latency limit needs a latency table"
        found.append(
            Constraint(limit.metric, metric, high=limit.value)
            if limit.op == "<="
            else Constraint(limit.metric, metric, low=limit.value)
        )
    return tuple(found)


def counted(
    limits: Iterable[Limit], names: tuple[str, ...] = ("params", "macs")
) -> tuple[str, ...]:
    """What `Costs` must count beside `names` for a budget; what is slow (memory: a trace of each
    network) only if bounded."""
    bounded = dict.fromkeys(limit.metric for limit in limits if limit.metric != "latency")
    return tuple(dict.fromkeys([*names, *bounded]))


def as_json(limit: Limit) -> dict[str, Any]:
    """A limit for the record."""
    return {
        "metric": limit.metric,
        "op": limit.op,
        "limit": limit.value,
        "unit": limit.unit,
        "text": str(limit),
    }
