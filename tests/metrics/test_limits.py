"""Shares of what the largest network costs made numbers, and which network that is."""

from __future__ import annotations

import pytest
from toys import flat, random_space, staged, staged_costs

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs
from archsmith.metrics.limits import as_json, climbed, constraints_of, largest, resolved
from archsmith.problem.budget import Limit, parse
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.nasbench201 import nasbench201

WHOLE = {"macs": 50_600_000.0, "params": 100.0, "latency": 8.0}


def test_shares_become_limits_in_the_unit_of_the_metric() -> None:
    found = resolved(parse("macs<=50%, params<=29%, latency<=60%"), WHOLE.__getitem__)
    assert found == parse("macs<=25.3M, params<=29, latency<=4.8ms")
    assert found[1].met(29)  # 0.29 x 100 is a little less, as computers count
    assert [as_json(limit)["share"] for limit in found] == [0.5, 0.29, 0.6]
    assert constraints_of(found[:1], lambda arch: {"macs": 1.0}, None)[0].high == 25_300_000


def test_absolute_limits_are_left_as_they_are_and_nothing_is_asked_for_them() -> None:
    limits = parse("macs<=5M, latency<=8ms, params>=10k")
    assert resolved(limits, {}.__getitem__) == limits
    assert all("share" not in as_json(limit) for limit in limits)


def test_both_ends_of_a_range_may_be_written_each_in_its_way() -> None:
    found = resolved(parse("macs>=5%, macs<=5M"), WHOLE.__getitem__)
    assert found == (Limit("macs", ">=", 2_530_000), Limit("macs", "<=", 5e6))
    with pytest.raises(UserError, match=r"no macs is both macs>=10\.1M and macs<=5M"):
        resolved(parse("macs>=20%, macs<=5M"), WHOLE.__getitem__)


def test_a_share_is_no_constraint_before_it_is_a_number() -> None:
    with pytest.raises(AssertionError, match="resolved first"):
        constraints_of(parse("macs<=50%"), lambda arch: {"macs": 1.0}, None)


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_is_found_whatever_the_order_of_the_options(seed: int) -> None:
    space = random_space(seed)
    worth = {
        (name, option): float(hash((seed, number, place)) % 97)
        for number, name in enumerate(space)
        for place, option in enumerate(space[name])
    }

    def cost(arch: Architecture) -> float:
        return sum(worth[item] for item in arch.items())

    # a local search: where decisions open others it may end beside the most, but not below an end
    most = max(map(cost, space.architectures()))
    found = cost(climbed(space, cost))
    assert max(cost(space.extreme(0)), cost(space.extreme(-1))) <= found <= most
    if not space.conditions:
        assert found == most


def test_the_largest_is_the_last_option_of_each_where_they_ascend() -> None:
    space = staged()
    for name in ("params", "macs"):
        assert climbed(space, lambda arch, name=name: staged_costs(arch)[name]) == space.extreme(-1)


def test_what_the_space_does_not_hold_is_not_its_largest() -> None:
    space = flat(3, 4).where(lambda arch: sum(arch.values()) <= 5)  # neither has its last of each
    assert sum(climbed(space, lambda arch: float(sum(arch.values()))).values()) == 5
    inner = space.where(lambda arch: sum(arch.values()) >= 1)  # nor the first
    assert sum(climbed(inner, lambda arch: float(sum(arch.values()))).values()) == 5


@pytest.fixture(scope="module")
def cells() -> tuple[SearchSpace, Costs]:
    """A cell whose last option is pooling, which costs nothing."""
    model = nasbench201(3, 1, 8, width=4, cells=1)
    return search_space(model), Costs(model, (1, 8, 8), ("params", "macs", "depth", "memory"))


def test_costs_of_the_largest_are_the_most_of_a_space_whose_last_options_are_small(
    cells: tuple[SearchSpace, Costs],
) -> None:
    space, costs = cells
    asked: list[Architecture] = []

    def latency(arch: Architecture) -> float:
        asked.append(arch)
        return costs(arch)["macs"] / 1e6

    most, counts = largest(space, costs, latency), costs.showing("params", "macs", "depth")
    assert counts(space.extreme(-1))["macs"] < most("macs") / 5
    seen = [counts(arch) for arch in space.architectures()]
    for name in counts.names:
        assert most(name) == max(row[name] for row in seen)
    assert most("latency") == most("macs") / 1e6
    assert len(asked) <= 2 and all(counts(arch)["macs"] == most("macs") for arch in asked)
    assert most("memory") == costs(asked[0])["memory"]


def test_a_latency_needs_its_table(cells: tuple[SearchSpace, Costs]) -> None:
    with pytest.raises(AssertionError, match="latency table"):
        largest(*cells)("latency")
