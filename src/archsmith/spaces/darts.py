"""The DARTS cell network (Liu, Simonyan, Yang, ICLR 2019) for small images: a normal and a
reduction cell, repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Derived, OneOf
from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.catalog.darts import DARTS, DARTS_OPS
from archsmith.spaces.cell import (
    NONE,
    Cell,
    FactorizedReduce,
    Nothing,
    parted,
    partly,
    relu_conv_norm,
)
from archsmith.spaces.heads import pooled_classifier
from archsmith.spaces.inputs import check_inputs
from archsmith.spaces.nasbench201 import stem

_NODES = (2, 3, 4, 5)  # nodes 0 and 1 are the outputs of the two cells before
Edges = dict[tuple[int, int], Derived]


class DartsNetwork(nn.Module):
    """Stem, cells that each read the two before them, pooling, classifier: (B, channels, H, W) ->
    (B, classes)."""

    def __init__(self, stem: nn.Module, cells: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem, self.cells, self.head = stem, nn.ModuleList(cells), head

    def discretize(
        self, space: SearchSpace, weights: Mapping[str, Mapping[Any, float]]
    ) -> Architecture:
        """The cells that a relaxed network's weights speak for (Liu, Simonyan and Yang, section
        2.4).

        `weights`: path of an edge's `OneOf` -> operation -> weight, from a first cell of each kind.
        Of each edge the strongest operation that is not "none", into each node the two edges whose
        strongest are largest.
        """
        chosen: dict[str, Any] = {}
        for kind, reduces in (("normal", False), ("reduce", True)):
            cell = next(i for i, c in enumerate(self.cells) if (c.graph.stride == 2) == reduces)
            for node in _NODES:
                rows = [
                    next(
                        row
                        for path, row in weights.items()
                        if f"{path}.".startswith(f"cells.{cell}.graph.edge{a}to{node}.")
                    )
                    for a in range(node)
                ]
                names = [f"{kind}.node{node}.{what}" for what in ("inputs", "op1", "op2")]
                pairs, *operations = ([*space.options[name]] for name in names)

                def strongest(
                    pair: tuple[int, int], rows: Any = rows, operations: Any = operations
                ) -> list[tuple[float, str]]:
                    return [
                        max((rows[a].get(op, 0.0), op) for op in allowed)
                        for a, allowed in zip(pair, operations, strict=True)
                    ]

                best = max(pairs, key=lambda pair: sum(weight for weight, _ in strongest(pair)))
                chosen |= dict(zip(names, (best, *(op for _, op in strongest(best))), strict=True))
        return Architecture(chosen)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, classes)."""
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.head(last)


class DartsCell(nn.Module):
    """Both inputs to `width` channels and the later one's resolution, then the graph; four nodes,
    concatenated.

    (B, inputs[0], ...), (B, inputs[1], H, W) -> (B, 4 * width, H / stride, W / stride).
    `after_reduction`: the first input has twice the resolution of the second.
    """

    def __init__(
        self,
        inputs: tuple[int, int],
        width: int,
        stride: int,
        after_reduction: bool,
        edges: Edges,
        partial: int = 1,
    ) -> None:
        super().__init__()
        first, second = inputs
        self.first = (
            FactorizedReduce(first, width) if after_reduction else relu_conv_norm(first, width, 1)
        )
        self.second = relu_conv_norm(second, width, 1)
        operations = {}
        for (a, b), choice in edges.items():
            step = stride if a < 2 else 1
            operations[a, b] = partly(
                _operation(parted(width, partial), step, choice), partial, step
            )
        self.graph = Cell(operations, width, stride, inputs=2, joined=True)

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """The outputs of the two cells before this one to its own."""
        return self.graph(self.first(before), self.second(last))


def darts(
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    width: int = 36,
    layers: int = 20,
    partial: int = 1,
) -> DartsNetwork:
    """(B, channels, size, size) -> (B, classes); the defaults are the paper's network for CIFAR-10.

    Cells `layers // 3` and `2 * layers // 3` (from 0) are reduction cells, which double the
    channels. Each node has two inputs and an operation on each; weights belong to edge and
    operation, whichever pair of inputs the edge is part of. 1.1e18 architectures. Drop-path and the
    auxiliary head, which are there for training only, are not. `partial`: as in `nasbench201`.
    """
    check_inputs(classes, channels, size)
    if layers < 3:
        raise UserError(
            f"layers={layers}: a DARTS network has at least 3 cells, two of them reduction cells"
        )
    choices = {name: Choice(*options, name=name) for name, options in DARTS.items()}
    edges = {kind: _edges(kind, choices) for kind in ("normal", "reduce")}
    cells: list[nn.Module] = []
    start = 3 * width
    inputs, after_reduction = (start, start), False
    for i in range(layers):
        reduces = i in (layers // 3, 2 * layers // 3)
        width *= 2 if reduces else 1
        kind = "reduce" if reduces else "normal"
        cells.append(
            DartsCell(
                inputs,
                width,
                2 if reduces else 1,
                after_reduction,
                edges=edges[kind],
                partial=partial,
            )
        )
        inputs, after_reduction = (inputs[1], 4 * width), reduces
    return DartsNetwork(stem(channels, start), cells, pooled_classifier(4 * width, classes))


def darts_small(
    classes: int = 10, channels: int = 3, size: int = 32, width: int = 16, partial: int = 1
) -> DartsNetwork:
    """`darts` with 8 cells, by default of 16 channels: the paper's proxy."""
    return darts(classes, channels, size, width=width, layers=8, partial=partial)


def _edges(kind: str, choices: dict[str, Choice]) -> Edges:
    """What decides the operation on each edge of a cell."""
    edges: Edges = {}
    for node in _NODES:
        decisions = [choices[f"{kind}.node{node}.{what}"] for what in ("inputs", "op1", "op2")]
        edges |= {(source, node): Derived(_chosen, source, *decisions) for source in range(node)}
    return edges


def _chosen(source: int, inputs: tuple[int, int], op1: str, op2: str) -> str:
    return dict(zip(inputs, (op1, op2), strict=True)).get(source, NONE)


def _operation(width: int, stride: int, choice: Any) -> OneOf:
    max_pool, avg_pool, skip, *convolutions = DARTS_OPS
    layers: dict[str, nn.Module] = {
        NONE: Nothing(),
        max_pool: nn.MaxPool2d(3, stride, padding=1),
        avg_pool: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
        skip: nn.Identity() if stride == 1 else FactorizedReduce(width, width),
    }
    for name in convolutions:
        kernel = int(name[-1])
        layers[name] = (
            _separable(width, kernel, stride)
            if name.startswith("sep")
            else _dilated(width, kernel, stride)
        )
    return OneOf(layers, choice=choice)


def _dilated(
    width: int, kernel: int, stride: int, dilation: int = 2, inplace: bool = False
) -> nn.Sequential:
    """ReLU, depthwise convolution, 1 x 1 convolution, BatchNorm."""
    layers = nn.Sequential()
    layers.add_module("act", nn.ReLU(inplace=inplace))
    depthwise = Conv2d(
        width, width, kernel, stride, padding="same", dilation=dilation, groups=width, bias=False
    )
    layers.add_module("depthwise", depthwise)
    layers.add_module("pointwise", Conv2d(width, width, 1, bias=False))
    layers.add_module("norm", BatchNorm2d(width))
    return layers


def _separable(width: int, kernel: int, stride: int) -> nn.Sequential:
    """The same twice, without dilation."""
    layers = nn.Sequential()
    layers.add_module("first", _dilated(width, kernel, stride, dilation=1))
    layers.add_module("second", _dilated(width, kernel, 1, dilation=1, inplace=True))
    return layers
