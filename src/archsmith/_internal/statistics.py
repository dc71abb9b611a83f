"""How far what is seen in a sample may be from the truth: intervals of shares, the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def apart(first: float, second: float, n: int) -> bool:
    """Whether two shares, each seen in `n`, differ by more than the standard error of their
    difference."""
    variance = sum(share * (1 - share) for share in (first, second) if 0 < share < 1)
    return abs(first - second) > math.sqrt(variance / max(n, 1))


def wilson(successes: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of which `successes` of `n` were seen, 95 % by
    default; (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    p = successes / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # exact at the ends, where rounding would leave a trace
    low = 0.0 if successes <= 0 else max(0.0, center - half)
    return low, 1.0 if successes >= n else min(1.0, center + half)


def resampled(n: int, times: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Rows (n,) of a sample of `n` drawn with replacement, so many times: the bootstrap (Efron,
    Ann. Statist. 1979)."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield rng.integers(0, n, n)


def middle_95(values: np.ndarray) -> tuple[float, float]:
    """Between which the middle 95 % of the finite values lie; nan where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
