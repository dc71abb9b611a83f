"""Attention and squeeze-excite: torch's own at the largest, heads as a prefix."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from archsmith.elastic import Attention, Choice, SqueezeExcite
from archsmith.elastic.supernet import active, extract, search_space


def test_at_its_largest_it_is_torchs_multi_head_attention() -> None:
    block = Attention(Choice(8, 12, name="width"), Choice(1, 2, 3, name="heads"), head_width=4)
    twin = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        twin.in_proj_weight.copy_(
            torch.cat([block.query.weight, block.key.weight, block.value.weight])
        )
        twin.in_proj_bias.copy_(torch.cat([block.query.bias, block.key.bias, block.value.bias]))
        twin.out_proj.load_state_dict(block.projection.state_dict())
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(block(x), twin(x, x, x, need_weights=False)[0], rtol=1e-5, atol=1e-5)


def test_heads_are_a_prefix_and_their_size_stays() -> None:
    block = Attention(Choice(8, 12, name="width"), Choice(1, 2, 3, name="heads"), head_width=4)
    x = torch.randn(2, 5, 8)
    for heads in (1, 2, 3):
        plain = extract(block, {"width": 8, "heads": heads})
        assert plain.query.weight.shape == (4 * heads, 8) and plain.projection.weight.shape == (
            8,
            4 * heads,
        )
        assert torch.equal(plain.query.weight, block.query.weight[: 4 * heads, :8])
        with active(block, {"width": 8, "heads": heads}):
            torch.testing.assert_close(plain(x), block(x), rtol=1e-5, atol=1e-5)


def test_fixed_sizes_leave_nothing_to_decide() -> None:
    block = Attention(8, 2, 4)
    assert len(search_space(block)) == 0
    x = torch.randn(1, 3, 8)
    torch.testing.assert_close(extract(block, {})(x), block(x))


def test_squeeze_excite_by_hand() -> None:
    block = SqueezeExcite(Choice(4, 6, name="c"), 2)
    x = torch.randn(3, 4, 5, 5)
    with active(block, {"c": 4}):
        actual = block(x)
    mean = x.mean((2, 3))
    reduced = F.relu(F.linear(mean, block.reduce.weight[:, :4, 0, 0], block.reduce.bias))
    gate = F.hardsigmoid(F.linear(reduced, block.expand.weight[:4, :, 0, 0], block.expand.bias[:4]))
    torch.testing.assert_close(actual, x * gate[:, :, None, None])
