"""The nodes of an ONNX graph in the making: one a layer, a function or a method of a plain network
of stock layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx, nn

from archsmith.graph.making import NodeWriter, Unwritten
from archsmith.graph.onnx_functions import function_node
from archsmith.graph.onnx_layers import LAYERS, Place


def write_node(
    writer: NodeWriter, network: nn.Module, node: fx.Node, values: Mapping[fx.Node, str]
) -> str:
    """Writes what a node of the traced graph computes; gives the name of its value. Raises
    Unwritten for what is not known."""
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        handler = LAYERS.get(type(module))
        if handler is None:
            raise Unwritten(f"nn.{type(module).__name__} at '{node.target}'")
        source = node.args[0] if node.args else None
        if len(node.args) != 1 or node.kwargs or source not in values:
            raise Unwritten(f"the call of '{node.target}' with more than one input")
        assert isinstance(source, fx.Node)
        return handler(
            writer,
            module,
            values[source],
            Place(str(node.target), node.name, source.meta["shape"]),
        )
    if node.op in ("call_function", "call_method"):
        return function_node(writer, node, values)
    raise Unwritten(f"{node.op} of '{node.target}'")
