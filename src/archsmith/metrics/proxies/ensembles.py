"""Rank sums of scores over a set of networks: which members, which weights, and the ranking itself.
No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archsmith.errors import UserError, did_you_mean
from archsmith.predictors.ranking import kendall, ranks


@dataclass(frozen=True)
class Ensemble:
    """Scores and their weights; a negative weight: the smaller the better. Parts of a score are
    called "name.part"."""

    name: str
    members: tuple[tuple[str, float], ...]
    source: str

    @property
    def proxies(self) -> tuple[str, ...]:
        """The scores that must be computed for it."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name, _ in self.members))


_AZ = tuple(
    (f"az_nas.{part}", 1.0)
    for part in ("expressivity", "progressivity", "trainability", "complexity")
)
_OWN = tuple((name, 1.0) for name in ("az_nas.expressivity", "effective_params", "meco"))
ENSEMBLES = {
    ensemble.name: ensemble
    for ensemble in (
        Ensemble(
            "archsmith",
            _OWN,
            "benchmarks/proxies/choose_ensemble.py on TransNAS, NAS-Bench-1Shot1 and DARTS cells",
        ),
        Ensemble(
            "archsmith-mobile",
            (("l2_norm", 1.0), ("params", 1.0)),
            "benchmarks/proxies/mobile_scores.py on the Once-For-All space",
        ),
        Ensemble(
            "archsmith-vit",
            (("params", 1.0),),
            "benchmarks/proxies/vit_scores.py on small Vision Transformers",
        ),
        Ensemble("az-nas", _AZ, "Lee and Ham, CVPR 2024, equation 10"),
        Ensemble("az-nas+synflow", (*_AZ, ("synflow", 1.0)), "Lee and Ham, CVPR 2024, table 5"),
        Ensemble("az-nas+zico", (*_AZ, ("zico", 1.0)), "Lee and Ham, CVPR 2024, table 5"),
        Ensemble(
            "vkdnw-aggregate", (*_AZ, ("vkdnw", 1.0)), "Tybl and Neumann, CVPR 2025, equation 12"
        ),
    )
}


def log_ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """ln(rank / m), rank 1 for the smallest of m values; equal ones share their mean rank, what is
    not finite is last."""
    column = np.asarray(values, dtype=float)
    column = np.where(np.isnan(column), -np.inf, column)
    return np.log(ranks(column) / len(column))


def rank_sum(ensemble: Ensemble, columns: Mapping[str, Any]) -> np.ndarray:
    """Sum over members of weight * ln(rank / m), for each network of the set; the larger the
    better.

    A score of a set: it changes as networks are added, so it is computed anew from the raw parts.
    """
    for name, _ in ensemble.members:
        if name not in columns:
            raise UserError(
                f"ensemble '{ensemble.name}' needs the score '{name}'{did_you_mean(name, columns)}"
            )
    total = np.zeros(len(next(iter(columns.values()))))
    for name, weight in ensemble.members:
        column = np.asarray(columns[name], dtype=float)
        total += abs(weight) * log_ranks(
            column if weight > 0 else -np.where(np.isnan(column), np.inf, column)
        )
    return total


class Reference:
    """A rank sum as a score of one network, for searches: its ranks among fixed networks, `rows` of
    their scores.

    Between two of them ln(rank / m) is interpolated; beyond the best it rises on, by ln 2 for each
    distance from the median to the best, so that a search that leaves all of them behind still
    climbs. What is not finite ranks below the worst.
    """

    def __init__(self, ensemble: Ensemble, rows: Sequence[Mapping[str, float]]) -> None:
        self.ensemble = ensemble
        self._members = [
            (name, weight, _Shares(_signed(name, weight, row) for row in rows))
            for name, weight in ensemble.members
        ]

    def __call__(self, scores: Mapping[str, float]) -> float:
        """Sum over members of |weight| * ln(share of the networks that are not better)."""
        return sum(
            abs(weight) * shares(_signed(name, weight, scores))
            for name, weight, shares in self._members
        )


class Referred:
    """Scores and their rank sum as one metric: arch -> {score or part: value, name of the ensemble:
    rank sum}."""

    def __init__(self, scores: Callable[[Any], Mapping[str, float]], reference: Reference) -> None:
        self.name, self._scores, self._reference = reference.ensemble.name, scores, reference

    def __call__(self, arch: Any) -> dict[str, float]:
        """Raises what the scores raise."""
        scores = self._scores(arch)
        return {**scores, self.name: self._reference(scores)}


def _signed(name: str, weight: float, scores: Mapping[str, float]) -> float:
    if name not in scores:
        raise UserError(f"the rank sum needs the score '{name}'{did_you_mean(name, scores)}")
    return scores[name] if weight > 0 else -scores[name]


class _Shares:
    """value -> ln(rank / m) among m values; nan and infinity are below all."""

    def __init__(self, values: Iterable[float]) -> None:
        column = np.asarray(list(values), dtype=float)
        self._lowest = -math.log(2 * max(1, len(column)))
        self._values, first = np.unique(column[np.isfinite(column)], return_index=True)
        self._logs = log_ranks(column)[np.isfinite(column)][first]
        self._slope = 0.0
        if len(self._values) > 1:
            self._slope = math.log(2) / float(
                self._values[-1] - self._values[(len(self._values) - 1) // 2]
            )

    def __call__(self, value: float) -> float:
        if not len(self._values):
            return 0.0  # no network has this score: it decides nothing
        if not math.isfinite(value) or value < self._values[0]:
            return self._lowest
        beyond = max(0.0, value - float(self._values[-1]))
        return float(np.interp(value, self._values, self._logs)) + self._slope * beyond


@dataclass(frozen=True)
class Judged:
    """Scores of one benchmark's networks, the larger the better, and one or several truths of the
    same networks."""

    columns: Mapping[str, np.ndarray]
    truths: Sequence[np.ndarray]

    def quality(self, ensemble: Ensemble) -> float:
        """Kendall of the rank sum, mean over the truths; networks without a truth are left out."""
        total = rank_sum(ensemble, self.columns)
        known = [np.isfinite(truth) for truth in self.truths]
        taus = [kendall(total[k], truth[k]) for k, truth in zip(known, self.truths, strict=True)]
        return float(np.mean([-1.0 if np.isnan(value) else value for value in taus]))


def selected(
    name: str,
    judged: Sequence[Judged],
    candidates: Sequence[str],
    *,
    most: int = 8,
    least_gain: float = 0.002,
) -> tuple[Ensemble, list[float]]:
    """Forward selection with replacement (Caruana et al., ICML 2004) for the best mean quality over
    several benchmarks.

    Each step adds the candidate that gains most; one added again weighs more. Ends after `most`
    steps or where none gains `least_gain`. Also gives the quality after each step. UserError for no
    candidate.
    """
    if not candidates:
        raise UserError(f"ensemble '{name}': no candidates to select from")
    if not judged:
        raise UserError(f"ensemble '{name}': no benchmark to be judged on")
    members: dict[str, float] = {}
    qualities: list[float] = []

    def quality(added: str) -> float:
        trial = Ensemble(name, tuple({**members, added: members.get(added, 0.0) + 1.0}.items()), "")
        return float(np.mean([one.quality(trial) for one in judged]))

    while len(qualities) < most:
        values = {candidate: quality(candidate) for candidate in candidates}
        best = max(candidates, key=lambda candidate: values[candidate])
        if qualities and values[best] < qualities[-1] + least_gain:
            break
        members[best] = members.get(best, 0.0) + 1.0
        qualities.append(values[best])
    return Ensemble(name, tuple(members.items()), "forward selection"), qualities


def bagged(
    name: str,
    judged: Sequence[Judged],
    candidates: Sequence[str],
    *,
    bags: int = 40,
    share: float = 0.5,
    seed: int = 0,
    most: int = 8,
    least_gain: float = 0.002,
) -> Ensemble:
    """Forward selections from random shares of the candidates, their weights added up (Caruana et
    al., ICML 2004, 2.3).

    Each bag also draws its networks anew, with replacement. More members than `selected`, and less
    fitted to what they were chosen on; a member with less than a twentieth of all weight is left
    out. UserError for no candidate.
    """
    rng = np.random.default_rng(seed)
    totals: dict[str, float] = {}
    for _ in range(bags):
        drawn = [_redrawn(one, rng) for one in judged]
        count = max(1, round(share * len(candidates)))
        some = [candidates[place] for place in sorted(rng.permutation(len(candidates))[:count])]
        for member, weight in selected(name, drawn, some, most=most, least_gain=least_gain)[
            0
        ].members:
            totals[member] = totals.get(member, 0.0) + weight
    whole = sum(totals.values())
    kept = {member: weight / whole for member, weight in totals.items() if weight >= 0.05 * whole}
    return Ensemble(
        name,
        tuple(sorted(kept.items(), key=lambda item: -item[1])),
        f"forward selection, {bags} bags",
    )


def _redrawn(one: Judged, rng: np.random.Generator) -> Judged:
    count = len(next(iter(one.columns.values())))
    rows = rng.integers(0, count, count)
    return Judged(
        {name: column[rows] for name, column in one.columns.items()},
        [truth[rows] for truth in one.truths],
    )
