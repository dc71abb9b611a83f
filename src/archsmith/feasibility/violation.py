"""How far an architecture is from the limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from archsmith.errors import UserError
from archsmith.problem import Constraint, Metric, distinct, name_of, read, reason_of
from archsmith.space import Architecture


class Gauge:
    """How far an architecture is from meeting the constraints: the sum of relative excesses, inf
    where a metric fails."""

    def __init__(
        self, constraints: Sequence[Constraint], weights: Sequence[float] | None = None
    ) -> None:
        self.constraints = tuple(constraints)
        self.weights = tuple(weights or [1.0] * len(self.constraints))
        self.calls = 0
        self.failure: str | None = None
        metrics = distinct(self.constraints)
        self._metrics: list[tuple[Metric, list[tuple[Constraint, float]]]] = [
            (
                m,
                [
                    (c, w)
                    for c, w in zip(self.constraints, self.weights, strict=True)
                    if c.metric == m
                ],
            )
            for m in metrics
        ]

    def violation(self, arch: Architecture) -> float:
        """0 where everything is kept."""
        self.calls += 1
        total = 0.0
        for metric, limits in self._metrics:
            try:
                answer = metric(arch)
                for constraint, weight in limits:
                    total += weight * constraint.excess(read(answer, constraint.name, metric))
            except UserError:
                raise
            except Exception as error:  # an architecture that cannot be measured does not fit
                self.failure = f"{name_of(metric)}: {reason_of(error)}"
                return math.inf
        return total

    def complete(self, values: Mapping[str, float]) -> bool:
        """Whether `values` holds every constrained one: no metric failed."""
        return len(values) == len({constraint.name for constraint in self.constraints})

    def values(self, arch: Architecture) -> dict[str, float]:
        """The constrained values, without those that a metric fails to give as a finite number."""
        self.calls += 1
        values: dict[str, float] = {}
        for metric, limits in self._metrics:
            try:
                answer = metric(arch)
                for constraint, _ in limits:
                    value = read(answer, constraint.name, metric)
                    if math.isfinite(value):
                        values[constraint.name] = value
                    else:
                        self.failure = f"{constraint.name} is {value}"
            except UserError:
                raise
            except Exception as error:
                self.failure = f"{name_of(metric)}: {reason_of(error)}"
        return values
