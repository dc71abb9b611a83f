"""The ONNX nodes of what moves, cuts and repeats the entries of a tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from archsmith.graph.making import Call, NodeWriter, Unwritten
from archsmith.graph.trace import TRACED

_IMAGES = "images"  # the graph's input: its first dimension is the batch
_FIRST = np.iinfo(np.int64).min + 1  # backwards, up to the first entry


def _whole_numbers(writer: NodeWriter, name: str, numbers: Sequence[int]) -> str:
    return writer.constant(name, np.asarray(numbers, np.int64))


def _reshape(writer: NodeWriter, call: Call) -> str | None:
    """flatten, unflatten, reshape and view."""
    names = (torch.flatten, "flatten", "unflatten", "reshape", torch.reshape, "view")
    if call.target not in names or call.tensor is None:
        return None
    shape, result = call.shape, call.result
    if call.target in ("reshape", torch.reshape, "view"):
        sides = call.given(1, "shape")
        sides = sides if isinstance(sides, tuple | list) else call.args[1:]
        if any(isinstance(side, fx.Node) for side in sides[1:]):
            return None
        kept = _is_batch(sides[0])
        if not (kept or sides[0] == -1):
            return None  # a number of images that is written out
    else:
        dims = [*call.args[1:2], *(v for k, v in call.kwargs.items() if k in ("start_dim", "dim"))]
        first = dims[0] if dims else 0
        if not isinstance(first, int):
            return None
        kept = first % len(shape) > 0
        if call.target == "unflatten" and not kept:  # the batch as several
            return _reshaped(writer, call, [*call.args[2], *shape[1:]])
    if kept and result[1:] == (int(np.prod(shape[1:])),):
        return writer.emit("Flatten", [call.value(call.tensor)], call.name, axis=1)
    return _reshaped(writer, call, [0 if kept else -1, *result[1:]])


def _reshaped(writer: NodeWriter, call: Call, form: Sequence[Any]) -> str:
    """0: the batch, as it is; -1: as much as is left."""
    if not all(isinstance(side, int) for side in form):
        raise Unwritten(f"the form {form} of {call.name}")
    form_name = _whole_numbers(writer, f"{call.name}.form", form)
    return writer.emit("Reshape", [call.value(call.tensor), form_name], call.name)


def _turned(writer: NodeWriter, call: Call) -> str | None:
    """transpose and permute."""
    if call.tensor is None:
        return None
    rank = len(call.shape)
    if call.target in (torch.transpose, "transpose"):
        first, second = (call.given(place, f"dim{place - 1}") % rank for place in (1, 2))
        order = list(range(rank))
        order[first], order[second] = second, first
    elif call.target in (torch.permute, "permute"):
        dims = call.given(1, "dims")
        order = [d % rank for d in (dims if isinstance(dims, tuple | list) else call.args[1:])]
    else:
        return None
    return writer.emit("Transpose", [call.value(call.tensor)], call.name, perm=order)


def _part(writer: NodeWriter, call: Call) -> str | None:
    """`x[:, 1:, ::2]`, `x[:, 0]`: slices and numbers, of the dimensions after the batch."""
    if call.target is not operator.getitem or call.tensor is None:
        return None
    asked = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if not all(isinstance(one, int | slice) for one in asked) or asked[0] != slice(None):
        return None
    parts: dict[int, tuple[int, int, int]] = {}
    for axis, one in enumerate(asked):
        if isinstance(one, int):
            place = one % call.shape[axis]
            parts[axis] = place, place + 1, 1
        elif one != slice(None):
            if any(isinstance(end, fx.Node) for end in (one.start, one.stop, one.step)):
                return None
            parts[axis] = one.indices(call.shape[axis])
    gone = [axis for axis, one in enumerate(asked) if isinstance(one, int)]
    x = call.value(call.tensor)
    cut = _sliced(writer, x, parts, f"{call.name}.cut" if gone else call.name) if parts else x
    if not gone:
        return cut
    axes = _whole_numbers(writer, f"{call.name}.gone", gone)
    return writer.emit("Squeeze", [cut, axes], call.name)


def _sliced(writer: NodeWriter, x: str, parts: dict[int, tuple[int, int, int]], name: str) -> str:
    """Axis -> from, to, by so many."""
    rows = {
        "starts": [start for start, _, _ in parts.values()],
        "ends": [end for _, end, _ in parts.values()],
        "axes": list(parts),
        "steps": [step for _, _, step in parts.values()],
    }
    inputs = [_whole_numbers(writer, f"{name}.{row}", numbers) for row, numbers in rows.items()]
    return writer.emit("Slice", [x, *inputs], name)


def _flip(writer: NodeWriter, call: Call) -> str | None:
    """Every entry along those axes in the opposite order."""
    if call.target not in (torch.flip, "flip") or call.tensor is None:
        return None
    dims = call.given(1, "dims")
    dims = dims if isinstance(dims, tuple | list) else call.args[1:]
    back = {axis: (-1, _FIRST, -1) for axis in dims}
    return _sliced(writer, call.value(call.tensor), back, call.name)


def _repeat(writer: NodeWriter, call: Call) -> str | None:
    """`x.repeat(1, 2, 1, 1)`, `x.expand(-1, 8, -1)`, `x.expand(len(images), -1, -1)`."""
    if call.target not in ("repeat", "expand") or call.tensor is None or call.kwargs:
        return None
    sizes = call.args[1] if isinstance(call.args[1], tuple | list) else call.args[1:]
    x = call.value(call.tensor)
    if call.target == "repeat":
        if not all(isinstance(size, int) for size in sizes) or len(sizes) != len(call.shape):
            return None
        times = _whole_numbers(writer, f"{call.name}.times", sizes)
        return writer.emit("Tile", [x, times], call.name)
    if len(sizes) != len(call.shape) or not all(isinstance(size, int) for size in sizes[1:]):
        return None
    rest = _whole_numbers(writer, f"{call.name}.rest", call.result[1:])
    if isinstance(sizes[0], int):
        if sizes[0] not in (-1, 1):
            return None
        first = _whole_numbers(writer, f"{call.name}.one", [1])
    else:
        if not _is_batch(sizes[0]):
            return None
        first = _batch(writer, call.name)
    form = writer.emit("Concat", [first, rest], f"{call.name}.form", axis=0)
    return writer.emit("Expand", [x, form], call.name)


def _is_batch(node: Any) -> bool:
    """Whether it is `x.shape[0]` or `x.size(0)` of a tensor whose first dimension is the batch."""
    if not isinstance(node, fx.Node) or node.meta["value"] != TRACED:
        return False
    if node.target == "size" and node.args[1:] == (0,):
        return True
    if node.target is not operator.getitem or node.args[1:] != (0,):
        return False
    shape = node.args[0]
    return isinstance(shape, fx.Node) and (
        (shape.target is getattr and shape.args[1:] == ("shape",))
        or (shape.target == "size" and len(shape.args) == 1)
    )


def _batch(writer: NodeWriter, name: str) -> str:
    shape = writer.emit("Shape", [_IMAGES], f"{name}.shape")
    return _sliced(writer, shape, {0: (0, 1, 1)}, f"{name}.batch")


def _zeros(writer: NodeWriter, call: Call) -> str | None:
    if call.target is not torch.zeros_like or call.tensor is None or len(call.args) > 1:
        return None
    from onnx import helper

    shape = writer.emit("Shape", [call.value(call.tensor)], f"{call.name}.shape")
    zero = helper.make_tensor(f"{call.name}.zero", 1, [1], [0.0])
    return writer.emit("ConstantOfShape", [shape], call.name, value=zero)


SHAPES: tuple[Callable[[NodeWriter, Call], str | None], ...] = (
    _reshape,
    _turned,
    _part,
    _flip,
    _repeat,
    _zeros,
)
