"""Steady-state evolution with a proposal operator of the space's own, as Zen-NAS and ZiCo search
(Li et al., ICLR 2023)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol, runtime_checkable

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.loop import Proposals, searcher
from archsmith.space import Architecture

_SEEDED = 10  # so many members come from the start itself


@runtime_checkable
class Proposing(Protocol):
    """A model that knows how its space is best walked."""

    @property
    def start(self) -> Architecture:
        """Where a search begins."""
        ...

    def propose(self, arch: Architecture, rng: Random, places: int) -> Architecture:
        """A neighbor: `arch` changed in so many places."""
        ...


@searcher
def steady_state(
    problem: Problem,
    seed: int = 0,
    *,
    start: Architecture,
    propose: Callable[[Architecture, Random, int], Architecture],
    population: int | None = 512,
) -> Proposals:
    """One candidate at a time: `propose(parent, rng, places)` of a parent drawn uniformly; the
    worst leaves a full population.

    While the population holds at most ten, the parent is `start` and one place is changed; later
    two are. What breaks a constraint is a trial, too, but no member (rejected candidates count as
    iterations). No tournament, no crossover, no ageing, no check for repetitions, as in the
    released code. The result is the best member. `population` None: nobody leaves, so it is a walk
    without selection.
    """
    if population is not None and population < 1:
        raise UserError(f"population={population}; give at least 1")
    rng = Random(seed)
    alive: list[Trial] = []
    while True:
        parent, places = (start, 1) if len(alive) <= _SEEDED else (rng.choice(alive).arch, 2)
        (trial,) = yield [Candidate(propose(parent, rng, places), origin="evolution")]
        if trial.feasible:
            alive.append(trial)
            if population is not None and len(alive) > population:
                alive.remove(max(alive, key=rank))
