"""The hand-made reference: networks of one block throughout that use the budget that binds."""

from __future__ import annotations

import pytest
import torch

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs, params
from archsmith.spaces import build
from archsmith.spaces.reference import BY_HAND, costs, in_space, reference


@pytest.mark.parametrize(
    ("classes", "channels", "size", "limits"),
    [
        (10, 1, 8, {"params": 20_000}),
        (10, 3, 32, {"params": 200_000, "macs": 12_000_000}),
        (5, 3, 96, {"params": 1_000_000, "macs": 40_000_000, "memory": 4_000_000}),
    ],
)
def test_each_shape_uses_the_binding_limit(
    classes: int, channels: int, size: int, limits: dict[str, float]
) -> None:
    found = reference(classes, channels, size, limits)
    assert [(r.kind, r.depth, r.first) for r in found] == list(BY_HAND)
    for candidate in found:
        used = costs(candidate.make(None), (channels, size, size))
        shares = [used[name] / limit for name, limit in limits.items()]
        assert 0.95 <= max(shares) <= 1, (candidate, used)


def test_fresh_references_run_and_follow_their_seed() -> None:
    candidate = reference(3, 1, 8, {"params": 20_000})[0]
    first, again, other = (candidate.make(seed) for seed in (0, 0, 1))
    x = torch.ones(2, 1, 8, 8)
    assert first.eval()(x).shape == (2, 3)
    assert torch.equal(first(x), again.eval()(x)) and not torch.equal(first(x), other.eval()(x))


def test_a_budget_below_the_narrowest_is_named() -> None:
    with pytest.raises(UserError, match="params<=100"):
        reference(10, 3, 32, {"params": 100})
    with pytest.raises(UserError, match="latency"):
        reference(10, 3, 32, {"latency": 1})


def test_a_latency_limit_binds_too() -> None:
    """With a clock of its own: a thousandth of a millisecond for each parameter."""
    free = reference(10, 1, 8, {"params": 20_000})
    found = reference(
        10, 1, 8, {"params": 20_000, "latency": 10.0}, lambda network: params(network) / 1000
    )
    assert [r.name for r in found] == [r.name for r in free]
    for candidate in found:
        assert 9_500 <= params(candidate.make(None)) <= 10_000
    with pytest.raises(UserError, match="latency<=0"):
        reference(10, 1, 8, {"latency": 0.0}, lambda network: 1.0)


@pytest.mark.parametrize("probes", [1, 3, 6, 40])
def test_when_time_is_short_what_is_found_keeps_the_budget_all_the_same(probes: int) -> None:
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > probes

    try:
        found = reference(10, 3, 16, {"params": 60_000, "macs": 3_000_000}, stop=stop)
    except UserError:
        assert probes < 3  # nothing was known to fit yet
        return
    assert found and all(costs(r.make(None), (3, 16, 16))["params"] <= 60_000 for r in found)
    assert len(found) == len(BY_HAND) or probes <= 40


@pytest.mark.parametrize("most", [1, 7, 100, 4096])
@pytest.mark.parametrize("guess", [0, 1, 5, 99, 5000])
def test_the_largest_that_fits_is_found_from_any_guess(most: int, guess: int) -> None:
    from archsmith.spaces.reference import _largest

    for largest in {0, 1, most // 2, most - 1, most}:
        asked: list[int] = []

        def fits(n: int, largest: int = largest, asked: list[int] = asked) -> bool:
            asked.append(n)
            return n <= largest

        assert _largest(fits, most, guess, lambda: False) == largest
        assert all(0 < n <= most for n in asked) and len(asked) == len(set(asked)) <= 30


@pytest.mark.parametrize(
    ("channels", "size", "limits"),
    [
        (1, 8, {"params": 20_000.0}),
        (3, 32, {"params": 300_000.0, "macs": 20_000_000.0}),
        (3, 96, {"params": 300_000.0, "macs": 20_000_000.0}),
    ],
)
def test_the_space_holds_a_network_like_each_that_is_dense(
    channels: int, size: int, limits: dict[str, float]
) -> None:
    model = build("convnet", 10, channels, size)
    space, count = search_space(model), Costs(model, (channels, size, size), ("params", "macs"))
    keeps = lambda arch: all(count(arch)[name] <= limit for name, limit in limits.items())  # noqa: E731
    for one in reference(10, channels, size, limits):
        found = in_space(space, one, keeps)
        if one.kind == "inverted" and found is None:
            continue  # none of them is as narrow
        assert found is not None and keeps(found)
        kinds = {
            option
            for name, option in found.items()
            if name.endswith(".block") and name != "stem.block"
        }
        assert (
            (found["stem.block"] == "patches")
            == (found["head.pool"] == "bare")
            == (one.kind == "pooled")
        )
        # two filters a direction, however wide the rest
        assert found["stem.width"] == 8 * channels or one.kind != "pooled"
        # "conv" also where a stage of pooled ones has nothing to pool
        assert kinds - {"conv"} == {one.kind} - {"conv"}
        assert {
            found[name] for name in found if name.endswith(".depth") and name != "stage1.depth"
        } == {one.depth}
        assert max(count(found)[name] / limit for name, limit in limits.items()) > 0.75


def test_where_not_even_the_narrowest_keeps_the_budget_there_is_none_in_the_space() -> None:
    space = search_space(build("convnet", 10, 1, 8))
    assert in_space(space, reference(10, 1, 8, {"params": 20_000})[0], lambda arch: False) is None


@pytest.mark.parametrize("params", [2e5, 3e5, 1e6])
@pytest.mark.parametrize("macs", [8e6, 12e6, 20e6, 30e6, 40e6])
def test_the_stack_of_pooled_convolutions_is_in_the_space_nearly_as_wide(
    params: float, macs: float
) -> None:
    """Each stage to a seventh, and nearly all of the budget that the one by hand uses."""
    model = build("convnet", 10, 3, 32)
    space, count = search_space(model), Costs(model, (3, 32, 32), ("params", "macs"))
    limits = {"params": params, "macs": macs}
    one = reference(10, 3, 32, limits, shapes=[("pooled", 2, 0)])[0]
    found = in_space(
        space, one, lambda arch: all(count(arch)[name] <= limit for name, limit in limits.items())
    )
    assert found is not None
    for stage, base in zip((2, 3, 4), (24, 72, 96), strict=True):
        assert found[f"stage{stage}.width"] == pytest.approx(base * one.width, rel=0.15, abs=3)
    used = costs(one.make(None), (3, 32, 32))
    binding = max(limits, key=lambda name: used[name] / limits[name])
    assert count(found)[binding] > 0.88 * used[binding]
