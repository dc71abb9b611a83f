"""From a worth for every option to the best architecture under any limits: a multiple-choice
knapsack, solved exactly.

One search gives evidence for each option by itself (DDPNAS's theta, mean rewards); networks for any
number of budgets follow from it without training or scoring anything: "network generation" (Zheng
and others, IJCV 2023; MIGO-NAS, TPAMI 2021). The released code is exact in a worth cut to two
decimals; this is exact in worth and costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

import numpy as np

from archsmith.errors import NothingFits, UserError
from archsmith.problem import (
    Constraint,
    Metric,
    Problem,
    Term,
    distinct,
    figure,
    maximize,
    name_of,
    read,
)
from archsmith.searchers.evolution import evolution
from archsmith.searchers.loop import run_searcher
from archsmith.space import Architecture, SearchSpace

# decision -> option -> what it adds where it is chosen; what is not named adds 0
Worth = Mapping[str, Mapping[Any, float]]
# points of a front that are kept; where there are more, costs are told apart to one part in so many
# only
MOST = 30_000
_CHECKED = 12  # architectures on which a metric's terms are held against the metric
_CHUNK = 256
_ABSENT = object()


class NotAdditive(UserError):
    """A limit is no upper one on a sum over decisions, so there is nothing to solve exactly."""


@dataclass(frozen=True)
class Front:
    """The architectures that none beats in worth and every cost: `worths` falling (n,), `costs` (n,
    metrics).

    `exact`: nothing was left out; otherwise something as worthy may cost one part in about `MOST`
    of the range less.
    """

    metrics: tuple[str, ...]
    worths: np.ndarray
    costs: np.ndarray
    exact: bool
    arch: Callable[[int], Architecture]  # number i, 0 the worthiest

    def __len__(self) -> int:
        return len(self.worths)

    def within(self, limits: Mapping[str, float]) -> list[int]:
        """Numbers of those whose costs are at most these, the worthiest first; NothingFits, naming
        the nearest, if none is."""
        if unknown := sorted(limits.keys() - set(self.metrics)):
            raise UserError(
                f"no cost '{unknown[0]}' in this front; there are "
                f"{', '.join(self.metrics) or 'none'}"
            )
        bounds = np.array([limits.get(name, math.inf) for name in self.metrics])
        inside = np.flatnonzero((self.costs <= bounds).all(axis=1))
        if len(inside):
            return inside.tolist()
        excess = np.maximum(0.0, self.costs - bounds) / np.where(bounds == 0, 1.0, np.abs(bounds))
        nearest = self.costs[int(excess.sum(axis=1).argmin())]
        has = ", ".join(
            f"{n}={figure(v)}"
            for n, v in zip(self.metrics, nearest.tolist(), strict=True)
            if n in limits
        )
        asked = ", ".join(f"{n}<={figure(v)}" for n, v in limits.items())
        raise NothingFits(
            f"no architecture of the space keeps {asked}; the nearest has {has}: "
            f"relax the budget to that"
        )


def front(space: SearchSpace, worth: Worth, constraints: Sequence[Constraint] = ()) -> Front:
    """Of the worth, which is a sum over the decisions an architecture has, against the metrics of
    the constraints.

    Decisions are gone through in order; among those that agree in what later terms or conditions
    ask for, what is beaten is dropped. What breaks a limit is left out at the end, so limits at
    infinity give a front for every budget. A space's `where` is not looked at. Raises NotAdditive,
    and NothingFits where the limits leave nothing.
    """
    space = replace(space, predicates=())
    metrics = tuple(dict.fromkeys(c.name for c in constraints))
    sums = _Sums(space, constraints, metrics)
    trail: list[_Step] = []
    layer: dict[_State, _Points] = {
        (): _Points(np.zeros((1, len(metrics))), np.zeros(1), np.zeros(1, np.int64))
    }
    exact = True
    for place, name in enumerate(space.order):
        layer, step, whole = _kept(
            _arrivals(layer, space, sums, place=place, worth=worth.get(name, {}))
        )
        trail.append(step)
        exact = exact and whole
    (points,) = layer.values()
    highs = np.array(
        [min((c.high for c in constraints if c.name == n), default=math.inf) for n in metrics]
    )
    falling = np.argsort(-points.worths, kind="stable")
    everything = _front_of(
        points.taken(falling), metrics, exact=exact, arch=partial(_traced, space, trail)
    )
    inside = np.asarray((everything.costs <= highs).all(axis=1))
    if not inside.any():
        # raises, and says what is nearest
        everything.within(dict(zip(metrics, highs.tolist(), strict=True)))
    return _front_of(
        points.taken(falling[inside]), metrics, exact=exact, arch=partial(_traced, space, trail)
    )


def generate(
    space: SearchSpace,
    worth: Worth,
    constraints: Sequence[Constraint] = (),
    *,
    count: int = 1,
    seed: int = 0,
    trials: int = 4000,
) -> tuple[list[Architecture], str]:
    """Up to `count` architectures that keep the constraints, by falling worth, and how they were
    found.

    "exact": the worthiest of the front; "search": by evolution on the worth, where a constraint is
    not additive, or nothing of the front is in the space (its `where`). All keep the constraints as
    their own metrics measure them. Raises NothingFits.
    """
    archs: list[Architecture] = []
    try:
        points = front(space, worth, constraints)
        for i in range(len(points)):
            arch = points.arch(i)
            if space.contains(arch) and all(
                c.excess(read(c.metric(arch), c.name, c.metric)) <= 0 for c in constraints
            ):
                archs.append(arch)
                if len(archs) == count:
                    break
    except NotAdditive:
        pass
    if archs:
        return archs, "exact"
    problem = Problem(
        space, (maximize(lambda arch: worth_of(worth, arch), name="worth"),), tuple(constraints)
    )
    archive = run_searcher(problem, evolution(problem, seed), trials=trials)
    good = {t.arch.key: t for t in archive if t.feasible and not t.failed}
    if not good:
        raise NothingFits(
            f"{trials:,} trials found no architecture that keeps {', '.join(map(str, constraints))}"
        )
    return [
        t.arch for t in sorted(good.values(), key=lambda t: -t.metrics["worth"])[:count]
    ], "search"


def worth_of(worth: Worth, arch: Mapping[str, Any]) -> float:
    """The sum over the decisions of an architecture."""
    return math.fsum(worth.get(name, {}).get(option, 0.0) for name, option in arch.items())


# -- the parts -----------------------------------------------------------------------------------


_State = tuple[tuple[str, Any], ...]  # the decisions that are still asked for, each with its option
# for each point of a layer: the one of the layer before it came from, the option taken
_Step = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Points:
    """Partial architectures in the same state: `costs` (n, metrics) and `worths` (n,) so far, `ids`
    (n,) in their layer."""

    costs: np.ndarray
    worths: np.ndarray
    ids: np.ndarray

    def taken(self, positions: np.ndarray) -> _Points:
        """Those at these positions."""
        return _Points(self.costs[positions], self.worths[positions], self.ids[positions])


# state -> what comes there, and by which option (-1: none)
_Arrivals = dict[_State, list[tuple[_Points, int]]]


def _arrivals(
    layer: Mapping[_State, _Points],
    space: SearchSpace,
    sums: _Sums,
    *,
    place: int,
    worth: Mapping[Any, float],
) -> _Arrivals:
    """Every point of a layer with every option of the decision at `place`, by the state that this
    leads to."""
    order = space.order
    arrivals: _Arrivals = {}
    for state, points in layer.items():
        for option, now in _taken(space, order[place], dict(state)):
            after = tuple(
                (n, now[n]) for n in order[: place + 1] if n in now and sums.until[n] > place
            )
            gain = worth.get(now[order[place]], 0.0) if option >= 0 else 0.0
            moved = _Points(points.costs + sums.added(place, now), points.worths + gain, points.ids)
            arrivals.setdefault(after, []).append((moved, option))
    return arrivals


def _kept(arrivals: _Arrivals) -> tuple[dict[_State, _Points], _Step, bool]:
    """The next layer: of each state what nothing beats; where its points came from; and whether
    nothing else was left out."""
    layer: dict[_State, _Points] = {}
    parents, options, count, exact = [], [], 0, True
    for state, parts in arrivals.items():
        costs = np.concatenate([points.costs for points, _ in parts])
        worths = np.concatenate([points.worths for points, _ in parts])
        best, whole = _unbeaten(costs, worths)
        exact = exact and whole
        parents.append(np.concatenate([points.ids for points, _ in parts])[best])
        options.append(
            np.concatenate([np.full(len(points.ids), option) for points, option in parts])[best]
        )
        layer[state] = _Points(costs[best], worths[best], np.arange(count, count + len(best)))
        count += len(best)
    return layer, (np.concatenate(parents), np.concatenate(options)), exact


def _front_of(
    points: _Points, metrics: tuple[str, ...], *, exact: bool, arch: Callable[[int], Architecture]
) -> Front:
    return Front(
        metrics,
        worths=points.worths,
        costs=points.costs,
        exact=exact,
        arch=lambda i: arch(int(points.ids[i])),
    )


class _Sums:
    """The constraints' metrics as terms, each due at the last decision it reads."""

    def __init__(
        self, space: SearchSpace, constraints: Sequence[Constraint], columns: Sequence[str]
    ) -> None:
        self._space, self._width, self._rng = space, len(columns), Random(0)
        self._tables: dict[tuple[int, int, tuple[Any, ...]], np.ndarray] = {}
        self._due: dict[int, list[tuple[Term, list[tuple[int, str]]]]] = {}
        place = {name: i for i, name in enumerate(space.order)}
        self.until = dict(place)  # decision -> the last place at which it is asked for
        for metric in distinct(constraints):
            own = [(columns.index(c.name), c.name) for c in constraints if c.metric == metric]
            for term in _terms(space, metric, [c for c in constraints if c.metric == metric]):
                scope = _with_gates(space, term.names)
                at = max((place[n] for n in scope), default=0)
                self._due.setdefault(at, []).append((Term(scope, term.value), sorted(set(own))))
                for n in scope:
                    self.until[n] = max(self.until[n], at)
        for name, condition in space.conditions.items():
            for other in (n for clause in condition for gate in clause for n in gate.names):
                self.until[other] = max(self.until[other], place[name])

    def added(self, place: int, known: Mapping[str, Any]) -> np.ndarray:
        """What the terms due here add."""
        total = np.zeros(self._width)
        for number, (term, columns) in enumerate(self._due.get(place, ())):
            key = (place, number, tuple([known.get(n, _ABSENT) for n in term.names]))
            if key not in self._tables:
                arch = self._space.complete(
                    {n: known[n] for n in term.names if n in known}, self._rng
                )
                parts, row = term.value(arch), np.zeros(self._width)
                for column, part in columns:
                    row[column] = parts[part]
                self._tables[key] = row
            total += self._tables[key]
        return total


def _terms(space: SearchSpace, metric: Metric, constraints: Sequence[Constraint]) -> Sequence[Term]:
    """The metric's own, held against it on a few architectures."""
    terms = getattr(metric, "terms", None)
    if terms is None:
        raise NotAdditive(f"{name_of(metric)} is no sum over decisions")
    rng = Random(0)
    for constraint in constraints:
        if constraint.low > -math.inf:
            raise NotAdditive(f"{constraint} bounds from below")
        for _ in range(_CHECKED):
            arch = space.sample(rng)
            value, parts = (
                read(metric(arch), constraint.name, metric),
                [term.value(arch) for term in terms],
            )
            if not all(constraint.name in part for part in parts) or not math.isclose(
                math.fsum(part[constraint.name] for part in parts),
                value,
                rel_tol=1e-6,
                abs_tol=1e-9,
            ):
                raise NotAdditive(f"the terms of {constraint.name} do not add up to it")
    return terms


def _with_gates(space: SearchSpace, names: Iterable[str]) -> tuple[str, ...]:
    """With what decides whether they exist."""
    decisions: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in decisions:
            decisions[name] = None
            waiting += [
                n
                for clause in space.conditions.get(name, ())
                for gate in clause
                for n in gate.names
            ]
    return tuple(n for n in space.order if n in decisions)


def _taken(
    space: SearchSpace, name: str, known: dict[str, Any]
) -> list[tuple[int, dict[str, Any]]]:
    if not space.is_active(name, known):
        return [(-1, known)]
    return [(i, {**known, name: option}) for i, option in enumerate(space.options[name])]


def _unbeaten(costs: np.ndarray, worths: np.ndarray) -> tuple[np.ndarray, bool]:
    """Positions of the points that no other beats, by falling worth, and whether these are all of
    them."""
    count, width = costs.shape
    if width == 0:
        return np.array([int(worths.argmax())]), True
    if width == 1:
        order = np.lexsort((-worths, costs[:, 0]))
        before = np.concatenate([[-np.inf], np.maximum.accumulate(worths[order])[:-1]])
        kept = order[worths[order] > before][::-1]
        return (kept, True) if len(kept) <= MOST else (_thinned(costs, kept), False)
    order, whole = np.lexsort((*costs.T, -worths)), True
    if count > MOST:  # of those that cost the same the worthiest, before anything is left out
        order = order[np.sort(np.unique(costs[order], axis=0, return_index=True)[1])]
    if len(order) > MOST:
        order, whole = _thinned(costs, order), False
    kept = np.zeros(0, dtype=np.int64)
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        if len(kept):
            beaten = _no_more(costs[kept], costs[chunk]).any(axis=1)
            chunk = chunk[~beaten]
        among = np.tril(_no_more(costs[chunk], costs[chunk]), -1)
        kept = np.concatenate([kept, chunk[~among.any(axis=1)]])
    return kept, whole


def _no_more(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[i, j]: a[j] costs no more than b[i], in nothing."""
    return np.asarray((a[None, :, :] <= b[:, None, :]).all(axis=2))


def _thinned(costs: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Of those that cost the same to one part in so many, the first, and all that are cheapest in
    something."""
    width = costs.shape[1]
    own = costs[order]
    low, high = own.min(axis=0), own.max(axis=0)
    bins = max(2.0, (MOST // 2) ** (1.0 / width))
    cells = np.ceil((own - low) / np.maximum((high - low) / bins, 1e-300)).astype(np.int64)
    first = np.unique(cells, axis=0, return_index=True)[1]
    return order[np.sort(np.union1d(first, own.argmin(axis=0)))]


def _traced(space: SearchSpace, trail: Sequence[_Step], point: int) -> Architecture:
    known: dict[str, Any] = {}
    for name, (parents, options) in zip(reversed(space.order), reversed(trail), strict=True):
        if options[point] >= 0:
            known[name] = space.options[name][options[point]]
        point = int(parents[point])
    return Architecture({name: known[name] for name in space.options if name in known})
