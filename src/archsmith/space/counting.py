"""How many architectures there are, and draws that are uniform over them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from archsmith.space.conditions import INACTIVE_OPTION

if TYPE_CHECKING:
    from archsmith.space.space import SearchSpace


class Lattice:
    """Counts the assignments of one component by a forward pass over its decisions, keeping only
    what later conditions read.

    layers[i] maps a state (options of the decisions still read later) to its edges (previous state,
    option, count).
    """

    def __init__(self, space: SearchSpace, names: list[str]) -> None:
        self._space, self._names = space, names
        reads = [set(space._parents(name)) for name in names]
        self._layers: list[dict[tuple, list[tuple[tuple, Any, int]]]] = []
        states: dict[tuple, int] = {(): 1}
        self._kept: list[tuple[str, ...]] = [()]
        for i, name in enumerate(names):
            later = set().union(*reads[i + 1 :]) if i + 1 < len(names) else set()
            keep = tuple(n for n in names[: i + 1] if n in later)
            edges: dict[tuple, list[tuple[tuple, Any, int]]] = {}
            for state, count in states.items():
                known = {
                    n: o
                    for n, o in zip(self._kept[-1], state, strict=True)
                    if o is not INACTIVE_OPTION
                }
                if not space.is_active(name, known):
                    moves: list[tuple[Any, int]] = [(INACTIVE_OPTION, count)]
                elif name in keep:
                    moves = [(option, count) for option in space.options[name]]
                else:  # nothing later reads it: one edge for all its options
                    moves = [(None, count * len(space.options[name]))]
                for option, weight in moves:
                    values = {**dict(zip(self._kept[-1], state, strict=True)), name: option}
                    edges.setdefault(tuple(values[n] for n in keep), []).append(
                        (state, option, weight)
                    )
            self._layers.append(edges)
            self._kept.append(keep)
            states = {state: sum(w for *_, w in incoming) for state, incoming in edges.items()}
        self.total = sum(states.values())

    def draw(self, rng: Random) -> dict[str, Any]:
        """One assignment, each equally likely: backwards through the layers, edges weighted by
        their counts."""
        known: dict[str, Any] = {}
        state: tuple = ()
        for name, edges in zip(reversed(self._names), reversed(self._layers), strict=True):
            incoming = edges[state]
            ticket = rng.randrange(sum(w for *_, w in incoming))
            for previous, option, weight in incoming:  # noqa: B007  the last one drawn is used below
                ticket -= weight
                if ticket < 0:
                    break
            gating = name in self._kept[self._names.index(name) + 1]
            if option is not INACTIVE_OPTION:
                known[name] = option if gating else rng.choice(self._space.options[name])
            state = previous
        return known

    def can_lack(self, name: str) -> bool:
        """Whether some assignment does not hold this decision."""
        return any(
            o is INACTIVE_OPTION
            for edge in self._layers[self._names.index(name)].values()
            for _, o, _ in edge
        )
