"""From an architecture that breaks limits to one that keeps them, by small moves."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from archsmith.feasibility.violation import Gauge
from archsmith.space import Architecture, SearchSpace

_MEASURED = 160  # single changes around one architecture
_EXCURSION = 12  # moves of a walk outside before it is called back


class Descent:
    """Moves in a space, and descent on the violation by them."""

    def __init__(self, space: SearchSpace, gauge: Gauge, rng: Random) -> None:
        self.space, self.gauge, self.rng = space, gauge, rng
        self.gating = {
            n
            for condition in space.conditions.values()
            for clause in condition
            for g in clause
            for n in g.names
        }
        self.free = [name for name, options in space.options.items() if len(options) > 1]
        self.others = {
            name: {o: [p for p in space.options[name] if p != o] for o in space.options[name]}
            for name in self.free
        }

    def moved(self, arch: Architecture, name: str, option: object) -> Architecture:
        """One decision changed, what that brings into being uniform."""
        changed = {**arch, name: option}
        return (
            self.space._fill_around(changed, self.rng)
            if name in self.gating
            else Architecture(changed)
        )

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
        """Sweeps over the decisions in random order, taking the first option that is nearer, until
        all fits or nothing helps.

        Of options that are as near, every other one is taken: the violation of a maximum is flat in
        most directions.
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
                    new_violation = self.gauge.violation(other)
                    if new_violation < violation or (
                        new_violation == violation and self.rng.random() < 0.5
                    ):
                        arch, violation = other, new_violation
                        break
            idle = 0 if violation < before else idle + 1
        return arch, violation


@dataclass(frozen=True)
class _Change:
    """Other options for some decisions, and what they are predicted to add to each constrained
    value."""

    options: Mapping[str, object]
    effect: Mapping[str, float]

    def meets(self, other: _Change) -> bool:
        """Whether both change the same decision."""
        return bool(self.options.keys() & other.options.keys())

    def and_(self, other: _Change) -> _Change:
        """Both at once, as if their effects added up."""
        effect = {name: self.effect[name] + other.effect[name] for name in self.effect}
        return _Change({**self.options, **other.options}, effect)


def exchanges(descent: Descent, arch: Architecture, limit: int = 32) -> list[Architecture]:
    """Architectures up to four decisions away that would fit if the effects of decisions added up,
    at most about `limit`.

    The effect of each single change is measured; sums of two pairs of them are matched by bisection
    against the limit that is broken most, then held against the others. Only decisions that bring
    no others into being are changed.
    """
    constraints, rng = descent.gauge.constraints, descent.rng
    base = descent.gauge.values(arch)
    if not descent.gauge.complete(base):
        return []
    worst = max(constraints, key=lambda c: c.excess(base[c.name]))
    changes = _pairs(_single_changes(descent, arch, base), _Change({}, dict.fromkeys(base, 0.0)))
    changes.sort(key=lambda change: change.effect[worst.name])
    effects = [change.effect[worst.name] for change in changes]
    slack = 1e-9 * abs(base[worst.name])
    low, high = worst.low - base[worst.name] - slack, worst.high - base[worst.name] + slack
    architectures: dict[Architecture, None] = {}
    for first in rng.sample(changes, len(changes)):
        own = first.effect[worst.name]
        begin, end = (
            bisect.bisect_left(effects, low - own),
            bisect.bisect_right(effects, high - own),
        )
        few = end - begin <= 2
        for second in (
            changes[begin:end] if few else [changes[rng.randrange(begin, end)] for _ in range(2)]
        ):
            if first.meets(second):
                continue
            both = first.and_(second)
            if all(c.excess(base[c.name] + both.effect[c.name]) <= 1e-9 for c in constraints):
                other = Architecture({**arch, **both.options})
                if descent.allowed(other):
                    architectures[other] = None
        if len(architectures) >= limit:
            break
    return list(architectures)


def _single_changes(
    descent: Descent, arch: Architecture, base: Mapping[str, float]
) -> list[_Change]:
    """One decision changed each, their effects measured; of many moves a sample."""
    free = [name for name in arch if name in descent.free and name not in descent.gating]
    moves = [(name, option) for name in free for option in descent.others[name][arch[name]]]
    changes = []
    for name, option in descent.rng.sample(moves, min(len(moves), _MEASURED)):
        values = descent.gauge.values(descent.moved(arch, name, option))
        if len(values) == len(base):
            changes.append(_Change({name: option}, {n: values[n] - base[n] for n in base}))
    return changes


def _pairs(changes: Sequence[_Change], nothing: _Change) -> list[_Change]:
    """No change, each by itself, and every two of different decisions."""
    pairs = [a.and_(b) for a, b in itertools.combinations(changes, 2) if not a.meets(b)]
    return [nothing, *changes, *pairs]


class Walk:
    """A reversible random walk on what fits, uniform in the long run.

    One step: a Metropolis-Hastings walk under exp(-violation / temperature) until it stands on
    something that fits again, for at most a few moves, else back to where it left. A path and its
    reverse are equally likely, so steps are reversible whatever the temperature is. A move changes
    one decision or, to pass along a limit, two.
    """

    def __init__(self, descent: Descent, starts: list[Architecture]) -> None:
        self._descent, self._states = descent, list(starts)
        self._rng = descent.rng
        active = max(len(arch) for arch in starts)
        self.thinning = max(8, active // 2)
        excesses = (
            [descent.gauge.violation(descent.proposal(a)[0]) for a in starts for _ in range(4)]
            if descent.free
            else []
        )
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
                new_violation = self._descent.gauge.violation(other)
                gain = (
                    ratio + (violation - new_violation) / self._temperature
                    if new_violation < math.inf
                    else -math.inf
                )
                if gain >= 0 or self._rng.random() < math.exp(gain):
                    here, violation = other, new_violation
            if self._adapting:  # half of the time outside
                self._temperature *= math.exp(0.05 if violation <= 0 else -0.05)
            if violation <= 0:
                return here
        return home
