"""The ONNX nodes of functions and of a tensor's methods."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.nn import functional as F

from archsmith.graph.making import NodeWriter, Unwritten
from archsmith.graph.onnx_layers import POINTWISE

_BINARY = {
    operator.add: "Add",
    operator.iadd: "Add",
    torch.add: "Add",
    "add": "Add",
    "add_": "Add",
    operator.sub: "Sub",
    "sub": "Sub",
    operator.mul: "Mul",
    operator.imul: "Mul",
    torch.mul: "Mul",
    "mul": "Mul",
    "mul_": "Mul",
    operator.truediv: "Div",
    "div": "Div",
}
_UNARY = {
    F.relu: "ReLU",
    torch.relu: "ReLU",
    "relu": "ReLU",
    F.relu6: "ReLU6",
    F.hardswish: "Hardswish",
    F.silu: "SiLU",
    F.hardsigmoid: "Hardsigmoid",
    F.gelu: "GELU",
    torch.sigmoid: "Sigmoid",
    F.sigmoid: "Sigmoid",
    "sigmoid": "Sigmoid",
    torch.tanh: "Tanh",
    "tanh": "Tanh",
}


def function_node(writer: NodeWriter, node: fx.Node, values: Mapping[fx.Node, str]) -> str:
    """A function's or method's node; the first of the writers that knows the call as it is made."""
    call = _Call(node.target, node.name, tuple(node.args), kwargs=dict(node.kwargs), values=values)
    for form in (_binary, _unary, _flat, _joined, _whole, _flip, _parted, _mean):
        written = form(writer, call)
        if written is not None:
            return written
    raise Unwritten(f"{getattr(node.target, '__name__', node.target)} (node {node.name})")


@dataclass(frozen=True)
class _Call:
    """A call of a function or of a tensor's method: the tensor is its first argument."""

    target: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    values: Mapping[fx.Node, str]  # the names of the tensors that are there

    @property
    def tensor(self) -> fx.Node | None:
        """The first argument; None where it is no tensor."""
        return self.args[0] if self.args and isinstance(self.args[0], fx.Node) else None

    def given(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, by its place or by its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def just(self, name: str, value: Any) -> bool:
        """Whether this is the only argument after the tensor."""
        return (self.args[1:], self.kwargs) in (((value,), {}), ((), {name: value}))


def _binary(writer: NodeWriter, call: _Call) -> str | None:
    if call.target not in _BINARY or len(call.args) != 2 or call.kwargs:
        return None
    known = call.values
    operands = [
        known[a] if isinstance(a, fx.Node) and a in known else _number(writer, a, call.name)
        for a in call.args
    ]
    return writer.emit(_BINARY[call.target], operands, call.name)


def _unary(writer: NodeWriter, call: _Call) -> str | None:
    if (
        call.target not in _UNARY
        or call.tensor is None
        or len(call.args) != 1
        or not set(call.kwargs) <= {"inplace"}
    ):
        return None
    return POINTWISE[_UNARY[call.target]](writer, call.values[call.tensor], call.name)


def _flat(writer: NodeWriter, call: _Call) -> str | None:
    if (
        call.target not in (torch.flatten, "flatten")
        or call.tensor is None
        or not call.just("start_dim", 1)
    ):
        return None
    return writer.emit("Flatten", [call.values[call.tensor]], call.name, axis=1)


def _joined(writer: NodeWriter, call: _Call) -> str | None:
    parts = call.args[0] if call.args else None
    if call.target not in (torch.cat, torch.concat) or not isinstance(parts, tuple | list):
        return None
    if not all(isinstance(part, fx.Node) for part in parts):
        return None
    return writer.emit(
        "Concat", [call.values[part] for part in parts], call.name, axis=call.given(1, "dim", 0)
    )


def _whole(writer: NodeWriter, call: _Call) -> str | None:
    """`x.long()`: as whole numbers of 64 bits."""
    if call.target != "long" or call.tensor is None or len(call.args) != 1 or call.kwargs:
        return None
    return writer.emit("Cast", [call.values[call.tensor]], call.name, to=7)


def _flip(writer: NodeWriter, call: _Call) -> str | None:
    if call.target is not torch.flip or call.tensor is None:
        return None
    return _flipped(writer, call.values[call.tensor], call.given(1, "dims"), call.name)


def _parted(writer: NodeWriter, call: _Call) -> str | None:
    """`x.unflatten(0, (a, b))`: the batch as several."""
    if (
        call.target != "unflatten"
        or call.tensor is None
        or call.args[1:2] != (0,)
        or not isinstance(call.args[2], tuple)
    ):
        return None
    form = np.asarray((*call.args[2], *call.tensor.meta["shape"][1:]), np.int64)
    return writer.emit(
        "Reshape", [call.values[call.tensor], writer.constant(f"{call.name}.form", form)], call.name
    )


def _mean(writer: NodeWriter, call: _Call) -> str | None:
    """Over the batch, or over height and width."""
    if (
        call.target not in ("mean", torch.mean)
        or call.tensor is None
        or not set(call.kwargs) <= {"dim", "keepdim"}
    ):
        return None
    x = call.values[call.tensor]
    if call.just("dim", 0):
        first = writer.constant(f"{call.name}.axes", np.asarray([0], np.int64))
        return writer.emit("ReduceMean", [x, first], call.name, keepdims=0)
    axes = call.given(1, "dim")
    spatial = (
        len(call.tensor.meta["shape"]) == 4
        and isinstance(axes, tuple | list)
        and sorted(a % 4 for a in axes) == [2, 3]
    )
    if not spatial:
        return None
    pooled = writer.emit("GlobalAveragePool", [x], f"{call.name}.pooled")
    return (
        pooled
        if call.given(2, "keepdim", False)
        else writer.emit("Flatten", [pooled], call.name, axis=1)
    )


def _flipped(writer: NodeWriter, x: str, axes: Any, name: str) -> str:
    """Every entry along those axes in the opposite order."""
    least = np.iinfo(np.int64).min + 1
    count = len(axes)
    parts = {
        "starts": [-1] * count,
        "ends": [least] * count,
        "axes": list(axes),
        "steps": [-1] * count,
    }
    inputs = [
        writer.constant(f"{name}.{part}", np.asarray(values, np.int64))
        for part, values in parts.items()
    ]
    return writer.emit("Slice", [x, *inputs], name)


def _number(writer: NodeWriter, value: Any, name: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return writer.scalar(float(value))
    raise Unwritten(f"operand {value!r} of {name}")
