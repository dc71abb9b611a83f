"""Evolution: who survives, who is a parent, who is retired."""

from __future__ import annotations

from toys import flat, staged, staged_costs

from archsmith.problem import Candidate, Problem, Trial, at_most, maximize
from archsmith.searchers.evolution import evolution, regularized_evolution
from archsmith.searchers.loop import run_searcher
from archsmith.space import Architecture

SPACE = flat(12, 3)


def away(a: Architecture, b: Architecture) -> int:
    return sum(a[name] != b[name] for name in a)


def told(problem, searcher, batches, loss):
    """Plays the loop for some batches with a given loss."""
    history = []
    for _ in range(batches):
        trials = [Trial(c, losses=(loss(c.arch, len(history)),)) for c in searcher.ask()]
        history.append(trials)
        searcher.tell(trials)
    return history


def problem():
    return Problem(SPACE, [maximize(lambda a: 0.0, "score")])


def test_nothing_is_proposed_twice_and_the_space_is_covered():
    small = Problem(flat(3, 3), [maximize(lambda a: sum(a.values()), "sum")])
    archs = [
        t.arch
        for t in run_searcher(small, evolution(small, 0, population=5, offspring=3), trials=1000)
    ]
    assert len(archs) == 27 and len(set(archs)) == 27


def test_children_come_from_the_best_alone_when_only_one_survives():
    history = told(
        problem(),
        evolution(problem(), 0, population=1, offspring=6, mutations=1),
        12,
        lambda arch, _: -float(sum(arch.values())),
    )
    best = history[0][0]
    for batch in history[1:]:
        assert all(away(t.arch, best.arch) == 1 for t in batch)
        best = min([best, *batch], key=lambda t: t.losses)


def test_batches_have_the_asked_sizes_and_say_where_they_came_from():
    history = told(
        problem(),
        evolution(problem(), 0, population=10, offspring=4),
        3,
        lambda arch, _: float(arch["d0"]),
    )
    assert [len(batch) for batch in history] == [10, 4, 4]
    assert {t.candidate.origin for t in history[0]} == {"random"}
    assert {t.candidate.origin for t in history[1]} == {"evolution"}


def test_regularized_evolution_retires_the_oldest_even_when_it_is_the_best():
    """With a tournament of all, children are one decision away from the best of the last
    `population`, never of older ones."""
    everyone = regularized_evolution(problem(), 0, population=5, tournament=5)
    # the first are never beaten again
    drawn = iter([0.0, 1.0, 2.0, 3.0, 4.0, *(100.0 - number for number in range(29))])
    history = told(problem(), everyone, 30, lambda arch, number: next(drawn))
    flatly = [t for batch in history for t in batch]
    assert [len(batch) for batch in history] == [5] + [1] * 29
    for number, child in enumerate(flatly[5:], start=5):
        alive = flatly[number - 5 : number]
        parent = min(alive, key=lambda t: t.losses)
        assert away(child.arch, parent.arch) == 1


def test_children_are_mended_into_the_budget():
    space = staged(3, 3)
    limit = 1.5 * staged_costs(space.extreme(0))["macs"]
    tight = Problem(
        space,
        [maximize(lambda a: float(sum(a.values())), "sum")],
        [at_most(staged_costs, limit, "macs")],
    )
    for make in (evolution, regularized_evolution):
        archive = run_searcher(tight, make(tight, 0, population=10), trials=80)
        assert all(t.feasible for t in archive)
        assert isinstance(archive.best.candidate, Candidate)
