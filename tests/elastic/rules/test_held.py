"""Tensors that modules hold go with a width, or keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_graphs import IMAGES, channels, conv, free
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.following import followed
from archsmith.elastic.tracing import traced


def test_a_tensor_of_a_channels_length_goes_with_it() -> None:
    found = channels(
        lambda m, x: m.c(m.a(x) * m.scale.view(1, -1, 1, 1) + m.shift[:, None, None].exp()),
        a=conv(3, 16),
        c=conv(16, 4),
        scale=nn.Parameter(torch.ones(16)),
        shift=nn.Parameter(torch.ones(16)),
    )
    given = found.ends["a"][1]
    assert found.tensors == {"scale": {0: given}, "shift": {0: given}} and free(found) == {"a": 16}


@pytest.mark.parametrize(
    "use",
    [
        lambda m, x: x * m.scale.view(1, 16, 1, 1),
        lambda m, x: x * m.scale[:16, None, None].cumsum(0),
        lambda m, x: x + m.scale.softmax(0)[:, None, None],
        lambda m, x: F.batch_norm(x, m.scale, m.scale),
    ],
)
def test_a_tensor_that_is_not_followed_keeps_the_width(
    use: Callable[[Any, Tensor], Tensor],
) -> None:
    found = channels(
        lambda m, x: m.c(use(m, m.a(x))),
        a=conv(3, 16),
        c=conv(16, 4),
        scale=nn.Parameter(torch.ones(16)),
    )
    assert free(found) == {}


class Biased(nn.Module):
    """Attention in heads, with a bias for each pair of places and head from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.patches, self.qkv, self.out = conv(3, 8), nn.Linear(8, 48), nn.Linear(16, 5)
        self.table = nn.Parameter(torch.rand(7, 4))
        self.register_buffer("index", torch.randint(7, (64, 64)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        weights = F.softmax(q @ k.mT + bias[None], dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, n, -1))


def test_a_table_by_heads_goes_with_the_heads() -> None:
    model = Biased()
    found = followed(model, traced(model, IMAGES))
    assert free(found) == {"patches": 8, "qkv.heads": 4}
    assert set(found.tensors) == {"table"} and list(found.tensors["table"]) == [1]
    assert set(found.numbers) == {("", "heads", None)}
