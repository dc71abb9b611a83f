"""Random search: uniform over what fits, nothing twice."""

from __future__ import annotations

from random import Random

from archsmith.feasibility.sampler import FeasibleSampler
from archsmith.problem import Candidate, Problem
from archsmith.searchers.loop import Proposals, searcher


@searcher
def random_search(problem: Problem, seed: int = 0, batch: int = 16) -> Proposals:
    """Batches of distinct architectures that meet the cheap constraints; ends when there are no
    more."""
    sampler = FeasibleSampler(problem.space, problem.cheap, Random(seed))
    while archs := sampler.draw(batch):
        yield [Candidate(arch, origin="random") for arch in archs]
