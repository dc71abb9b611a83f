"""NSGA-II and NSGA-III: pymoo's ask and tell, over the vectors of `encode` and `decode`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from archsmith.errors import UserError
from archsmith.feasibility.sampler import FeasibleSampler
from archsmith.problem import Candidate, Problem, Trial
from archsmith.searchers.loop import Proposals, searcher
from archsmith.space import INACTIVE, Architecture, SearchSpace

_IDLE = 10  # generations without anything new before it is believed that there is nothing
_HOPELESS = 1e9  # the violation of what could not be measured


@searcher
def nsga2(
    problem: Problem, seed: int = 0, population: int = 64, initial: Sequence[Architecture] = ()
) -> Proposals:
    """Deb et al. (2002): survival by front, then crowding. `initial`: the first population, filled
    up by random draws."""
    from pymoo.algorithms.moo.nsga2 import NSGA2

    yield from _generations(
        problem, seed, population, initial=initial, make=lambda **settings: NSGA2(**settings)
    )


@searcher
def nsga3(
    problem: Problem, seed: int = 0, population: int = 64, initial: Sequence[Architecture] = ()
) -> Proposals:
    """Deb and Jain (2014): survival by front, then closeness to reference directions (Das and
    Dennis, at most `population`)."""
    from pymoo.algorithms.moo.nsga3 import NSGA3

    directions = reference_directions(len(problem.objectives), population)
    yield from _generations(
        problem,
        seed,
        population,
        initial=initial,
        make=lambda **settings: NSGA3(ref_dirs=directions, **settings),
    )


def reference_directions(objectives: int, count: int) -> np.ndarray:
    """The finest simplex lattice (Das and Dennis 1998) of at most `count` directions."""
    from pymoo.util.ref_dirs import get_reference_directions

    if objectives == 1:
        return np.ones((1, 1))
    partitions = 1
    while math.comb(partitions + objectives, objectives - 1) <= count:
        partitions += 1
    return get_reference_directions("das-dennis", objectives, n_partitions=partitions)


def _generations(
    problem: Problem, seed: int, population: int, initial: Sequence[Architecture], make: Any
) -> Proposals:
    """Uniform crossover and polynomial mutation of option indices, offspring repaired where they
    break a cheap constraint.

    Options of decisions that an architecture lacks drift along in its vector. No architecture is
    proposed twice.
    """
    if population < 4:
        raise UserError(f"population={population}; give at least 4")
    rng = Random(seed)
    space = problem.space
    sampler = FeasibleSampler(space, problem.cheap, rng)
    first = list(dict.fromkeys([*initial[:population], *sampler.draw(population)]))[:population]
    vectors = np.array([_genes(space, arch, None, rng) for arch in first])
    algorithm = _set_up(problem, make, vectors, population=population, seed=seed)
    known: dict[Architecture, Trial] = {}
    idle = 0
    while algorithm.has_next() and idle < _IDLE:
        offspring = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            return
        archs = [sampler.repaired(space.decode(vector)) for vector in offspring.get("X")]
        offspring.set(
            "X",
            np.array(
                [_genes(space, a, x, rng) for a, x in zip(archs, offspring.get("X"), strict=True)]
            ),
        )
        untried = [arch for arch in dict.fromkeys(archs) if arch not in known]
        idle = 0 if untried else idle + 1
        if untried:
            trials = yield [
                Candidate(arch, origin="evolution" if known else "random") for arch in untried
            ]
            known.update(zip(untried, trials, strict=True))
        _tell(algorithm, offspring, [known[arch] for arch in archs], len(problem.objectives))


def _set_up(problem: Problem, make: Any, vectors: np.ndarray, population: int, seed: int) -> Any:
    from pymoo.core.problem import Problem as Vectors
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.pm import PolynomialMutation
    from pymoo.operators.repair.rounding import RoundingRepair

    upper = np.array([len(options) - 1 for options in problem.space.universe.values()])
    space = Vectors(
        n_var=len(upper),
        n_obj=len(problem.objectives),
        n_ieq_constr=1,
        xl=np.zeros_like(upper),
        xu=upper,
        vtype=int,
    )
    algorithm = make(
        pop_size=population,
        sampling=vectors,
        crossover=UniformCrossover(prob=0.9),
        mutation=PolynomialMutation(eta=3.0, vtype=float, repair=RoundingRepair()),
    )
    algorithm.setup(space, termination=NoTermination(), seed=seed, verbose=False)
    return algorithm


def _genes(
    space: SearchSpace, arch: Mapping[str, Any], before: Sequence[int] | None, rng: Random
) -> list[int]:
    """The architecture's vector; a decision it lacks keeps the option it had before, or draws
    one."""
    genes = space.encode(arch)
    for i, options in enumerate(space.universe.values()):
        if genes[i] == INACTIVE:
            genes[i] = rng.randrange(len(options)) if before is None else int(before[i])
    return genes


def _tell(algorithm: Any, offspring: Any, trials: Sequence[Trial], objectives: int) -> None:
    measured = [trial.losses for trial in trials if trial.losses]
    worst = tuple(np.max(measured, axis=0)) if measured else (0.0,) * objectives
    offspring.set("F", np.array([trial.losses or worst for trial in trials], dtype=float))
    excess = [_HOPELESS if trial.failed else min(trial.violation, _HOPELESS) for trial in trials]
    offspring.set("G", np.array(excess, dtype=float)[:, None])
    for one in offspring:
        one.evaluated.update(("F", "G", "H"))
    algorithm.evaluator.n_eval += len(offspring)
    algorithm.tell(infills=offspring)
