"""Whole networks followed: ends, shared tensors, layers that are looked into; what keeps a width is
named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_graphs import channels, conv, free, read
from torch import Tensor, nn
from torch.nn import functional as F


def test_the_input_and_the_output_keep_their_widths() -> None:
    found = channels(lambda m, x: m.a(x) + x, a=conv(3, 3))
    assert free(found) == {} and found.fixed()["a"] == "it is the input's"


def test_the_line_of_what_keeps_a_width_is_told() -> None:
    found = channels(lambda m, x: m.c(m.a(x)[:, :8]), a=conv(3, 16), c=conv(8, 4))
    assert "test_following.py:" in found.fixed()["a"]


def test_what_comes_after_is_still_a_decision() -> None:
    found = channels(
        lambda m, x: m.c(m.b(torch.softmax(m.a(x), 1))), a=conv(3, 8), b=conv(8, 16), c=conv(16, 4)
    )
    assert free(found) == {"b": 16}


def test_layers_that_share_a_weight_agree() -> None:
    one, two = nn.Linear(192, 16), nn.Linear(192, 16)
    two.weight = one.weight
    found = channels(
        lambda m, x: m.c(torch.cat([m.one(x.flatten(1)), m.two(x.flatten(1))], 1)),
        one=one,
        two=two,
        c=nn.Linear(32, 4),
    )
    assert free(found) == {"one": 16} and read(found, "c") == [("one", 1), ("one", 1)]


@pytest.mark.parametrize(
    "use",
    [
        lambda m, x: m.a(x) * m.a.weight.mean(),
        lambda m, x: m.a(x) / m.a.out_channels,
        lambda m, x: m.a(x).reshape(-1, m.a.out_channels, 8, 8),
        lambda m, x: F.conv2d(x, m.a.weight, m.a.bias),
    ],
)
def test_a_layer_that_others_look_into_stays(use: Callable[[Any, Tensor], Tensor]) -> None:
    found = channels(lambda m, x: m.c(use(m, x)), a=conv(3, 16), c=conv(16, 4))
    assert free(found) == {}


def test_layers_with_hooks_or_a_forward_of_their_own_stay() -> None:
    hooked = conv(3, 16)
    hooked.register_forward_hook(lambda *_: None)
    normed = nn.utils.parametrizations.weight_norm(conv(16, 16))
    found = channels(lambda m, x: m.c(m.b(m.a(x))), a=hooked, b=normed, c=conv(16, 4))
    assert "hooks" in found.fixed()["a"] and "of its own" in found.fixed()["b"]
    assert free(found) == {}
