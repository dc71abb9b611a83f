"""Candidates that are to be measured and the trials that come of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from archsmith.space import Architecture


@dataclass(frozen=True)
class Candidate:
    """An architecture to be measured, at a fidelity where the measurement knows several; `origin`
    says where it came from."""

    arch: Architecture
    fidelity: float | None = None
    origin: str = ""


@dataclass(frozen=True)
class Trial:
    """A measured candidate. `losses` (the smaller the better, one per objective) are () where it
    was infeasible or failed.

    `cost`: ledger entries (seconds, evaluations, images, macs, proxy_passes, ...). `measured`:
    False for predicted values.
    """

    candidate: Candidate
    metrics: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    cost: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""
    measured: bool = True
    reason: str | None = None

    @property
    def arch(self) -> Architecture:
        """The architecture."""
        return self.candidate.arch

    @property
    def failed(self) -> bool:
        """Whether it could not be measured; `reason` says why."""
        return self.reason is not None

    @property
    def feasible(self) -> bool:
        """Whether it was measured and meets every constraint."""
        return self.reason is None and self.violation <= 0


def rank(trial: Trial) -> tuple[bool, float, float]:
    """A key to sort by, best first: failed last, then the smaller violation, then the smaller first
    loss."""
    return trial.failed, trial.violation, trial.losses[0] if trial.losses else math.inf


def total_cost(trials: Iterable[Trial]) -> dict[str, float]:
    """The ledger: what these trials cost together, entry by entry."""
    total: dict[str, float] = {}
    for trial in trials:
        for entry, amount in trial.cost.items():
            total[entry] = total.get(entry, 0.0) + amount
    return total
