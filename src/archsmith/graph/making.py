"""ONNX nodes and constants in the making."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, fx

from archsmith.errors import ArchsmithError


class Unwritten(ArchsmithError):
    """The network holds something that this writer does not know."""


@dataclass
class NodeWriter:
    """ONNX nodes and constants in the making; `emit` returns the name of the new value."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def emit(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def scalar(self, value: float) -> str:
        return self.constant(f"const_{value!r}", np.float32(value))

    def tensor(self, name: str, tensor: Tensor) -> str:
        """The tensor's values; for one on `meta` made-up ones of a sensible size, since timing does
        not ask for more."""
        if name in self.constants:
            return name
        if not tensor.is_meta:
            return self.constant(name, tensor.detach().cpu().float().numpy())
        if name.endswith("running_var"):
            return self.constant(name, np.ones(tensor.shape, np.float32))
        scale = 1 / math.sqrt(max(1, math.prod(tensor.shape[1:])))
        return self.constant(
            name, (self.noise.standard_normal(tensor.shape) * scale).astype(np.float32)
        )


@dataclass(frozen=True)
class Call:
    """A call of a function or of a tensor's method: the tensor is its first argument."""

    node: fx.Node
    values: Mapping[fx.Node, str]  # the names of the tensors that are there

    @property
    def target(self) -> Any:
        """The function, or the method's name."""
        return self.node.target

    @property
    def name(self) -> str:
        """Of its value."""
        return self.node.name

    @property
    def args(self) -> tuple[Any, ...]:
        """By their places."""
        return tuple(self.node.args)

    @property
    def kwargs(self) -> dict[str, Any]:
        """By their names."""
        return dict(self.node.kwargs)

    @property
    def tensor(self) -> fx.Node | None:
        """The first argument; None where it is no tensor."""
        first = self.args[0] if self.args else None
        return first if isinstance(first, fx.Node) and first in self.values else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of that tensor."""
        assert self.tensor is not None
        return self.tensor.meta["shape"]

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of what comes out."""
        return self.node.meta["shape"]

    def value(self, node: Any) -> str:
        """The name of a tensor; Unwritten where it is none."""
        if not isinstance(node, fx.Node) or node not in self.values:
            raise Unwritten(f"operand {node!r} of {self.name}")
        return self.values[node]

    def given(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, by its place or by its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def just(self, name: str, value: Any) -> bool:
        """Whether this is the only argument after the tensor."""
        return (self.args[1:], self.kwargs) in (((value,), {}), ((), {name: value}))
