"""Times reckoned from counts: the weights of what layers do that come nearest to times that were
measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def fitted(
    counts: Sequence[Mapping[str, float]], times: Sequence[float], names: Sequence[str]
) -> dict[str, float]:
    """Non-negative weights of the counts `names` that bring the relative errors of `times` closest
    to 0, by least squares."""
    from scipy.optimize import nnls

    rows = np.array([[row[name] for name in names] for row in counts]) / np.array(times)[:, None]
    scale = np.maximum(rows.max(axis=0), 1e-300)
    coefficients, _ = nnls(rows / scale, np.ones(len(rows)))
    return dict(zip(names, (coefficients / scale).tolist(), strict=True))
