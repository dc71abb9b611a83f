"""Puts the way a picture becomes square before an ONNX model, so that the file takes pictures of
any size.

The filter is the one of `data.decode.square`: pillow's bilinear, which averages over areas when it
shrinks. It is written as two products with matrices that the file computes from the size of the
picture (rows of triangles, `1 - |distance| / reach`), so it needs nothing but plain operators,
which every runtime has.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archsmith.data.decode import FITS, PAD

PICTURES = "pictures"  # the input: uint8 (batch, channels, height, width)
_FLOAT, _UINT8, _DOUBLE = 1, 2, 11  # of onnx.TensorProto


class _Graph:
    """Nodes and constants before the model's own; every name begins with `fit.`, which no layer's
    does."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def emit(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"fit.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: float | int | list[int], kind: type = np.float64) -> str:
        name = f"fit.{kind.__name__}.{value}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def side(self, axis: int) -> str:
        """Length of the pictures' axis, float64."""
        whole = self.emit("Gather", self.emit("Shape", PICTURES), self.constant(axis, np.int64))
        return self.emit("Cast", whole, to=_DOUBLE)

    def count(self, stop: str) -> str:
        """0, 1, ... below `stop`."""
        return self.emit("Range", self.constant(0.0), stop, self.constant(1.0))


def with_fit(data: bytes, fit: str) -> bytes:
    """The ONNX model of `data` (input uint8 (N, C, S, S)) for pictures of any height and width,
    each batch of one size.

    fit: as `Preprocessing.fit`. Pixels differ from `data.decode.square` by one of 255 at most,
    where sums round otherwise, and not at all for pictures of S x S. Raises ValueError for another
    fit.
    """
    import onnx
    from onnx import helper, numpy_helper

    if fit not in FITS:
        raise ValueError(f"fit {fit!r} is not one of {', '.join(FITS)}")
    model = onnx.load_from_string(data)
    (given,) = model.graph.input
    batch, channels, size, _ = given.type.tensor_type.shape.dim
    writer = _Graph()
    square = _squared(writer, fit, size.dim_value)
    writer.nodes.append(
        helper.make_node("Cast", [square], [given.name], name="fit.bytes", to=_UINT8)
    )
    shape = [batch.dim_param or batch.dim_value, channels.dim_value, "height", "width"]
    own = [*model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend([*writer.nodes, *own])
    model.graph.input.append(helper.make_tensor_value_info(PICTURES, _UINT8, shape))
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in writer.constants.items()
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _squared(writer: _Graph, fit: str, size: int) -> str:
    """The pictures as whole numbers in float32, (N, C, size, size)."""
    height, width = writer.side(2), writer.side(3)
    longer, shorter = writer.emit("Max", height, width), writer.emit("Min", height, width)
    rows, within_rows = _axis(writer, fit, size, (height, longer, shorter))
    columns, within_columns = _axis(writer, fit, size, (width, longer, shorter))
    pixels = writer.emit("Cast", PICTURES, to=_FLOAT)
    across = _rounded(
        writer, writer.emit("MatMul", pixels, writer.emit("Transpose", columns, perm=[1, 0]))
    )
    whole = _rounded(writer, writer.emit("MatMul", rows, across))
    if fit != "pad":
        return whole
    # 1 there, 0 at the bars
    picture = writer.emit("Mul", within_rows, writer.emit("Transpose", within_columns, perm=[1, 0]))
    bars = writer.emit(
        "Mul",
        writer.emit("Sub", writer.constant(1, np.float32), picture),
        writer.constant(PAD, np.float32),
    )
    return writer.emit("Add", whole, bars)


def _rounded(writer: _Graph, values: str) -> str:
    return writer.emit("Floor", writer.emit("Add", values, writer.constant(0.5, np.float32)))


def _axis(writer: _Graph, fit: str, size: int, sides: tuple[str, str, str]) -> tuple[str, str]:
    """(size, side) weights of the pixels along one axis, and (size, 1) whether there is picture:
    both float32.

    sides: of this axis, of the longer, of the shorter one.
    """
    side, longer, shorter = sides
    zero, one, half = (writer.constant(v) for v in (0.0, 1.0, 0.5))
    wanted = writer.constant(float(size))
    start, length, inner, before = zero, side, wanted, zero
    if fit == "crop":
        start, length = writer.emit("Mul", writer.emit("Sub", side, shorter), half), shorter
    if fit == "pad":
        scaled = writer.emit("Div", writer.emit("Mul", side, wanted), longer)
        inner = writer.emit("Max", one, writer.emit("Round", scaled))
        before = writer.emit("Floor", writer.emit("Mul", writer.emit("Sub", wanted, inner), half))
    scale = writer.emit("Div", length, inner)
    reach = writer.emit("Max", scale, one)
    # middles, in pixels of the result
    place = writer.emit("Sub", writer.emit("Add", writer.count(wanted), half), before)
    center = writer.emit("Add", start, writer.emit("Mul", place, scale))
    column = writer.emit("Unsqueeze", center, writer.constant([1], np.int64))
    pixels = writer.emit(
        "Unsqueeze", writer.emit("Add", writer.count(side), half), writer.constant([0], np.int64)
    )
    distance = writer.emit("Abs", writer.emit("Sub", pixels, column))
    weights = writer.emit("Max", zero, writer.emit("Sub", one, writer.emit("Div", distance, reach)))
    total = writer.emit("ReduceSum", weights, writer.constant([1], np.int64), keepdims=1)
    inside = writer.emit(
        "And", writer.emit("Greater", place, zero), writer.emit("Less", place, inner)
    )
    within = writer.emit(
        "Unsqueeze", writer.emit("Cast", inside, to=_DOUBLE), writer.constant([1], np.int64)
    )
    weights = writer.emit(
        "Mul", within, writer.emit("Div", weights, writer.emit("Max", total, writer.constant(1e-9)))
    )
    return writer.emit("Cast", weights, to=_FLOAT), writer.emit("Cast", within, to=_FLOAT)
