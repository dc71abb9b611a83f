"""Rank sums of scores over a set of networks: which members, which weights, and the ranking itself. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archsmith.errors import UserError, did_you_mean
from archsmith.predictors.ranking import ranks


@dataclass(frozen=True)
class Ensemble:
    """Scores and their weights; a negative weight: the smaller the better. Parts of a score are called "name.part"."""

    name: str
    members: tuple[tuple[str, float], ...]
    source: str

    @property
    def proxies(self) -> tuple[str, ...]:
        """The scores that must be computed for it."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name, _ in self.members))


_AZ = tuple((f"az_nas.{part}", 1.0) for part in ("expressivity", "progressivity", "trainability", "complexity"))
ENSEMBLES = {
    ensemble.name: ensemble
    for ensemble in (
        Ensemble("az-nas", _AZ, "Lee and Ham, CVPR 2024, equation 10"),
        Ensemble("az-nas+synflow", (*_AZ, ("synflow", 1.0)), "Lee and Ham, CVPR 2024, table 5"),
        Ensemble("az-nas+zico", (*_AZ, ("zico", 1.0)), "Lee and Ham, CVPR 2024, table 5"),
        Ensemble("vkdnw-aggregate", (*_AZ, ("vkdnw", 1.0)), "Tybl and Neumann, CVPR 2025, equation 12"),
    )
}


def log_ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """ln(rank / m), rank 1 for the smallest of m values; equal ones share their mean rank, what is not finite is last."""
    column = np.asarray(values, dtype=float)
    column = np.where(np.isnan(column), -np.inf, column)
    return np.log(ranks(column) / len(column))


def rank_sum(ensemble: Ensemble, columns: Mapping[str, Any]) -> np.ndarray:
    """Sum over members of weight * ln(rank / m), for each network of the set; the larger the better.

    A score of a set: it changes as networks are added, so it is computed anew from the raw parts.
    """
    for name, _ in ensemble.members:
        if name not in columns:
            raise UserError(f"ensemble '{ensemble.name}' needs the score '{name}'{did_you_mean(name, columns)}")
    total = np.zeros(len(next(iter(columns.values()))))
    for name, weight in ensemble.members:
        column = np.asarray(columns[name], dtype=float)
        total += abs(weight) * log_ranks(column if weight > 0 else -np.where(np.isnan(column), np.inf, column))
    return total
