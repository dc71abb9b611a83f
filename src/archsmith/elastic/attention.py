"""Multi-head self-attention and squeeze-excite: ordinary modules built of elastic layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.conv import Conv2d
from archsmith.elastic.layer import width
from archsmith.elastic.linear import Linear
from archsmith.errors import UserError
from archsmith.space import Concat, Derived, Size


def _times(heads: int, head_width: int) -> int:
    return heads * head_width


class Attention(nn.Module):
    """Self-attention of an elastic width and number of heads; heads are a prefix, their size does
    not depend on the width.

    (Vaswani et al., NeurIPS 2017, equation 1.) q, k, v: Linear(width, heads * head_width),
    head-major; then back to width.
    """

    def __init__(
        self,
        features: Size,
        heads: Size,
        head_width: int = 64,
        bias: bool = True,
        device: Any = None,
    ) -> None:
        super().__init__()
        features = arguments.size("Attention", "features", features)
        heads = arguments.size("Attention", "heads", heads)
        head_width = arguments.whole("Attention", "head_width", head_width)
        if isinstance(heads, Concat):
            raise UserError(
                f"Attention(heads={heads!r}): heads are a prefix; give a number, a "
                f"Choice or a Derived"
            )
        inner = heads * head_width if isinstance(heads, int) else Derived(_times, heads, head_width)
        self.heads, self.head_width = heads, head_width
        self.query, self.key, self.value = (
            Linear(features, inner, bias, device=device) for _ in range(3)
        )
        self.projection = Linear(inner, features, device=device)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> the same."""
        heads = (width(self.heads), self.head_width)
        q, k, v = (
            layer(tokens).unflatten(-1, heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, T, head_width)
        return self.projection(mixed.transpose(1, 2).flatten(2))


class SqueezeExcite(nn.Module):
    """Channel gate (Hu et al., CVPR 2018; hard sigmoid as in MobileNetV3): mean over space, two 1 x
    1 convolutions."""

    def __init__(self, channels: Size, squeezed: Size, device: Any = None) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = Conv2d(channels, squeezed, 1, device=device)
        self.act = nn.ReLU(inplace=True)
        self.expand = Conv2d(squeezed, channels, 1, device=device)
        self.gate = nn.Hardsigmoid(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
