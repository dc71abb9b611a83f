"""ONNX nodes and constants in the making."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

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
