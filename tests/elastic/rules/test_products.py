"""Products over a width, and attention."""

from __future__ import annotations

from small_graphs import channels, conv, free
from torch import nn
from torch.nn import functional as F


def test_attention_over_channels_keeps_nothing_but_what_it_must() -> None:
    """Products over a width agree; what two widths make is not followed."""
    found = channels(
        lambda m, x: m.c(m.a(x).flatten(2).transpose(1, 2) @ m.b(x).flatten(2)),
        a=conv(3, 8),
        b=conv(3, 8),
        c=nn.Linear(64, 4),
    )
    assert free(found) == {"a": 8}
    both = channels(
        lambda m, x: m.c(m.a(x).flatten(2) @ m.b(x).flatten(2).transpose(1, 2)),
        a=conv(3, 8),
        b=conv(3, 8),
        c=nn.Linear(8, 4),
    )
    assert free(both) == {} and "product of two widths" in both.fixed()["a"]


def test_attention_along_a_width_keeps_it() -> None:
    found = channels(
        lambda m, x: m.c(F.scaled_dot_product_attention(*(m.a(x).flatten(2).transpose(1, 2),) * 3)),
        a=conv(3, 8),
        c=nn.Linear(8, 4),
    )
    assert "attends along it" in found.fixed()["a"]
