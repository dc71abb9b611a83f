"""What a predicted loss with its standard deviation is worth measuring: acquisition functions, the
larger the better."""

from __future__ import annotations

import numpy as np

from archsmith.errors import UserError, did_you_mean

ACQUISITIONS = ("thompson", "bound", "improvement", "mean")


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """E[max(best - loss, 0)] of a normal loss (Mockus 1978; Jones et al. 1998, equation 15)."""
    from scipy.special import ndtr

    gain = best - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(std > 0, gain / np.where(std > 0, std, 1.0), 0.0)
    value = gain * ndtr(z) + std * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.where(std > 0, np.maximum(value, 0.0), np.maximum(gain, 0.0))


def acquired(
    name: str,
    mean: np.ndarray,
    std: np.ndarray,
    best: float,
    rng: np.random.Generator,
    caution: float = 0.5,
) -> np.ndarray:
    """The value of each by the function of that name.

    thompson: minus an independent draw from each normal (White et al. 2021, equation 3); bound:
    minus the lower confidence bound, mean - caution * std; improvement: as `expected_improvement`;
    mean: minus the mean.
    """
    if name == "thompson":
        return -(mean + std * rng.standard_normal(len(mean)))
    if name == "bound":
        return -(mean - caution * std)
    if name == "improvement":
        return expected_improvement(mean, std, best)
    if name == "mean":
        return -mean
    raise UserError(
        f"no acquisition '{name}'; there are "
        f"{', '.join(ACQUISITIONS)}{did_you_mean(name, ACQUISITIONS)}"
    )
