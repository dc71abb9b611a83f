"""The graph of a plain network followed from node to node: which of its channels must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn
from torch.fx.node import map_aggregate

from archsmith.elastic.agreement import Part
from archsmith.elastic.channels import Channels, Rule, SeveralRule, Value
from archsmith.elastic.nodes import form_of, inputs, is_stock, location
from archsmith.elastic.provenance import Read
from archsmith.elastic.rules import (
    arithmetic,
    joining,
    layers,
    norms,
    parts,
    passing,
    products,
    views,
)
from archsmith.elastic.rules.held import hold
from archsmith.elastic.rules.numbers import width_of
from archsmith.elastic.tracing import called

_ROUNDS = 4  # of trying which factor of a split width is the one that can be narrower
_NUMBERS = frozenset("size getattr dim numel len".split())  # no tensors come out of these
_COMPARING = frozenset("eq ne lt le gt ge mod".split())  # of sizes: which way a branch goes

_FUNCTIONS: Mapping[str, Rule] = {
    **passing.RULES,
    **views.RULES,
    **parts.RULES,
    **arithmetic.RULES,
    **joining.RULES,
    **products.RULES,
    **norms.RULES,
}
_SEVERAL: Mapping[str, SeveralRule] = {**parts.SEVERAL, **passing.SEVERAL}
_ELASTIC: Mapping[type[nn.Module], Rule] = {**layers.LAYERS, **norms.LAYERS}
_WITHOUT_TENSORS: Mapping[type[nn.Module], Rule] = {**passing.LAYERS, **views.LAYERS}


def followed(model: nn.Module, graph: fx.Graph) -> Channels:
    """The channels of a network. Where a view divides a width into several factors, the first of
    them that can be narrower is the one that changes (of (3, heads, size): the heads).

    `graph`: what `traced` gives.
    """
    places: dict[str, int] = {}
    channels = _walked(model, graph, places)
    for _ in range(_ROUNDS):
        later = {name: place + 1 for name, place in channels.misled().items()}
        if not later:
            break
        places |= later
        channels = _walked(model, graph, places)
    return channels


def _walked(model: nn.Module, graph: fx.Graph, places: Mapping[str, int]) -> Channels:
    channels = Channels(model, dict(places))
    for node in graph.nodes:
        value = _value(channels, node)
        if value is not None and form_of(node) is not None:
            channels.values[node] = value
    _tie(channels)
    for path, where in _looked_into(model, graph).items():
        for layout in channels.ends.get(path, ()):
            channels.groups.fix(layout or (), f"{where} reads what '{path}' holds apart from it")
    return channels


def _value(channels: Channels, node: fx.Node) -> Value | None:
    """What comes out of a node; what it makes of widths that it cannot follow stays fixed."""
    if node.op == "placeholder":
        return _input(channels, node)
    if node.op == "output":
        channels.fix(inputs(node), "it is the output's")
    elif node.op == "get_attr":
        hold(channels, node)
    elif form_of(node) is None:
        _without_form(channels, node)
    elif node.op == "call_module":
        return _layer(channels, node)
    elif (rule := _FUNCTIONS.get(called(node))) is not None:
        return rule(channels, node)
    else:
        channels.unknown(node)
    return None


def _input(channels: Channels, node: fx.Node) -> Value | None:
    """Images (B, C, H, W), tokens (B, T, C) or features (B, C)."""
    form = form_of(node)
    if form is None or len(form) < 2:
        return None
    axis = 1 if len(form) != 3 else 2
    group = channels.groups.new(form[axis], "the input", "it is the input's")
    return Value((Part(group),), axis)


def _without_form(channels: Channels, node: fx.Node) -> None:
    """What gives several tensors, or a number."""
    name = called(node)
    rule = _SEVERAL.get(name)
    if rule is not None and len(inputs(node)) == 1:
        channels.several[node] = rule(channels, node)
    elif name in _COMPARING:
        channels.risky += [width for arg in node.args if (width := width_of(channels, arg))]
    elif name not in _NUMBERS:
        channels.unknown(node)


def _layer(channels: Channels, node: fx.Node) -> Value | None:
    layer = channels.layer(node)
    rule = _of_class(_ELASTIC, layer)
    if rule is not None and (why := _altered(layer)):
        channels.unknown(node, why)
        return None
    rule = rule or _of_class(_WITHOUT_TENSORS, layer) or passing.without_tensors
    return rule(channels, node)


def _of_class(rules: Mapping[type[nn.Module], Rule], layer: nn.Module) -> Rule | None:
    """The rule of its class, or of the nearest that it is derived from."""
    return next((rules[kind] for kind in type(layer).__mro__ if kind in rules), None)


def _altered(layer: nn.Module) -> str:
    """Why a layer of torch is more than its class says."""
    if not is_stock(layer):
        return f"is a {type(layer).__name__}, a layer with a forward of its own"
    if layer._forward_pre_hooks or layer._forward_hooks:
        return "has hooks, which an elastic layer would not have"
    return ""


def _looked_into(model: nn.Module, graph: fx.Graph) -> dict[str, str]:
    """Path of a layer of torch whose tensors or widths are read by others than itself -> where."""
    readers: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            layer = model.get_submodule(owner)
            if name in layer._parameters and is_stock(layer):
                readers.setdefault(owner, location(next(iter(node.users), node)))
        read: list[Any] = []
        map_aggregate((node.args, node.kwargs), read.append)
        for path in (path for arg in read if isinstance(arg, Read) for path, _, _ in arg.sources):
            if is_stock(model.get_submodule(path)):
                readers.setdefault(path, location(node))
    return readers


def _tie(channels: Channels) -> None:
    """Layers that share a tensor agree in what they read and give."""
    holders: dict[int, tuple[str, nn.Module]] = {}
    for path, layer in channels.model.named_modules():
        for name in ("weight", "bias"):
            tensor = layer._parameters.get(name)
            if tensor is None:
                continue
            first, held = holders.setdefault(id(tensor), (path, layer))
            if held is layer:
                continue
            one, other = channels.ends.get(first), channels.ends.get(path)
            if one is None or other is None or type(held) is not type(layer):
                for end in (*(one or ()), *(other or ())):
                    channels.groups.fix(end or (), f"{first} and {path} share a tensor")
                continue
            for a, b in zip(one, other, strict=True):
                if a is not None and b is not None and (name == "weight" or b is other[1]):
                    channels.groups.agree(a, b, path)
