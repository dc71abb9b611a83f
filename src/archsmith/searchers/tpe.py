"""TPE: options weighed by how often they are in the good architectures and in the others (Bergstra
et al. 2011)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random

from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import Architecture, SearchSpace

Weights = Mapping[str, Mapping[object, float]]


@searcher
def tpe(
    problem: Problem,
    seed: int = 0,
    initial: int = 20,
    samples: int = 24,
    good_share: float = 0.15,
    batch: int = 1,
) -> Proposals:
    """Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization" (NeurIPS
    2011), section 4.

    After `initial` random ones: of `samples` drawn from l, the density of the best `good_share`
    (gamma in the paper), the `batch` with the largest l(x)/g(x), which is the largest expected
    improvement (equation 3). Both densities are products over the decisions that an architecture
    has, each proportional to N p_i + C_i for N options, a uniform prior p and C_i architectures
    that take the option.

    Written out here rather than taken from Optuna: on spaces of categories alone it is these few
    lines, resuming asks for draws that no library's next version may change, and constraints and
    conditions are the space's own. Deviation: nothing is proposed twice, and what breaks a cheap
    constraint is left out (repaired where nearly all do).
    """
    at_least_one(initial=initial, samples=samples, batch=batch)
    rng = Random(seed)
    space, untried = problem.space, Untried(problem, rng)
    trials: list[Trial] = []
    archs, origin = untried.draw(initial), "random"
    while archs:
        trials += yield [Candidate(arch, origin=origin) for arch in archs]
        best = _promising(
            space, untried, trials, good_share=good_share, samples=max(samples, batch), rng=rng
        )
        archs, origin = untried.taken(best[:batch]), "model"
        if not archs:
            archs, origin = untried.draw(batch), "random"


def _promising(
    space: SearchSpace,
    untried: Untried,
    trials: Sequence[Trial],
    good_share: float,
    samples: int,
    rng: Random,
) -> list[Architecture]:
    """New architectures drawn from the density of the good ones, by descending l/g; none where no
    trial was feasible."""
    ordered = sorted(trials, key=rank)
    if not ordered[0].feasible:
        return []
    size = math.ceil(good_share * len(ordered))
    good, rest = trial_weights(space, ordered[:size]), trial_weights(space, ordered[size:])
    pool = untried.pool(partial(drawn, space, good, rng), samples)
    return sorted(pool, key=lambda arch: log_density(rest, arch) - log_density(good, arch))


def trial_weights(space: SearchSpace, trials: Sequence[Trial]) -> Weights:
    """The probability of each option of each decision, from the architectures that have the
    decision."""
    result = {}
    for name, options in space.options.items():
        taken = [trial.arch[name] for trial in trials if name in trial.arch]
        result[name] = {
            option: (1 + taken.count(option)) / (len(options) + len(taken)) for option in options
        }
    return result


def drawn(space: SearchSpace, weights: Weights, rng: Random) -> Architecture:
    """One architecture, each decision by its weights."""
    indices = []
    for name, options in space.universe.items():
        (option,) = rng.choices(list(weights[name]), list(weights[name].values()))
        indices.append(options.index(option))
    return space.decode(indices)


def log_density(weights: Weights, arch: Architecture) -> float:
    """Of the decisions that it has."""
    return sum(math.log(weights[name][option]) for name, option in arch.items())
