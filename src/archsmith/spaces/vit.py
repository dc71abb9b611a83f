"""Vision transformers: the AutoFormer spaces (Chen et al., ICCV 2021) and a small one for small
images."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import Attention, Choice, Conv2d, Derived, LayerNorm, Linear, Repeat
from archsmith.elastic.layer import Axes, sliced
from archsmith.elastic.layer import width as width_of
from archsmith.errors import UserError
from archsmith.space import Size
from archsmith.spaces.catalog.vit import BASE, NANO, SMALL, TINY, Transformer
from archsmith.spaces.inputs import check_inputs

# -- the spaces -----------------------------------------------------------------------------------


def autoformer_tiny(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """5.4 to 10.5 million parameters, 1.06e9 architectures."""
    return transformer(TINY, classes, channels, size)


def autoformer_small(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """13 to 35 million parameters, 7.7e13 architectures."""
    return transformer(SMALL, classes, channels, size)


def autoformer_base(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """42 to 77 million parameters, 1.0e13 architectures."""
    return transformer(BASE, classes, channels, size)


def vit_nano(classes: int = 10, channels: int = 3, size: int = 32) -> nn.Sequential:
    """16 to 181 thousand parameters at 32 pixels, 67,824 architectures: 16 patches, no class token,
    no relative positions.

    At other sizes the patch is the largest divisor of the size that gives at least 16 patches.
    """
    check_inputs(classes, channels, size)
    patch = next(p for p in range(size // 4, 0, -1) if size % p == 0)
    return transformer(replace(NANO, patch=patch), classes, channels, size)


def transformer(space: Transformer, classes: int, channels: int, size: int) -> nn.Sequential:
    """(B, channels, size, size) -> (B, classes): patches, positions, pre-norm blocks, the mean of
    the patch tokens.

    Decisions `embedding`, `depth`, per block `heads` and `ratio`. The class token, where there is
    one, takes part in attention but not in the mean (AutoFormer's and PreNAS's `gp`). Stochastic
    depth, which is there for training only, is not.
    """
    check_inputs(classes, channels, size, least=space.patch)
    if size % space.patch:
        raise UserError(
            f"size={size} is not a multiple of the patch of {space.patch} pixels; resize the images"
        )
    embedding, grid, extra = (
        Choice(*space.embedding, name="embedding"),
        size // space.patch,
        int(space.class_token),
    )
    model = nn.Sequential()
    model.add_module("patches", Patches(channels, embedding, space.patch))
    model.add_module("tokens", ElasticTokens(grid * grid + extra, embedding, space.class_token))
    blocks: dict[str, nn.Module] = {}
    for i in range(1, max(space.depth) + 1):
        heads = Choice(*space.heads, name=f"block{i}.heads")
        attention: nn.Module = Attention(embedding, heads, space.head_width)
        if space.reach is not None:
            attention = RelativeAttention(
                embedding,
                heads,
                space.head_width,
                grid,
                reach=space.reach,
                class_token=space.class_token,
            )
        blocks[f"block{i}"] = Block(
            embedding, attention, Choice(*space.ratio, name=f"block{i}.ratio")
        )
    model.add_module("blocks", Repeat(blocks, depth=Choice(*space.depth, name="depth")))
    head = nn.Sequential()
    head.add_module("norm", LayerNorm(embedding))
    head.add_module("pool", MeanToken(extra))
    head.add_module("classifier", Linear(embedding, classes))
    model.add_module("head", head)
    return model


# -- the parts -----------------------------------------------------------------------------------


class Patches(nn.Module):
    """The image cut into squares: (B, C, H, W) -> (B, H / patch * W / patch, width)."""

    def __init__(self, channels: int, width: Size, patch: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, T, width)."""
        return self.conv(x).flatten(2).transpose(1, 2)


class Tokens(nn.Module):
    """A class token in front, where `class_token`, and learned positions added: (B, T, width) ->
    (B, T or T + 1, width)."""

    def __init__(
        self,
        count: int,
        width: int,
        class_token: bool,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        token = (
            nn.Parameter(torch.empty(1, 1, width, device=device, dtype=dtype))
            if class_token
            else None
        )
        self.register_parameter("token", token)
        self.position = nn.Parameter(torch.empty(1, count, width, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Truncated normal of standard deviation 0.02."""
        for parameter in self.parameters(recurse=False):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T or T + 1, width)."""
        return _with_positions(x, self.token, self.position)  # type: ignore[arg-type]


class ElasticTokens(Tokens):
    """The same of elastic width: the first `width` numbers of each."""

    def __init__(self, count: int, width: Size, class_token: bool, device: Any = None) -> None:
        super().__init__(count, width_of(width), class_token, device)
        self.width = width

    def axes(self) -> Axes:
        """The last axis of both."""
        return {"token": (None, None, self.width), "position": (None, None, self.width)}

    def weights(self) -> dict[str, Tensor]:
        """token and position of the plain twin."""
        return sliced(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T or T + 1, width)."""
        tensors = self.weights()
        return _with_positions(x, tensors.get("token"), tensors["position"])

    def plain(self) -> Tokens:
        """The module of the current width, on `meta`."""
        count, dtype = self.position.shape[1], self.position.dtype
        return Tokens(
            count, width_of(self.width), self.token is not None, device="meta", dtype=dtype
        )


def _with_positions(x: Tensor, token: Tensor | None, position: Tensor) -> Tensor:
    if token is not None:
        x = torch.cat([token.expand(x.shape[0], -1, -1), x], dim=1)
    return x + position


class MeanToken(nn.Module):
    """(B, T, width) -> (B, width): the mean of all tokens but the first `skip`."""

    def __init__(self, skip: int) -> None:
        super().__init__()
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, width)."""
        return x[:, self.skip :].mean(1)


def _hidden(embedding: int, ratio: float) -> int:
    return int(embedding * ratio)


class Block(nn.Module):
    """Pre-norm transformer block: (B, T, width) -> the same."""

    def __init__(self, width: Choice, attention: nn.Module, ratio: Choice) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = LayerNorm(width), attention, LayerNorm(width)
        hidden = Derived(_hidden, width, ratio)
        self.mlp = nn.Sequential()
        self.mlp.add_module("expand", Linear(width, hidden))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("project", Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class RelativePositions(nn.Module):
    """A vector for each pair of tokens, by how far they are apart: () -> (T, T, width), vertical
    plus horizontal part.

    (Shaw et al., NAACL 2018, section 3.2, on two axes as in AutoFormer.) Distances beyond `reach`
    count as `reach`; row 0 of both tables is for pairs with the class token.
    """

    def __init__(self, grid: int, reach: int, width: int, class_token: bool) -> None:
        super().__init__()
        self.reach, self.width, self.class_token = reach, width, class_token
        self.vertical = nn.Parameter(torch.empty(2 * reach + 2, width))
        self.horizontal = nn.Parameter(torch.empty(2 * reach + 2, width))
        self.row: Tensor
        self.register_buffer("row", torch.empty(grid, grid, dtype=torch.long))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Truncated normal of standard deviation 0.02; and which row of a table belongs to two
        places on one axis."""
        nn.init.trunc_normal_(self.vertical, std=0.02)
        nn.init.trunc_normal_(self.horizontal, std=0.02)
        place = torch.arange(self.row.shape[0], device=self.row.device)
        self.row = (place[None] - place[:, None]).clamp(-self.reach, self.reach) + self.reach + 1

    def forward(self) -> Tensor:
        """() -> (T, T, width)."""
        # (grid, grid, width)
        vertical, horizontal = self.vertical[self.row], self.horizontal[self.row]
        pairs = (
            (vertical[:, None, :, None] + horizontal[None, :, None, :]).flatten(0, 1).flatten(1, 2)
        )
        if self.class_token:
            count, width = self.row.shape[0] ** 2, self.width
            own = self.vertical[0] + self.horizontal[0]
            pairs = torch.cat([own.expand(1, count, width), pairs], dim=0)
            pairs = torch.cat([own.expand(count + 1, 1, width), pairs], dim=1)
        return pairs


class RelativeAttention(nn.Module):
    """Self-attention whose keys and values know where they lie relative to the query: (B, T, width)
    -> the same.

    (Shaw et al., NAACL 2018, equations 3 and 4; AutoFormer, section 3.1.) The tables are shared by
    all heads and have the size of a head, so that no choice concerns them.
    """

    def __init__(
        self, width: Size, heads: Choice, head_width: int, grid: int, reach: int, class_token: bool
    ) -> None:
        super().__init__()
        inner = Derived(operator.mul, heads, head_width)
        self.heads: Any = heads
        self.head_width = head_width
        self.query, self.key, self.value = (Linear(width, inner) for _ in range(3))
        self.projection = Linear(inner, width)
        self.on_keys = RelativePositions(grid, reach, head_width, class_token)
        self.on_values = RelativePositions(grid, reach, head_width, class_token)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> the same."""
        heads = (width_of(self.heads), self.head_width)
        q, k, v = (
            layer(tokens).unflatten(-1, heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        logits = q @ k.transpose(-2, -1) + torch.einsum("bhqd,qkd->bhqk", q, self.on_keys())
        weights = (logits * self.head_width**-0.5).softmax(-1)  # (B, heads, T, T)
        mixed = weights @ v + torch.einsum("bhqk,qkd->bhqd", weights, self.on_values())
        return self.projection(mixed.transpose(1, 2).flatten(2))
