"""Conv2d and ConvTranspose2d with elastic channels, kernel size and dilation: dense, constant group
width, depthwise."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.kernels import (
    Pair,
    add_matrices,
    check_groups,
    check_padding,
    dilations_of,
    kernels_of,
    matrices_of,
    padding_of,
    region_of,
    reset_matrices,
    twin_weights,
)
from archsmith.elastic.layer import Axes, stock, taps, width
from archsmith.errors import UserError
from archsmith.space import Choice, Derived, Size

_MODES = ("zeros", "reflect", "replicate", "circular")


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d(in, out, kernel_size)` where channels, groups, kernel size and dilation may
    be a Choice or Derived.

    Channels may be a Concat too; a fixed kernel, stride, padding and dilation a pair. padding
    "same" is kernel // 2 (times dilation) on each side, whatever the stride, for odd kernels.
    groups: a number, or a size that keeps the channels per group constant (`groups=channels` is
    depthwise). Elastic kernels are square and odd; with `transform` a smaller kernel is the center
    crop of the next larger one times a learned matrix, identity at first, shared by all channels
    (Cai et al., ICLR 2020, section 3.3): parameters `to5` (25 x 25), `to3` (9 x 9). All dilations
    share one kernel. Raises UserError for what cannot be had at every size.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Pair | Choice | Derived,
        stride: Pair = 1,
        padding: Pair | Literal["same", "valid"] = 0,
        dilation: Pair | Choice | Derived = 1,
        groups: Size = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        transform: bool = True,
    ) -> None:
        name = "Conv2d"
        in_channels = arguments.size(name, "in_channels", in_channels)
        out_channels = arguments.size(name, "out_channels", out_channels)
        groups = arguments.size(name, "groups", groups)
        kernel, kernels = kernels_of(name, kernel_size)
        rate, rates = dilations_of(name, dilation)
        strides = arguments.pair(name, "stride", stride)
        pad = padding_of(name, padding, taps(kernel), taps(rate))
        check_padding(padding, kernels, rates)
        check_groups(in_channels, out_channels, groups)
        transform = arguments.flag(name, "transform", transform)
        mode = arguments.word(name, "padding_mode", padding_mode, _MODES)
        with arguments.building(name):
            super().__init__(
                width(in_channels),
                width(out_channels),
                taps(kernel),
                strides,
                padding=pad,
                dilation=taps(rate),
                groups=width(groups),
                bias=arguments.flag(name, "bias", bias),
                padding_mode=mode,  # type: ignore[arg-type]
                device=device,
                dtype=dtype,
            )
        self.width_in, self.width_out, self.kernel, self.group_count = (
            in_channels,
            out_channels,
            kernel,
            groups,
        )
        self.same_padding, self.dilation_rate = padding == "same", rate
        self.kernels = kernels
        if transform:
            add_matrices(self, device, dtype)

    def reset_parameters(self) -> None:
        """As torch does; the matrices between kernel sizes become identities again."""
        super().reset_parameters()
        reset_matrices(self)

    def axes(self) -> Axes:
        """weight (out, in per group, k, k), bias (out); the kernel axes are cropped in `weights`,
        the matrices whole."""
        per_group = self.width_in if self.groups == 1 else None
        axes: Axes = {"weight": (self.width_out, per_group, None, None), "bias": (self.width_out,)}
        return axes | {f"to{k}": (None, None) for k in matrices_of(self)}

    def weights(self) -> dict[str, Tensor]:
        """weight and bias of the plain twin."""
        return twin_weights(self)

    def region(self) -> tuple[slice, slice]:
        """The rows and columns of the stored kernel that the current one depends on; matrices reach
        one size further out."""
        return region_of(self)

    def _padding(self) -> tuple[int, int]:
        padding = "same" if self.same_padding else self.padding
        return padding_of("Conv2d", padding, taps(self.kernel), taps(self.dilation_rate))

    def forward(self, input: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        tensors, padding = self.weights(), self._padding()
        if self.padding_mode != "zeros":
            high, wide = padding
            input = F.pad(input, (wide, wide, high, high), mode=self.padding_mode)
            padding = (0, 0)
        dilation, groups = taps(self.dilation_rate), width(self.group_count)
        return F.conv2d(
            input,
            tensors["weight"],
            tensors.get("bias"),
            self.stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )

    def plain(self) -> nn.Conv2d:
        """The torch layer of the current sizes, on `meta`."""
        return stock(
            nn.Conv2d,
            width(self.width_in),
            width(self.width_out),
            kernel_size=taps(self.kernel),
            stride=self.stride,  # type: ignore[arg-type]
            padding=self._padding(),
            dilation=taps(self.dilation_rate),
            groups=width(self.group_count),
            bias=self.bias is not None,
            padding_mode=self.padding_mode,
            dtype=self.weight.dtype,
        )


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d(in, out, kernel_size)` where channels, groups, kernel size and
    dilation may be elastic.

    As in Conv2d: elastic kernels are square and odd, with a learned matrix between sizes unless
    `transform` is false; groups keep the channels per group constant. padding "same" is kernel // 2
    (times dilation) on each side, so that maps become (H - 1) * stride + 1 + output_padding
    whatever the kernel: with stride 2 and output_padding 1 twice as large. Raises UserError for
    what cannot be had at every size.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Pair | Choice | Derived,
        stride: Pair = 1,
        padding: Pair | Literal["same", "valid"] = 0,
        output_padding: Pair = 0,
        groups: Size = 1,
        bias: bool = True,
        dilation: Pair | Choice | Derived = 1,
        padding_mode: Literal["zeros"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        transform: bool = True,
    ) -> None:
        name = "ConvTranspose2d"
        in_channels = arguments.size(name, "in_channels", in_channels)
        out_channels = arguments.size(name, "out_channels", out_channels)
        groups = arguments.size(name, "groups", groups)
        kernel, kernels = kernels_of(name, kernel_size)
        rate, rates = dilations_of(name, dilation)
        strides = arguments.pair(name, "stride", stride)
        extra = arguments.pair(name, "output_padding", output_padding, least=0)
        _check_extra(extra, strides, taps(rates[0] if rates else rate))
        pad = padding_of(name, padding, taps(kernel), taps(rate))
        check_padding(padding, kernels, rates)
        check_groups(in_channels, out_channels, groups)
        transform = arguments.flag(name, "transform", transform)
        arguments.word(name, "padding_mode", padding_mode, ("zeros",))
        with arguments.building(name):
            super().__init__(
                width(in_channels),
                width(out_channels),
                taps(kernel),
                strides,
                padding=pad,
                output_padding=extra,
                groups=width(groups),
                bias=arguments.flag(name, "bias", bias),
                dilation=taps(rate),
                device=device,
                dtype=dtype,
            )
        self.width_in, self.width_out, self.kernel, self.group_count = (
            in_channels,
            out_channels,
            kernel,
            groups,
        )
        self.same_padding, self.dilation_rate = padding == "same", rate
        self.kernels = kernels
        if transform:
            add_matrices(self, device, dtype)

    def reset_parameters(self) -> None:
        """As torch does; the matrices between kernel sizes become identities again."""
        super().reset_parameters()
        reset_matrices(self)

    def axes(self) -> Axes:
        """weight (in, out per group, k, k), bias (out); the kernel axes are cropped in `weights`,
        the matrices whole."""
        per_group = self.width_out if self.groups == 1 else None
        axes: Axes = {"weight": (self.width_in, per_group, None, None), "bias": (self.width_out,)}
        return axes | {f"to{k}": (None, None) for k in matrices_of(self)}

    def weights(self) -> dict[str, Tensor]:
        """weight and bias of the plain twin."""
        return twin_weights(self)

    def region(self) -> tuple[slice, slice]:
        """The rows and columns of the stored kernel that the current one depends on; matrices reach
        one size further out."""
        return region_of(self)

    def _padding(self) -> tuple[int, int]:
        padding = "same" if self.same_padding else self.padding
        return padding_of("ConvTranspose2d", padding, taps(self.kernel), taps(self.dilation_rate))

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W'); `output_size` (H', W') instead of output_padding, as
        torch takes it."""
        tensors, padding, dilation = self.weights(), self._padding(), taps(self.dilation_rate)
        extra = self._output_padding(
            input,
            output_size,
            list(self.stride),
            list(padding),
            kernel_size=list(taps(self.kernel)),
            num_spatial_dims=2,
            dilation=list(dilation),
        )
        groups, weight, bias = width(self.group_count), tensors["weight"], tensors.get("bias")
        return F.conv_transpose2d(
            input,
            weight,
            bias,
            self.stride,
            padding=padding,
            output_padding=extra,
            groups=groups,
            dilation=dilation,
        )

    def plain(self) -> nn.ConvTranspose2d:
        """The torch layer of the current sizes, on `meta`."""
        return stock(
            nn.ConvTranspose2d,
            width(self.width_in),
            width(self.width_out),
            kernel_size=taps(self.kernel),
            stride=self.stride,  # type: ignore[arg-type]
            padding=self._padding(),
            output_padding=self.output_padding,  # type: ignore[arg-type]
            groups=width(self.group_count),
            bias=self.bias is not None,
            dilation=taps(self.dilation_rate),
            dtype=self.weight.dtype,
        )


def _check_extra(
    extra: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> None:
    """Rows and columns that are added to the output must lie within reach of the kernel."""
    if any(
        more >= max(stride, apart)
        for more, stride, apart in zip(extra, strides, dilation, strict=True)
    ):
        raise UserError(
            f"ConvTranspose2d(output_padding={extra}): must be less than the stride {strides} or "
            f"the dilation {dilation} "
            "along each axis; give a smaller one, or a larger stride"
        )
