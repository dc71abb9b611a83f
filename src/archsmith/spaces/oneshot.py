"""The cells of NAS-Bench-1Shot1 (Zela, Siems, Hutter, ICLR 2020) in the network of NAS-Bench-101
(Ying et al., ICML 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import Choice, Derived, OneOf
from archsmith.errors import UserError
from archsmith.space import largest
from archsmith.spaces.blocks import conv_norm_act
from archsmith.spaces.catalog.nasbench101 import NASBENCH1SHOT1, NASBENCH101_OPS, live_nodes
from archsmith.spaces.heads import pooled_classifier
from archsmith.spaces.inputs import check_inputs

_INNER = (1, 2, 3, 4)  # node 0 is the input, 5 the output
_OUTPUT = 5
Parents = tuple[int, ...]


def nasbench1shot1(
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    space: int = 1,
    width: int = 128,
    cells: int = 3,
) -> nn.Sequential:
    """One cell, an operation on each of four nodes, repeated: (B, channels, size, size) -> (B,
    classes). `space`: 1 or 2.

    Stem, then three stacks of `cells` cells at `width`, twice and four times `width` channels,
    max-pooling between them. Nodes from which no path leads to the output do not exist, as in
    NAS-Bench-101, where they count neither for the output's channels nor for parameters.
    """
    check_inputs(classes, channels, size)
    if space not in NASBENCH1SHOT1:
        raise UserError(
            f"NAS-Bench-1Shot1 space {space!r} is not one of {', '.join(map(str, NASBENCH1SHOT1))}"
        )
    choices = {name: Choice(*options, name=name) for name, options in NASBENCH1SHOT1[space].items()}
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, width, 3, act=nn.ReLU))
    inputs = width
    for i in range(3):
        outputs = width << i
        if i:
            model.add_module(f"pool{i}", nn.MaxPool2d(2, stride=2, ceil_mode=True))
        stack = nn.Sequential()
        for j in range(1, cells + 1):
            stack.add_module(f"cell{j}", Nasbench101Cell(inputs, outputs, choices))
            inputs = outputs
        model.add_module(f"stack{i + 1}", stack)
    model.add_module("head", pooled_classifier(inputs, classes))
    return model


def nasbench1shot1_space2(
    classes: int = 10, channels: int = 3, size: int = 32, width: int = 128, cells: int = 3
) -> nn.Sequential:
    """`nasbench1shot1` of space 2."""
    return nasbench1shot1(classes, channels, size, space=2, width=width, cells=cells)


class Vertex(nn.Module):
    """An operation on the sum of a cell's input, projected, and of other nodes: (B, width, H, W).

    `lives` and `projects` say whether it exists and whether it reads the input; a vertex that does
    not live is empty.
    """

    def __init__(
        self, inputs: int, width: Any, lives: Any, projects: Any, operation: Choice
    ) -> None:
        super().__init__()
        self.width, self.lives, self.projects, self.operation = width, lives, projects, operation
        self.project = conv_norm_act(inputs, width, act=nn.ReLU)
        self.apply_operation = _operation(width, operation)

    @property
    def gates(self) -> dict[str, Any]:
        """The projection and the operation, where they are needed."""
        return {"project": (self.projects, (True,)), "apply_operation": (self.lives, (True,))}

    def forward(self, x: Tensor | None, nodes: list[Tensor]) -> Tensor:
        """The cell's input, if it is read, and the other parents; of those wider than this node the
        first channels."""
        width = int(largest(self.width))
        total = None if x is None else self.project(x)
        for node in nodes:
            part = node[:, :width]
            total = part if total is None else total + part
        return self.apply_operation(total)


class Nasbench101Cell(nn.Module):
    """Four nodes, each an operation on the sum of its parents; those that the output reads are
    concatenated.

    (B, inputs, H, W) -> (B, outputs, H, W). The output's channels are divided among the nodes it
    reads, the others have as many as the widest node that reads them. What comes from the cell's
    input is projected by a 1 x 1 convolution; for the output the projection is added to the
    concatenation.
    """

    def __init__(self, inputs: int, outputs: int, choices: dict[str, Choice]) -> None:
        super().__init__()
        self.parents: list[Any] = [
            choices[f"node{n}.parents" if n < _OUTPUT else "output.parents"]
            for n in (2, 3, 4, _OUTPUT)
        ]
        for n in _INNER:
            width, lives, projects = (
                Derived(partial(fn, n), *self.parents)
                for fn in (partial(_width, outputs), _lives, _projects)
            )
            self.add_module(
                f"node{n}", Vertex(inputs, width, lives, projects, operation=choices[f"node{n}.op"])
            )
        self.reads = Derived(partial(_projects, _OUTPUT), *self.parents)
        self.project = conv_norm_act(inputs, outputs, act=nn.ReLU)

    @property
    def gates(self) -> dict[str, Any]:
        """The projection to the output, where that reads the input."""
        return {"project": (self.reads, (True,))}

    def extra_repr(self) -> str:
        """Who reads whom, which the nodes do not tell."""
        return f"parents={self.parents}"

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        rest = [p.options[-1] if isinstance(p, Choice) else p for p in self.parents]
        parents = dict(enumerate([(0,), *rest], start=1))
        made: dict[int, Tensor] = {}
        for n in live_nodes(_matrix(rest))[1:-1]:
            vertex = self._modules[f"node{n}"]
            assert vertex is not None
            made[n] = vertex(x if 0 in parents[n] else None, [made[m] for m in parents[n] if m])
        read = [made[n] for n in parents[_OUTPUT] if n]
        y = read[0] if len(read) == 1 else torch.cat(read, dim=1)
        return y + self.project(x) if 0 in parents[_OUTPUT] else y


def _operation(width: Any, choice: Choice) -> OneOf:
    pool, conv1, conv3 = NASBENCH101_OPS
    layers = {
        pool: nn.MaxPool2d(3, stride=1, padding=1),
        conv1: conv_norm_act(width, width, act=nn.ReLU),
        conv3: conv_norm_act(width, width, 3, act=nn.ReLU),
    }
    return OneOf(layers, choice=choice)


def _matrix(parents: Sequence[Parents]) -> list[list[int]]:
    """Adjacency of nodes 0 to 5 from the parents of nodes 2 to 5."""
    return [[int(a in p) for p in ((), (0,), *parents)] for a in range(_OUTPUT + 1)]


def _lives(node: int, *parents: Parents) -> bool:
    return node in live_nodes(_matrix(parents))


def _projects(node: int, *parents: Parents) -> bool:
    matrix = _matrix(parents)
    return bool(matrix[0][node]) and node in live_nodes(matrix)


def _width(outputs: int, node: int, *parents: Parents) -> int:
    """Channels of a node (Ying et al., section 2.2 and released code); 1 for one that does not
    exist."""
    matrix = _matrix(parents)
    live = live_nodes(matrix)[1:-1]
    read = [n for n in live if matrix[n][_OUTPUT]]
    share, rest = divmod(outputs, len(read))
    widths = {n: share + (i < rest) for i, n in enumerate(read)}
    for n in reversed(live):
        widths.setdefault(n, max((widths[m] for m in live if m > n and matrix[n][m]), default=0))
    return widths.get(node, 1)
