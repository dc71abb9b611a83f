"""Local search: from a random architecture to ever better neighbors (White, Nolen and Savani
2021)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from random import Random

from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import Architecture


@searcher
def local_search(
    problem: Problem, seed: int = 0, starts: int = 1, first: bool = False
) -> Proposals:
    """White, Nolen and Savani, "Exploring the Loss Landscape in NAS" (UAI 2021), algorithm 1,
    restarted for as long as asked.

    Measures all neighbors (one decision changed), moves to the best, until none is better; then
    from a new random architecture. Two of the paper's variants: `starts` random ones of which the
    best is taken; `first` moves to the first that is better. By the first objective. Deviations:
    neighbors that break a cheap constraint are left out, nothing is measured twice, and decisions
    that a change brings into being take their last option only.
    """
    at_least_one(starts=starts)
    rng = Random(seed)
    untried = Untried(problem, rng)
    known: dict[Architecture, Trial] = {}
    while archs := untried.draw(starts):
        trials = yield [Candidate(arch, origin="random") for arch in archs]
        known.update(zip(archs, trials, strict=True))
        here, before = min(trials, key=rank), None
        while here is not before:
            near = [
                arch
                for arch in problem.space.neighbors(here.arch)
                if arch in known or untried.fits(arch)
            ]
            rng.shuffle(near)
            here, before = (yield from _best(here, near, known, untried=untried, first=first)), here


def _best(
    here: Trial,
    near: Sequence[Architecture],
    known: dict[Architecture, Trial],
    untried: Untried,
    first: bool,
) -> Generator[list[Candidate], list[Trial], Trial]:
    """The best of `here` and its neighbors; with `first`, the first found that is better than
    `here`."""
    best = min([here, *(known[arch] for arch in near if arch in known)], key=rank)
    unknown = [arch for arch in near if arch not in known]
    for batch in ([arch] for arch in unknown) if first else [unknown] if unknown else []:
        if first and rank(best) < rank(here):
            break
        trials = yield [Candidate(arch, origin="neighbor") for arch in untried.taken(batch)]
        known.update(zip(batch, trials, strict=True))
        best = min([best, *trials], key=rank)
    return best
