"""BatchNorm and LayerNorm with elastic width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.layer import Axes, sliced, width
from archsmith.space import Size


def _batch_axes(layer: BatchNorm1d | BatchNorm2d) -> Axes:
    return {name: (layer.width,) for name in ("weight", "bias", "running_mean", "running_var")}


def _dtype(layer: BatchNorm1d | BatchNorm2d) -> torch.dtype | None:
    return None if layer.running_mean is None else layer.running_mean.dtype


def _batch_norm(layer: BatchNorm1d | BatchNorm2d, input: Tensor) -> Tensor:
    """Batch statistics in train mode, never written back: those of a mixture of networks fit none (use `calibrate`)."""
    tensors = sliced(layer)
    by_batch = layer.training or "running_mean" not in tensors
    mean, variance = (None, None) if by_batch else (tensors["running_mean"], tensors["running_var"])
    return F.batch_norm(input, mean, variance, tensors.get("weight"), tensors.get("bias"), by_batch, 0.0, layer.eps)


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d(features)` of elastic width; its running statistics are only ever loaded, not updated."""

    def __init__(
        self,
        num_features: Size,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(width(num_features), eps, momentum, affine, device=device, dtype=dtype)
        self.width = num_features

    def axes(self) -> Axes:
        """Everything per channel."""
        return _batch_axes(self)

    def weights(self) -> dict[str, Tensor]:
        """Affine parameters and running statistics of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return _batch_norm(self, input)

    def plain(self) -> nn.BatchNorm2d:
        """The torch layer of the current width, on `meta`."""
        return nn.BatchNorm2d(width(self.width), self.eps, self.momentum, self.affine, device="meta", dtype=_dtype(self))


class BatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d(features)` of elastic width; see BatchNorm2d."""

    def __init__(
        self,
        num_features: Size,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(width(num_features), eps, momentum, affine, device=device, dtype=dtype)
        self.width = num_features

    def axes(self) -> Axes:
        """Everything per channel."""
        return _batch_axes(self)

    def weights(self) -> dict[str, Tensor]:
        """Affine parameters and running statistics of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C) or (B, C, L) -> the same."""
        return _batch_norm(self, input)

    def plain(self) -> nn.BatchNorm1d:
        """The torch layer of the current width, on `meta`."""
        return nn.BatchNorm1d(width(self.width), self.eps, self.momentum, self.affine, device="meta", dtype=_dtype(self))


class LayerNorm(nn.LayerNorm):
    """`torch.nn.LayerNorm(width)` over an elastic last axis."""

    def __init__(
        self,
        normalized_shape: Size,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(width(normalized_shape), eps, elementwise_affine, bias, device=device, dtype=dtype)
        self.width = normalized_shape

    def axes(self) -> Axes:
        """weight and bias (width)."""
        return {"weight": (self.width,), "bias": (self.width,)}

    def weights(self) -> dict[str, Tensor]:
        """weight and bias of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """(..., width) -> the same."""
        tensors = self.weights()
        return F.layer_norm(input, (width(self.width),), tensors.get("weight"), tensors.get("bias"), self.eps)

    def plain(self) -> nn.LayerNorm:
        """The torch layer of the current width, on `meta`."""
        dtype = self.weight.dtype if self.elementwise_affine else None
        return nn.LayerNorm(
            width(self.width), self.eps, self.elementwise_affine, self.bias is not None, device="meta", dtype=dtype
        )
