"""Drawing within hard limits: uniform on small spaces, never starving on large ones, and a clear
word when nothing fits."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from random import Random

import pytest
from toys import chi_square, chi_square_bound, flat, staged, staged_costs

import archsmith.feasibility.sampler
from archsmith.errors import NothingFits, UserError
from archsmith.feasibility.sampler import (
    FeasibleSampler,
    Gauge,
    feasible_sample,
    feasible_share,
    repair,
)
from archsmith.problem import Problem, at_least, at_most, between
from archsmith.space import SearchSpace


def fits(constraints, arch) -> bool:
    return Gauge(constraints).violation(arch) == 0


def macs(limit):
    return at_most(staged_costs, limit, "macs")


def weighted(decisions: int, options: int, seed: int):
    """An additive cost of `flat(decisions, options)`, and how many architectures cost at most x (by
    exact counting)."""
    rng = Random(seed)
    table = [sorted(rng.randint(0, 60) for _ in range(options)) for _ in range(decisions)]

    def cost(arch):
        return sum(row[option] for row, option in zip(table, arch.values(), strict=True))

    counts = {0: 1}
    for row in table:
        following: Counter = Counter()
        for total, n in counts.items():
            for weight in row:
                following[total + weight] += n
        counts = following
    return cost, counts


def limit_for(counts, share: float) -> int:
    """The largest limit that at most this share of the architectures keeps."""
    total, below, limit = sum(counts.values()), 0, None
    for value in sorted(counts):
        below += counts[value]
        if below > share * total:
            break
        limit = value
    assert limit is not None
    return limit


# -- small spaces ----------------------------------------------------------------------------------

SMALL_CASES = [
    (flat(4, 5), [at_most(lambda a: sum(a.values()), 3, "sum")]),  # enumeration: 5.6 % fit
    (flat(4, 5), [at_most(lambda a: sum(a.values()), 8, "sum")]),  # draws serve
    (staged(2, 2, (3, 5), (3, 6)), [macs(6e6)]),
    (staged(2, 2, (3, 5), (3, 6)), [macs(12e6), at_least(staged_costs, 30_000, "params")]),
    (
        flat(3, 6).where(lambda a: a["d0"] != a["d1"]),
        [between(lambda a: sum(a.values()), 5, 6, "sum")],
    ),
]


@pytest.mark.parametrize("case", range(len(SMALL_CASES)))
def test_every_feasible_architecture_of_a_small_space_is_equally_likely(case):
    space, constraints = SMALL_CASES[case]
    feasible = [a for a in space.architectures() if fits(constraints, a)]
    assert 1 < len(feasible) < space.size
    rng = Random(case)
    first: Counter = Counter()
    rounds = 1 + 20 * len(feasible) // 5
    for _ in range(min(rounds, 400)):
        first.update(feasible_sample(space, constraints, rng, 5))
    expected = sum(first.values()) / len(feasible)
    assert set(first) <= set(feasible)
    # without replacement within a draw the counts vary less than multinomial ones: the bound is a
    # safe one
    assert chi_square([first[a] for a in feasible], [expected] * len(feasible)) < chi_square_bound(
        len(feasible) - 1
    )
    again = Counter(feasible_sample(space, constraints, rng, 40 * len(feasible), distinct=False))
    assert chi_square([again[a] for a in feasible], [40.0] * len(feasible)) < chi_square_bound(
        len(feasible) - 1
    )


@pytest.mark.parametrize("case", range(len(SMALL_CASES)))
def test_distinct_draws_exhaust_a_small_space(case):
    space, constraints = SMALL_CASES[case]
    feasible = {a for a in space.architectures() if fits(constraints, a)}
    drawn = feasible_sample(space, constraints, Random(0), len(feasible) + 50)
    assert len(drawn) == len(feasible) and set(drawn) == feasible
    sampler = FeasibleSampler(space, constraints, Random(1))
    pieces = [sampler.draw(7) for _ in range(len(feasible) // 7 + 2)]
    assert sorted(a.key for piece in pieces for a in piece) == sorted(a.key for a in feasible)
    assert sampler.draw(1) == []


def test_the_first_draw_is_uniform_too():
    """The first of a distinct draw: enumeration must not favor what it meets first."""
    space, constraints = SMALL_CASES[0]
    feasible = [a for a in space.architectures() if fits(constraints, a)]
    counts = Counter(
        feasible_sample(space, constraints, Random(i), 1)[0] for i in range(20 * len(feasible))
    )
    assert chi_square([counts[a] for a in feasible], [20.0] * len(feasible)) < chi_square_bound(
        len(feasible) - 1
    )


def test_without_constraints_everything_fits():
    space = flat(2, 4)
    assert set(feasible_sample(space, [], Random(0), 99)) == set(space.architectures())
    assert len(set(feasible_sample(staged(8, 4), [], Random(0), 300))) == 300


# -- large spaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("decisions", "options"), [(20, 4), (40, 3), (60, 5)])
def test_one_in_a_million_is_no_obstacle(decisions, options):
    cost, counts = weighted(decisions, options, decisions)
    limit = limit_for(counts, 1e-6)
    sampler = FeasibleSampler(flat(decisions, options), [at_most(cost, limit, "cost")], Random(1))
    drawn = sampler.draw(100)
    assert len(set(drawn)) == 100 and all(cost(a) <= limit for a in drawn)
    assert sampler.gauge.calls < 30_000  # at 50 microseconds each: a second and a half
    # spread: no decision is frozen where the limit leaves it free
    used = [len({a[name] for a in drawn}) for name in drawn[0]]
    assert sum(used) > 1.6 * decisions


def test_a_window_of_one_in_a_million_is_no_obstacle():
    rng = Random(0)
    table = [[rng.lognormvariate(0, 1) for _ in range(4)] for _ in range(20)]

    def cost(arch):
        return sum(row[option] for row, option in zip(table, arch.values(), strict=True))

    space = flat(20, 4)
    values = sorted(cost(space.sample(rng)) for _ in range(4000))
    middle, density = values[2000], 400 / (values[2200] - values[1800]) / 4000
    window = between(cost, middle, middle + 1e-6 / density, "cost")
    sampler = FeasibleSampler(space, [window], Random(1))
    drawn = sampler.draw(100)
    assert len(set(drawn)) == 100 and all(fits([window], a) for a in drawn)
    assert sampler.gauge.calls < 100_000
    assert min(len({a[name] for a in drawn}) for name in drawn[0]) >= 3  # all over the space


def test_a_mobilenet_like_space_under_two_tight_budgets():
    space = staged(5, 4)
    least = staged_costs(space.extreme(0))
    constraints = [
        at_most(staged_costs, 1.4 * least["params"], "params"),
        macs(1.4 * least["macs"]),
    ]
    assert sum(fits(constraints, space.sample(Random(i), uniform=True)) for i in range(2000)) == 0
    sampler = FeasibleSampler(space, constraints, Random(1))
    drawn = sampler.draw(100)
    assert len(set(drawn)) == 100 and all(fits(constraints, a) and space.contains(a) for a in drawn)
    assert sampler.gauge.calls < 30_000


def test_a_maximum_is_no_obstacle():
    """Flat in most directions, like peak memory: 24 decisions that must all be small, one in
    2^24."""
    constraint = at_most(lambda a: max(a.values()), 1, "peak")
    drawn = feasible_sample(flat(24, 4), [constraint], Random(0), 100)
    assert len(set(drawn)) == 100
    ones = [sum(a[name] for a in drawn) for name in drawn[0]]
    assert min(ones) > 25 and max(ones) < 75  # both small options, about half of the time each


def test_a_small_feasible_part_of_a_large_space_is_found_in_full():
    """All 5 stages of one block: which of the 9 options of each fit can be counted stage by
    stage."""
    space = staged(5, 4)
    least = staged_costs(space.extreme(0))["macs"]
    limit = 1.12 * least
    stages = [
        [
            staged_costs({f"s{s}.b0.kernel": k, f"s{s}.b0.expand": e})["macs"] - 1000
            for k in (3, 5, 7)
            for e in (3, 4, 6)
        ]
        for s in range(5)
    ]
    assert min(min(stage) for stage in stages) > limit - least  # no room for a second block
    expected = sum(1000 + sum(choice) <= limit for choice in itertools.product(*stages))
    assert 20 < expected < 2000
    drawn = feasible_sample(space, [macs(limit)], Random(0), expected + 10)
    assert len(set(drawn)) == len(drawn) == expected


@pytest.mark.parametrize("factor", [1.3, 1.6, 2.2])
def test_the_walk_is_uniform_over_what_fits_also_where_decisions_depend_on_others(
    monkeypatch, factor
):
    """With draws and enumeration switched off, on a space small enough to know the truth."""
    monkeypatch.setattr(archsmith.feasibility.sampler, "SMALL", 0)
    space = staged(2, 2, (3, 5), (3, 4, 6))
    constraints = [macs(factor * staged_costs(space.extreme(0))["macs"])]
    feasible = [a for a in space.architectures() if fits(constraints, a)]
    sampler = FeasibleSampler(space, constraints, Random(3), distinct=False)
    counts = Counter(itertools.islice(sampler._walked(), 40 * len(feasible)))
    assert set(counts) == set(feasible)
    statistic = chi_square([counts[a] for a in feasible], [40.0] * len(feasible))
    # successive states of a walk are not independent
    assert statistic < 2 * chi_square_bound(len(feasible) - 1)


def test_draws_are_the_same_for_the_same_seed():
    space, constraints = staged(5, 4), [macs(1.3 * staged_costs(staged(5, 4).extreme(0))["macs"])]
    first, second, other = (
        feasible_sample(space, constraints, Random(seed), 20) for seed in (1, 1, 2)
    )
    assert first == second and set(first) != set(other)


# -- nothing fits ----------------------------------------------------------------------------------


def test_nothing_fits_in_a_large_space():
    space = staged(5, 4)
    least = staged_costs(space.extreme(0))
    with pytest.raises(NothingFits, match="no architecture fits params<=80,000") as caught:
        feasible_sample(space, [at_most(staged_costs, 80_000, "params"), macs(1e9)], Random(0), 10)
    assert caught.value.nearest == space.extreme(0)
    assert caught.value.relax == (f"params<={least['params']}",)
    assert f"nearest has params={least['params']:,}" in str(caught.value)
    assert "fits with params<=" in str(caught.value)
    assert fits([at_most(staged_costs, least["params"], "params")], caught.value.nearest)


def test_nothing_fits_in_a_small_space():
    space = flat(3, 4)
    constraints = [at_least(lambda a: sum(a.values()) / 7, 1.5, "share")]
    with pytest.raises(NothingFits, match="none among all 64") as caught:
        feasible_sample(space, constraints, Random(0), 1)
    assert caught.value.nearest == space.extreme(-1)
    assert caught.value.relax == ("share>=1.285",)  # 9/7 to the safe side


def test_limits_that_exclude_each_other_are_named_one_by_one():
    space = staged(3, 3)
    most = staged_costs(space.extreme(-1))
    constraints = [at_least(staged_costs, 0.9 * most["params"], "params"), macs(0.3 * most["macs"])]
    with pytest.raises(
        NothingFits, match="relaxing one limit alone takes params>=.* or macs<="
    ) as caught:
        feasible_sample(space, constraints, Random(0), 1)
    assert [text.split(">=")[0].split("<=")[0] for text in caught.value.relax] == ["params", "macs"]
    alone = str(caught.value).split("alone takes ")[1].split(";")[0].split(" or ")
    for text, kept in zip(alone, (constraints[1], constraints[0]), strict=True):
        name, limit = text.replace(">=", " ").replace("<=", " ").split()
        relaxed = (
            at_least(staged_costs, float(limit), name)
            if ">=" in text
            else at_most(staged_costs, float(limit), name)
        )
        assert feasible_sample(space, [relaxed, kept], Random(1), 1)


def test_a_relaxed_limit_lets_the_nearest_in():
    for seed in range(6):
        cost, counts = weighted(12, 4, seed)
        scaled = at_most(
            lambda a, cost=cost: cost(a) / 7 + 0.001,
            (min(counts) - 3) / 7 if min(counts) > 3 else -1.0,
            "ms",
        )
        with pytest.raises(NothingFits) as caught:
            feasible_sample(flat(12, 4), [scaled], Random(0), 1)
        (text,) = caught.value.relax
        least = min(counts) / 7 + 0.001
        assert scaled.metric(caught.value.nearest) == pytest.approx(least)
        assert least <= float(text.removeprefix("ms<=")) <= least * 1.002


def test_a_metric_that_always_fails_is_named():
    def latency(arch):
        raise RuntimeError("no compiler")

    for space in (flat(3, 3), staged(5, 4)):
        with pytest.raises(
            NothingFits, match="the last failure was: latency: RuntimeError: no compiler"
        ):
            feasible_sample(space, [at_most(latency, 8)], Random(0), 1)
    with pytest.raises(UserError, match="did you mean 'params'"):
        feasible_sample(flat(3, 3), [at_most(lambda a: {"params": 1}, 8, "parms")], Random(0), 1)


def test_architectures_that_cannot_be_measured_do_not_fit():
    def cost(arch):
        if arch["d0"] == 0:
            raise ValueError("zero")
        return math.nan if arch["d1"] == 0 else sum(arch.values())

    drawn = feasible_sample(flat(3, 5), [at_most(cost, 4)], Random(0), 99)
    assert drawn and all(a["d0"] and a["d1"] and sum(a.values()) <= 4 for a in drawn)
    assert len(drawn) == 10


def test_spaces_without_a_choice():
    only = SearchSpace({"a": (2,)})
    assert feasible_sample(only, [at_most(lambda a: a["a"], 2, "a")], Random(0), 5) == [
        only.extreme()
    ]
    with pytest.raises(NothingFits):
        feasible_sample(only, [at_most(lambda a: a["a"], 1, "a")], Random(0), 5)
    assert len(feasible_sample(SearchSpace({}), [], Random(0), 5)) == 1


# -- repair and share ------------------------------------------------------------------------------


def test_repair_leaves_what_fits_alone_and_changes_little_else():
    space = staged(5, 4)
    constraints = [macs(40e6)]
    rng, distances = Random(0), []
    for _ in range(40):
        arch = space.sample(rng)
        repaired = repair(space, constraints, arch, rng)
        assert space.contains(repaired) and fits(constraints, repaired)
        if fits(constraints, arch):
            assert repaired == arch
        else:
            distances.append(sum(arch.get(name) != option for name, option in repaired.items()))
    assert distances and sum(distances) / len(distances) < 8


def test_repair_brings_strangers_inside_and_says_when_nothing_fits():
    space = staged(2, 2)
    stranger = {**staged(2, 3).extreme(), "more": 1}
    assert space.contains(repair(space, [macs(2e7)], stranger, Random(0)))
    with pytest.raises(NothingFits, match="fits with macs<="):
        repair(space, [macs(10)], space.extreme(), Random(0))


def test_share_of_a_small_space_is_exact_and_of_a_large_one_has_an_interval():
    space, constraints = flat(4, 5), [at_most(lambda a: sum(a.values()), 3, "sum")]
    share = feasible_share(space, constraints, Random(0))
    assert share.share == share.low == share.high == 35 / 625 and share.draws == 625
    assert share.summary() == {"sum": {"min": 0, "median": 8, "max": 16}}
    big = staged(5, 4)
    share = feasible_share(big, [macs(60e6)], Random(0), draws=500, metrics=[lambda_metric])
    truth = sum(fits([macs(60e6)], big.sample(Random(i), uniform=True)) for i in range(2000)) / 2000
    assert 0 < share.low < share.share < share.high < 1 and share.low < truth < share.high
    summary = share.summary()
    assert summary["macs"]["min"] == staged_costs(big.extreme(0))["macs"]
    assert summary["macs"]["max"] == staged_costs(big.extreme(-1))["macs"]
    assert summary["params"]["min"] < summary["params"]["median"] < summary["params"]["max"]
    assert summary["lambda_metric"]["max"] == 45
    none = feasible_share(big, [macs(1e6)], Random(0), draws=100)
    assert none.share == 0 and none.low == 0 and 0.03 < none.high < 0.04


def lambda_metric(arch):
    return len(arch)


def test_a_problem_tells_its_cheap_constraints():
    def accuracy(arch):
        return 0.5

    accuracy.cheap = False
    problem = Problem(flat(2, 2), [], [at_least(accuracy, 0.4), macs(3)])
    assert [c.name for c in problem.cheap] == ["macs"]


def test_scattered_points_are_drawn_and_the_end_is_noticed():
    """Three architectures of 4^12 fit, none near another, and nothing points to more of them."""
    targets = [tuple(Random(s).randrange(4) for _ in range(12)) for s in range(3)]

    def distance(arch):
        return min(
            sum(abs(a - b) for a, b in zip(arch.values(), target, strict=True))
            for target in targets
        )

    sampler = FeasibleSampler(flat(12, 4), [at_most(distance, 0)], Random(0))
    drawn = sampler.draw(10)
    assert sorted(tuple(a.values()) for a in drawn) == sorted(targets)
    assert sampler.draw(1) == []
    assert sampler.gauge.calls < 100_000


@pytest.mark.parametrize("limit", [10, 1e3, 1e5])
def test_looking_for_what_does_not_exist_ends_when_it_is_told_to(limit):
    space, asked = staged(5, 4), [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > 50

    calls = [0]

    def costs(arch):
        calls[0] += 1
        return staged_costs(arch)["macs"]

    with pytest.raises(NothingFits, match="fits with cost<="):
        feasible_sample(space, [at_most(costs, limit, "cost")], Random(0), 1, stop=stop)
    assert calls[0] < 60_000


def test_a_share_may_rest_on_fewer_draws_but_not_on_none():
    share = feasible_share(staged(5, 4), [macs(60e6)], Random(0), 500, stop=lambda: True)
    assert share.draws == 12 and share.low < share.share < share.high
