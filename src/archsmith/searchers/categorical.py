"""Independent categorical distributions over the decisions of a space: deal, draw, move, prune; no
torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from archsmith.errors import Damaged
from archsmith.problem import Trial
from archsmith.searchers.untried import first_losses
from archsmith.space import Architecture, SearchSpace

# origins of what a search by a distribution ends with: its answer, whatever scored better before
FINAL = ("survivor", "mode")
Rows = dict[str, list[float]]  # decision -> a number for each of its options


class Categorical:
    """p(arch) = product over decisions of theta[decision][option]; `alive`: the options that were
    not pruned, by position.

    Decisions with a single option have no distribution. theta starts uniform.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.options = {
            name: options for name, options in space.options.items() if len(options) > 1
        }
        self.theta: Rows = {
            name: [1.0 / len(options)] * len(options) for name, options in self.options.items()
        }
        self.alive = {name: list(range(len(options))) for name, options in self.options.items()}

    # -- from the distribution to architectures ---------------------------------------------------

    @property
    def hands(self) -> int:
        """Architectures of a Latin round: as many as the most alive options of a decision."""
        return max(map(len, self.alive.values()), default=1)

    def deal(self, rng: Random) -> list[Architecture]:
        """A Latin round: of every decision each alive option once, in random order, whatever theta
        is.

        `hands` architectures; shorter lists are dealt again, in a new order.
        """
        count = self.hands
        hands: dict[str, list[int]] = {}
        for name, alive in self.alive.items():
            hand: list[int] = []
            while len(hand) < count:
                hand += rng.sample(alive, len(alive))
            hands[name] = hand[:count]
        return [self._of({name: hand[i] for name, hand in hands.items()}) for i in range(count)]

    def draw(self, rng: Random) -> Architecture:
        """One architecture from theta, among what is alive."""
        places = {}
        for name, alive in self.alive.items():
            weights = [self.theta[name][place] for place in alive]
            places[name] = rng.choices(alive, weights)[0] if sum(weights) > 0 else rng.choice(alive)
        return self._of(places)

    def mode(self) -> Architecture:
        """The likeliest option of every decision, the first of equals."""
        return self._of(
            {
                name: max(alive, key=lambda p, n=name: self.theta[n][p])  # type: ignore[misc]
                for name, alive in self.alive.items()
            }
        )

    def survivors(self) -> SearchSpace:
        """The space of what is alive."""
        return self.space.restrict(
            {n: [self.options[n][place] for place in alive] for n, alive in self.alive.items()}
        )

    def _of(self, places: Mapping[str, int]) -> Architecture:
        indices = []
        for name, everything in self.space.universe.items():
            own = self.space.options.get(name, everything)
            indices.append(
                everything.index(self.options[name][places[name]] if name in places else own[0])
            )
        return self.space.decode(indices)

    def place(self, name: str, arch: Mapping[str, Any]) -> int | None:
        """The position of the architecture's option; None where it does not have the decision."""
        return self.options[name].index(arch[name]) if name in arch else None

    # -- moves ------------------------------------------------------------------------------------

    def prune(self, name: str, place: int) -> None:
        """Takes an option out; the last of a decision stays."""
        assert len(self.alive[name]) > 1
        self.alive[name].remove(place)

    def bound(self) -> None:
        """Keeps every probability at 1 / (d (K - 1)) or more, d decisions of K options (SNG's
        released code), rows at sum 1.

        Deviation: never more than half of the uniform share, which matters in spaces of very few
        decisions only.
        """
        for name, row in self.theta.items():
            least = min(1.0 / (len(self.theta) * (len(row) - 1)), 0.5 / len(row))
            clipped = [max(value, least) for value in row]
            above = sum(value - least for value in clipped)
            room = 1.0 - least * len(row)
            self.theta[name] = [
                least + (value - least) * room / above if above > 0 else 1.0 / len(row)
                for value in clipped
            ]

    def normalize(self) -> None:
        """Rows at sum 1."""
        for name, row in self.theta.items():
            total = sum(row)
            self.theta[name] = [value / total for value in row]

    def entropy(self, name: str) -> float:
        """Of one decision among what is alive, in nats."""
        row = [self.theta[name][place] for place in self.alive[name]]
        total = sum(row)
        if total <= 0:
            return math.log(len(row))
        return -math.fsum(v / total * math.log(v / total) for v in row if v > 0)

    # -- as plain values --------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """theta and alive by decision."""
        return {
            "theta": {n: list(row) for n, row in self.theta.items()},
            "alive": {n: list(a) for n, a in self.alive.items()},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """What `to_json` gave; Damaged where it is of another space."""
        theta, alive = saved.get("theta", {}), saved.get("alive", {})
        if {n: len(row) for n, row in theta.items()} != {
            n: len(o) for n, o in self.options.items()
        } or alive.keys() != theta.keys():
            raise Damaged("the saved distribution is of another space; start a new search")
        self.theta = {name: [float(v) for v in theta[name]] for name in self.options}
        self.alive = {name: [int(v) for v in alive[name]] for name in self.options}


def rewards_of(trials: Sequence[Trial]) -> list[float]:
    """Minus the first loss of each; that of the worst where one was infeasible or failed."""
    return [-loss for loss in first_losses(trials)]


def credited(
    distribution: Categorical, archs: Sequence[Architecture], rewards: Sequence[float]
) -> dict[str, dict[int, float]]:
    """Decision -> position of an option -> mean reward of the architectures that have it."""
    credit: dict[str, dict[int, list[float]]] = {name: {} for name in distribution.options}
    for arch, reward in zip(archs, rewards, strict=True):
        for name in distribution.options:
            place = distribution.place(name, arch)
            if place is not None:
                credit[name].setdefault(place, []).append(reward)
    return {
        name: {place: math.fsum(own) / len(own) for place, own in row.items()}
        for name, row in credit.items()
    }
