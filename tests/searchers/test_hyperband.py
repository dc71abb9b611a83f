"""Successive halving and Hyperband: rungs, brackets, who goes on, what it costs."""

from __future__ import annotations

from functools import partial

import pytest
from graded import FIDELITIES, Graded
from toys import flat

from archsmith.errors import UserError
from archsmith.problem import Problem, Trial, maximize, rank, total_cost
from archsmith.searchers.bohb import bohb
from archsmith.searchers.hyperband import brackets, hyperband, ladder, successive_halving
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.random import random_search

SPACE = flat(10, 3)


def peaks(arch):
    """Neighboring decisions had better agree, on the middle option best of all."""
    values = list(arch.values())
    return float(
        sum(a == b for a, b in zip(values, values[1:], strict=False))
        + 0.5 * sum(v == 1 for v in values)
    )


def problem(metric=None):
    return Problem(SPACE, [maximize(metric or Graded(peaks))])


def told(searcher, problem, count):
    """The trials of the first batches."""
    history = []
    for _ in range(count):
        history.append(problem.evaluate(searcher.ask()))
        searcher.tell(history[-1])
    return history


def with_fidelities(*fidelities):
    metric = Graded(peaks)
    metric.fidelities = fidelities
    return problem(metric)


@pytest.mark.parametrize(
    ("fidelities", "eta", "rungs"),
    [
        ((4, 12, 36, 108), 3, (4, 12, 36, 108)),
        ((12, 200), 3, (12, 200)),
        ((100, 200), 3, (100, 200)),
        ((1, 2, 3), 3, (1, 3)),
        (tuple(range(1, 82)), 3, (1, 3, 9, 27, 81)),
        (tuple(range(1, 82)), 4, (1, 5, 20, 81)),
        ((0.1, 1.0), 2, (0.1, 1.0)),
        ((7,), 3, (7,)),
    ],
)
def test_rungs_are_fidelities_that_the_metric_has(fidelities, eta, rungs):
    assert ladder(with_fidelities(*fidelities), eta) == rungs


def test_brackets_are_those_of_the_paper():
    """Li et al. 2018, table 1: R = 81, eta = 3."""
    assert brackets(5, 3) == [(0, 81), (1, 34), (2, 15), (3, 8), (4, 5)]


def test_a_metric_without_fidelities_or_with_odd_ones_is_refused():
    for make in (hyperband, successive_halving, bohb):
        with pytest.raises(
            UserError, match="peaks is measured at one fidelity only.*take another searcher"
        ):
            make(problem(peaks)).ask()
        with pytest.raises(UserError, match="eta=1; give at least 2"):
            make(problem(), eta=1).ask()
        for odd in ((3, 1), (0, 1), (1, 1)):
            with pytest.raises(UserError, match="the fidelities of quality are"):
                make(with_fidelities(*odd)).ask()


def test_halving_passes_on_the_best_third():
    history = told(successive_halving(problem(), 0, population=20), problem(), 5)
    assert [len(batch) for batch in history] == [20, 6, 2, 1, 20]
    assert [{t.candidate.fidelity for t in batch} for batch in history] == [
        {1},
        {3},
        {9},
        {27},
        {1},
    ]
    for before, after in zip(history[:3], history[1:4], strict=True):
        assert [t.arch for t in after] == [t.arch for t in sorted(before, key=rank)[: len(after)]]


def test_hyperband_runs_its_brackets_and_begins_anew():
    history = told(hyperband(problem(), 0), problem(), 11)
    sizes = [(len(batch), batch[0].candidate.fidelity) for batch in history]
    assert sizes == [
        (27, 1),
        (9, 3),
        (3, 9),
        (1, 27),
        (12, 3),
        (4, 9),
        (1, 27),
        (6, 9),
        (2, 27),
        (4, 27),
        (27, 1),
    ]
    assert len({(t.arch, t.candidate.fidelity) for batch in history for t in batch}) == sum(
        size for size, _ in sizes
    )
    assert total_cost(t for batch in history[:10] for t in batch)["epochs"] == 108 + 99 + 108 + 108


def test_failures_do_not_go_on():
    def moody(arch):
        if arch["d0"]:
            raise RuntimeError("no")
        return peaks(arch)

    moods = problem(Graded(moody))
    first, second = told(successive_halving(moods, 0, population=27), moods, 2)
    assert any(t.failed for t in first) and not any(t.failed for t in second)
    assert len(second) == min(9, sum(t.feasible for t in first))

    def broken(arch):
        raise RuntimeError("no")

    never = problem(Graded(broken))
    assert [len(batch) for batch in told(hyperband(never, 0), never, 5)] == [27, 12, 6, 4, 27]


@pytest.mark.parametrize("make", [hyperband, bohb, successive_halving])
def test_it_beats_random_search_at_equal_cost(make):
    """The best at full fidelity within as many epochs as 32 full measurements cost, mean of eight
    seeds."""

    def best(make, seed):
        found = []
        run_searcher(
            problem(),
            make(problem(), seed),
            trials=10_000,
            on_trial=found.append,
            stop=lambda: sum(t.cost["epochs"] for t in found) > 32 * 27,
        )
        return min(t.losses[0] for t in found if t.candidate.fidelity in (None, FIDELITIES[-1]))

    assert (
        sum(best(make, seed) for seed in range(8)) / 8
        < sum(best(random_search, seed) for seed in range(8)) / 8 - 0.5
    )


def test_its_trials_are_told_in_the_order_asked():
    searcher = hyperband(problem(), 3)
    searcher.ask()
    with pytest.raises(AssertionError):
        searcher.tell([Trial(candidate) for candidate in reversed(list(searcher.ask()))])


def test_settings_that_make_no_sense_are_refused():
    for make in (
        partial(successive_halving, population=0),
        partial(bohb, samples=0),
        partial(bohb, batch=0),
    ):
        with pytest.raises(UserError, match="give at least 1"):
            make(problem(), 0).ask()
