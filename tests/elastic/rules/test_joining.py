"""Concatenations: parts in order."""

from __future__ import annotations

import torch
from small_graphs import channels, conv, free, read


def test_a_concatenation_is_parts_in_order() -> None:
    found = channels(
        lambda m, x: m.c(torch.cat([m.a(x), m.b(x), m.a(x)], 1)),
        a=conv(3, 8),
        b=conv(3, 16),
        c=conv(32, 4),
    )
    assert read(found, "c") == [("a", 1), ("b", 1), ("a", 1)]


def test_what_is_added_to_a_concatenation_is_made_of_its_parts() -> None:
    found = channels(
        lambda m, x: m.d(torch.cat([m.a(x), m.b(x)], 1) + m.c(x)),
        a=conv(3, 8),
        b=conv(3, 16),
        c=conv(3, 24),
        d=conv(24, 4),
    )
    assert free(found) == {"a": 8, "b": 16} and read(found, "d") == [("a", 1), ("b", 1)]
