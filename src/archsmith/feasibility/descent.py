"""From an architecture that breaks limits to one that keeps them, by small moves."""

from __future__ import annotations

import bisect
import itertools
import math
from random import Random

from archsmith.feasibility.violation import _EXCURSION, Gauge
from archsmith.space import Architecture, SearchSpace


class Descent:
    """Moves in a space, and descent on the violation by them."""

    def __init__(self, space: SearchSpace, gauge: Gauge, rng: Random) -> None:
        self.space, self.gauge, self.rng = space, gauge, rng
        self.gating = {n for condition in space.conditions.values() for clause in condition for g in clause for n in g.names}
        self.free = [name for name, options in space.options.items() if len(options) > 1]
        self.others = {name: {o: [p for p in space.options[name] if p != o] for o in space.options[name]} for name in self.free}

    def moved(self, arch: Architecture, name: str, option: object) -> Architecture:
        """One decision changed, what that brings into being uniform."""
        changed = {**arch, name: option}
        return self.space._fill_around(changed, self.rng) if name in self.gating else Architecture(changed)

    def allowed(self, arch: Architecture) -> bool:
        return not self.space.predicates or self.space._allowed(arch)

    def proposal(self, arch: Architecture) -> tuple[Architecture, float]:
        """A random move, and log(probability of the way back / probability of the way there)."""
        free = [name for name in arch if name in self.others]
        name = self.rng.choice(free)
        other = self.moved(arch, name, self.rng.choice(self.others[name][arch[name]]))
        if name not in self.gating:
            return other, 0.0
        options = self.space.options
        ratio = math.log(len(free) / sum(n in self.others for n in other))
        ratio += sum(math.log(len(options[n])) for n in other if n not in arch)
        return other, ratio - sum(math.log(len(options[n])) for n in arch if n not in other)

    def kick(self, arch: Architecture, count: int) -> Architecture:
        """A few random moves."""
        for _ in range(count):
            other = self.proposal(arch)[0] if self.free else arch
            arch = other if self.allowed(other) else arch
        return arch

    def run(self, arch: Architecture, limit: int) -> tuple[Architecture, float]:
        """Sweeps over the decisions in random order, taking the first option that is nearer, until all fits or nothing helps.

        Of options that are as near, every other one is taken: the violation of a maximum is flat in most directions.
        """
        violation, end = self.gauge.violation(arch), self.gauge.calls + limit
        idle = 0
        while violation > 0 and idle < 2 and self.gauge.calls < end:
            before = violation
            for name in self.rng.sample(self.free, len(self.free)):
                if name not in arch or violation <= 0:
                    continue
                others = self.others[name][arch[name]]
                for option in self.rng.sample(others, len(others)):
                    other = self.moved(arch, name, option)
                    if not self.allowed(other):
                        continue
                    found = self.gauge.violation(other)
                    if found < violation or (found == violation and self.rng.random() < 0.5):
                        arch, violation = other, found
                        break
            idle = 0 if violation < before else idle + 1
        return arch, violation


def exchanges(descent: Descent, arch: Architecture, limit: int = 32) -> list[Architecture]:
    """Architectures up to four decisions away that would fit if the effects of decisions added up, at most `limit`.

    The effect of each single change is measured; sums of two pairs of them are matched by bisection against the limit that is
    broken most, then held against the others. Only decisions that bring no others into being are changed.
    """
    gauge, rng = descent.gauge, descent.rng
    base = gauge.values(arch)
    if len(base) < len({c.name for c in gauge.constraints}):
        return []
    target = max(gauge.constraints, key=lambda c: c.excess(base[c.name]))
    singles: list[tuple[dict[str, object], dict[str, float]]] = []
    moves = [(n, o) for n in arch if n in descent.free and n not in descent.gating for o in descent.others[n][arch[n]]]
    for name, option in rng.sample(moves, min(len(moves), 160)):
        values = gauge.values(descent.moved(arch, name, option))
        if len(values) == len(base):
            singles.append(({name: option}, {n: values[n] - base[n] for n in base}))
    nothing: tuple[dict[str, object], dict[str, float]] = ({}, dict.fromkeys(base, 0.0))
    pairs = [nothing, *singles, *(_both(a, b) for a, b in itertools.combinations(singles, 2) if not a[0].keys() & b[0].keys())]
    pairs.sort(key=lambda pair: pair[1][target.name])
    gains = [pair[1][target.name] for pair in pairs]
    slack = 1e-9 * abs(base[target.name])
    low, high = target.low - base[target.name] - slack, target.high - base[target.name] + slack
    chosen: dict[Architecture, None] = {}
    for first in rng.sample(pairs, len(pairs)):
        begin = bisect.bisect_left(gains, low - first[1][target.name])
        end = bisect.bisect_right(gains, high - first[1][target.name])
        for second in pairs[begin:end] if end - begin <= 2 else (pairs[rng.randrange(begin, end)] for _ in range(2)):
            if first[0].keys() & second[0].keys():
                continue
            changes, gain = _both(first, second)
            if all(c.excess(base[c.name] + gain[c.name]) <= 1e-9 for c in gauge.constraints):
                other = Architecture({**arch, **changes})
                if descent.allowed(other):
                    chosen[other] = None
        if len(chosen) >= limit:
            break
    return list(chosen)


def _both(
    a: tuple[dict[str, object], dict[str, float]], b: tuple[dict[str, object], dict[str, float]]
) -> tuple[dict[str, object], dict[str, float]]:
    return {**a[0], **b[0]}, {name: a[1][name] + b[1][name] for name in a[1]}


class Walk:
    """A reversible random walk on what fits, uniform in the long run.

    One step: a Metropolis-Hastings walk under exp(-violation / temperature) until it stands on something that fits again,
    for at most a few moves, else back to where it left. A path and its reverse are equally likely, so steps are reversible
    whatever the temperature is. A move changes one decision or, to pass along a limit, two.
    """

    def __init__(self, descent: Descent, starts: list[Architecture]) -> None:
        self._descent, self._states = descent, list(starts)
        self._rng = descent.rng
        active = max(len(arch) for arch in starts)
        self.thinning = max(8, active // 2)
        excesses = [descent.gauge.violation(descent.proposal(a)[0]) for a in starts for _ in range(4)] if descent.free else []
        finite = [e for e in excesses if 0 < e < math.inf]
        self._temperature = sum(finite) / len(finite) / 4 if finite else 1.0
        self._adapting = True
        self._moves = self._steps = 0
        for _ in range(4 * active):
            self.step()
        self._adapting = False

    @property
    def mobility(self) -> float:
        """The share of steps that led elsewhere."""
        return self._moves / max(1, self._steps)

    def states(self) -> list[Architecture]:
        """Where the walks stand."""
        return list(self._states)

    def step(self) -> None:
        """One step of every walk."""
        if self._descent.free:
            moved = [self._step(arch) for arch in self._states]
            self._steps += len(moved)
            self._moves += sum(new is not old for new, old in zip(moved, self._states, strict=True))
            self._states = moved

    def _step(self, home: Architecture) -> Architecture:
        here, violation = home, 0.0
        for _ in range(_EXCURSION):
            other, ratio = self._descent.proposal(here)
            if self._rng.random() < 0.4:
                other, second = self._descent.proposal(other)
                ratio += second
            if self._descent.allowed(other):
                found = self._descent.gauge.violation(other)
                gain = ratio + (violation - found) / self._temperature if found < math.inf else -math.inf
                if gain >= 0 or self._rng.random() < math.exp(gain):
                    here, violation = other, found
            if self._adapting:  # half of the time outside
                self._temperature *= math.exp(0.05 if violation <= 0 else -0.05)
            if violation <= 0:
                return here
        return home
