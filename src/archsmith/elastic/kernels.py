"""Kernels of elastic size, dilations, paddings and groups: what convolutions and their transposes
share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import arguments
from archsmith.elastic.layer import take, taps
from archsmith.errors import UserError
from archsmith.space import Choice, Derived, Size

Pair = int | tuple[int, int]


def kernels_of(layer: str, kernel_size: Any) -> tuple[Any, tuple[int, ...]]:
    """The kernel size as it is kept, an int where it is square; with it, where it is elastic, its
    options in order."""
    if not isinstance(kernel_size, Choice | Derived):
        high, wide = arguments.pair(layer, "kernel_size", kernel_size)
        return (high if high == wide else (high, wide)), ()
    if any(isinstance(option, tuple) for option in kernel_size.options):
        raise UserError(
            f"{layer}(kernel_size={kernel_size!r}): elastic kernels are square; write Choice(3, "
            f"5), or decide between "
            "layers of other shapes with OneOf"
        )
    arguments.size(layer, "kernel_size", kernel_size)
    kernels = tuple(sorted({int(option) for option in kernel_size.options}))
    if len(kernels) > 1 and any(k % 2 == 0 for k in kernels):
        raise UserError(
            f"elastic kernel sizes must be odd, so that a smaller one has a center: {list(kernels)}"
        )
    return kernel_size, kernels


def dilations_of(layer: str, dilation: Any) -> tuple[Any, tuple[int, ...]]:
    """The dilation as it is kept, a pair where it is fixed; with it, where it is elastic, its
    options in order."""
    if not isinstance(dilation, Choice | Derived):
        return arguments.pair(layer, "dilation", dilation), ()
    if any(isinstance(option, tuple) for option in dilation.options):
        raise UserError(
            f"{layer}(dilation={dilation!r}): an elastic dilation is the same along height and "
            f"width; write Choice(1, 2), "
            "or decide between whole layers with OneOf"
        )
    arguments.size(layer, "dilation", dilation)
    return dilation, tuple(sorted({int(option) for option in dilation.options}))


def padding_of(
    layer: str, padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    """Zeros on each side along (height, width)."""
    if isinstance(padding, str):
        arguments.word(layer, "padding", padding, ("same", "valid"))
        if padding == "valid":
            return 0, 0
        if any(k % 2 == 0 for k in kernel):
            raise UserError(
                f"{layer}(padding='same'): kernel {kernel} is even, so no padding of both sides "
                f"keeps the size; "
                "give it as a number, or take an odd kernel"
            )
        return kernel[0] // 2 * dilation[0], kernel[1] // 2 * dilation[1]
    return arguments.pair(layer, "padding", padding, least=0)


def check_padding(padding: Any, kernels: tuple[int, ...], dilations: tuple[int, ...]) -> None:
    """UserError where kernels or dilations of several sizes would give maps of several sizes."""
    for what, sizes in (("kernel", kernels), ("dilation", dilations)):
        if padding != "same" and len(sizes) > 1:
            raise UserError(
                f"padding={padding!r} with elastic {what} {sizes} changes the output "
                f"size; use padding='same'"
            )


def check_groups(inputs: Size, outputs: Size, groups: Size) -> None:
    """Channels per group must be whole and constant, or a smaller network could not share the
    larger one's groups."""
    if groups == 1:
        return
    for what, size in (("in_channels", inputs), ("out_channels", outputs)):
        if size is groups:
            continue
        per_group = Derived(ratio, size, groups).options
        if len(per_group) != 1 or per_group[0] is None:
            raise UserError(
                f"{what}={size!r} over groups={groups!r} gives {per_group} channels per group; it "
                f"must be one whole number: "
                "let groups follow the channels, e.g. groups=Derived(lambda c: c // 8, channels)"
            )


def ratio(channels: int, groups: int) -> int | None:
    """Channels per group; None where that is no whole number."""
    return int(channels) // int(groups) if channels % groups == 0 else None


# -- the matrices between kernel sizes (Cai et al., ICLR 2020, section 3.3), parameters `to5`
# (25 x 25), `to3` (9 x 9)


def matrices_of(layer: Any) -> dict[int, nn.Parameter]:
    """Kernel size -> the matrix that makes it of the center of the next larger one; none where
    centers are only cropped."""
    return {
        k: layer._parameters[f"to{k}"]
        for k in getattr(layer, "kernels", ())[:-1]
        if f"to{k}" in layer._parameters
    }


def add_matrices(layer: Any, device: Any, dtype: torch.dtype | None) -> None:
    """Gives a layer a matrix for each of its kernel sizes but the largest, identity at first."""
    for small in reversed(layer.kernels[:-1]):
        layer.register_parameter(
            f"to{small}", nn.Parameter(torch.eye(small * small, device=device, dtype=dtype))
        )


@torch.no_grad()
def reset_matrices(layer: Any) -> None:
    """Identities again."""
    for small, matrix in matrices_of(layer).items():
        matrix.copy_(torch.eye(small * small))


def kernel_of(layer: Any, weight: Tensor) -> Tensor:
    """A weight (., ., largest, largest) at the layer's current kernel size."""
    kernel, matrices = taps(layer.kernel)[0], matrices_of(layer)
    for small in reversed([k for k in layer.kernels[:-1] if k >= kernel]):
        start = (weight.shape[-1] - small) // 2
        weight = weight[..., start : start + small, start : start + small]
        if small in matrices:
            weight = (weight.flatten(2) @ matrices[small]).reshape(weight.shape)
    return weight


def twin_weights(layer: Any) -> dict[str, Tensor]:
    """weight, at the current kernel size, and bias of a convolution's plain twin."""
    axes = layer.axes()
    weight = kernel_of(layer, take(layer.weight, axes["weight"]))
    return {"weight": weight} | (
        {} if layer.bias is None else {"bias": take(layer.bias, axes["bias"])}
    )


def region_of(layer: Any) -> tuple[slice, slice]:
    """The rows and columns of the stored kernel that the current one depends on; matrices reach one
    size further out."""
    if not layer.kernels:
        return slice(0, layer.weight.shape[2]), slice(0, layer.weight.shape[3])
    size = taps(layer.kernel)[0]
    if size in matrices_of(layer):
        size = layer.kernels[-2]  # the first matrix below the largest mixes its whole crop
    start = (layer.kernels[-1] - size) // 2
    return slice(start, start + size), slice(start, start + size)
