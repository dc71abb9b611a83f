"""The nodes of an ONNX graph in the making: one a layer, a function or a method of a plain network
of stock layers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

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


def write_node(
    writer: NodeWriter, network: nn.Module, node: fx.Node, values: Mapping[fx.Node, str]
) -> str:
    """Writes what a node of the traced graph computes; gives the name of its value. Raises
    Unwritten for what is not known."""
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        handler = _LAYERS.get(type(module))
        if handler is None:
            raise Unwritten(f"nn.{type(module).__name__} at '{node.target}'")
        source = node.args[0]
        if len(node.args) != 1 or node.kwargs or not isinstance(source, fx.Node):
            raise Unwritten(f"the call of '{node.target}' with more than one input")
        return handler(
            writer,
            module,
            values[source],
            _Place(str(node.target), node.name, source.meta["shape"]),
        )
    if node.op in ("call_function", "call_method"):
        return _function(writer, node, values)
    raise Unwritten(f"{node.op} of '{node.target}'")


@dataclass(frozen=True)
class _Place:
    """Where a layer is called: its path (names its tensors), the value's name, the input's
    shape."""

    path: str
    name: str
    shape: tuple[int, ...]


_Layer = Callable[[NodeWriter, Any, str, _Place], str]


def _conv(writer: NodeWriter, layer: nn.Conv2d, x: str, place: _Place) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise Unwritten(f"padding {layer.padding!r}, {layer.padding_mode} of '{place.path}'")
    inputs = [x, writer.tensor(f"{place.path}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.tensor(f"{place.path}.bias", layer.bias))
    return writer.emit(
        "Conv",
        inputs,
        place.name,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=[*layer.padding] * 2,
        dilations=layer.dilation,
        group=layer.groups,
    )


def _conv_transpose(writer: NodeWriter, layer: nn.ConvTranspose2d, x: str, place: _Place) -> str:
    inputs = [x, writer.tensor(f"{place.path}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.tensor(f"{place.path}.bias", layer.bias))
    return writer.emit(
        "ConvTranspose",
        inputs,
        place.name,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=[*layer.padding] * 2,
        output_padding=layer.output_padding,
        dilations=layer.dilation,
        group=layer.groups,
    )


def _batch_norm(writer: NodeWriter, layer: nn.BatchNorm2d, x: str, place: _Place) -> str:
    if layer.running_mean is None or layer.running_var is None:
        raise Unwritten(f"batch statistics of '{place.path}'")
    width = len(layer.running_mean)
    affine = {
        "weight": (layer.weight, np.ones(width, np.float32)),
        "bias": (layer.bias, np.zeros(width, np.float32)),
    }
    inputs = [x]
    for name, (tensor, default) in affine.items():
        full = f"{place.path}.{name}"
        inputs.append(
            writer.constant(full, default) if tensor is None else writer.tensor(full, tensor)
        )
    inputs += [
        writer.tensor(f"{place.path}.{n}", layer._buffers[n])  # type: ignore[arg-type]
        for n in ("running_mean", "running_var")
    ]
    return writer.emit("BatchNormalization", inputs, place.name, epsilon=layer.eps)


def _linear(writer: NodeWriter, layer: nn.Linear, x: str, place: _Place) -> str:
    weight = writer.tensor(f"{place.path}.weight", layer.weight)
    bias = [] if layer.bias is None else [writer.tensor(f"{place.path}.bias", layer.bias)]
    if len(place.shape) == 2:
        return writer.emit("Gemm", [x, weight, *bias], place.name, transB=1)
    turned = writer.emit("Transpose", [weight], f"{place.name}.turned", perm=[1, 0])
    product = writer.emit("MatMul", [x, turned], f"{place.name}.product" if bias else place.name)
    return writer.emit("Add", [product, *bias], place.name) if bias else product


def _layer_norm(writer: NodeWriter, layer: nn.LayerNorm, x: str, place: _Place) -> str:
    if layer.weight is None:
        raise Unwritten(f"LayerNorm without weights at '{place.path}'")
    inputs = [x, writer.tensor(f"{place.path}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.tensor(f"{place.path}.bias", layer.bias))
    return writer.emit(
        "LayerNormalization",
        inputs,
        place.name,
        axis=-len(layer.normalized_shape),
        epsilon=layer.eps,
    )


def _group_norm(writer: NodeWriter, layer: nn.GroupNorm, x: str, place: _Place) -> str:
    """Each group as one channel of an InstanceNormalization: GroupNormalization scales by group
    before opset 21."""
    groups, (channels, *rest) = layer.num_groups, place.shape[1:]
    # 0: the batch, as it is
    form = writer.constant(f"{place.path}.groups", np.asarray([0, groups, -1], np.int64))
    apart = writer.emit("Reshape", [x, form], f"{place.name}.apart")
    unit = [
        writer.constant(f"{place.path}.{n}", v(groups, np.float32))
        for n, v in (("ones", np.ones), ("zeros", np.zeros))
    ]
    normed = writer.emit(
        "InstanceNormalization", [apart, *unit], f"{place.name}.normed", epsilon=layer.eps
    )
    back = writer.constant(f"{place.path}.shape", np.asarray([0, channels, *rest], np.int64))
    result = writer.emit(
        "Reshape", [normed, back], place.name if layer.weight is None else f"{place.name}.together"
    )
    if layer.weight is None:
        return result
    by_channel = (-1, *(1,) * len(rest))
    scale = writer.tensor(f"{place.path}.weight", layer.weight.reshape(by_channel))
    scaled = writer.emit(
        "Mul", [result, scale], place.name if layer.bias is None else f"{place.name}.scaled"
    )
    if layer.bias is None:
        return scaled
    return writer.emit(
        "Add",
        [scaled, writer.tensor(f"{place.path}.bias", layer.bias.reshape(by_channel))],
        place.name,
    )


def _embedding(writer: NodeWriter, layer: nn.Embedding, x: str, place: _Place) -> str:
    if layer.max_norm is not None:
        raise Unwritten(f"Embedding with max_norm at '{place.path}'")
    return writer.emit(
        "Gather", [writer.tensor(f"{place.path}.weight", layer.weight), x], place.name, axis=0
    )


def _adaptive_pool(
    writer: NodeWriter, layer: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d, x: str, place: _Place
) -> str:
    largest = isinstance(layer, nn.AdaptiveMaxPool2d)
    if layer.output_size not in (1, (1, 1)) or (largest and layer.return_indices):
        raise Unwritten(f"{type(layer).__name__}({layer.output_size}) at '{place.path}'")
    return writer.emit("GlobalMaxPool" if largest else "GlobalAveragePool", [x], place.name)


def _pad(writer: NodeWriter, layer: nn.ZeroPad2d, x: str, place: _Place) -> str:
    left, right, top, bottom = layer.padding
    pads = writer.constant(
        f"{place.path}.pads", np.asarray([0, 0, top, left, 0, 0, bottom, right], np.int64)
    )
    return writer.emit("Pad", [x, pads], place.name)


def _pool(writer: NodeWriter, layer: nn.MaxPool2d | nn.AvgPool2d, x: str, place: _Place) -> str:
    kernel, stride, padding = (
        list(v) if isinstance(v, tuple) else [v, v]
        for v in (layer.kernel_size, layer.stride, layer.padding)
    )
    common = {
        "kernel_shape": kernel,
        "strides": stride,
        "pads": padding * 2,
        "ceil_mode": int(layer.ceil_mode),
    }
    if isinstance(layer, nn.MaxPool2d):
        if layer.return_indices or layer.dilation not in (1, (1, 1)):
            raise Unwritten(f"MaxPool2d with indices or dilation at '{place.path}'")
        return writer.emit("MaxPool", [x], place.name, **common)
    if layer.divisor_override is not None or layer.ceil_mode:
        raise Unwritten(f"AvgPool2d with divisor_override or ceil_mode at '{place.path}'")
    return writer.emit(
        "AveragePool", [x], place.name, count_include_pad=int(layer.count_include_pad), **common
    )


def _flatten(writer: NodeWriter, layer: nn.Flatten, x: str, place: _Place) -> str:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise Unwritten(f"Flatten({layer.start_dim}, {layer.end_dim}) at '{place.path}'")
    return writer.emit("Flatten", [x], place.name, axis=1)


def _unflatten(writer: NodeWriter, layer: nn.Unflatten, x: str, place: _Place) -> str:
    if layer.dim != 1 or len(place.shape) != 2:
        raise Unwritten(f"Unflatten of dimension {layer.dim} at '{place.path}'")
    # 0: the batch, as it is
    form = np.array([0, *(int(n) for n in layer.unflattened_size)], np.int64)
    return writer.emit("Reshape", [x, writer.constant(f"{place.path}.shape", form)], place.name)


def _upsample(writer: NodeWriter, layer: nn.Upsample, x: str, place: _Place) -> str:
    if layer.mode != "nearest" or layer.size is None:
        raise Unwritten(f"Upsample by {layer.scale_factor}, {layer.mode} at '{place.path}'")
    sides = [layer.size] * 2 if isinstance(layer.size, int) else list(layer.size)
    factors = np.array(
        [1, 1, *(side / old for side, old in zip(sides, place.shape[2:], strict=True))], np.float32
    )
    if any(
        int(old * factor) != side
        for old, factor, side in zip(place.shape[2:], factors[2:], sides, strict=True)
    ):
        raise Unwritten(f"Upsample from {place.shape[2:]} to {sides} at '{place.path}'")
    inputs = [x, "", writer.constant(f"{place.path}.factors", factors)]
    return writer.emit(
        "Resize",
        inputs,
        place.name,
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )


def _relu6(writer: NodeWriter, x: str, name: str) -> str:
    return writer.emit("Clip", [x, writer.scalar(0), writer.scalar(6)], name)


def _hardsigmoid(writer: NodeWriter, x: str, name: str) -> str:
    return writer.emit("HardSigmoid", [x], name, alpha=1 / 6, beta=0.5)


def _silu(writer: NodeWriter, x: str, name: str) -> str:
    return writer.emit("Mul", [x, writer.emit("Sigmoid", [x], f"{name}.sigmoid")], name)


def _gelu(writer: NodeWriter, x: str, name: str) -> str:
    """x/2 (1 + erf(x / sqrt 2)), in the form that ONNX Runtime fuses; the operator itself needs
    opset 20."""
    error = writer.emit(
        "Erf",
        [writer.emit("Div", [x, writer.scalar(math.sqrt(2))], f"{name}.scaled")],
        f"{name}.erf",
    )
    weight = writer.emit(
        "Mul",
        [x, writer.emit("Add", [error, writer.scalar(1)], f"{name}.shifted")],
        f"{name}.product",
    )
    return writer.emit("Mul", [weight, writer.scalar(0.5)], name)


def _plain(kind: str) -> Callable[[NodeWriter, str, str], str]:
    return lambda writer, x, name: writer.emit(kind, [x], name)


_POINTWISE: dict[str, Callable[[NodeWriter, str, str], str]] = {
    "ReLU": _plain("Relu"),
    "ReLU6": _relu6,
    "Hardswish": _plain("HardSwish"),
    "Hardsigmoid": _hardsigmoid,
    "SiLU": _silu,
    "GELU": _gelu,
    "Sigmoid": _plain("Sigmoid"),
    "Tanh": _plain("Tanh"),
}


def _pointwise(kind: str) -> _Layer:
    def layer(writer: NodeWriter, module: nn.Module, x: str, place: _Place) -> str:
        if getattr(module, "approximate", "none") != "none":
            raise Unwritten(f"the approximate GELU at '{place.path}'")
        return _POINTWISE[kind](writer, x, place.name)

    return layer


def _same(writer: NodeWriter, layer: nn.Module, x: str, place: _Place) -> str:
    return x


_LAYERS: dict[type[nn.Module], _Layer] = {
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv_transpose,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.Linear: _linear,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.Embedding: _embedding,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.AdaptiveMaxPool2d: _adaptive_pool,
    nn.ZeroPad2d: _pad,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Upsample: _upsample,
    nn.Identity: _same,
    nn.Dropout: _same,
    nn.Dropout2d: _same,
    **{getattr(nn, kind): _pointwise(kind) for kind in _POINTWISE},
}

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


def _function(writer: NodeWriter, node: fx.Node, values: Mapping[fx.Node, str]) -> str:
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
    return _POINTWISE[_UNARY[call.target]](writer, call.values[call.tensor], call.name)


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
