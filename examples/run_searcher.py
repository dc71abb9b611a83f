"""A search as a problem: a space, an objective, a limit; two searchers of the package and one of
one's own, at equal cost."""

from __future__ import annotations

from random import Random

import archsmith
from archsmith.problem import Candidate, Problem
from archsmith.recorded import load
from archsmith.searchers import make
from archsmith.searchers.loop import Proposals, searcher
from archsmith.space import Architecture

# 729 cells with invented accuracies; `nasbench201:cifar10` has real ones, from its publishers' file
RECORDED = load("toy")


def convolutions(arch: Architecture) -> float:
    """What the limit is on: any function of an architecture is a metric."""
    return sum(option == "nor_conv_3x3" for option in arch.values())


@searcher
def greedy(problem: Problem, seed: int = 0) -> Proposals:
    """One's own: from a random network, one decision after the other, keep what helps."""
    rng = Random(seed)
    (best,) = yield [Candidate(problem.space.sample(rng))]
    while True:
        for name, options in problem.space.items():
            near = [problem.space.complete({**best.arch, name: option}, rng) for option in options]
            trials = yield [Candidate(arch) for arch in near]
            best = min([best, *trials], key=lambda trial: (not trial.feasible, trial.losses))


if __name__ == "__main__":
    problem = archsmith.Problem(
        RECORDED.space,
        objectives=[archsmith.maximize(RECORDED.score, name="accuracy")],
        constraints=[archsmith.at_most(convolutions, 3)],
    )
    for name, make_searcher in {
        "random": make("random"),
        "evolution": make("regularized-evolution:population=20"),
        "greedy": greedy,
    }.items():
        archive = archsmith.run_searcher(problem, make_searcher(problem, seed=1), trials=100)
        best = archive.best
        assert best is not None
        print(
            f"{name:<10} {best.metrics['accuracy']:.2f} % after {len(archive)} trials: "
            f"{'|'.join(best.arch.values())}"
        )
