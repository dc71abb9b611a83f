"""The loop: asks, measures, records, tells; resume is replay."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from toys import flat

from archsmith.errors import Damaged, OutOfSpace
from archsmith.problem import Candidate, Problem, minimize
from archsmith.searchers import make
from archsmith.searchers.archive import Archive
from archsmith.searchers.loop import GeneratorSearcher, run_searcher, searcher
from archsmith.searchers.sqlite import SqliteArchive
from archsmith.space import Architecture, SearchSpace

SPACE = flat(3, 10)


def total(arch):
    return float(sum(arch.values()))


@searcher
def climber(problem, seed=0, batch=4):
    """Batches around the best so far: what it proposes depends on everything it was told."""
    rng, best = Random(seed), None
    while True:
        sums = [] if best is None else [best]
        archs = [
            problem.space.complete({"d0": 0 if sums and sums[0] < 12 else 5}, rng)
            for _ in range(batch)
        ]
        trials = yield [Candidate(a) for a in archs]
        assert [t.arch for t in trials] == archs
        best = min([*sums, *(t.losses[0] for t in trials if t.losses)], default=None)


@searcher
def three(problem, seed=0):
    """Three candidates and no more."""
    yield [Candidate(problem.space.decode([i, 0, 0])) for i in range(3)]


class Meter:
    """Counts what it measures, and can be told to die."""

    def __init__(self, die_at=None):
        self.calls, self.die_at = [], die_at

    def __call__(self, arch):
        if self.die_at is not None and len(self.calls) == self.die_at:
            raise KeyboardInterrupt
        self.calls.append(arch)
        return total(arch)


def problem(meter=total):
    return Problem(SPACE, minimize(meter, "total"))


def plain(trials):
    return [(t.candidate, dict(t.metrics), t.losses, t.stage) for t in trials]


@pytest.mark.parametrize("trials", [0, 1, 4, 7, 25])
def test_it_ends_at_the_asked_number_of_trials(trials):
    archive = run_searcher(problem(), climber(problem(), 1), trials=trials, stage="s")
    assert len(archive) == trials
    assert (
        plain(archive)
        == plain(run_searcher(problem(), climber(problem(), 1), trials=30, stage="s"))[:trials]
    )
    assert all(t.losses == (total(t.arch),) and t.stage == "s" for t in archive)


def test_it_ends_when_the_searcher_has_no_more():
    assert [t.arch["d0"] for t in run_searcher(problem(), three(problem()), trials=100)] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("die_at", range(0, 13))
def test_a_resumed_search_equals_an_uninterrupted_one_and_measures_nothing_twice(tmp_path, die_at):
    straight = plain(run_searcher(problem(), climber(problem(), 3), trials=12, stage="s"))
    path, meter = tmp_path / "t.sqlite", Meter(die_at)
    with SqliteArchive(path) as archive:
        archive.extend(
            [t for t in run_searcher(problem(), three(problem()), trials=2, stage="other")]
        )
        if die_at < 12:
            with pytest.raises(KeyboardInterrupt):
                run_searcher(
                    problem(meter),
                    climber(problem(meter), 3),
                    trials=12,
                    archive=archive,
                    stage="s",
                )
        else:
            run_searcher(
                problem(meter), climber(problem(meter), 3), trials=12, archive=archive, stage="s"
            )
    again = Meter()
    with SqliteArchive(path) as archive:
        recorded = len(archive.stage("s"))
        run_searcher(
            problem(again), climber(problem(again), 3), trials=12, archive=archive, stage="s"
        )
        assert plain(archive.stage("s")) == straight
        assert len(again.calls) == 12 - recorded
        assert len(archive) == 14
    assert die_at - recorded <= 4  # of what was measured, at most one small piece is lost


def test_a_search_can_go_on_with_more_trials():
    archive = run_searcher(problem(), climber(problem(), 3), trials=6)
    meter = Meter()
    run_searcher(problem(meter), climber(problem(meter), 3), trials=15, archive=archive)
    assert plain(archive) == plain(run_searcher(problem(), climber(problem(), 3), trials=15))
    assert len(meter.calls) == 9
    before = plain(archive)
    # fewer: nothing to do
    run_searcher(problem(meter), climber(problem(meter), 3), trials=10, archive=archive)
    assert plain(archive) == before


def test_a_record_of_other_settings_is_refused():
    archive = run_searcher(problem(), climber(problem(), 3), trials=6)
    with pytest.raises(
        Damaged, match="where this search proposes .*resume with the settings and the seed"
    ):
        run_searcher(problem(), climber(problem(), 4), trials=12, archive=archive)
    with pytest.raises(Damaged, match="where this search proposes"):
        run_searcher(problem(), three(problem()), trials=12, archive=archive)
    longer = Archive(run_searcher(problem(), three(problem()), trials=3))
    longer.extend(list(archive)[:1])
    with pytest.raises(Damaged, match="holds 1 more trials"):
        run_searcher(problem(), three(problem()), trials=12, archive=longer)


def test_stop_ends_between_pieces_and_replays_first():
    meter, seen = Meter(), []
    archive = run_searcher(
        problem(meter),
        climber(problem(meter), 3),
        trials=100,
        stop=lambda: len(meter.calls) >= 5,
        on_trial=lambda trial: seen.append(trial),
    )
    assert 5 <= len(archive) < 12 and seen == list(archive)
    again = Meter()
    run_searcher(
        problem(again),
        climber(problem(again), 3),
        trials=100,
        archive=archive,
        stop=lambda: True,
        on_trial=seen.append,
    )
    assert again.calls == [] and len(seen) == len(archive)


def test_evaluate_takes_the_place_of_the_problems():
    pieces = []

    def evaluate(candidates, stage):
        pieces.append(len(candidates))
        return problem().evaluate(candidates, stage)

    archive = run_searcher(
        problem(), climber(problem(), 0, batch=40), trials=40, evaluate=evaluate, stage="s"
    )
    assert sum(pieces) == 40 and pieces[0] == 1 and len(pieces) < 40
    assert len(archive.stage("s")) == 40


def test_a_candidate_outside_the_space_is_refused_before_it_is_measured():
    def strays(problem, seed):
        yield [Candidate(Architecture({"d0": 99, "d1": 0, "d2": 0}))]

    meter = Meter()
    with pytest.raises(OutOfSpace, match="d0=99"):
        run_searcher(problem(meter), GeneratorSearcher(strays(problem(), 0)), trials=1)
    assert meter.calls == []


def test_ask_and_tell_by_hand():
    one = three(problem())
    with pytest.raises(AssertionError, match="tell before ask"):
        one.tell([])
    batch = one.ask()
    assert one.ask() == batch  # until it is told
    with pytest.raises(AssertionError, match="in order"):
        one.tell(problem().evaluate(batch[::-1]))
    one.tell(problem().evaluate(batch))
    assert one.ask() == [] and one.ask() == []
    assert three.__name__ == "three" and three.__doc__ == "Three candidates and no more."


@pytest.mark.parametrize(
    "name", ["random", "local", "evolution", "regularized-evolution", "guided", "tpe"]
)
def test_a_record_with_decisions_in_another_order_is_replayed(name: str) -> None:
    """As a file has them, which sorts names: draws follow the order of an architecture."""
    space = SearchSpace({n: tuple(range(5)) for n in ("z", "m", "a", "k")})
    problem = Problem(space, [minimize(lambda arch: float(arch["z"] + 2 * arch["a"]), name="x")])
    whole = run_searcher(problem, make(name)(problem, seed=1), trials=60)
    other = Archive()
    other.bind(space)
    for trial in list(whole)[:37]:
        arch = Architecture(dict(sorted(trial.arch.items())))
        other.extend([replace(trial, candidate=replace(trial.candidate, arch=arch))])
    again = run_searcher(problem, make(name)(problem, seed=1), trials=60, archive=other)
    assert [t.arch.key for t in again] == [t.arch.key for t in whole]
