"""Parts of a layer's channels."""

from __future__ import annotations

from typing import Any

import torch
from small_graphs import channels, conv, free, read
from torch import Tensor, nn


def test_halves_are_parts_of_one_layer() -> None:
    def gated(m: Any, x: Tensor) -> Tensor:
        one, two = m.a(x).chunk(2, dim=1)
        return m.c(one * torch.sigmoid(two))

    found = channels(gated, a=conv(3, 32), c=conv(16, 4))
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)]
    given = found.groups.opened(found.ends["a"][1] or ())
    assert len(given) == 2 and given[0] == given[1]


def listed(m: Any, x: Tensor) -> Tensor:
    """Parts of a layer in a list, and what is made of the last of them beside them."""
    parts = list(m.a(x).chunk(2, dim=1))
    parts.append(m.b(parts[-1]))
    return m.c(torch.cat(parts, 1))


def test_parts_in_a_list_are_followed() -> None:
    found = channels(listed, a=conv(3, 16), b=conv(8, 8), c=conv(24, 4))
    assert free(found) == {"a": 8, "b": 8}
    assert read(found, "c") == [("a", 1), ("a", 1), ("b", 1)]


def test_a_cut_behind_the_end_takes_nothing_away() -> None:
    found = channels(lambda m, x: m.c(m.a(x)[:, :16]), a=conv(3, 16), c=conv(16, 4))
    assert free(found) == {"a": 16}


def test_channels_that_are_unbound_stay() -> None:
    """Each alone is no layer's width."""
    found = channels(
        lambda m, x: m.c(torch.stack(m.a(x).flatten(2).transpose(1, 2).unbind(2), 2)),
        a=conv(3, 2),
        c=nn.Linear(2, 4),
    )
    assert free(found) == {} and "takes parts" in found.fixed()["a"]
