"""What every searcher keeps: inside space and budget, decided by its seed, replayable, unharmed by
failures, above chance."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from itertools import islice

import numpy as np
import pytest
from graded import Graded
from toys import flat, staged, staged_costs

from archsmith.errors import NothingFits, UserError
from archsmith.predictors.mlp import MlpEnsemble
from archsmith.problem import Problem, at_least, at_most, maximize, minimize
from archsmith.problem.pareto import hypervolume
from archsmith.searchers.archive import Archive
from archsmith.searchers.bohb import bohb
from archsmith.searchers.evolution import evolution, regularized_evolution
from archsmith.searchers.hyperband import hyperband, successive_halving
from archsmith.searchers.local import local_search
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.natural_gradient import asng, dynamic_asng, dynamic_sng, mdenas, migo, sng
from archsmith.searchers.nsga import nsga2, nsga3
from archsmith.searchers.predictor_guided import predictor_guided
from archsmith.searchers.pruning import pruning
from archsmith.searchers.random import random_search
from archsmith.searchers.reinforce import reinforce
from archsmith.searchers.smac import smac
from archsmith.searchers.tpe import tpe


def small_networks(seed):
    """A predictor of hardly any time, for laws that hold whatever it predicts."""
    return MlpEnsemble(seed, members=2, layers=(8,), iterations=10)


SEARCHERS = {
    "random": partial(random_search, batch=8),
    "evolution": partial(evolution, population=12, offspring=4),
    "regularized": partial(regularized_evolution, population=12, tournament=4),
    "nsga2": partial(nsga2, population=12),
    "nsga3": partial(nsga3, population=12),
    "local": local_search,
    "halving": partial(successive_halving, population=12),
    "hyperband": hyperband,
    "bohb": partial(bohb, samples=8),
    "tpe": partial(tpe, initial=12, samples=8),
    "smac": partial(smac, trees=3, climbs=1, draws=10),
    "reinforce": reinforce,
    "pruning": partial(pruning, rounds=60),
    "velocity": partial(pruning, rounds=60, rule="velocity"),
    "dynamic-sng": partial(dynamic_sng, rounds=60),
    "dynamic-asng": partial(dynamic_asng, rounds=60),
    "sng": sng,
    "asng": partial(asng, samples=6),
    "migo": migo,
    "mdenas": mdenas,
    "guided": partial(predictor_guided, mutants=20, batch=6, model=small_networks),
}
SPACE = staged(3, 3)
LEAST = staged_costs(SPACE.extreme(0))


def quality(arch):
    """Larger is better, with an optimum that no single decision finds alone."""
    depths = [arch[f"s{s}.depth"] for s in range(3)]
    kernels = sum(option != 5 for name, option in arch.items() if name.endswith("kernel"))
    expands = sum(option for name, option in arch.items() if name.endswith("expand"))
    return float(3 * sum(depths) - (depths[0] - depths[2]) ** 2 - kernels + 0.2 * expands)


def budget(factor=3.0):
    return at_most(staged_costs, factor * LEAST["macs"], "macs")


def problems():
    score, macs = maximize(Graded(quality)), minimize(staged_costs, "macs")
    return {
        "one": Problem(SPACE, [score]),
        "budget": Problem(SPACE, [score], [budget()]),
        "two": Problem(SPACE, [score, macs]),
        "three": Problem(SPACE, [score, macs, minimize(staged_costs, "params")], [budget(5.0)]),
    }


def keys(archive):
    return [(t.arch.key, t.candidate.fidelity, t.candidate.origin) for t in archive]


@pytest.fixture(params=SEARCHERS)
def make(request):
    return SEARCHERS[request.param]


@pytest.mark.parametrize("name", ["one", "budget", "two", "three"])
def test_proposals_are_inside_the_space_and_the_budget(make, name):
    problem = problems()[name]
    archive = run_searcher(problem, make(problem, 1), trials=70)
    assert len(archive) == 70
    for trial in archive:
        assert problem.space.contains(trial.arch)
        assert trial.feasible and trial.violation == 0
        assert list(trial.arch) == [n for n in SPACE if n in trial.arch]


@pytest.mark.parametrize("name", ["one", "three"])
def test_the_seed_decides(make, name):
    problem = problems()[name]
    runs = [keys(run_searcher(problem, make(problem, seed), trials=60)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert {key for key, *_ in runs[0]} != {key for key, *_ in runs[2]}


def test_a_restricted_space_is_kept(make):
    small = SPACE.restrict({"s0.depth": (1, 3), "s1.b0.kernel": (5,), "s2.b0.expand": (3, 6)})
    problem = Problem(
        small, [maximize(Graded(quality)), minimize(staged_costs, "macs")], [budget()]
    )
    assert all(small.contains(t.arch) for t in run_searcher(problem, make(problem, 0), trials=60))
    odd = SPACE.where(lambda arch: arch["s0.depth"] != 2 and len(arch) % 4 == 1)
    problem = Problem(odd, [maximize(Graded(quality))])
    assert all(odd.contains(t.arch) for t in run_searcher(problem, make(problem, 0), trials=40))


def test_replay_equals_a_straight_run(make):
    problem = problems()["budget"]
    straight = list(run_searcher(problem, make(problem, 3), trials=50))
    for died_at in (0, 5, 12, 13, 40):
        assert resumed(make, straight, died_at) == 50 - died_at


def resumed(make, straight, died_at):
    """Goes on from the first trials of a straight run; how many measurements that took."""
    calls = []
    counted = Problem(
        SPACE, [maximize(Graded(lambda arch: calls.append(arch) or quality(arch)))], [budget()]
    )
    archive = run_searcher(
        counted, make(counted, 3), trials=len(straight), archive=Archive(straight[:died_at])
    )
    assert keys(archive) == keys(straight)
    assert [t.losses for t in archive] == [t.losses for t in straight]
    return len(calls)


def test_failed_and_infeasible_trials_are_survived(make):
    def moody(arch):
        if arch["s1.b0.kernel"] == 7:
            raise RuntimeError("did not train")
        return quality(arch)

    def late(arch):
        return 0.4 if arch["s0.b0.kernel"] == 3 else 0.9

    late.cheap = False  # known only once it was measured, so it cannot be avoided beforehand
    problem = Problem(
        SPACE,
        [maximize(Graded(moody)), minimize(staged_costs, "macs")],
        [at_least(late, 0.5), budget(6.0)],
    )
    trials = list(run_searcher(problem, make(problem, 1), trials=80))
    assert len(trials) == 80
    assert (
        any(t.failed for t in trials)
        and any(t.violation > 0 for t in trials)
        and any(t.feasible for t in trials)
    )


def test_a_metric_that_always_fails_is_survived(make):
    def broken(arch):
        raise RuntimeError("no")

    problem = Problem(SPACE, [maximize(Graded(broken))])
    trials = list(run_searcher(problem, make(problem, 1), trials=40))
    assert len(trials) == 40 and all(t.failed for t in trials)


def test_it_asks_for_objectives_only_through_the_loop(make):
    calls = []
    problem = Problem(SPACE, [maximize(Graded(lambda arch: calls.append(arch) or 1.0))], [budget()])
    archive = run_searcher(problem, make(problem, 0), trials=30)
    assert calls == [t.arch for t in archive]


def test_a_space_smaller_than_the_population_is_no_trouble(make):
    problem = Problem(flat(2, 2), [maximize(Graded(lambda a: a["d0"] + 2 * a["d1"], noise=0.0))])
    archive = run_searcher(problem, make(problem, 0), trials=40)
    assert archive.best.arch == problem.space.extreme()
    assert {t.arch for t in archive} == set(problem.space.architectures())
    # regularized evolution proposes again what it has seen; halving measures the best of four on
    # three more rungs
    assert len(archive) in (4, 7, 40)


def test_a_budget_that_nothing_meets_is_an_error_before_any_trial(make):
    problem = Problem(SPACE, [maximize(Graded(quality))], [budget(0.5)])
    with pytest.raises(NothingFits, match="fits with macs<="):
        run_searcher(problem, make(problem, 0), trials=10)


LEARNERS = {
    "evolution": partial(evolution, population=24),
    "regularized": partial(regularized_evolution, population=24),
    "nsga2": partial(nsga2, population=24),
    "nsga3": partial(nsga3, population=24),
    "local": partial(local_search, starts=10, first=True),
    "tpe": tpe,
    "smac": partial(smac, trees=5, climbs=1, draws=40),
    "reinforce": reinforce,
    "guided": partial(
        predictor_guided, model=partial(MlpEnsemble, members=3, layers=(16,), iterations=40)
    ),
}


def least_losses(make):
    problem = Problem(SPACE, [maximize(quality, "quality")], [budget(6.0)])
    return [
        run_searcher(problem, make(problem, seed), trials=150).best.losses[0] for seed in range(4)
    ]


@pytest.fixture(scope="module")
def chance():
    return least_losses(random_search)


@pytest.mark.parametrize("name", LEARNERS)
def test_it_beats_random_search(name, chance):
    """The same number of trials, four fixed seeds: a better mean of the best found, under a
    budget."""
    ours = least_losses(LEARNERS[name])
    assert (
        sum(ours) < sum(chance) - 1 and sum(a < b for a, b in zip(ours, chance, strict=True)) >= 3
    )


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_a_front_beats_that_of_random_search(name):
    def volume(make, seed):
        problem = Problem(SPACE, [maximize(quality, "quality"), minimize(staged_costs, "macs")])
        front = run_searcher(problem, make(problem, seed), trials=300).pareto()
        return hypervolume([t.losses for t in front], (0.0, 5e7))

    seeds = range(4)
    ours = [
        volume(partial({"nsga2": nsga2, "nsga3": nsga3}[name], population=24), seed)
        for seed in seeds
    ]
    chance = [volume(random_search, seed) for seed in seeds]
    assert all(a > b for a, b in zip(ours, chance, strict=True))


def test_settings_that_make_no_sense_are_refused():
    problem = problems()["one"]
    for make in (
        partial(evolution, population=0),
        partial(regularized_evolution, tournament=0),
        partial(nsga2, population=1),
    ):
        with pytest.raises(UserError, match="give at least"):
            make(problem, 0).ask()


def test_global_random_states_are_left_alone(make):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  the legacy global state is what must not move
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    problem = problems()["three"]
    first = keys(run_searcher(problem, make(problem, 1), trials=40))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert keys(run_searcher(problem, make(problem, 1), trials=40)) == first


def test_two_searches_side_by_side_do_not_disturb_each_other(make):
    problem = problems()["budget"]
    alone = list(run_searcher(problem, make(problem, 1), trials=40))
    one, two = make(problem, 1), make(problem, 1)
    seen = [[], []]
    for _ in range(20):
        for mine, searcher in zip(seen, (one, two), strict=True):
            trials = problem.evaluate(searcher.ask())
            mine.extend(trials)
            searcher.tell(trials)
    for mine in seen:
        common = min(len(mine), 40)
        assert [t.arch for t in islice(mine, common)] == [t.arch for t in islice(alone, common)]


def test_none_of_them_imports_torch():
    code = (
        "import sys; sys.path[:0] = ['src', 'tests', 'tests/contracts']\n"
        "from test_searchers import SEARCHERS, problems\n"
        "from archsmith.searchers.loop import run_searcher\n"
        "for make in SEARCHERS.values():\n"
        "    for problem in (problems()['one'], problems()['three']):\n"
        "        run_searcher(problem, make(problem, 0), trials=20)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "5"}
    )
