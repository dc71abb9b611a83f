"""Sums, products and gates: which widths they join."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_graphs import channels, conv, free, read
from torch import Tensor
from torch.nn import functional as F


def test_what_is_added_agrees() -> None:
    found = channels(lambda m, x: m.c(m.a(x) + m.b(x)), a=conv(3, 16), b=conv(3, 16), c=conv(16, 4))
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)]
    assert found.ends["b"][1] is not None and "output" in found.fixed()["c"]


@pytest.mark.parametrize("join", [torch.mul, torch.sub, torch.maximum, torch.add])
def test_what_is_joined_number_by_number_agrees(join: Callable[..., Tensor]) -> None:
    found = channels(
        lambda m, x: m.c(join(m.a(x), m.b(x))), a=conv(3, 16), b=conv(3, 16), c=conv(16, 4)
    )
    assert free(found) == {"a": 16}


def test_one_channel_for_all_says_nothing() -> None:
    found = channels(
        lambda m, x: m.c(m.a(x) * torch.sigmoid(m.b(x))), a=conv(3, 16), b=conv(3, 1), c=conv(16, 4)
    )
    assert free(found) == {"a": 16, "b": 1}


def test_the_inner_width_of_a_gate_is_noted_with_what_it_scales() -> None:
    found = channels(
        lambda m, x: m.c(
            (y := m.a(x)) * torch.sigmoid(m.up(F.relu(m.down(y.mean((2, 3), keepdim=True)))))
        ),
        a=conv(3, 16),
        down=conv(16, 4),
        up=conv(4, 16),
        c=conv(16, 4),
    )
    assert [tuple(map(found.groups.name, pair)) for pair in found.squeezes] == [("down", "a")]
    assert free(found) == {"a": 16, "down": 4}


@pytest.mark.parametrize(
    "gate",
    [
        lambda m, y: m.up(F.relu(m.down(F.adaptive_avg_pool2d(y, 1)))).expand_as(y),
        lambda m, y: m.up(m.down(y.mean((2, 3), True))) + m.up(m.down(F.adaptive_max_pool2d(y, 1))),
        lambda m, y: F.hardsigmoid(m.up(F.silu(m.down(y.mean((2, 3), keepdim=True))))),
    ],
)
def test_gates_are_seen_in_each_form(gate: Callable[[Any, Tensor], Tensor]) -> None:
    found = channels(
        lambda m, x: m.c((y := m.a(x)) * gate(m, y)),
        a=conv(3, 16),
        down=conv(16, 4),
        up=conv(4, 16),
        c=conv(16, 4),
    )
    pairs = {tuple(map(found.groups.name, pair)) for pair in found.squeezes}
    assert pairs == {("down", "a")} and free(found) == {"a": 16, "down": 4}


def test_a_gate_by_the_largest_channel_joins_nothing() -> None:
    found = channels(
        lambda m, x: m.c(
            (y := m.a(x)) * m.b(torch.cat([y.mean(1, keepdim=True), y.max(1, keepdim=True)[0]], 1))
        ),
        a=conv(3, 16),
        b=conv(2, 1),
        c=conv(16, 4),
    )
    assert free(found)["a"] == 16


def test_a_bottleneck_is_no_gate() -> None:
    found = channels(
        lambda m, x: m.c((y := m.a(x)) * m.up(F.relu(m.down(y)))),
        a=conv(3, 16),
        down=conv(16, 4),
        up=conv(4, 16),
        c=conv(16, 4),
    )
    assert found.squeezes == []
