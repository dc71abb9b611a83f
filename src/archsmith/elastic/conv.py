"""Conv2d with elastic channels and kernel size: dense, grouped with constant group width, depthwise."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.layer import Axes, take, width
from archsmith.errors import UserError
from archsmith.space import Choice, Derived, Size, choices_of


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d(in, out, kernel_size)` where each number may be a Choice, Derived or Concat.

    padding "same" is kernel // 2 (times dilation), whatever the stride. groups: a number, or a size that keeps the channels
    per group constant (`groups=channels` is depthwise). Elastic kernels are odd; with `transform` a smaller kernel is the
    center crop of the next larger one times a learned matrix, identity at first, shared by all channels (Cai et al.,
    ICLR 2020, section 3.3): parameters `to5` (25 x 25), `to3` (9 x 9).
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: int | Choice | Derived,
        stride: int = 1,
        padding: int | Literal["same"] = 0,
        dilation: int = 1,
        groups: Size = 1,
        bias: bool = True,
        transform: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kernels = sorted(kernel_size.options if isinstance(kernel_size, Choice | Derived) else (kernel_size,))
        if len(kernels) > 1 and any(k % 2 == 0 for k in kernels):
            raise UserError(f"elastic kernel sizes must be odd, so that a smaller one has a center: {kernels}")
        if padding != "same" and len(kernels) > 1:
            raise UserError(f"padding={padding} with elastic kernel {kernels} changes the output size; use padding='same'")
        _check_groups(in_channels, out_channels, groups)
        pad = kernels[-1] // 2 * dilation if padding == "same" else padding
        super().__init__(
            width(in_channels),
            width(out_channels),
            kernels[-1],
            stride,
            pad,
            dilation,
            width(groups),
            bias,
            device=device,
            dtype=dtype,
        )
        self.width_in, self.width_out, self.kernel, self.group_count = in_channels, out_channels, kernel_size, groups
        self.same_padding = padding == "same"
        self.kernels = tuple(kernels)
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
        axes, kernel = self.axes(), width(self.kernel)
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
        above = [k for k in self.kernels if k > width(self.kernel)]
        size = width(self.kernel)
        if above and f"to{size}" in self._parameters:
            inner = [k for k in self.kernels if k < self.kernels[-1]]
            size = inner[-1]  # the first matrix below the largest mixes its whole crop
        start = (self.kernels[-1] - size) // 2
        return slice(start, start + size), slice(start, start + size)

    def _padding(self) -> Any:
        return width(self.kernel) // 2 * self.dilation[0] if self.same_padding else self.padding

    def forward(self, input: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        tensors = self.weights()
        groups = width(self.group_count)
        return F.conv2d(input, tensors["weight"], tensors.get("bias"), self.stride, self._padding(), self.dilation, groups)

    def plain(self) -> nn.Conv2d:
        """The torch layer of the current sizes, on `meta`."""
        return nn.Conv2d(
            width(self.width_in),
            width(self.width_out),
            width(self.kernel),
            self.stride[0],
            self._padding(),
            self.dilation[0],
            width(self.group_count),
            self.bias is not None,
            device="meta",
            dtype=self.weight.dtype,
        )


def _center(weight: Tensor, size: int) -> Tensor:
    start = (weight.shape[-1] - size) // 2
    return weight[..., start : start + size, start : start + size]


def _check_groups(inputs: Size, outputs: Size, groups: Size) -> None:
    """Channels per group must be whole and constant, or a smaller network could not share the larger one's groups."""
    if not choices_of(groups) and not isinstance(groups, int):
        raise UserError(f"groups={groups!r} is neither a number nor a size")
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
