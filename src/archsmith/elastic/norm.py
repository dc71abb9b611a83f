"""BatchNorm and LayerNorm with elastic width."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.layer import Axes, sliced, width
from archsmith.errors import UserError
from archsmith.space import Size

_Norm = TypeVar("_Norm", nn.BatchNorm1d, nn.BatchNorm2d)


def _given(layer: str, eps: Any, momentum: Any, affine: Any, tracking: Any) -> tuple[float, float | None, bool, bool]:
    """The arguments that all BatchNorms share, checked."""
    return (
        arguments.number(layer, "eps", eps),
        None if momentum is None else arguments.number(layer, "momentum", momentum),
        arguments.flag(layer, "affine", affine),
        arguments.flag(layer, "track_running_stats", tracking),
    )


def _without_bias(layer: nn.Module, bias: Any) -> None:
    """`bias=False`, which not every torch that is supported has as an argument."""
    if not arguments.flag(type(layer).__name__, "bias", bias):
        layer.register_parameter("bias", None)


def _batch_axes(layer: BatchNorm1d | BatchNorm2d) -> Axes:
    return {name: (layer.width,) for name in ("weight", "bias", "running_mean", "running_var")}


def _batch_twin(kind: type[_Norm], layer: BatchNorm1d | BatchNorm2d) -> _Norm:
    held = next((t for t in (layer.weight, layer.running_mean) if t is not None), None)
    twin = kind(
        width(layer.width), layer.eps, layer.momentum, layer.affine, layer.track_running_stats, "meta",
        None if held is None else held.dtype,
    )  # fmt: skip
    _without_bias(twin, layer.bias is not None)
    return twin


def _batch_norm(layer: BatchNorm1d | BatchNorm2d, input: Tensor) -> Tensor:
    """Batch statistics in train mode, never written back: those of a mixture of networks fit none (use `calibrate`)."""
    layer._check_input_dim(input)
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
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        num_features = arguments.size(name, "num_features", num_features)
        given = _given(name, eps, momentum, affine, track_running_stats)
        with arguments.building(name):
            super().__init__(width(num_features), *given, device, dtype)
        self.width = num_features
        _without_bias(self, bias)

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
        return _batch_twin(nn.BatchNorm2d, self)


class BatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d(features)` of elastic width; see BatchNorm2d."""

    def __init__(
        self,
        num_features: Size,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        num_features = arguments.size(name, "num_features", num_features)
        given = _given(name, eps, momentum, affine, track_running_stats)
        with arguments.building(name):
            super().__init__(width(num_features), *given, device, dtype)
        self.width = num_features
        _without_bias(self, bias)

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
        return _batch_twin(nn.BatchNorm1d, self)


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
        if isinstance(normalized_shape, list | tuple):
            if len(normalized_shape) != 1:
                raise UserError(
                    f"LayerNorm(normalized_shape={normalized_shape!r}): it norms over the last axis alone; give its width, "
                    "or take torch.nn.LayerNorm where nothing is elastic"
                )
            normalized_shape = normalized_shape[0]
        normalized_shape = arguments.size("LayerNorm", "normalized_shape", normalized_shape)
        eps = arguments.number("LayerNorm", "eps", eps)
        affine = arguments.flag("LayerNorm", "elementwise_affine", elementwise_affine)
        bias = arguments.flag("LayerNorm", "bias", bias)
        with arguments.building("LayerNorm"):
            super().__init__(width(normalized_shape), eps, affine, bias, device, dtype)
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
