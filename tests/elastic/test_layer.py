"""elastic/layer.py: stock layers, made once and copied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from archsmith.elastic.layer import stock


@pytest.mark.parametrize(
    ("kind", "sizes", "options"),
    [
        (nn.Conv2d, (4, 6, 3), {"stride": (1, 2), "bias": False}),
        (nn.ConvTranspose2d, (4, 6, 3), {}),
        (nn.Linear, (4, 6), {"dtype": torch.float64}),
        (nn.BatchNorm2d, (4,), {"affine": False}),
        (nn.BatchNorm1d, (4,), {}),
        (nn.GroupNorm, (2, 4), {}),
        (nn.LayerNorm, (4,), {}),
        (nn.Embedding, (5, 4), {"padding_idx": 1}),
    ],
)
def test_stock_layers_are_torchs_own_and_share_nothing(
    kind: Any, sizes: tuple[int, ...], options: dict[str, Any]
) -> None:
    one, other = (stock(kind, *sizes, **options) for _ in range(2))
    known = kind(*sizes, **options, device="meta")
    assert type(one) is kind and repr(one) == repr(known)
    assert {n: (t.shape, t.dtype) for n, t in one.state_dict().items()} == {
        n: (t.shape, t.dtype) for n, t in known.state_dict().items()
    }
    assert all(t.is_meta for t in one.state_dict().values())
    changeable = [v for v in vars(one).values() if isinstance(v, dict | list | set | nn.Parameter)]
    assert not {id(v) for v in changeable} & {id(v) for v in vars(other).values()}
    assert not {id(t) for t in (*one.parameters(), *one.buffers())} & {
        id(t) for t in (*other.parameters(), *other.buffers())
    }
    one.register_buffer("own", torch.zeros(1))
    one.register_forward_hook(lambda *_: None)
    one.requires_grad_(False).eval()
    assert not hasattr(other, "own") and not other._forward_hooks and other.training
    assert all(p.requires_grad for p in other.parameters())
