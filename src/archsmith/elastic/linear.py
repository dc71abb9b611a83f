"""Linear with elastic features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.layer import Axes, sliced, stock, width
from archsmith.space import Size


class Linear(nn.Linear):
    """`torch.nn.Linear(in, out)` where each number may be a Choice, Derived or Concat."""

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        in_features = arguments.size("Linear", "in_features", in_features)
        out_features = arguments.size("Linear", "out_features", out_features)
        with arguments.building("Linear"):
            super().__init__(
                width(in_features),
                width(out_features),
                arguments.flag("Linear", "bias", bias),
                device,
                dtype=dtype,
            )
        self.width_in, self.width_out = in_features, out_features

    def axes(self) -> Axes:
        """weight (out, in), bias (out)."""
        return {"weight": (self.width_out, self.width_in), "bias": (self.width_out,)}

    def weights(self) -> dict[str, Tensor]:
        """weight and bias of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(input, **self.weights())

    def plain(self) -> nn.Linear:
        """The torch layer of the current sizes, on `meta`."""
        return stock(
            nn.Linear,
            width(self.width_in),
            width(self.width_out),
            self.bias is not None,
            dtype=self.weight.dtype,
        )
