"""The schedule of a race by successive halving: how long each rung trains, how many go on, what it
costs in all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """Train to the share `until` of the full training, then keep the `keep` best."""

    until: float
    keep: int


def rungs_for(entrants: int) -> tuple[Rung, ...]:
    """Few networks: one early cut. More: a first cut to a third, a second to one. (Jamieson and
    Talwalkar, AISTATS 2016.)

    The cuts come early, so that at most a third of the budget goes into networks that leave.
    """
    if entrants <= 1:
        return (Rung(1.0, 1),)
    if entrants <= 3:
        return (Rung(0.1, 1), Rung(1.0, 1))
    return (Rung(0.06, math.ceil(entrants / 3)), Rung(0.2, 1), Rung(1.0, 1))


def work(entrants: int, rungs: Sequence[Rung]) -> float:
    """How many full trainings a race costs."""
    total, before = 0.0, 0.0
    for rung in rungs:
        total += entrants * (rung.until - before)
        entrants, before = min(entrants, rung.keep), rung.until
    return total
