"""Predictor-guided search: of many mutants of the best, those a predictor expects most of (White et
al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import numpy as np

from archsmith.predictors.encoding import one_hot
from archsmith.predictors.predictor import Predictor, mean_and_std, predictor
from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.acquisition import acquired
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one, first_losses
from archsmith.space import Architecture, SearchSpace, mutate


@searcher
def predictor_guided(
    problem: Problem,
    seed: int = 0,
    initial: int = 10,
    batch: int = 10,
    parents: int = 10,
    mutants: int = 100,
    model: str | Callable[[int], Predictor] = "mlp",
    acquisition: str = "thompson",
) -> Proposals:
    """White, Neiswanger and Savani, "BANANAS" (AAAI 2021), algorithm 1.

    After `initial` random ones: fit the predictor to all trials, change one decision of the
    `parents` best to make `mutants` new ones, measure the `batch` that the acquisition function
    (independent Thompson sampling in the paper) puts first, again.

    `model`: a name of `predictors.predictor.PREDICTORS`, or what makes one of a seed. Deviations: a
    one-hot encoding of the decisions where the paper encodes paths, which only cells have; the
    networks of "mlp" learn standardized losses by squared error, not mean absolute percentage
    error; where mutation finds nothing new, random architectures take its place.
    """
    at_least_one(initial=initial, batch=batch, parents=parents, mutants=mutants)
    rng = Random(seed)
    untried = Untried(problem, rng)
    trials: list[Trial] = []
    archs, origin = untried.draw(initial), "random"
    while archs:
        trials += yield [Candidate(arch, origin=origin) for arch in archs]
        best = [trial.arch for trial in sorted(trials, key=rank)[:parents]]
        pool = untried.pool(partial(_mutant, problem.space, best, rng), mutants)
        best = _ranked(problem.space, trials, pool, model=model, acquisition=acquisition, rng=rng)
        archs, origin = untried.taken(best[:batch]), "model"
        if not archs:
            archs, origin = untried.draw(batch), "random"


def _mutant(space: SearchSpace, parents: Sequence[Architecture], rng: Random) -> Architecture:
    return mutate(space, rng.choice(parents), rng)


def _ranked(
    space: SearchSpace,
    trials: Sequence[Trial],
    pool: Sequence[Architecture],
    model: str | Callable[[int], Predictor],
    acquisition: str,
    rng: Random,
) -> list[Architecture]:
    """The pool, by descending acquisition under a predictor of what was measured."""
    seed = rng.getrandbits(32)
    if not pool:
        return []
    made = predictor(model, seed) if isinstance(model, str) else model(seed)
    losses = np.array(first_losses(trials))
    made.fit(one_hot(space, [trial.arch for trial in trials]), losses)
    mean, std = mean_and_std(made, one_hot(space, pool))
    worth = acquired(acquisition, mean, std, best=losses.min(), rng=np.random.default_rng(seed))
    return [pool[i] for i in np.argsort(-worth, kind="stable")]
