"""Folds batch normalisation into the convolution before it: its statistics are constants, so it is
one more scale."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from archsmith.graph.trace import trace


def folded(
    nodes: Sequence[Any], constants: MutableMapping[str, np.ndarray], kept: Sequence[str]
) -> list[Any]:
    """The nodes of an ONNX graph without each BatchNormalization whose input is what a Conv or
    ConvTranspose alone computes for it.

    constants: the tensors by name; folded weights (and biases, where there were none) take the
    convolution's names, tensors that nothing uses any more are dropped. kept: values that must
    stay, such as the outputs. Sums are in double precision.
    """
    used = Counter(name for node in nodes for name in node.input)
    used.update(kept)
    maker = {name: node for node in nodes for name in node.output}
    gone: set[int] = set()
    for norm in nodes:
        conv = maker.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        if (
            conv is None
            or conv.op_type not in ("Conv", "ConvTranspose")
            or used[norm.input[0]] > 1
            or len(norm.output) > 1
        ):
            continue
        tensors = [*conv.input[1:], *norm.input[1:]]
        if conv.op_type == "ConvTranspose" and _attribute(conv, "group", 1) != 1:
            continue  # its output channels lie in two axes
        if not all(name in constants for name in tensors) or any(
            used[name] > 1 for name in conv.input[1:]
        ):
            continue  # weights that something else uses too stay as they are
        _fold(conv, norm, constants)
        conv.output[0] = norm.output[0]
        maker[norm.output[0]] = conv
        gone.add(id(norm))
    left = [node for node in nodes if id(node) not in gone]
    wanted = {name for node in left for name in node.input} | set(kept)
    for name in [name for name in constants if name not in wanted]:
        del constants[name]
    return left


def _fold(conv: Any, norm: Any, constants: MutableMapping[str, np.ndarray]) -> None:
    gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in norm.input[1:5])
    scale = gamma / np.sqrt(variance + _attribute(norm, "epsilon", 1e-5))
    weight = constants[conv.input[1]]
    form = (
        (-1, *(1,) * (weight.ndim - 1))
        if conv.op_type == "Conv"
        else (1, -1, *(1,) * (weight.ndim - 2))
    )
    bias = constants[conv.input[2]].astype(np.float64) if len(conv.input) > 2 else 0.0
    constants[conv.input[1]] = (weight.astype(np.float64) * scale.reshape(form)).astype(
        weight.dtype
    )
    if len(conv.input) == 2:
        stem = conv.input[1].removesuffix(".weight")
        name = next(
            n
            for n in (f"{stem}.bias", f"{stem}.folded_bias", f"{conv.output[0]}.folded_bias")
            if n not in constants
        )
        conv.input.append(name)
    constants[conv.input[2]] = (beta + (bias - mean) * scale).astype(weight.dtype)


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def fold_model(model: Any) -> None:
    """The same of a whole ONNX model, in place."""
    from onnx import numpy_helper

    graph = model.graph
    if not any(node.op_type == "BatchNormalization" for node in graph.node):
        return
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = folded(list(graph.node), constants, [value.name for value in graph.output])
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(copies)
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )


def fold_network(network: nn.Module, shape: Sequence[int]) -> fx.GraphModule:
    """The same of a network in torch: another one, in evaluation mode, that computes what it does.

    shape: of one input, (C, H, W). torch.export takes two thirds of the time for what is left
    (result pt2-folded). Raises Untraceable.
    """
    network = copy.deepcopy(network).eval()
    graph = trace(network, tuple(shape))
    modules = dict(network.named_modules())
    called = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {node.target for node in graph.nodes if node.op == "get_attr"}
    held = Counter(id(p) for _, p in network.named_parameters(remove_duplicate=False))

    def own(path: str) -> bool:
        """Whether nothing else uses this layer or what it holds, and nothing changes it."""
        layer = modules[path]
        return (
            called[path] == 1
            and not layer._forward_pre_hooks
            and not layer._forward_hooks
            and not any(
                name in read or held[id(tensor)] > 1
                for name, tensor in layer.named_parameters(prefix=path)
            )
        )

    def folds(path: str) -> bool:
        layer = modules[path]
        plain = type(layer) is nn.Conv2d
        return own(path) and (plain or (type(layer) is nn.ConvTranspose2d and layer.groups == 1))

    for node in list(graph.nodes):
        if node.op != "call_module" or type(modules[node.target]) is not nn.BatchNorm2d:
            continue
        norm, (before, *_) = modules[node.target], node.all_input_nodes
        if norm.running_mean is None or before.op != "call_module" or len(before.users) > 1:
            continue
        path = str(before.target)
        if folds(path) and not norm._forward_pre_hooks and not norm._forward_hooks:
            conv = modules[path]
            transposed = type(conv) is nn.ConvTranspose2d
            modules[path] = fuse_conv_bn_eval(conv, norm, transpose=transposed)
            parent, _, name = path.rpartition(".")
            setattr(network.get_submodule(parent), name, modules[path])
            node.replace_all_uses_with(before)
            graph.erase_node(node)
    return fx.GraphModule(network, graph)
