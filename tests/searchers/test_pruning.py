"""Dynamic distribution pruning: how often, what is dealt, what goes, votes in the limit, protected
groups, conditions."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from toys import staged

from archsmith.errors import Damaged, UserError
from archsmith.problem import Problem, Trial, maximize
from archsmith.searchers.archive import Archive
from archsmith.searchers.categorical import Categorical, credited
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.pruning import evaluations, prunable, prune_worst, pruning, softmax
from archsmith.space import Architecture, SearchSpace

FIVE = SearchSpace({f"d{i}": tuple("abcde") for i in range(4)})


def value(arch: Architecture) -> float:
    """Best is "e" everywhere, and better still where d0 and d1 agree."""
    return sum("abcde".index(option) for option in arch.values()) + 2.0 * (
        arch.get("d0") == arch.get("d1")
    )


def searched(space: SearchSpace, metric: Any = value, **settings: Any) -> list[Trial]:
    problem = Problem(space, [maximize(metric, "value")])
    archive = Archive()
    run_searcher(problem, pruning(problem, **settings), trials=10**6, archive=archive)
    return list(archive)


@pytest.mark.parametrize(("options", "rounds"), [(5, 3), (5, 1), (8, 3), (2, 4)])
def test_it_asks_as_often_as_the_formula_says_and_once_more_for_the_survivor(
    options: int, rounds: int
) -> None:
    space = SearchSpace({f"d{i}": tuple(range(options)) for i in range(3)})
    trials = searched(space, lambda arch: float(sum(arch.values())), rounds=rounds)
    assert len(trials) == evaluations(options, rounds) + 1
    assert evaluations(5, 3) == 42 and evaluations(8, 3) == 105
    assert [t.candidate.origin for t in trials[:-1]] == ["dealt"] * (len(trials) - 1)
    assert trials[-1].candidate.origin == "survivor"


def test_every_alive_option_is_dealt_once_a_round_and_one_goes_each_stage() -> None:
    trials = searched(FIVE, rounds=3)[:-1]
    place = 0
    alive = {name: set(FIVE[name]) for name in FIVE}
    for count in (5, 4, 3, 2):
        seen = {name: set() for name in FIVE}  # type: ignore[var-annotated]
        for _ in range(3):
            hand = trials[place : place + count]
            place += count
            for name in FIVE:
                dealt = Counter(t.arch[name] for t in hand)
                assert set(dealt.values()) == {1}
                seen[name] = set(dealt)
        assert all(seen[name] <= alive[name] and len(seen[name]) == count for name in FIVE)
        alive = seen
    assert place == len(trials)


def test_clear_rewards_leave_the_best() -> None:
    trials = searched(
        FIVE,
        lambda arch: 10.0 * sum("abcde".index(o) for o in arch.values()),
        rounds=40,
        temperature=20.0,
    )
    assert set(trials[-1].arch.values()) == {"e"}


def test_with_hardly_any_temperature_halves_count_the_winners_of_rounds() -> None:
    rewards = {0: 3.0, 1: 7.0, 2: 6.9}
    assert softmax(rewards, [0, 1, 2], 1e-6) == pytest.approx({0: 0.0, 1: 1.0, 2: 0.0})
    assert sum(softmax(rewards, [0, 2], 1.0).values()) == pytest.approx(1.0)
    assert softmax({0: 1.0, 1: 1.0}, [0, 1, 2], 1.0) == pytest.approx(
        {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}
    )
    assert softmax({}, [0, 2], 1.0) == {0: 0.5, 2: 0.5}


def test_the_worst_goes_and_equal_ones_at_random() -> None:
    gone = set()
    for seed in range(20):
        distribution = Categorical(FIVE)
        distribution.theta["d0"] = [0.5, 0.1, 0.2, 0.1, 0.1]
        prune_worst(distribution, "d0", (), Random(seed))
        gone |= set(range(5)) - set(distribution.alive["d0"])
    assert gone == {1, 3, 4}


def test_the_last_of_a_protected_group_stays() -> None:
    trials = searched(FIVE, rounds=2, protected=(("a", "b"), ("c", "d", "e")))
    assert len(trials) == 2 * (5 + 4 + 3) + 1
    distribution = Categorical(FIVE)
    distribution.alive["d0"] = [1, 3, 4]
    assert prunable(distribution, "d0", (("a", "b"), ("c", "d", "e"))) == [3, 4]
    distribution.alive["d0"] = [1, 3]
    assert prunable(distribution, "d0", (("a", "b"), ("c", "d", "e"))) == []


def test_unequal_numbers_of_options_and_conditional_decisions() -> None:
    space = SearchSpace({"two": (0, 1), "five": (0, 1, 2, 3, 4), "one": (7,)})
    trials = searched(space, lambda arch: float(arch["two"] + arch["five"]), rounds=2)
    assert [len({t.arch["five"] for t in trials[i : i + 5]}) for i in (0, 5)] == [5, 5]
    assert trials[-1].arch["one"] == 7
    staged_space = staged(2, 2)
    trials = searched(staged_space, lambda arch: float(len(arch)), rounds=2)
    assert staged_space.contains(trials[-1].arch) and trials[-1].candidate.origin == "survivor"


def test_warm_up_teaches_nothing() -> None:
    trials = searched(FIVE, rounds=1, warmup=2)
    assert [t.candidate.origin for t in trials[:10]] == ["warm-up"] * 10 and len(
        trials
    ) == 10 + 14 + 1


def test_mistakes_are_told() -> None:
    problem = Problem(FIVE, [maximize(value, "value")])
    for settings, message in (
        ({"rule": "haf"}, "rule 'haf'"),
        ({"temperature": 0.0}, "temperature=0"),
        ({"rounds": 0}, "rounds"),
    ):
        with pytest.raises(UserError, match=message):
            pruning(problem, **settings).ask()


# -- the distribution ------------------------------------------------------------------------------


def test_draws_follow_theta_among_what_is_alive() -> None:
    distribution, rng = Categorical(FIVE), Random(0)
    distribution.theta["d0"] = [0.6, 0.3, 0.1, 0.0, 0.0]
    distribution.prune("d0", 0)
    counts = Counter(distribution.draw(rng)["d0"] for _ in range(2000))
    assert set(counts) == {"b", "c"} and counts["b"] / 2000 == pytest.approx(0.75, abs=0.04)
    assert distribution.mode()["d0"] == "b" and distribution.survivors().options["d0"] == (
        "b",
        "c",
        "d",
        "e",
    )
    assert distribution.entropy("d0") == pytest.approx(0.5623, abs=1e-3)


def test_the_bound_keeps_rows_at_one() -> None:
    distribution = Categorical(FIVE)
    distribution.theta["d0"] = [0.99, 0.005, 0.005, 0.0, 0.0]
    distribution.bound()
    least = 1 / (4 * 4)  # d (K - 1)
    for row in distribution.theta.values():
        assert sum(row) == pytest.approx(1.0) and min(row) >= least - 1e-12
    assert distribution.theta["d0"][0] == pytest.approx(1 - 4 * least)


def test_it_is_saved_and_restored() -> None:
    distribution = Categorical(FIVE)
    distribution.theta["d1"][2] = 0.9
    distribution.prune("d2", 3)
    other = Categorical(FIVE)
    other.restore(distribution.to_json())
    assert other.theta == distribution.theta and other.alive == distribution.alive
    with pytest.raises(Damaged, match="another space"):
        Categorical(SearchSpace({"a": (0, 1)})).restore(distribution.to_json())


def test_credit_is_the_mean_over_what_has_the_option() -> None:
    distribution = Categorical(SearchSpace({"a": (0, 1), "b": (0, 1)}))
    archs = [
        Architecture({"a": 0, "b": 1}),
        Architecture({"a": 0, "b": 0}),
        Architecture({"a": 1, "b": 0}),
    ]
    assert credited(distribution, archs, [1.0, 3.0, 8.0]) == {
        "a": {0: 2.0, 1: 8.0},
        "b": {1: 1.0, 0: 5.5},
    }
