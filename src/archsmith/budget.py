"""Budgets as people write them: "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB, depth<=40"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from archsmith.errors import UserError, did_you_mean
from archsmith.problem import excess

_COUNT = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_MILLISECONDS = {"": 1.0, "ms": 1.0, "us": 1e-3, "s": 1e3}
_BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
UNITS: dict[str, tuple[str, dict[str, float]]] = {  # metric -> (its unit, suffix -> factor)
    "params": ("", _COUNT),
    "macs": ("", _COUNT),
    "latency": ("ms", _MILLISECONDS),
    "memory": ("bytes", _BYTES),
    "depth": ("", {"": 1.0}),  # convolutions and linear layers
    "layers": ("", {"": 1.0}),  # as a space counts them that does so itself (`zen`)
}
_LIMIT = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|<|>|=)\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*")
_EXAMPLE = '"params<=3M, macs<=60M, latency<=8ms, memory<=2MiB"'


@dataclass(frozen=True)
class Limit:
    """One bound: `metric` at most (or at least) `value`, in the metric's own unit (a count, ms or bytes)."""

    metric: str
    op: str  # "<=" or ">="
    value: float

    @property
    def unit(self) -> str:
        """ "", "ms" or "bytes"."""
        return UNITS[self.metric][0]

    @property
    def low(self) -> float:
        """The least value it allows."""
        return -math.inf if self.op == "<=" else self.value

    @property
    def high(self) -> float:
        """The largest value it allows."""
        return self.value if self.op == "<=" else math.inf

    def excess(self, value: float) -> float:
        """How far a value misses it, as `Problem` counts: the share of the limit; 0 where it keeps to it."""
        return excess(value, self.low, self.high)

    def met(self, value: float) -> bool:
        """Whether a measured value keeps to it."""
        return self.excess(value) <= 0

    def __str__(self) -> str:
        return f"{self.metric}{self.op}{human(self.metric, self.value)}"


def parse(text: str) -> tuple[Limit, ...]:
    """The limits of a budget; raises UserError naming the part that cannot be read."""
    limits: list[Limit] = []
    for part in filter(str.strip, text.split(",")):
        match = _LIMIT.fullmatch(part)
        if match is None:
            raise UserError(f"budget '{part.strip()}' cannot be read; write limits such as {_EXAMPLE}")
        metric, op, number, suffix = match.group(1).lower(), match.group(2), match.group(3), match.group(4).lower()
        if metric not in UNITS:
            more = "; MACs are what papers call FLOPs" if metric == "flops" else did_you_mean(metric, UNITS)
            raise UserError(f"budget: no metric '{metric}'; there are {', '.join(UNITS)}{more}")
        if op not in ("<=", ">="):
            raise UserError(f"budget '{part.strip()}': use <= or >= instead of {op}")
        factors = UNITS[metric][1]
        if suffix not in factors:
            allowed = ", ".join([*(s for s in factors if s), "none"]).replace(", none", " or none")
            raise UserError(f"budget '{part.strip()}': '{match.group(4)}' is no unit of {metric}; use {allowed}")
        limit = Limit(metric, op, float(number) * factors[suffix])
        if limit.op == "<=" and limit.value <= 0:
            raise UserError(f"budget '{part.strip()}' allows nothing; give a positive limit")
        if any(other.metric == metric and other.op == op for other in limits):
            raise UserError(f"budget bounds {metric} twice with {op}; give it once")
        limits.append(limit)
    return tuple(limits)


def human(metric: str, value: float) -> str:
    """A value with its unit, as a person writes it: 1.25M, 8.1 ms, 2.0 MiB."""
    unit = UNITS[metric][0] if metric in UNITS else ""
    if unit == "ms":
        return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"
    if unit == "bytes":
        for factor, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= factor:
                return f"{value / factor:.3g} {name}"
        return f"{value:.0f} B"
    for limit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{name}"
    return f"{value:.6g}"


def parse_seconds(text: str | float) -> float:
    """ "20m", "1h30m", "90s" or a number of seconds."""
    if isinstance(text, int | float):
        return float(text)
    parts = re.fullmatch(r"\s*(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?\s*", text.lower())
    if parts is None or not any(parts.groups()):
        raise UserError(f"time '{text}' cannot be read; write 90s, 20m or 1h30m")
    hours, minutes, seconds = (float(p) if p else 0.0 for p in parts.groups())
    return hours * 3600 + minutes * 60 + seconds
