"""The hand-made reference: it uses the budget that binds, at three depths."""

from __future__ import annotations

import pytest
import torch

from archsmith.errors import UserError
from archsmith.metrics.cost import params
from archsmith.models.reference import costs, reference


@pytest.mark.parametrize(
    ("classes", "channels", "size", "limits"),
    [
        (10, 1, 8, {"params": 20_000}),
        (10, 3, 32, {"params": 200_000, "macs": 12_000_000}),
        (5, 3, 96, {"params": 1_000_000, "macs": 40_000_000, "memory": 4_000_000}),
    ],
)
def test_each_depth_uses_the_binding_limit(classes: int, channels: int, size: int, limits: dict[str, float]) -> None:
    found = reference(classes, channels, size, limits)
    assert [r.depth for r in found] == [2, 3, 4]
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
    found = reference(10, 1, 8, {"params": 20_000, "latency": 10.0}, lambda network: params(network) / 1000)
    assert [r.depth for r in found] == [r.depth for r in free]
    for candidate in found:
        assert 9_500 <= params(candidate.make(None)) <= 10_000
    with pytest.raises(UserError, match="latency<=0"):
        reference(10, 1, 8, {"latency": 0.0}, lambda network: 1.0)
