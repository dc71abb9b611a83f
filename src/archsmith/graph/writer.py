"""Writes plain networks of stock layers as ONNX directly: one node a layer, weights under their
PyTorch names, in milliseconds; batch normalisation goes into the convolution before it.

torch.onnx takes seconds for a network (a latency table times hundreds); it is used for what is not
known here, where `write` raises Unwritten. The files are equally fast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, fx, nn

from archsmith.graph.fold import folded
from archsmith.graph.making import NodeWriter, Unwritten
from archsmith.graph.onnx_nodes import write_node
from archsmith.graph.trace import constants, trace

OPSET = 18  # ONNX Runtime 1.14 and later
BATCH = "batch"  # the name of the free dimension
IR_VERSION = 9  # ONNX Runtime 1.16 and later


@dataclass(frozen=True)
class Deployment:
    """What a shipped file holds around its network: uint8 images in, normalised inside.

    Out come class "probabilities"; or "values", outputs (B, k) times `scale` plus `shift`; or
    "pixels" in 0..1, outputs (B, C, H, W) likewise, by channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    answer: Literal["probabilities", "values", "pixels"] = "probabilities"
    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()

    @property
    def units(self) -> tuple[Tensor, Tensor]:
        """Scale and shift as they are applied to a batch of outputs."""
        form = (1, -1) if self.answer == "values" else (1, -1, 1, 1)
        return torch.tensor(self.scale).view(form), torch.tensor(self.shift).view(form)


def write(
    network: nn.Module,
    shape: Sequence[int],
    *,
    batch: int | None = None,
    deployment: Deployment | None = None,
) -> bytes:
    """The network as an ONNX file. batch: fixed, or None for any. Without `deployment`: float32 in,
    whatever it returns out.

    Raises Unwritten for layers and functions not known here, Untraceable for a network whose graph
    cannot be read.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    graph = trace(network, tuple(shape))
    known = constants(network, graph)
    writer = NodeWriter()
    values: dict[fx.Node, str] = {}
    out_shape: tuple[int, ...] = ()
    result = "images"
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = _normalised(writer, deployment) if deployment else "images"
        elif node.op == "output":
            (returned,) = node.args
            if not isinstance(returned, fx.Node):
                raise Unwritten("the network returns more than one tensor")
            out_shape, result = returned.meta["shape"], values[returned]
        elif node in known:
            values[node] = writer.tensor(node.name, known[node])
        elif node.meta["shape"] is not None:
            values[node] = write_node(writer, network, node, values)
    last = _answer(writer, result, deployment)
    symbol: int | str = BATCH if batch is None else batch
    image = helper.make_tensor_value_info(
        "images", TensorProto.UINT8 if deployment else TensorProto.FLOAT, [symbol, *shape]
    )
    answer = helper.make_tensor_value_info(last, TensorProto.FLOAT, [symbol, *out_shape[1:]])
    nodes = folded(writer.nodes, writer.constants, [last])
    initializers = [
        numpy_helper.from_array(value, name) for name, value in writer.constants.items()
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes, type(network).__name__, [image], [answer], initializer=initializers
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="archsmith",
    )
    checker.check_model(model)
    return model.SerializeToString()


def _answer(writer: NodeWriter, result: str, deployment: Deployment | None) -> str:
    if deployment is None:
        return writer.emit("Identity", [result], "output")
    if deployment.answer == "probabilities":
        return writer.emit("Softmax", [result], "probabilities", axis=-1)
    scale, shift = (
        writer.tensor(f"units.{n}", t)
        for n, t in zip(("scale", "shift"), deployment.units, strict=True)
    )
    scaled = writer.emit("Mul", [result, scale], "units.scaled")
    if deployment.answer == "values":
        return writer.emit("Add", [scaled, shift], "values")
    shifted = writer.emit("Add", [scaled, shift], "units.shifted")
    return writer.emit("Clip", [shifted, writer.scalar(0), writer.scalar(1)], "pixels")


def _normalised(writer: NodeWriter, deployment: Deployment) -> str:
    """(byte - 255 mean) / (255 std) as one multiplication and one addition per channel."""
    mean, std = (
        np.asarray(v, np.float64).reshape(1, -1, 1, 1) for v in (deployment.mean, deployment.std)
    )
    scale = writer.constant("normalize.scale", (1 / (255 * std)).astype(np.float32))
    shift = writer.constant("normalize.shift", (-mean / std).astype(np.float32))
    pixels = writer.emit("Cast", ["images"], "normalize.pixels", to=1)
    return writer.emit(
        "Add", [writer.emit("Mul", [pixels, scale], "normalize.scaled"), shift], "normalize.shifted"
    )


def annotate(data: bytes, facts: dict[str, Any]) -> bytes:
    """The same file with `metadata_props`: strings as they are, everything else as JSON."""
    import onnx

    model = onnx.load_from_string(data)
    text = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in facts.items()
    }
    onnx.helper.set_model_props(
        model, {n: v.encode("utf-8", "backslashreplace").decode() for n, v in text.items()}
    )
    return model.SerializeToString()
