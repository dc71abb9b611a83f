"""Views: flattened maps, heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_graphs import channels, conv, free, read
from torch import Tensor, nn


@pytest.mark.parametrize(
    "flat",
    [
        lambda x: x.flatten(1),
        lambda x: torch.flatten(x, 1),
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0], -1),
    ],
)
def test_flattened_maps_are_all_places_of_a_channel(flat: Callable[[Tensor], Tensor]) -> None:
    found = channels(lambda m, x: m.fc(flat(m.a(x))), a=conv(3, 16), fc=nn.Linear(16 * 64, 4))
    assert free(found) == {"a": 16} and read(found, "fc") == [("a", 64)]


@pytest.mark.parametrize(
    "heads",
    [
        lambda x: x.view(x.shape[0], 64, -1, 4),
        lambda x: x.unflatten(-1, (-1, 4)),
        lambda x: torch.reshape(x, (-1, 64, x.shape[2] // 4, 4)),
    ],
)
def test_heads_are_the_part_of_a_width_that_changes(heads: Callable[[Tensor], Tensor]) -> None:
    def attention(m: Any, x: Tensor) -> Tensor:
        x = m.a(x).flatten(2).transpose(1, 2)
        q, k, v = (heads(f(x)).transpose(1, 2) for f in (m.q, m.k, m.v))
        weights = torch.softmax(q @ k.transpose(-2, -1) / 2, -1)
        return m.out((weights @ v).transpose(1, 2).flatten(2))

    found = channels(
        attention,
        a=conv(3, 8),
        **{name: nn.Linear(8, 12) for name in "qkv"},
        out=nn.Linear(12, 4),
    )
    assert free(found) == {"a": 8, "q.heads": 3} and read(found, "out") == [("q.heads", 4)]
    assert "v" not in found.fixed()
