"""Local search: whole neighborhoods, the best neighbor, restarts."""

from __future__ import annotations

from toys import flat

from archsmith.problem import Problem, at_most, maximize, rank
from archsmith.searchers.local import local_search
from archsmith.searchers.loop import run_searcher

SPACE = flat(4, 4)


def hills(arch):
    """Two optima, all zeros and the better all threes; no two architectures are equally good."""
    values = [v * weight for v, weight in zip(arch.values(), (1, 1.1, 1.23, 1.37), strict=True)]
    return float(max(14 - sum(values), 1.5 * sum(values)))


def problem(*constraints):
    return Problem(SPACE, [maximize(hills, "hills")], constraints)


def batches(searcher, problem, count):
    """The trials of the next batches, each as it was asked."""
    asked = []
    while len(asked) < count and (candidates := searcher.ask()):
        asked.append(problem.evaluate(candidates))
        searcher.tell(asked[-1])
    return asked


def away(a, b):
    return sum(a[name] != b[name] for name in a)


def test_all_neighbors_are_measured_and_the_best_is_next():
    here = None
    known = {}
    restarts = 0
    for trials in batches(local_search(problem(), 0), problem(), 12):
        known.update({t.arch: t for t in trials})
        if trials[0].candidate.origin == "random":
            if here is not None:
                # a local optimum
                assert all(rank(known[arch]) >= rank(here) for arch in SPACE.neighbors(here.arch))
                restarts += 1
            assert len(trials) == 1
            here = trials[0]
        else:
            assert {t.candidate.origin for t in trials} == {"neighbor"}
            assert all(away(t.arch, here.arch) == 1 for t in trials)
        # more than one step, where neighbors were known
        while all(arch in known for arch in SPACE.neighbors(here.arch)):
            best = min((known[arch] for arch in SPACE.neighbors(here.arch)), key=rank)
            if rank(best) >= rank(here):
                break
            here = best
    assert restarts


def test_the_first_better_neighbor_is_moved_to_at_once():
    trials = [
        t for batch in batches(local_search(problem(), 1, first=True), problem(), 60) for t in batch
    ]
    here = trials[0]
    for trial in trials[1:]:
        if trial.candidate.origin == "neighbor":
            assert away(trial.arch, here.arch) == 1
        if trial.candidate.origin == "random" or rank(trial) < rank(here):
            here = trial
    assert len({t.arch for t in trials}) == len(trials)


def test_it_begins_at_the_best_of_several_starts():
    first, second = batches(local_search(problem(), 2, starts=6), problem(), 2)
    assert len(first) == 6 and {t.candidate.origin for t in first} == {"random"}
    assert all(away(t.arch, min(first, key=rank).arch) == 1 for t in second)


def test_neighbors_beyond_the_budget_are_left_out():
    tight = problem(at_most(lambda a: sum(a.values()), 4, "sum"))
    archive = run_searcher(tight, local_search(tight, 0), trials=500)
    fitting = {a for a in SPACE.architectures() if sum(a.values()) <= 4}
    assert {t.arch for t in archive} == fitting and len(archive) == len(fitting)
