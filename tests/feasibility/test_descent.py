"""Descent on the violation, and exchanges of up to four decisions that are predicted to hit a
narrow window."""

from __future__ import annotations

from random import Random

import pytest
from toys import flat, staged, staged_costs

from archsmith.feasibility.descent import Descent, exchanges
from archsmith.feasibility.violation import Gauge
from archsmith.problem import at_most, between


def cost(arch) -> int:
    """Additive, and no two options of different decisions cost the same."""
    return sum(7**place * option for place, option in enumerate(arch.values()))


def around(window: tuple[float, float], seed: int = 0, limit: int = 32):
    space, rng = flat(6, 4), Random(seed)
    gauge = Gauge([between(cost, *window, name="cost")])
    start = space.sample(rng)
    return start, exchanges(Descent(space, gauge, rng), start, limit), gauge, rng


@pytest.mark.parametrize("seed", range(5))
def test_exchanges_of_an_additive_cost_are_hits_at_most_four_decisions_away(seed: int) -> None:
    window = (33_700.0, 36_000.0)
    start, found, gauge, _ = around(window, seed)
    assert found and len(set(found)) == len(found)
    for arch in found:
        assert gauge.violation(arch) == 0
        assert 0 <= sum(arch[name] != start[name] for name in arch) <= 4


def test_they_end_soon_after_the_limit_and_come_again_from_the_same_draws() -> None:
    _, few, _, rng = around((0.0, 1e9), limit=3)
    assert 3 <= len(few) <= 4  # two of one change may come at once
    again = around((0.0, 1e9), limit=3)
    assert again[1] == few and again[3].getstate() == rng.getstate()


def test_nothing_is_exchanged_where_nothing_can_hit_or_a_metric_fails() -> None:
    assert around((-10.0, -1.0))[1] == []

    def broken(arch) -> float:
        raise ValueError("no such layer")

    space, rng = flat(3, 3), Random(0)
    gauge = Gauge([at_most(broken, 5, "broken")])
    assert (
        exchanges(Descent(space, gauge, rng), space.sample(rng)) == []
        and gauge.failure == "broken: ValueError: no such layer"
    )


def test_decisions_that_bring_others_into_being_are_left_alone() -> None:
    space, rng = staged(), Random(3)
    start = space.sample(rng)
    gauge = Gauge([at_most(staged_costs, 0.8 * staged_costs(start)["macs"], "macs")])
    found = exchanges(Descent(space, gauge, rng), start)
    assert found and all(
        {n: a[n] for n in a if "depth" in n} == {n: start[n] for n in start if "depth" in n}
        for a in found
    )


def test_complete_are_values_that_no_metric_failed_to_give() -> None:
    gauge = Gauge(
        [
            at_most(staged_costs, 1, "macs"),
            at_most(staged_costs, 1, "params"),
            at_most(staged_costs, 9, "macs"),
        ]
    )
    values = gauge.values(staged().extreme(0))
    assert gauge.complete(values) and not gauge.complete({"macs": 1.0})
