"""How far a share seen in a sample may be from the true one."""

from __future__ import annotations

import math

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def apart(first: float, second: float, n: int) -> bool:
    """Whether two shares, each seen in `n`, differ by more than the standard error of their difference."""
    variance = sum(share * (1 - share) for share in (first, second) if 0 < share < 1)
    return abs(first - second) > math.sqrt(variance / max(n, 1))


def wilson(successes: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of which `successes` of `n` were seen, 95 % by default; (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    p = successes / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes <= 0 else max(0.0, center - half)  # exact at the ends, where rounding would leave a trace
    return low, 1.0 if successes >= n else min(1.0, center + half)
