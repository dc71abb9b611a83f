"""Convolutions in groups."""

from __future__ import annotations

from typing import Any

from small_graphs import channels, conv, free, read
from torch import Tensor, nn


def test_depthwise_convolutions_and_norms_keep_the_group() -> None:
    found = channels(
        lambda m, x: m.c(m.norm(m.depth(m.a(x)))),
        a=conv(3, 16),
        depth=conv(16, 16, 3, groups=16),
        norm=nn.BatchNorm2d(16),
        c=conv(16, 4),
    )
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)]
    assert found.ends["norm"] == (None, found.ends["a"][1])


def test_a_grouped_convolution_to_another_number_keeps_both() -> None:
    found = channels(
        lambda m, x: m.c(m.grouped(m.a(x))),
        a=conv(3, 8),
        grouped=conv(8, 16, 1, groups=4),
        c=conv(16, 4),
    )
    assert free(found) == {} and "in 4 groups" in found.fixed()["a"]


def test_a_depthwise_convolution_may_be_of_parts() -> None:
    def gated(m: Any, x: Tensor) -> Tensor:
        one, two = m.depth(m.a(x)).chunk(2, dim=1)
        return m.c(one * two)

    found = channels(gated, a=conv(3, 16), depth=conv(16, 16, 3, groups=16), c=conv(8, 4))
    assert free(found) == {"a": 8}
