"""Architectures as rows of numbers, and what may be learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archsmith.errors import UserError
from archsmith.space import INACTIVE, SearchSpace


def one_hot(space: SearchSpace, archs: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(architectures, options of all decisions): 1 at the option taken; all zeros for a decision
    that an architecture lacks.

    Columns are those of the universe, in its order, so that a restricted space encodes as its
    parent does.
    """
    sizes = np.array([len(options) for options in space.universe.values()], dtype=int)
    rows = np.zeros((len(archs), int(sizes.sum())))
    if not rows.size:
        return rows
    vectors = np.array([space.encode(arch) for arch in archs])
    row, decision = np.nonzero(vectors != INACTIVE)
    begins = np.cumsum(sizes) - sizes
    rows[row, begins[decision] + vectors[row, decision]] = 1.0
    return rows


def examples(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of floats; UserError unless there is a finite value for each of at least one
    row of finite numbers."""
    rows, values = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if rows.ndim != 2 or values.shape != rows.shape[:1] or not len(rows):
        raise UserError(
            f"rows of shape {rows.shape} and values of shape {values.shape}; give (n, "
            f"features) and (n,), n >= 1"
        )
    if not (np.isfinite(rows).all() and np.isfinite(values).all()):
        raise UserError(
            "a row or a value to learn from is not finite; leave failed trials out, or "
            "give them a finite loss"
        )
    return rows, values
