"""Conv2d with elastic channels and kernel size: dense, grouped with constant group width, depthwise."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.layer import Axes, take, taps, width
from archsmith.errors import UserError
from archsmith.space import Choice, Derived, Size

_NAME = "Conv2d"
_MODES = ("zeros", "reflect", "replicate", "circular")
Pair = int | tuple[int, int]


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d(in, out, kernel_size)` where channels, groups and kernel size may be a Choice or Derived.

    Channels may be a Concat too; a fixed kernel, stride, padding and dilation a pair. padding "same" is kernel // 2 (times
    dilation) on each side, whatever the stride, for odd kernels. groups: a number, or a size that keeps the channels per
    group constant (`groups=channels` is depthwise). Elastic kernels are square and odd; with `transform` a smaller kernel is
    the center crop of the next larger one times a learned matrix, identity at first, shared by all channels (Cai et al.,
    ICLR 2020, section 3.3): parameters `to5` (25 x 25), `to3` (9 x 9). Raises UserError for what cannot be had at every size.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Pair | Choice | Derived,
        stride: Pair = 1,
        padding: Pair | Literal["same", "valid"] = 0,
        dilation: Pair = 1,
        groups: Size = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        transform: bool = True,
    ) -> None:
        in_channels = arguments.size(_NAME, "in_channels", in_channels)
        out_channels = arguments.size(_NAME, "out_channels", out_channels)
        groups = arguments.size(_NAME, "groups", groups)
        kernel, kernels = _kernels(kernel_size)
        strides, dilations = (
            arguments.pair(_NAME, what, value) for what, value in (("stride", stride), ("dilation", dilation))
        )
        pad = _pad(padding, taps(kernels[-1] if kernels else kernel), dilations)
        if padding != "same" and len(kernels) > 1:
            raise UserError(f"padding={padding!r} with elastic kernel {kernels} changes the output size; use padding='same'")
        _check_groups(in_channels, out_channels, groups)
        transform = arguments.flag(_NAME, "transform", transform)
        mode = arguments.word(_NAME, "padding_mode", padding_mode, _MODES)
        with arguments.building(_NAME):
            super().__init__(
                width(in_channels),
                width(out_channels),
                taps(kernels[-1] if kernels else kernel),
                strides,
                pad,
                dilations,
                width(groups),
                arguments.flag(_NAME, "bias", bias),
                mode,  # type: ignore[arg-type]
                device,
                dtype,
            )
        self.width_in, self.width_out, self.kernel, self.group_count = in_channels, out_channels, kernel, groups
        self.same_padding = padding == "same"
        self.kernels = kernels
        for small in reversed(kernels[:-1]) if transform else ():
            matrix = torch.eye(small * small, device=device, dtype=dtype)
            self.register_parameter(f"to{small}", nn.Parameter(matrix))

    def reset_parameters(self) -> None:
        """As torch does; the matrices between kernel sizes become identities again."""
        super().reset_parameters()
        with torch.no_grad():
            for small in getattr(self, "kernels", ()):  # not yet there when torch calls this first
                if f"to{small}" in self._parameters:
                    matrix = self._parameters[f"to{small}"]
                    assert matrix is not None
                    matrix.copy_(torch.eye(small * small))

    def axes(self) -> Axes:
        """weight (out, in per group, k, k), bias (out); the kernel axes are cropped in `weights`, the matrices whole."""
        per_group = self.width_in if self.groups == 1 else None
        axes: Axes = {"weight": (self.width_out, per_group, None, None), "bias": (self.width_out,)}
        return axes | {f"to{k}": (None, None) for k in self.kernels[:-1] if f"to{k}" in self._parameters}

    def weights(self) -> dict[str, Tensor]:
        """weight and bias of the plain twin."""
        axes, kernel = self.axes(), taps(self.kernel)[0]
        weight = take(self.weight, axes["weight"])
        for small in reversed([k for k in self.kernels[:-1] if k >= kernel]):
            weight = _center(weight, small)
            if f"to{small}" in self._parameters:
                matrix = self._parameters[f"to{small}"]
                assert matrix is not None
                weight = (weight.flatten(2) @ matrix).reshape(weight.shape)
        return {"weight": weight} | ({} if self.bias is None else {"bias": take(self.bias, axes["bias"])})

    def region(self) -> tuple[slice, slice]:
        """The rows and columns of the stored kernel that the current one depends on; matrices reach one size further out."""
        if not self.kernels:
            return slice(0, self.weight.shape[2]), slice(0, self.weight.shape[3])
        size = taps(self.kernel)[0]
        above = [k for k in self.kernels if k > size]
        if above and f"to{size}" in self._parameters:
            inner = [k for k in self.kernels if k < self.kernels[-1]]
            size = inner[-1]  # the first matrix below the largest mixes its whole crop
        start = (self.kernels[-1] - size) // 2
        return slice(start, start + size), slice(start, start + size)

    def _padding(self) -> tuple[int, int]:
        return _pad("same", taps(self.kernel), self.dilation) if self.same_padding else self.padding  # type: ignore[return-value,arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        tensors, padding = self.weights(), self._padding()
        if self.padding_mode != "zeros":
            high, wide = padding
            input = F.pad(input, (wide, wide, high, high), mode=self.padding_mode)
            padding = (0, 0)
        groups = width(self.group_count)
        return F.conv2d(input, tensors["weight"], tensors.get("bias"), self.stride, padding, self.dilation, groups)

    def plain(self) -> nn.Conv2d:
        """The torch layer of the current sizes, on `meta`."""
        return nn.Conv2d(
            width(self.width_in),
            width(self.width_out),
            taps(self.kernel),
            self.stride,  # type: ignore[arg-type]
            self._padding(),
            self.dilation,  # type: ignore[arg-type]
            width(self.group_count),
            self.bias is not None,
            self.padding_mode,
            "meta",
            self.weight.dtype,
        )


def _kernels(kernel_size: Any) -> tuple[Any, tuple[int, ...]]:
    """The kernel size as it is kept, an int where it is square; with it, where it is elastic, its options in order."""
    if not isinstance(kernel_size, Choice | Derived):
        high, wide = arguments.pair(_NAME, "kernel_size", kernel_size)
        return (high if high == wide else (high, wide)), ()
    if any(isinstance(option, tuple) for option in kernel_size.options):
        raise UserError(
            f"{_NAME}(kernel_size={kernel_size!r}): elastic kernels are square; write Choice(3, 5), or decide between "
            "layers of other shapes with OneOf"
        )
    arguments.size(_NAME, "kernel_size", kernel_size)
    kernels = tuple(sorted({int(option) for option in kernel_size.options}))
    if len(kernels) > 1 and any(k % 2 == 0 for k in kernels):
        raise UserError(f"elastic kernel sizes must be odd, so that a smaller one has a center: {list(kernels)}")
    return kernel_size, kernels


def _pad(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Zeros on each side along (height, width)."""
    if isinstance(padding, str):
        arguments.word(_NAME, "padding", padding, ("same", "valid"))
        if padding == "valid":
            return 0, 0
        if any(k % 2 == 0 for k in kernel):
            raise UserError(
                f"{_NAME}(padding='same'): kernel {kernel} is even, so no padding of both sides keeps the size; "
                "give it as a number, or take an odd kernel"
            )
        return kernel[0] // 2 * dilation[0], kernel[1] // 2 * dilation[1]
    return arguments.pair(_NAME, "padding", padding, least=0)


def _center(weight: Tensor, size: int) -> Tensor:
    start = (weight.shape[-1] - size) // 2
    return weight[..., start : start + size, start : start + size]


def _check_groups(inputs: Size, outputs: Size, groups: Size) -> None:
    """Channels per group must be whole and constant, or a smaller network could not share the larger one's groups."""
    if groups == 1:
        return
    for what, size in (("in_channels", inputs), ("out_channels", outputs)):
        if size is groups:
            continue
        per_group = Derived(_ratio, size, groups).options
        if len(per_group) != 1 or per_group[0] is None:
            raise UserError(
                f"{what}={size!r} over groups={groups!r} gives {per_group} channels per group; it must be one whole number: "
                "let groups follow the channels, e.g. groups=Derived(lambda c: c // 8, channels)"
            )


def _ratio(channels: int, groups: int) -> int | None:
    return channels // groups if channels % groups == 0 else None
