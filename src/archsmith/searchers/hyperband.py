"""Successive halving and Hyperband: many architectures at a low fidelity, ever fewer at ever higher
ones (Li et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from random import Random

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem, Trial, name_of, rank
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one


@searcher
def successive_halving(
    problem: Problem, seed: int = 0, population: int = 27, eta: int = 3
) -> Proposals:
    """Jamieson and Talwalkar (AISTATS 2016): of `population` at the lowest fidelity one in `eta`
    goes on to each next rung.

    As the most exploring bracket of Hyperband, again and again with new architectures. What failed
    or broke a limit never goes on. Rungs: see `ladder`.
    """
    at_least_one(population=population)
    rungs = ladder(problem, eta)
    untried = Untried(problem, Random(seed))
    while archs := untried.draw(population):
        trials = yield [Candidate(arch, rungs[0], origin="random") for arch in archs]
        yield from promoted(trials, rungs[1:], eta)


@searcher
def hyperband(problem: Problem, seed: int = 0, eta: int = 3) -> Proposals:
    """Li et al., "Hyperband" (JMLR 2018), algorithm 1: brackets of successive halving from many
    cheap starts to few full ones.

    Bracket s of s_max, ..., 0 starts ceil((s_max + 1) / (s + 1) * eta^s) architectures on the rung
    s below the full fidelity. Repeats the brackets for as long as asked. Deviations: rungs are
    fidelities that the metric has (see `ladder`), and every bracket draws architectures that none
    had before.
    """
    rungs = ladder(problem, eta)
    untried = Untried(problem, Random(seed))
    while True:
        for start, count in brackets(len(rungs), eta):
            archs = untried.draw(count)
            if not archs:
                return
            trials = yield [Candidate(arch, rungs[start], origin="random") for arch in archs]
            yield from promoted(trials, rungs[start + 1 :], eta)


def brackets(rungs: int, eta: int) -> list[tuple[int, int]]:
    """The rung each bracket of Hyperband starts on, and how many it starts there."""
    return [(rungs - 1 - s, math.ceil(rungs * eta**s / (s + 1))) for s in reversed(range(rungs))]


def promoted(
    trials: Sequence[Trial], rungs: Sequence[float], eta: int
) -> Generator[list[Candidate], list[Trial], list[Trial]]:
    """Successive halving from measured trials on: the best of every `eta` are measured on each next
    rung. All its trials."""
    measured: list[Trial] = []
    for fidelity in rungs:
        best = [trial for trial in sorted(trials, key=rank) if trial.feasible][
            : max(1, len(trials) // eta)
        ]
        if not best:
            break
        trials = yield [Candidate(trial.arch, fidelity, origin="promoted") for trial in best]
        measured += trials
    return measured


def ladder(problem: Problem, eta: float) -> tuple[float, ...]:
    """The rungs, ascending: the full fidelity R, then those the metric has that come nearest to
    R/eta, R/eta^2, ... below it.

    As many steps as the paper's floor(log_eta(R / lowest)), yet one where there is a lower fidelity
    at all.
    """
    fidelities = problem.fidelities
    name = name_of(problem.objectives[0].metric) if problem.objectives else "the objective"
    if eta < 2:
        raise UserError(f"eta={eta}; give at least 2, so that rungs get smaller")
    if not fidelities:
        raise UserError(
            f"{name} is measured at one fidelity only, so there is nothing cheap to begin with; "
            "take another searcher, or a metric with `fidelities` and `at(arch, fidelity)`"
        )
    if fidelities[0] <= 0 or list(fidelities) != sorted(set(fidelities)):
        raise UserError(
            f"the fidelities of {name} are {fidelities}; give positive ones, ascending, each once"
        )
    full = fidelities[-1]
    steps = max(1, math.floor(math.log(full / fidelities[0], eta) + 1e-9))
    rungs = [full]
    for step in range(1, steps + 1):
        below = [fidelity for fidelity in fidelities if fidelity < rungs[-1]]
        if below:
            distances = [abs(math.log(fidelity / (full / eta**step))) for fidelity in below]
            rungs.append(below[distances.index(min(distances))])
    return tuple(reversed(rungs))
