"""The ONNX nodes of functions and of a tensor's methods."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.nn import functional as F

from archsmith.graph.making import Call, NodeWriter, Unwritten
from archsmith.graph.onnx_layers import POINTWISE
from archsmith.graph.onnx_shapes import SHAPES

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
    torch.matmul: "MatMul",
    operator.matmul: "MatMul",
    "matmul": "MatMul",
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
    call = Call(node, values)
    for form in (_binary, _unary, _joined, _whole, _mean, _softmax, _attention, _einsum, *SHAPES):
        written = form(writer, call)
        if written is not None:
            return written
    raise Unwritten(f"{getattr(node.target, '__name__', node.target)} (node {node.name})")


def _binary(writer: NodeWriter, call: Call) -> str | None:
    if call.target not in _BINARY or len(call.args) != 2 or call.kwargs:
        return None
    operands = [
        call.value(a) if isinstance(a, fx.Node) else _number(writer, a, call.name)
        for a in call.args
    ]
    return writer.emit(_BINARY[call.target], operands, call.name)


def _unary(writer: NodeWriter, call: Call) -> str | None:
    if (
        call.target not in _UNARY
        or call.tensor is None
        or len(call.args) != 1
        or not set(call.kwargs) <= {"inplace"}
    ):
        return None
    return POINTWISE[_UNARY[call.target]](writer, call.value(call.tensor), call.name)


def _joined(writer: NodeWriter, call: Call) -> str | None:
    parts = call.args[0] if call.args else None
    if call.target not in (torch.cat, torch.concat) or not isinstance(parts, tuple | list):
        return None
    if not all(isinstance(part, fx.Node) for part in parts):
        return None
    return writer.emit(
        "Concat", [call.value(part) for part in parts], call.name, axis=call.given(1, "dim", 0)
    )


def _whole(writer: NodeWriter, call: Call) -> str | None:
    """`x.long()`: as whole numbers of 64 bits."""
    if call.target != "long" or call.tensor is None or len(call.args) != 1 or call.kwargs:
        return None
    return writer.emit("Cast", [call.value(call.tensor)], call.name, to=7)


def _mean(writer: NodeWriter, call: Call) -> str | None:
    """Over the batch, or over any other dimensions."""
    if (
        call.target not in ("mean", torch.mean)
        or call.tensor is None
        or not set(call.kwargs) <= {"dim", "keepdim"}
    ):
        return None
    axes, kept = call.given(1, "dim"), call.given(2, "keepdim", False)
    axes = [axes] if isinstance(axes, int) else axes
    if not isinstance(axes, tuple | list) or not all(isinstance(axis, int) for axis in axes):
        return None
    x, rank = call.value(call.tensor), len(call.shape)
    axes = sorted(axis % rank for axis in axes)
    if rank == 4 and axes == [2, 3]:
        pooled = writer.emit("GlobalAveragePool", [x], f"{call.name}.pooled")
        return pooled if kept else writer.emit("Flatten", [pooled], call.name, axis=1)
    given = writer.constant(f"{call.name}.axes", np.asarray(axes, np.int64))
    return writer.emit("ReduceMean", [x, given], call.name, keepdims=int(kept))


def _softmax(writer: NodeWriter, call: Call) -> str | None:
    axis = call.given(1, "dim")
    if call.target not in (torch.softmax, F.softmax, "softmax") or call.tensor is None:
        return None
    if not isinstance(axis, int) or not set(call.kwargs) <= {"dim"} or len(call.args) > 2:
        return None
    return writer.emit("Softmax", [call.value(call.tensor)], call.name, axis=axis)


def _attention(writer: NodeWriter, call: Call) -> str | None:
    """softmax(q k / sqrt(d)) v, without a mask."""
    if call.target is not F.scaled_dot_product_attention or len(call.args) != 3 or call.kwargs:
        return None
    query, key, value = (call.value(part) for part in call.args)
    rank, width = len(call.shape), call.shape[-1]
    order = [*range(rank - 2), rank - 1, rank - 2]
    scaled = writer.emit("Mul", [query, writer.scalar(width**-0.5)], f"{call.name}.scaled")
    turned = writer.emit("Transpose", [key], f"{call.name}.turned", perm=order)
    scores = writer.emit("MatMul", [scaled, turned], f"{call.name}.scores")
    weights = writer.emit("Softmax", [scores], f"{call.name}.weights", axis=-1)
    return writer.emit("MatMul", [weights, value], call.name)


def _einsum(writer: NodeWriter, call: Call) -> str | None:
    if call.target is not torch.einsum or call.kwargs or not isinstance(call.args[0], str):
        return None
    parts: Any = call.args[1:]
    parts = parts[0] if len(parts) == 1 and isinstance(parts[0], tuple | list) else parts
    equation = call.args[0].replace(" ", "")
    return writer.emit("Einsum", [call.value(part) for part in parts], call.name, equation=equation)


def _number(writer: NodeWriter, value: Any, name: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return writer.scalar(float(value))
    raise Unwritten(f"operand {value!r} of {name}")
