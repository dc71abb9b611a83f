"""The one clock: what each part of a run may take, for any time, any load, with and without a
reference or shared weights."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.run import clock
from archsmith.training.halving import rungs_for, work

TIMES = st.floats(20, 86_400)
SPENT = st.floats(0.02, 0.9)  # of the time, by the end of profile and with what shipping takes
KINDS = st.tuples(st.booleans(), st.booleans())


@given(total=TIMES, spent=SPENT, kinds=KINDS)
def test_training_the_network_that_ships_gets_its_share_or_everything_there_is(
    total: float, spent: float, kinds: tuple[bool, bool]
) -> None:
    reference, shares = kinds
    plan = clock.planned(total, total * (1 - spent), reference=reference, shares=shares)
    side = total - plan.reference
    everything = clock.TRIED * plan.search
    if everything >= clock.TRAINED * side:
        assert plan.training >= clock.TRAINED * side - 1e-6
    else:  # nothing is taken from training, and nothing runs beside it
        assert (
            plan.scoring == plan.sharing == 0
            and plan.finalists == 1
            and plan.training == pytest.approx(max(1, everything))
        )


@given(total=TIMES, over=st.floats(0, 600), kinds=KINDS)
def test_where_the_time_is_over_before_training_one_network_is_still_trained(
    total: float, over: float, kinds: tuple[bool, bool]
) -> None:
    reference, shares = kinds
    plan = clock.planned(total, -over, reference=reference, shares=shares)
    assert (plan.finalists, plan.training, plan.reference) == (1, 1.0, 0.0)
    assert plan.scoring == plan.sharing == 0


@given(total=TIMES, spent=SPENT, kinds=KINDS)
def test_no_plan_gives_out_more_than_there_is(
    total: float, spent: float, kinds: tuple[bool, bool]
) -> None:
    reference, shares = kinds
    left = total * (1 - spent)
    plan = clock.planned(total, left, reference=reference, shares=shares)
    assert plan.search + plan.reference <= max(left, 2.0) + 1e-6
    races = plan.training * work(plan.finalists, rungs_for(plan.finalists))
    assert plan.scoring + plan.sharing + races <= plan.search + 1e-6
    assert plan.reference in (0.0, plan.search) and (plan.sharing == 0 or shares)


@given(total=TIMES, spent=SPENT, shares=st.booleans())
def test_a_reference_is_trained_where_the_time_is_enough_for_both(
    total: float, spent: float, shares: bool
) -> None:
    plan = clock.planned(total, total * (1 - spent), reference=True, shares=shares)
    if plan.reference:
        assert plan.reference == plan.search
        assert clock.TRIED * plan.search >= 0.9 * clock.TRAINED * (total - plan.reference) - 1e-6
    else:
        alone = clock.planned(total, total * (1 - spent), reference=False, shares=shares)
        assert plan == alone and spent > 0.2


@given(total=TIMES, spent=SPENT, kinds=KINDS)
def test_more_time_never_means_less_training(
    total: float, spent: float, kinds: tuple[bool, bool]
) -> None:
    reference, shares = kinds
    one, two = (
        clock.planned(t, t * (1 - spent), reference=reference, shares=shares)
        for t in (total, 2 * total)
    )
    assert two.training >= 0.99 * one.training and two.scoring >= 0.99 * one.scoring


@pytest.mark.parametrize(
    ("total", "overhead", "finalists", "scores"),
    [
        (60, 20, 1, False),
        (60, 10, 1, False),
        (300, 14, 3, True),
        (3600, 30, 6, True),
        (36_000, 60, 8, True),
    ],
)
def test_with_little_time_there_is_one_network_and_no_score(
    total: float, overhead: float, finalists: int, scores: bool
) -> None:
    plan = clock.planned(total, total - overhead, reference=True, shares=False)
    assert plan.finalists <= finalists and (plan.scoring > 2) == scores


@given(total=TIMES, slowdown=st.floats(0.2, 20), more=st.floats(0, 100))
def test_shipping_keeps_more_on_a_busy_machine_but_never_most_of_the_time(
    total: float, slowdown: float, more: float
) -> None:
    kept = clock.shipping(total, slowdown, more)
    assert kept <= total / 4
    assert kept >= min(clock.SHIP_S, total / 4)


@given(training=st.floats(1, 1e5), reference=st.booleans())
def test_the_time_to_ask_for_gives_the_training_that_was_wanted(
    training: float, reference: bool
) -> None:
    total = clock.total_for(training, reference)
    assert clock.first_guess(total, reference) == pytest.approx(training) and math.isfinite(total)


def test_more_layers_take_longer_to_ship_and_few_nothing_more() -> None:
    """Measured: 42 layers in 2.6 CPU seconds, 151 in 5.4 (result shipping-layers)."""
    assert clock.shipping_layers(5) == clock.shipping_layers(30) == 0
    assert 3.5 < clock.shipping_layers(191) - clock.shipping_layers(33) < 5.5


@given(total=TIMES, spent=SPENT, kinds=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_where_the_winner_is_trained_twice_the_time_for_it_is_kept(
    total: float, spent: float, kinds: tuple[bool, bool, bool]
) -> None:
    left, (reference, shares, kept) = total * (1 - spent), kinds
    asked = {"reference": reference, "shares": shares, "kept": kept}
    plan = clock.refitted(total, left, **asked)
    assert plan.search + plan.reference + plan.refit <= max(left, 4.0) + 1e-6
    if left > 30:
        assert clock.TRIED * plan.refit >= plan.training - 0.01
    if not reference and not shares and plan.finalists == 1 and left > 30:
        assert plan.refit == pytest.approx(left / 2, rel=0.1)


@pytest.mark.parametrize("networks", [1, 2, 4, 6])
def test_steps_that_train_the_winner_once_more_are_those_of_its_first_training(
    networks: int,
) -> None:
    kept = clock.refit_steps(10_000, networks)
    assert kept == pytest.approx((10_000 - kept) / work(networks, rungs_for(networks)), abs=2)


@pytest.mark.parametrize(
    ("best", "left", "found"), [(10.0, 100.0, 10.0), (10.0, 10.0, 9.2), (10.0, 5.0, None)]
)
def test_with_too_little_left_nothing_is_trained_once_more(
    best: float, left: float, found: float | None
) -> None:
    assert clock.refit_s(best, left) == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize(("reference", "refit"), [(False, True), (True, True)])
def test_the_time_to_ask_for_counts_the_training_that_is_made_twice(
    reference: bool, refit: bool
) -> None:
    total = clock.total_for(100.0, reference, refit)
    assert clock.first_guess(total, reference, refit) == pytest.approx(100.0)
    assert total == pytest.approx(clock.total_for(100.0, False) * (1 + reference + refit))
