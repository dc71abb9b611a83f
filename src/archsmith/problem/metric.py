"""What a metric is, and what may be asked of one: to be small, to be large, to be kept within
limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from archsmith.errors import UserError, did_you_mean
from archsmith.space import Architecture

# A metric is any callable `arch -> float` or `arch -> {part: float}`. Optional attributes, read
# where present:
#   name: str            what it is called where nothing else is said
#   batch(archs)         the values of many at once, in order
#   cost: {entry: x}     what one evaluation adds to the ledger besides seconds (images, macs,
#                        proxy_passes, ...), or a function (arch, fidelity) that gives this;
#                        fidelity is None where none was asked for
#   fidelities: tuple    those it can be measured at, ascending, the full one last; then
#   at(arch, fidelity)   measures at one of them, and the plain call at the full one
#   terms: sequence      of Term that add up to it, or None; what is such a sum can be bounded
#                        exactly (searchers.generation)
#   cheap: bool          False where a value costs so much that samplers must not ask for it freely
#                        (default True)
Metric = Callable[[Architecture], "float | Mapping[str, float]"]


@dataclass(frozen=True)
class Term:
    """One part of an additive metric: `value(arch)` gives {part: number} and reads only the
    decisions `names`."""

    names: tuple[str, ...]
    value: Callable[[Architecture], Mapping[str, float]]


@dataclass(frozen=True)
class Objective:
    """A value to make small (sign +1) or large (sign -1)."""

    name: str
    metric: Metric
    sign: int = 1


def excess(value: float, low: float, high: float) -> float:
    """How far outside [low, high] the value lies, relative to the limit it breaks (absolute for a
    limit of 0); 0 inside.

    The one rule of violation: by it networks are drawn, ranked, shipped and reported. A value that
    is not finite keeps nothing.
    """
    if not math.isfinite(value):
        return math.inf
    if value > high:
        return (value - high) / (abs(high) or 1.0)
    if value < low:
        return (low - value) / (abs(low) or 1.0)
    return 0.0


@dataclass(frozen=True)
class Constraint:
    """A value to keep within [low, high]."""

    name: str
    metric: Metric
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise UserError(
                f"no value of '{self.name}' lies between {self.low} and {self.high}; give a low "
                f"end below the high one"
            )

    @property
    def cheap(self) -> bool:
        """Whether samplers may ask for the value freely."""
        return bool(getattr(self.metric, "cheap", True))

    def excess(self, value: float) -> float:
        """How far outside the value lies, relative to the limit it breaks (absolute for a limit of
        0); 0 inside."""
        return excess(value, self.low, self.high)

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"{self.name}<={figure(self.high)}"
        if self.high == math.inf:
            return f"{self.name}>={figure(self.low)}"
        return f"{figure(self.low)}<={self.name}<={figure(self.high)}"


def figure(value: float) -> str:
    """A number for a message: whole and large ones as integers, others with six significant
    digits."""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return f"{value:.6g}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1e5 else f"{value:.6g}"


def name_of(metric: Metric, name: str | None = None) -> str:
    """The given name, else the metric's own, else that of its function or class."""
    return (
        name
        or getattr(metric, "name", None)
        or getattr(metric, "__name__", None)
        or type(metric).__name__.lower()
    )


def minimize(metric: Metric, name: str | None = None) -> Objective:
    """An objective: the smaller the value of `metric` the better.

    `metric`: architecture -> float, or -> {part: float}, of which `name` picks one; without parts
    `name` is what the value is called, default: the metric's own name.

    >>> archsmith.minimize(lambda arch: arch["width"] ** 2, name="params").name
    'params'
    """
    return Objective(name_of(metric, name), metric, 1)


def maximize(metric: Metric, name: str | None = None) -> Objective:
    """An objective: the larger the value of `metric` the better.

    `metric`: architecture -> float, or -> {part: float}, of which `name` picks one; without parts
    `name` is what the value is called, default: the metric's own name.

    >>> archsmith.maximize(lambda arch: {"score": arch["width"], "depth": 3}, name="score").sign
    -1
    """
    return Objective(name_of(metric, name), metric, -1)


def at_most(metric: Metric, limit: float, name: str | None = None) -> Constraint:
    """A constraint: the value of `metric` is at most `limit`, in the metric's own unit.

    `metric`: architecture -> float, or -> {part: float}, of which `name` picks one. Hard:
    candidates that break it are not asked for an objective, and what they exceed it by, relative to
    the limit, is their violation.

    >>> print(archsmith.at_most(lambda arch: {"params": arch["width"] ** 2}, 3e6, name="params"))
    params<=3,000,000
    """
    return Constraint(name_of(metric, name), metric, high=limit)


def at_least(metric: Metric, limit: float, name: str | None = None) -> Constraint:
    """A constraint: the value of `metric` is at least `limit`. `metric` and `name`: as of
    `at_most`.

    >>> print(archsmith.at_least(lambda arch: arch["width"], 16, name="width"))
    width>=16
    """
    return Constraint(name_of(metric, name), metric, low=limit)


def between(metric: Metric, low: float, high: float, name: str | None = None) -> Constraint:
    """A constraint: the value of `metric` is from `low` to `high`, both included. `metric` and
    `name`: as of `at_most`.

    Raises UserError where `low` is above `high`.

    >>> print(archsmith.between(lambda arch: arch["depth"], 4, 8, name="depth"))
    4<=depth<=8
    """
    return Constraint(name_of(metric, name), metric, low, high)


def distinct(parts: Iterable[Objective | Constraint]) -> list[Metric]:
    """The metrics they hold, each once."""
    metrics: list[Metric] = []
    for part in parts:
        if part.metric not in metrics:
            metrics.append(part.metric)
    return metrics


def read(answer: float | Mapping[str, float], name: str, metric: Metric) -> float:
    """The value called `name` in what a metric answered; UserError where it has no such part, else
    float's own errors."""
    if not isinstance(answer, Mapping):
        return float(answer)
    if name not in answer:
        raise UserError(
            f"{name_of(metric)} gives {', '.join(answer)}, but no "
            f"'{name}'{did_you_mean(name, answer)}"
        )
    return float(answer[name])
