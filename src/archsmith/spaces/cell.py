"""Cells: nodes that are sums over edges of what an operation makes of an earlier node, and the
layers on such edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Conv2d, OneOf
from archsmith.errors import UserError
from archsmith.space import Size

NONE = "none"  # the option under which an edge is not there


class Nothing(nn.Module):
    """The operation "none": gives None, which a cell leaves out of its sums."""

    def forward(self, x: Tensor) -> None:
        """Whatever comes in: nothing."""
        return None


class Cell(nn.Module):
    """A directed graph: its first nodes are the inputs, each later one sums `edges[a, b](node a)`
    over the edges into it.

    (B, inputs, H, W) each -> (B, width, H / stride, W / stride): the last node, or with `joined`
    all nodes that are no inputs, concatenated. An edge whose operation is "none" does not exist; a
    node without edges is zero. Zeros are needed as such: what a convolution with BatchNorm makes of
    them is not zero.
    """

    def __init__(
        self,
        edges: Mapping[tuple[int, int], nn.Module],
        width: Size,
        stride: int = 1,
        inputs: int = 1,
        joined: bool = False,
    ) -> None:
        super().__init__()
        self.ends = {f"edge{a}to{b}": (a, b) for a, b in edges}
        self.inputs, self.count, self.joined = inputs, 1 + max(b for _, b in edges), joined
        self.width, self.stride = width, stride
        for name, edge in zip(self.ends, edges.values(), strict=True):
            self.add_module(name, edge)

    @property
    def gates(self) -> dict[str, Any]:
        """An edge exists unless its operation is "none"."""
        chosen = {
            name: edge.choice for name, edge in self.named_children() if isinstance(edge, OneOf)
        }
        return {
            name: (c, tuple(o for o in c.options if o != NONE))
            for name, c in chosen.items()
            if NONE in c.options
        }

    def forward(self, *inputs: Tensor) -> Tensor:
        """The inputs through the graph."""
        nodes = list(inputs)
        for target in range(self.inputs, self.count):
            total = None
            for name, (source, end) in self.ends.items():
                edge = self._modules[name]
                made = edge(nodes[source]) if end == target and edge is not None else None
                if made is not None:
                    total = made if total is None else total + made
            nodes.append(self._zeros(nodes[0]) if total is None else total)
        return torch.cat(nodes[self.inputs :], dim=1) if self.joined else nodes[-1]

    def extra_repr(self) -> str:
        """What the edges do not tell: cells without any differ in this alone."""
        return f"width={self.width}, stride={self.stride}"

    def _zeros(self, x: Tensor) -> Tensor:
        zeros = torch.zeros_like(x[:, :1, :: self.stride, :: self.stride])
        return zeros.repeat(1, self.width, 1, 1)  # type: ignore[arg-type]


class Partial(nn.Module):
    """An edge that works on one in `parts` channels; the others pass, then all are shuffled
    (PC-DARTS: Xu et al., ICLR 2020).

    For searching: a relaxed network with many operations fits the memory. (B, C, H, W) -> (B, C, H
    / stride, W / stride). `mixed`: takes and gives C / parts channels.
    """

    def __init__(self, mixed: nn.Module, parts: int, stride: int = 1) -> None:
        super().__init__()
        self.mixed, self.parts = mixed, parts
        self.pool = nn.MaxPool2d(2, stride=2, ceil_mode=True) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / stride, W / stride)."""
        count = x.shape[1] // self.parts
        rest = self.pool(x[:, count:])
        made = self.mixed(x[:, :count])
        made = torch.zeros_like(rest[:, :count]) if made is None else made
        y = torch.cat([made, rest], dim=1)
        b, c, h, w = y.shape
        return y.reshape(b, self.parts, c // self.parts, h, w).transpose(1, 2).reshape(b, c, h, w)


def parted(width: int, parts: int) -> int:
    """Channels of an operation that works on one in `parts`; UserError where they do not divide."""
    if parts < 1 or width % parts:
        raise UserError(
            f"partial={parts} does not divide {width} channels; give a width that it divides"
        )
    return width // parts


def partly(mixed: nn.Module, parts: int, stride: int = 1) -> nn.Module:
    """The edge itself, or in `Partial`."""
    return mixed if parts == 1 else Partial(mixed, parts, stride)


def relu_conv_norm(
    inputs: Size,
    outputs: Size,
    kernel: int,
    stride: int = 1,
    groups: Size = 1,
    dilation: int = 1,
    inplace: bool = False,
) -> nn.Sequential:
    """ReLU, convolution with padding "same", BatchNorm: children `act`, `conv`, `norm`."""
    layers = nn.Sequential()
    layers.add_module("act", nn.ReLU(inplace=inplace))
    conv = Conv2d(
        inputs,
        outputs,
        kernel,
        stride,
        padding="same",
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    layers.add_module("conv", conv)
    layers.add_module("norm", BatchNorm2d(outputs))
    return layers


class FactorizedReduce(nn.Module):
    """Half the resolution without pooling: ReLU, two 1 x 1 convolutions of stride 2, one pixel
    apart, concatenated, BatchNorm.

    (B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2)); `outputs` is even. Odd sizes are
    padded with zeros.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.even = Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.pad = nn.ConstantPad2d((0, 1, 0, 1), 0.0)
        self.odd = Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.norm = BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
        x = self.act(x)
        return self.norm(torch.cat([self.even(x), self.odd(self.pad(x)[:, :, 1:, 1:])], dim=1))
