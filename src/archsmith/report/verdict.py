"""Whether one tested network beats another, said no louder than the number of test images
allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """`difference` of two accuracies with its 95 % interval; `outcome` is 'won', 'lost' or 'tie'
    (the interval holds zero)."""

    outcome: str
    difference: float
    low: float
    high: float


def compare(
    accuracy: float, interval: Sequence[float], other: float, other_interval: Sequence[float]
) -> Comparison:
    """The first accuracy against the second, from the 95 % interval of each (Newcombe 1998, method
    10, for Wilson's; Zou and Donner 2008 for any).

    It takes the two as independent samples. Networks tested on the same images err together, so it
    is on the careful side: it calls a tie where a paired test might not, never the other way round.
    """
    (low, high), (other_low, other_high) = interval, other_interval
    difference = accuracy - other
    below = difference - math.hypot(accuracy - low, other_high - other)
    above = difference + math.hypot(high - accuracy, other - other_low)
    outcome = "won" if below > 0 else "lost" if above < 0 else "tie"
    return Comparison(outcome, difference, below, above)
