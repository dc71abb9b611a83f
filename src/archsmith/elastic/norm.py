"""BatchNorm, GroupNorm and LayerNorm with elastic width."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.layer import Axes, sliced, stock, width
from archsmith.errors import UserError
from archsmith.space import Choice, Concat, Derived, Size


def _without_bias(layer: nn.Module, bias: Any) -> None:
    """`bias=False`, which not every torch that is supported has as an argument."""
    if not arguments.flag(type(layer).__name__, "bias", bias):
        layer.register_parameter("bias", None)


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """What BatchNorms of maps and of vectors share: all but the torch layer that they are twins
    of."""

    twin: ClassVar[type[nn.modules.batchnorm._BatchNorm]]

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
        eps = arguments.number(name, "eps", eps)
        momentum = None if momentum is None else arguments.number(name, "momentum", momentum)
        flags = (
            arguments.flag(name, "affine", affine),
            arguments.flag(name, "track_running_stats", track_running_stats),
        )
        with arguments.building(name):
            super().__init__(width(num_features), eps, momentum, *flags, device=device, dtype=dtype)
        self.width = num_features
        _without_bias(self, bias)

    def axes(self) -> Axes:
        """Everything per channel."""
        return {name: (self.width,) for name in ("weight", "bias", "running_mean", "running_var")}

    def weights(self) -> dict[str, Tensor]:
        """Affine parameters and running statistics of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same. Batch statistics in train mode, never written back: those of a
        mixture of networks fit none (use `calibrate`)."""
        self._check_input_dim(input)
        tensors = self.weights()
        by_batch = self.training or "running_mean" not in tensors
        mean, variance = (
            (None, None) if by_batch else (tensors["running_mean"], tensors["running_var"])
        )
        return F.batch_norm(
            input,
            mean,
            variance,
            tensors.get("weight"),
            bias=tensors.get("bias"),
            training=by_batch,
            momentum=0.0,
            eps=self.eps,
        )

    def plain(self) -> nn.modules.batchnorm._BatchNorm:
        """The torch layer of the current width, on `meta`."""
        dtype = next((t.dtype for t in (self.weight, self.running_mean) if t is not None), None)
        twin = stock(
            self.twin,
            width(self.width),
            eps=self.eps,
            momentum=self.momentum,
            affine=self.affine,
            track_running_stats=self.track_running_stats,
            dtype=dtype,
        )
        _without_bias(twin, self.bias is not None)
        return twin


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d(features)` of elastic width; its running statistics are only ever
    loaded, not updated."""

    twin = nn.BatchNorm2d


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d(features)` of elastic width; see BatchNorm2d."""

    twin = nn.BatchNorm1d


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm(num_groups, num_channels)` of elastic width, in groups of elastic number.

    num_groups: a number or Choice for any width, or what follows from it, so that groups keep their
    width: `GroupNorm(Derived(lambda c: c // 8, channels), channels)`. (Wu and He, ECCV 2018,
    equation 7.) Raises UserError where some width is no multiple of its number of groups.
    """

    def __init__(
        self,
        num_groups: Size,
        num_channels: Size,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        name = "GroupNorm"
        num_groups = arguments.size(name, "num_groups", num_groups)
        num_channels = arguments.size(name, "num_channels", num_channels)
        if isinstance(num_groups, Concat):
            raise UserError(
                f"{name}(num_groups={num_groups!r}): give a number, a Choice or a Derived"
            )
        _check_groups(num_groups, num_channels)
        eps = arguments.number(name, "eps", eps)
        affine = arguments.flag(name, "affine", affine)
        with arguments.building(name):
            super().__init__(
                width(num_groups), width(num_channels), eps, affine, device=device, dtype=dtype
            )
        self.group_count, self.width = num_groups, num_channels
        _without_bias(self, bias)

    def axes(self) -> Axes:
        """weight and bias (width)."""
        return {"weight": (self.width,), "bias": (self.width,)}

    def weights(self) -> dict[str, Tensor]:
        """weight and bias of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same."""
        tensors = self.weights()
        return F.group_norm(
            input, width(self.group_count), tensors.get("weight"), tensors.get("bias"), eps=self.eps
        )

    def plain(self) -> nn.GroupNorm:
        """The torch layer of the current sizes, on `meta`."""
        dtype = self.weight.dtype if self.affine else None
        twin = stock(
            nn.GroupNorm,
            width(self.group_count),
            width(self.width),
            eps=self.eps,
            affine=self.affine,
            dtype=dtype,
        )
        _without_bias(twin, self.bias is not None)
        return twin


def _check_groups(groups: int | Choice | Derived, channels: Size) -> None:
    """UserError where some number of channels is no multiple of the number of groups that it can
    come with."""
    pairs = [*Derived(_together, channels, groups).options, (width(channels), width(groups))]
    wrong = next((pair for pair in pairs if pair[0] % pair[1]), None)
    if wrong is not None:
        raise UserError(
            f"GroupNorm(num_groups={groups!r}, num_channels={channels!r}): {wrong[0]} channels are "
            f"not to be had in {wrong[1]} "
            "equal groups; give a number of groups that divides every width, or let it follow from "
            "the width, e.g. "
            "GroupNorm(Derived(lambda c: c // 8, channels), channels)"
        )


def _together(channels: int, groups: int) -> tuple[int, int]:
    return int(channels), int(groups)


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
                    f"LayerNorm(normalized_shape={normalized_shape!r}): it norms over the last "
                    f"axis alone; give its width, "
                    "or take torch.nn.LayerNorm where nothing is elastic"
                )
            normalized_shape = normalized_shape[0]
        normalized_shape = arguments.size("LayerNorm", "normalized_shape", normalized_shape)
        eps = arguments.number("LayerNorm", "eps", eps)
        affine = arguments.flag("LayerNorm", "elementwise_affine", elementwise_affine)
        bias = arguments.flag("LayerNorm", "bias", bias)
        with arguments.building("LayerNorm"):
            super().__init__(width(normalized_shape), eps, affine, bias, device=device, dtype=dtype)
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
        return F.layer_norm(
            input, (width(self.width),), tensors.get("weight"), tensors.get("bias"), eps=self.eps
        )

    def plain(self) -> nn.LayerNorm:
        """The torch layer of the current width, on `meta`."""
        dtype = self.weight.dtype if self.elementwise_affine else None
        return stock(
            nn.LayerNorm,
            width(self.width),
            eps=self.eps,
            elementwise_affine=self.elementwise_affine,
            bias=self.bias is not None,
            dtype=dtype,
        )
