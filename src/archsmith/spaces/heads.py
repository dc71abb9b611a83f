"""How most convolutional networks end: mean over the positions, one linear layer."""

from __future__ import annotations

from torch import nn

from archsmith.elastic import Linear
from archsmith.space import Size


def pooled_classifier(
    inputs: Size, classes: int, after: nn.Sequential | None = None
) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, classes): children `pool`, `flatten`, `classifier`, appended to
    `after` where that is given."""
    head = nn.Sequential() if after is None else after
    head.add_module("pool", nn.AdaptiveAvgPool2d(1))
    head.add_module("flatten", nn.Flatten())
    head.add_module("classifier", Linear(inputs, classes))
    return head
