"""Architectures within hard limits, without starving; repair; the share of a space that fits.

Ways to draw, the first that serves:

1. uniform draws, kept where they fit (exactly uniform over what fits);
2. where that starves and the space is small: enumeration (exactly uniform too);
3. else descent on the violation from the draws that came nearest, then a Metropolis-Hastings walk
   over what fits. Its stationary distribution is uniform over the part of the feasible set that it
   can reach; a finite walk comes near that;
4. where what fits is too scattered to walk on (a narrow window): descent from fresh draws, then
   exchanges of up to four decisions that are predicted to hit. Well spread, not uniform.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from archsmith._internal.statistics import wilson
from archsmith.errors import NothingFits, UserError
from archsmith.feasibility.descent import Descent, Walk, exchanges
from archsmith.feasibility.violation import Gauge
from archsmith.problem import Constraint, Metric, distinct, figure, name_of, read
from archsmith.space import Architecture, SearchSpace

SMALL = 20_000  # a space of at most so many architectures is enumerated where draws starve
_FEWEST = 12  # draws that say how much fits, whatever they take
_FEW_PROBES = 64  # ... where any that fits will do
_PROBES = 2_000  # uniform draws before another way is tried
_ENOUGH = 1 / 200  # ... which is when fewer of them fit than this
_CHAINS = 16
_STUCK = 1 / 50  # a walk of which fewer steps lead anywhere is given up
_AGREE = 6  # descents that end at the same violation before it is believed to be the least there is


def feasible_sample(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    rng: Random,
    count: int,
    *,
    distinct: bool = True,
    tries: int = 50_000,
    stop: Callable[[], bool] = lambda: False,
) -> list[Architecture]:
    """`count` architectures that meet the constraints; fewer where there are no more (or no more
    are found).

    Without `distinct` one may come again. `tries` bounds the evaluations spent without finding a
    first one, and `stop()` ends the looking. Raises NothingFits.
    """
    return FeasibleSampler(space, constraints, rng, distinct=distinct, tries=tries, stop=stop).draw(
        count
    )


def a_few(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    rng: Random,
    count: int,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> list[Architecture]:
    """Up to `count` architectures that meet the constraints, whichever are found soonest: after few
    draws walks from as many places as are wanted. Raises NothingFits."""
    sampler = FeasibleSampler(space, constraints, rng, probes=_FEW_PROBES, chains=count, stop=stop)
    return sampler.draw(count)


def repair(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    arch: Mapping[str, object],
    rng: Random,
    *,
    tries: int = 5_000,
) -> Architecture:
    """The architecture itself where it fits, else one that descent on the violation reaches from
    it. Raises NothingFits.

    Decisions that the space does not allow are drawn anew; what the descent has no reason to touch
    stays.
    """
    gauge = Gauge(constraints)
    inside = space.complete(
        {name: option for name, option in arch.items() if option in space.options.get(name, ())},
        rng,
    )
    descent = Descent(space, gauge, rng)
    nearest, violation = descent.run(inside, tries)
    while violation > 0 and gauge.calls < tries:
        moved, new_violation = descent.run(
            descent.kick(nearest, 1 + min(4, gauge.calls * 5 // tries)), tries
        )
        if new_violation <= violation:
            nearest, violation = moved, new_violation
    if violation > 0:
        raise _nothing_fits(
            space,
            gauge,
            nearest,
            rng=rng,
            how=f"found in {gauge.calls:,} tries around one architecture",
        )
    return nearest


class FeasibleSampler:
    """Draws from what fits; with `distinct` never the same architecture twice, over all calls of
    `draw`.

    `probes`: uniform draws before another way is tried; `chains`: feasible architectures that walks
    start from, looked for from many sides. Fewer of both where any that fits will do.
    """

    def __init__(
        self,
        space: SearchSpace,
        constraints: Sequence[Constraint],
        rng: Random,
        *,
        distinct: bool = True,
        tries: int = 50_000,
        probes: int = _PROBES,
        chains: int = _CHAINS,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._space, self._rng, self._distinct = space, rng, distinct
        self._tries, self._probes, self._chains, self._stop = tries, probes, chains, stop
        self.gauge = Gauge(constraints)
        self._descent = Descent(space, self.gauge, rng)
        self._seen: set[Architecture] = set()
        # a heap of the draws that came nearest, the farthest on top
        self._near: list[tuple[float, int, Architecture]] = []
        self._stream = self._draws()
        self._ended = False

    def draw(self, count: int) -> list[Architecture]:
        """The next `count`; fewer at the end of a small set. Raises NothingFits where nothing was
        ever found."""
        drawn: list[Architecture] = []
        patience = max(5_000, self._tries // 4)
        fresh = self.gauge.calls
        while len(drawn) < count and not self._ended:
            arch = next(self._stream, None)
            if arch is not None and not (self._distinct and arch in self._seen):
                drawn.append(arch)
                self._seen.add(arch)
                fresh = self.gauge.calls
            elif arch is None or self.gauge.calls - fresh > patience:
                self._ended = True
            if drawn and self._stop():
                break
        return drawn

    def repaired(self, arch: Architecture) -> Architecture:
        """The architecture itself where it fits, else the nearest that descent reaches, else a
        fresh draw."""
        try:
            return repair(self._space, self.gauge.constraints, arch, self._rng, tries=2_000)
        except NothingFits:
            return next(iter(self.draw(1)), arch)

    # -- the ways, one after the other ------------------------------------------------------------

    def _draws(self) -> Iterator[Architecture]:
        size = replace(self._space, predicates=()).size
        small = size <= SMALL
        hits: list[Architecture] = []
        for draws in itertools.count(1):
            arch = self._space.sample(self._rng, uniform=True)
            violation = self.gauge.violation(arch) if self.gauge.constraints else 0.0
            if violation <= 0:
                hits.append(arch)
                yield arch
            else:
                self._remember(arch, violation, draws)
            if small and draws >= min(self._probes, max(64, size // 4)):
                yield from self._enumerated()
                return
            rare = draws >= self._probes and len(hits) < draws * _ENOUGH
            if rare or (not hits and self._stop()):
                break
        yield from self._walked(hits)

    def _remember(self, arch: Architecture, violation: float, number: int) -> None:
        entry = (-violation, -number, arch)
        if len(self._near) < 2 * self._chains:
            heapq.heappush(self._near, entry)
        else:
            heapq.heappushpop(self._near, entry)

    def _enumerated(self) -> Iterator[Architecture]:
        fitting, nearest, least = [], None, math.inf
        for arch in self._space.architectures():
            violation = self.gauge.violation(arch) if self.gauge.constraints else 0.0
            if violation <= 0:
                fitting.append(arch)
            elif violation < least or nearest is None:
                nearest, least = arch, violation
        if not fitting:
            raise self._nothing_fits(nearest, f"among all {self._space.size:,}")
        if self._distinct:
            self._rng.shuffle(fitting)
            yield from fitting
        while not self._distinct:
            yield self._rng.choice(fitting)

    def _walked(self, hits: Sequence[Architecture] = ()) -> Iterator[Architecture]:
        """Where walks over what fits stand, as long as they move; then what exchanges around fresh
        draws find."""
        known = self._starts(hits)
        walk = Walk(self._descent, known)
        while walk.mobility > _STUCK:
            for _ in range(walk.thinning):
                walk.step()
            yield from walk.states()
        yield from known
        while True:
            start = self._space.sample(self._rng, uniform=True)
            fitting = self._exchanged(start).fitting or self._reached(start).fitting
            # one that is known, so that whoever draws may lose patience
            yield from fitting or [self._rng.choice(known)]

    def _reached(self, start: Architecture) -> _End:
        """Where a descent from `start` ends, and what fits around that."""
        arch, violation = self._descent.run(start, self._tries // 8)
        if violation <= 0:
            return _End(arch, violation, [arch])
        for _ in range(2):  # the second time from where the first came to
            near = self._exchanged(arch)
            if near.fitting or near.violation >= violation:
                return _End(arch, violation, near.fitting)
            arch, violation = near.arch, near.violation
        return _End(arch, violation, [])

    def _exchanged(self, arch: Architecture) -> _End:
        """The nearest that exchanges meet around `arch`, and all of them that fit."""
        met = [(self.gauge.violation(other), other) for other in exchanges(self._descent, arch)]
        violation, near = min(met, key=lambda pair: pair[0], default=(math.inf, arch))
        return _End(near, violation, [other for amount, other in met if amount <= 0])

    def _starts(self, hits: Sequence[Architecture]) -> list[Architecture]:
        """Feasible architectures to start walks from: hits of the draws, and what descents from
        many sides reach.

        Raises NothingFits where they reach none.
        """
        near = [arch for *_, arch in sorted(self._near, reverse=True)]
        ends = [self._space.extreme(0), self._space.extreme(-1)]
        known = list(hits[-self._chains :])
        # no time to look: the smallest network, or the largest, mostly fits
        if not known and self._stop():
            known = [
                end for end in ends if self._space.contains(end) and self.gauge.violation(end) <= 0
            ]
        missed: list[_End] = []
        number = 0
        most = 2 * self._chains
        while len(known) < self._chains and not (known and (number > most or self._stop())):
            if not known and (
                self.gauge.calls > self._tries or self._agree(missed) or self._stop()
            ):
                nearest = _nearest(missed).arch if missed else next(iter(near), None)
                raise self._nothing_fits(nearest, f"found in {self.gauge.calls:,} tries")
            reached = self._reached(self._side(number, [*near, *ends], missed))
            known += reached.fitting
            if not reached.fitting:
                missed.append(reached)
            number += 1
        return known

    def _side(
        self, number: int, sides: Sequence[Architecture], missed: Sequence[_End]
    ) -> Architecture:
        """Where descent `number` begins: at the given sides, then around the nearest that was
        missed, or anywhere."""
        if number < len(sides):
            return sides[number]
        if missed and self._rng.random() < 0.7:
            return self._descent.kick(_nearest(missed).arch, self._rng.randint(2, 6))
        return self._space.sample(self._rng)

    def _agree(self, missed: Sequence[_End]) -> bool:
        """Whether many descents ended at the same least violation, ends of the space among the
        starts."""
        if len(missed) < len(self._near) + 2:
            return False
        least = _nearest(missed).violation
        return sum(end.violation <= least * (1 + 1e-9) for end in missed) >= _AGREE

    def _nothing_fits(self, nearest: Architecture | None, how: str) -> NothingFits:
        return _nothing_fits(self._space, self.gauge, nearest, rng=self._rng, how=how)


@dataclass(frozen=True)
class _End:
    """Where looking led: an architecture, its violation, and what fits around it."""

    arch: Architecture
    violation: float
    fitting: list[Architecture]


def _nearest(ends: Sequence[_End]) -> _End:
    """The one that breaks least, the first of several."""
    return min(ends, key=lambda end: end.violation)


# -- nothing fits --------------------------------------------------------------------------------


def _nothing_fits(
    space: SearchSpace, gauge: Gauge, nearest: Architecture | None, *, rng: Random, how: str
) -> NothingFits:
    wanted = ", ".join(map(str, gauge.constraints))
    values = gauge.values(nearest) if nearest is not None else {}
    if nearest is None or not gauge.complete(values):
        return NothingFits(
            f"no architecture that fits {wanted} was {how}; the last failure was: {gauge.failure}",
            nearest,
        )
    broken = [c for c in gauge.constraints if c.excess(values[c.name]) > 0]
    relaxed = tuple(_relaxed(c, values[c.name]) for c in broken)
    message = (
        f"no architecture fits {wanted} ({'none' if how.startswith('among') else 'none was'} "
        f"{how}); the nearest has "
        f"{', '.join(f'{name}={figure(value)}' for name, value in values.items())} and fits with "
        f"{' and '.join(relaxed)}"
    )
    if len(broken) > 1:
        alone = [
            text
            for c in gauge.constraints
            if (text := _alone(space, gauge, c, nearest=nearest, rng=rng))
        ]
        message += f"; relaxing one limit alone takes {' or '.join(alone)}" if alone else ""
    return NothingFits(f"{message}; relax that, or choose another --space", nearest, relaxed)


def _relaxed(constraint: Constraint, value: float) -> str:
    """The limit that lets the value in, as a user writes it, rounded to the safe side."""
    above = value > constraint.high
    if value != int(value):
        step = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
        value = (math.ceil(value / step) if above else math.floor(value / step)) * step
        value = float(f"{value:.6g}")
    return f"{constraint.name}{'<=' if above else '>='}{value:.15g}"


def _alone(
    space: SearchSpace, gauge: Gauge, one: Constraint, *, nearest: Architecture, rng: Random
) -> str | None:
    """What the one limit must become for everything to fit with the others as they are; None where
    that was not found."""
    weighed = Gauge(gauge.constraints, [1.0 if c is one else 1e4 for c in gauge.constraints])
    descent = Descent(space, weighed, rng)
    ends = [
        descent.run(start, 2_000)
        for start in (nearest, space.extreme(0), space.extreme(-1), space.sample(rng))
    ]
    arch = min(ends, key=lambda end: end[1])[0]
    values = weighed.values(arch)
    if not weighed.complete(values):
        return None
    met = all(c.excess(values[c.name]) <= 0 for c in gauge.constraints if c is not one)
    return _relaxed(one, values[one.name]) if met else None


# -- how much fits -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """The share of a space that fits with its 95 % interval (low = high where all were counted),
    and the values seen."""

    share: float
    low: float
    high: float
    draws: int
    values: Mapping[str, list[float]]

    def summary(self) -> dict[str, dict[str, float]]:
        """min, median and max of each value."""
        result = {}
        for name, values in self.values.items():
            ordered = sorted(values)
            middle = len(ordered) // 2
            median = (
                ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
            )
            result[name] = {"min": ordered[0], "median": median, "max": ordered[-1]}
        return result


def feasible_share(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    rng: Random,
    draws: int = 2_000,
    metrics: Sequence[Metric] = (),
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Share:
    """How much of the space fits, from `draws` uniform architectures (all, where there are no more
    than that); fewer, but some, once `stop()` is true.

    `values` holds every value of the constraints' metrics and of `metrics`, and of the two ends of
    the space besides: they are seldom drawn, yet are what minimum and maximum mean.
    """
    asked = [*distinct(constraints), *(m for m in metrics if m not in distinct(constraints))]
    everything = replace(space, predicates=()).size <= draws
    archs = (
        list(space.architectures())
        if everything
        else [space.sample(rng, uniform=True) for _ in range(draws)]
    )
    values: dict[str, list[float]] = {}
    hits = 0
    for done, arch in enumerate(archs):
        if done >= _FEWEST and not everything and stop():
            archs = archs[:done]
            break
        hits += _values(arch, asked, constraints, values)
    for end in () if everything else (space.extreme(0), space.extreme(-1)):
        if space.contains(end):
            _values(end, asked, constraints, values)
    if not archs:
        return Share(0.0, low=0.0, high=0.0, draws=0, values=values)
    share = hits / len(archs)
    low, high = (share, share) if everything else wilson(hits, len(archs))
    return Share(share, low=low, high=high, draws=len(archs), values=values)


def _values(
    arch: Architecture,
    metrics: Sequence[Metric],
    constraints: Sequence[Constraint],
    into: dict[str, list[float]],
) -> bool:
    """Notes the values of one architecture; whether it fits."""
    fits = True
    for metric in metrics:
        own = [c for c in constraints if c.metric == metric]
        try:
            answer = metric(arch)
            parts = (
                dict(answer)
                if isinstance(answer, Mapping)
                else dict.fromkeys([c.name for c in own] or [name_of(metric)], answer)
            )
            fits = fits and all(c.excess(read(answer, c.name, metric)) <= 0 for c in own)
            for name, value in parts.items():
                if math.isfinite(value):
                    into.setdefault(name, []).append(float(value))
        except UserError:
            raise
        except Exception:  # what cannot be measured does not fit
            fits = False
    return fits
