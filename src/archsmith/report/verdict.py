"""Whether one tested network beats another, said no louder than the number of test images allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def wilson(correct: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `n` (Wilson 1927); (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    share, z2 = correct / n, Z95 * Z95
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


@dataclass(frozen=True)
class Comparison:
    """`difference` of two accuracies with its 95 % interval; `outcome` is 'won', 'lost' or 'tie' (the interval holds zero)."""

    outcome: str
    difference: float
    low: float
    high: float


def compare(accuracy: float, n: int, other: float, other_n: int) -> Comparison:
    """The first accuracy against the second, by Newcombe's interval from two Wilson intervals (1998, method 10).

    It takes the two as independent samples. Networks tested on the same images err together, so it is on the careful side:
    it calls a tie where a paired test might not, never the other way round.
    """
    low, high = wilson(accuracy * n, n)
    other_low, other_high = wilson(other * other_n, other_n)
    difference = accuracy - other
    below = difference - math.hypot(accuracy - low, other_high - other)
    above = difference + math.hypot(high - accuracy, other - other_low)
    outcome = "won" if below > 0 else "lost" if above < 0 else "tie"
    return Comparison(outcome, difference, below, above)
