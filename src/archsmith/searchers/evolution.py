"""Evolution: (mu+lambda), and regularized evolution (Real et al. 2019)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from archsmith.feasibility.sampler import FeasibleSampler
from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import Architecture, crossover, mutate

_ATTEMPTS = 20  # at a child that was not proposed before, until a new draw takes its place


@searcher
def evolution(
    problem: Problem,
    seed: int = 0,
    population: int = 64,
    offspring: int = 16,
    tournament: int = 2,
    crossover_share: float = 0.5,
    mutations: int = 2,
) -> Proposals:
    """(mu+lambda): of the `population` and its `offspring` the best survive, by the first
    objective; nothing is proposed twice.

    Parents win a tournament of `tournament`. A child is the uniform crossover of two parents (with
    probability `crossover_share`) or a copy of one, with 1 to `mutations` decisions re-drawn,
    repaired where it breaks a cheap constraint.
    """
    at_least_one(
        population=population, offspring=offspring, tournament=tournament, mutations=mutations
    )
    rng = Random(seed)
    untried = Untried(problem, rng)

    def child(alive: Sequence[Trial]) -> Architecture:
        parent = _winner(alive, tournament, rng).arch
        if rng.random() < crossover_share:
            parent = crossover(problem.space, parent, _winner(alive, tournament, rng).arch, rng)
        return untried.repaired(mutate(problem.space, parent, rng, count=rng.randint(1, mutations)))

    def batch(alive: Sequence[Trial], count: int) -> list[Candidate]:
        candidates: list[Candidate] = []
        while len(candidates) < count:
            children = (child(alive) for _ in range(_ATTEMPTS if alive else 0))
            bred = next((arch for arch in children if untried.is_new(arch)), None)
            archs, origin = (
                (untried.draw(1), "random")
                if bred is None
                else (untried.taken([bred]), "evolution")
            )
            if not archs:
                break
            candidates.append(Candidate(archs[0], origin=origin))
        return candidates

    alive: list[Trial] = []
    while candidates := batch(alive, offspring if alive else population):
        alive = sorted([*alive, *(yield candidates)], key=rank)[:population]


@searcher
def regularized_evolution(
    problem: Problem, seed: int = 0, population: int = 100, tournament: int = 10
) -> Proposals:
    """Real et al. (AAAI 2019), algorithm 1: mutate one decision of the best of a random tournament,
    retire the oldest.

    Deviation: a child that breaks a cheap constraint is repaired. As in the paper a child may have
    been seen before.
    """
    at_least_one(population=population, tournament=tournament)
    rng = Random(seed)
    sampler = FeasibleSampler(problem.space, problem.cheap, rng)
    first = [Candidate(arch, origin="random") for arch in sampler.draw(population)]
    alive = deque((yield first), maxlen=population)
    while True:
        parent = _winner(list(alive), tournament, rng)
        arch = sampler.repaired(mutate(problem.space, parent.arch, rng))
        alive.extend((yield [Candidate(arch, origin="evolution")]))


def _winner(alive: Sequence[Trial], tournament: int, rng: Random) -> Trial:
    return min(rng.sample(alive, min(tournament, len(alive))), key=rank)
