"""SMAC: Bayesian optimization with a random forest (Hutter, Hoos and Leyton-Brown 2011)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from archsmith.predictors.encoding import one_hot
from archsmith.predictors.forest import Forest
from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.acquisition import expected_improvement
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one, first_losses
from archsmith.space import Architecture, SearchSpace

Score = Callable[[Sequence[Architecture]], np.ndarray]


@searcher
def smac(
    problem: Problem,
    seed: int = 0,
    initial: int = 10,
    trees: int = 10,
    split: int = 3,
    climbs: int = 10,
    draws: int = 500,
    random_every: int = 2,
) -> Proposals:
    """Hutter, Hoos and Leyton-Brown, "Sequential Model-Based Optimization for General Algorithm
    Configuration" (LION 2011).

    The forest of section 4.1: `trees` trees, no split of fewer than `split` trials, 5/6 of the
    features per split, mean and variance over the trees. Expected improvement is climbed from the
    `climbs` measured architectures that have most of it, changing one decision at a time, and
    looked up for `draws` random ones; the best is measured. Every `random_every`-th architecture is
    random (as in section 4.3; 0: none).

    Deviations: measured values are taken as exact, so there are no repeated runs, no racing and no
    log transform; one-hot features; 500 random architectures instead of 10,000; a split from 3
    trials on instead of 10, for searches of hundreds of trials, where 10 leave hardly a tree;
    climbing passes over neighbors that break a cheap constraint.
    """
    at_least_one(initial=initial, trees=trees, climbs=climbs, draws=draws)
    rng = Random(seed)
    space, untried = problem.space, Untried(problem, rng)
    trials: list[Trial] = []
    archs, origin = untried.draw(initial), "random"
    while archs:
        trials += yield [Candidate(arch, origin=origin) for arch in archs]
        archs = []
        if not random_every or len(trials) % random_every:
            forest = Forest(rng.getrandbits(32), trees=trees, split=split, features=5 / 6)
            archs, origin = (
                _proposal(
                    space, untried, trials, forest=forest, climbs=climbs, draws=draws, rng=rng
                ),
                "model",
            )
        if not archs:
            archs, origin = untried.draw(1), "random"


def _proposal(
    space: SearchSpace,
    untried: Untried,
    trials: Sequence[Trial],
    forest: Forest,
    climbs: int,
    draws: int,
    rng: Random,
) -> list[Architecture]:
    """The new architecture of the largest expected improvement found; none where all that was
    looked at is known."""
    measured = [trial.arch for trial in trials]
    losses = np.array(first_losses(trials))
    forest.fit(one_hot(space, measured), losses)

    def score(archs: Sequence[Architecture]) -> np.ndarray:
        mean, std = forest.predict(one_hot(space, archs), return_std=True)
        return expected_improvement(mean, std, losses.min())

    worth = score(measured)
    best = sorted(range(len(trials)), key=lambda i: (-worth[i], rank(trials[i])))[:climbs]
    ends = climbed(space, untried, [measured[i] for i in best], score)
    pool = [*ends, *(space.sample(rng) for _ in range(draws))]
    order = np.argsort(-score(pool), kind="stable")
    return next(
        (
            untried.taken([pool[i]])
            for i in order
            if untried.is_new(pool[i]) and untried.fits(pool[i])
        ),
        [],
    )


def climbed(
    space: SearchSpace, untried: Untried, starts: Sequence[Architecture], score: Score
) -> list[Architecture]:
    """The best new neighbor of each architecture on the way from a start by one-decision moves,
    each to the best that fits.

    All starts at once. Where a way ends may well be known; there its neighbors are what there is to
    measure.
    """
    ends = list(starts)
    candidates: list[Architecture] = []
    values = score(ends)
    alive = list(range(len(ends)))
    while alive:
        near = [list(space.neighbors(ends[i])) for i in alive]
        worth = iter(score([arch for archs in near for arch in archs])) if any(near) else iter(())
        moved = []
        for i, archs in zip(alive, near, strict=True):
            ranked = sorted(
                ((float(next(worth)), arch) for arch in archs), key=lambda pair: -pair[0]
            )
            best = next((pair for pair in ranked if untried.fits(pair[1])), None)
            if best is not None:
                new = next(
                    (arch for _, arch in ranked if untried.is_new(arch) and untried.fits(arch)),
                    None,
                )
                candidates += [new] if new else []
                if best[0] > values[i]:
                    values[i], ends[i] = best
                    moved.append(i)
        alive = moved
    return candidates
