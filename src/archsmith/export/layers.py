"""What a network consists of, block by block, in words and numbers: the rows that the report
draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx, nn

from archsmith.elastic.views import Averaged, Mirrored
from archsmith.export.spans import unit_of
from archsmith.graph.trace import Untraceable, trace
from archsmith.metrics.cost import macs_by_module

_POOLS = {nn.AdaptiveAvgPool2d: "pooling", nn.AdaptiveMaxPool2d: "pooling of the largest values"}
_ALONE = {**_POOLS, nn.AvgPool2d: "pooling", nn.MaxPool2d: "pooling of the largest values"}
_UNSEEN = (nn.Flatten, nn.Identity)  # a block of nothing else is no row
_VIEWS = {Mirrored: "the image and its mirror image", Averaged: "the mean of both"}


def layers(network: nn.Module, shape: Sequence[int]) -> list[dict[str, Any]]:
    """One entry a block: stage, name, text, shapes without batch, parameters, MACs; [] for a
    network that cannot be traced."""
    try:
        graph = trace(network, tuple(shape), batch=1)
    except Untraceable:
        return []
    blocks: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        path = str(node.target) if node.op == "call_module" else str(node.meta["inside"])
        if node.op not in ("placeholder", "output", "get_attr"):
            blocks.setdefault(unit_of(network, path), []).append(node)
    counted = macs_by_module(network, tuple(shape))
    return [
        _entry(network, unit, nodes, counted)
        for unit, nodes in blocks.items()
        if not all(isinstance(_called(network, node), _UNSEEN) for node in nodes)
    ]


def _called(network: nn.Module, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _entry(
    network: nn.Module, unit: str, nodes: list[fx.Node], macs: Mapping[str, int]
) -> dict[str, Any]:
    first = next(n for node in nodes for n in node.all_input_nodes if n.meta["shape"])
    last = next((node for node in reversed(nodes) if node.meta["shape"]), first)
    stage, _, name = unit.partition(".")
    called = [module for node in nodes if (module := _called(network, node)) is not None]
    module = network.get_submodule(unit)
    return {
        "stage": stage or type(network).__name__,
        "name": name,
        "text": _VIEWS.get(type(module)) or _text(called, any(map(_is_add, nodes))),
        "in": list(first.meta["shape"][1:]),
        "out": list(last.meta["shape"][1:]),
        "params": sum(p.numel() for p in module.parameters()) if unit else 0,
        "macs": sum(
            count for path, count in macs.items() if unit and f"{path}.".startswith(f"{unit}.")
        ),
    }


def _is_add(node: fx.Node) -> bool:
    return (node.target if node.op == "call_method" else getattr(node.target, "__name__", "")) in (
        "add",
        "add_",
        "iadd",
    )


def _text(called: list[nn.Module], adds: bool) -> str:
    """`5x5 depthwise, expand 4, squeeze-excite, stride 2, 24 channels, shortcut` or `3x3
    convolution, 16 channels`."""
    convolutions = [layer for layer in called if isinstance(layer, nn.Conv2d)]
    larger = [layer for layer in called if isinstance(layer, nn.ConvTranspose2d)]
    linear = [layer for layer in called if isinstance(layer, nn.Linear)]
    depthwise = next((c for c in convolutions if c.groups == c.in_channels > 1), None)
    words = []
    if depthwise is not None:
        before = next(c for c in convolutions if c is not None)
        ratio = depthwise.in_channels / before.in_channels
        words = (
            [f"{_kernel(depthwise)} depthwise", f"expand {ratio:.2g}"]
            if ratio != 1
            else [f"{_kernel(depthwise)} depthwise"]
        )
        if any(isinstance(layer, nn.AdaptiveAvgPool2d) for layer in called):
            words.append("squeeze-excite")
    elif convolutions:
        words = [f"{_kernel(c)} convolution" for c in convolutions[:1]]
        if len(convolutions) > 1:
            words = [
                f"{len(convolutions)} convolutions "
                f"{' '.join(dict.fromkeys(map(_kernel, convolutions)))}"
            ]
    stride = max((c.stride for c in convolutions), key=math.prod, default=(1, 1))
    dilation = max((c.dilation for c in convolutions), key=math.prod, default=(1, 1))
    words += [f"stride {_by(stride)}"] if math.prod(stride) > 1 else []
    words += [f"dilation {_by(dilation)}"] if math.prod(dilation) > 1 else []
    words += [f"{convolutions[-1].out_channels} channels"] if convolutions else []
    words += [
        f"{_kernel(c)} transposed convolution, stride {_by(c.stride)}, {c.out_channels} channels"
        for c in larger
    ]
    words += _of(_POOLS, called) if convolutions and depthwise is None else []
    words += [
        f"embedding {e.num_embeddings}x{e.embedding_dim}"
        for e in called
        if isinstance(e, nn.Embedding)
    ]
    words += [f"linear {layer.out_features}" for layer in linear]
    words += ["shortcut"] if adds else []
    return (
        ", ".join(words or _of(_ALONE, called))
        or ", ".join(dict.fromkeys(type(layer).__name__ for layer in called))
        or "no layers"
    )


def _of(words: Mapping[type[nn.Module], str], called: Sequence[nn.Module]) -> list[str]:
    return [word for kind, word in words.items() if any(isinstance(one, kind) for one in called)]


def _kernel(layer: nn.Conv2d | nn.ConvTranspose2d) -> str:
    return "x".join(str(k) for k in layer.kernel_size)


def _by(pair: Sequence[int]) -> str:
    return str(pair[0]) if len(set(pair)) == 1 else "x".join(map(str, pair))
