"""The ONNX nodes of torch's layers, by their class."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from archsmith.graph.making import NodeWriter, Unwritten


@dataclass(frozen=True)
class Place:
    """Where a layer is called: its path (names its tensors), the value's name, the input's
    shape."""

    path: str
    name: str
    shape: tuple[int, ...]


_Layer = Callable[[NodeWriter, Any, str, Place], str]


def _inputs(writer: NodeWriter, layer: Any, x: str, place: Place) -> list[str]:
    """What a layer reads: the map, its weight and, where it has one, its bias."""
    inputs = [x, writer.tensor(f"{place.path}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.tensor(f"{place.path}.bias", layer.bias))
    return inputs


def _conv(writer: NodeWriter, layer: nn.Conv2d, x: str, place: Place) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise Unwritten(f"padding {layer.padding!r}, {layer.padding_mode} of '{place.path}'")
    inputs = _inputs(writer, layer, x, place)
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


def _conv_transpose(writer: NodeWriter, layer: nn.ConvTranspose2d, x: str, place: Place) -> str:
    inputs = _inputs(writer, layer, x, place)
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


def _batch_norm(writer: NodeWriter, layer: nn.BatchNorm2d, x: str, place: Place) -> str:
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


def _linear(writer: NodeWriter, layer: nn.Linear, x: str, place: Place) -> str:
    weight = writer.tensor(f"{place.path}.weight", layer.weight)
    bias = [] if layer.bias is None else [writer.tensor(f"{place.path}.bias", layer.bias)]
    if len(place.shape) == 2:
        return writer.emit("Gemm", [x, weight, *bias], place.name, transB=1)
    turned = writer.emit("Transpose", [weight], f"{place.name}.turned", perm=[1, 0])
    product = writer.emit("MatMul", [x, turned], f"{place.name}.product" if bias else place.name)
    return writer.emit("Add", [product, *bias], place.name) if bias else product


def _layer_norm(writer: NodeWriter, layer: nn.LayerNorm, x: str, place: Place) -> str:
    if layer.weight is None:
        raise Unwritten(f"LayerNorm without weights at '{place.path}'")
    inputs = _inputs(writer, layer, x, place)
    return writer.emit(
        "LayerNormalization",
        inputs,
        place.name,
        axis=-len(layer.normalized_shape),
        epsilon=layer.eps,
    )


def _group_norm(writer: NodeWriter, layer: nn.GroupNorm, x: str, place: Place) -> str:
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


def _embedding(writer: NodeWriter, layer: nn.Embedding, x: str, place: Place) -> str:
    if layer.max_norm is not None:
        raise Unwritten(f"Embedding with max_norm at '{place.path}'")
    return writer.emit(
        "Gather", [writer.tensor(f"{place.path}.weight", layer.weight), x], place.name, axis=0
    )


def _adaptive_pool(
    writer: NodeWriter, layer: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d, x: str, place: Place
) -> str:
    largest = isinstance(layer, nn.AdaptiveMaxPool2d)
    if layer.output_size not in (1, (1, 1)) or (largest and layer.return_indices):
        raise Unwritten(f"{type(layer).__name__}({layer.output_size}) at '{place.path}'")
    return writer.emit("GlobalMaxPool" if largest else "GlobalAveragePool", [x], place.name)


def _pad(writer: NodeWriter, layer: nn.ConstantPad2d, x: str, place: Place) -> str:
    left, right, top, bottom = layer.padding
    pads = writer.constant(
        f"{place.path}.pads", np.asarray([0, 0, top, left, 0, 0, bottom, right], np.int64)
    )
    return writer.emit("Pad", [x, pads, writer.scalar(float(layer.value))], place.name)


def _pool(writer: NodeWriter, layer: nn.MaxPool2d | nn.AvgPool2d, x: str, place: Place) -> str:
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
    # where the windows meet the edge, rounding up or down is one
    even = all(
        (side + 2 * margin - window) % step == 0
        for side, margin, window, step in zip(place.shape[2:], padding, kernel, stride, strict=True)
    )
    if layer.divisor_override is not None or (layer.ceil_mode and not even):
        raise Unwritten(f"AvgPool2d with divisor_override or ceil_mode at '{place.path}'")
    common["ceil_mode"] = 0
    return writer.emit(
        "AveragePool", [x], place.name, count_include_pad=int(layer.count_include_pad), **common
    )


def _flatten(writer: NodeWriter, layer: nn.Flatten, x: str, place: Place) -> str:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise Unwritten(f"Flatten({layer.start_dim}, {layer.end_dim}) at '{place.path}'")
    return writer.emit("Flatten", [x], place.name, axis=1)


def _unflatten(writer: NodeWriter, layer: nn.Unflatten, x: str, place: Place) -> str:
    if layer.dim != 1 or len(place.shape) != 2:
        raise Unwritten(f"Unflatten of dimension {layer.dim} at '{place.path}'")
    # 0: the batch, as it is
    form = np.array([0, *(int(n) for n in layer.unflattened_size)], np.int64)
    return writer.emit("Reshape", [x, writer.constant(f"{place.path}.shape", form)], place.name)


def _upsample(writer: NodeWriter, layer: nn.Upsample, x: str, place: Place) -> str:
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


POINTWISE: dict[str, Callable[[NodeWriter, str, str], str]] = {
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
    def layer(writer: NodeWriter, module: nn.Module, x: str, place: Place) -> str:
        if getattr(module, "approximate", "none") != "none":
            raise Unwritten(f"the approximate GELU at '{place.path}'")
        return POINTWISE[kind](writer, x, place.name)

    return layer


def _same(writer: NodeWriter, layer: nn.Module, x: str, place: Place) -> str:
    return x


LAYERS: dict[type[nn.Module], _Layer] = {
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
    nn.ConstantPad2d: _pad,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Upsample: _upsample,
    nn.Identity: _same,
    nn.Dropout: _same,
    nn.Dropout2d: _same,
    **{getattr(nn, kind): _pointwise(kind) for kind in POINTWISE},
}
