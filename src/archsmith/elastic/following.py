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
from archsmith.elastic.rules.numbers import width_told
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
    found = _walked(model, graph, places)
    for _ in range(_ROUNDS):
        later = {name: place + 1 for name, place in found.misled().items()}
        if not later:
            break
        places |= later
        found = _walked(model, graph, places)
    return found


def _walked(model: nn.Module, graph: fx.Graph, places: Mapping[str, int]) -> Channels:
    found = Channels(model, dict(places))
    for node in graph.nodes:
        value = _value(found, node)
        if value is not None and form_of(node) is not None:
            found.values[node] = value
    _tie(found)
    for path, where in _looked_into(model, graph).items():
        for layout in found.ends.get(path, ()):
            found.groups.fix(layout or (), f"{where} reads what '{path}' holds apart from it")
    return found


def _value(found: Channels, node: fx.Node) -> Value | None:
    """What comes out of a node; what it makes of widths that it cannot follow stays fixed."""
    if node.op == "placeholder":
        return _input(found, node)
    if node.op == "output":
        found.fix(inputs(node), "it is the output's")
    elif node.op == "get_attr":
        hold(found, node)
    elif form_of(node) is None:
        _without_form(found, node)
    elif node.op == "call_module":
        return _layer(found, node)
    elif (rule := _FUNCTIONS.get(called(node))) is not None:
        return rule(found, node)
    else:
        found.unknown(node)
    return None


def _input(found: Channels, node: fx.Node) -> Value | None:
    """Images (B, C, H, W), tokens (B, T, C) or features (B, C)."""
    form = form_of(node)
    if form is None or len(form) < 2:
        return None
    axis = 1 if len(form) != 3 else 2
    group = found.groups.new(form[axis], "the input", "it is the input's")
    return Value((Part(group),), axis)


def _without_form(found: Channels, node: fx.Node) -> None:
    """What gives several tensors, or a number."""
    name = called(node)
    rule = _SEVERAL.get(name)
    if rule is not None and len(inputs(node)) == 1:
        found.several[node] = rule(found, node)
    elif name in _COMPARING:
        found.risky += [told for arg in node.args if (told := width_told(found, arg))]
    elif name not in _NUMBERS:
        found.unknown(node)


def _layer(found: Channels, node: fx.Node) -> Value | None:
    layer = found.layer(node)
    rule = _of_class(_ELASTIC, layer)
    if rule is not None and (why := _altered(layer)):
        found.unknown(node, why)
        return None
    rule = rule or _of_class(_WITHOUT_TENSORS, layer) or passing.without_tensors
    return rule(found, node)


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
    found: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            layer = model.get_submodule(owner)
            if name in layer._parameters and is_stock(layer):
                found.setdefault(owner, location(next(iter(node.users), node)))
        read: list[Any] = []
        map_aggregate((node.args, node.kwargs), read.append)
        for path in (path for arg in read if isinstance(arg, Read) for path, _, _ in arg.sources):
            if is_stock(model.get_submodule(path)):
                found.setdefault(path, location(node))
    return found


def _tie(found: Channels) -> None:
    """Layers that share a tensor agree in what they read and give."""
    holders: dict[int, tuple[str, nn.Module]] = {}
    for path, layer in found.model.named_modules():
        for name in ("weight", "bias"):
            tensor = layer._parameters.get(name)
            if tensor is None:
                continue
            first, held = holders.setdefault(id(tensor), (path, layer))
            if held is layer:
                continue
            one, other = found.ends.get(first), found.ends.get(path)
            if one is None or other is None or type(held) is not type(layer):
                for end in (*(one or ()), *(other or ())):
                    found.groups.fix(end or (), f"{first} and {path} share a tensor")
                continue
            for a, b in zip(one, other, strict=True):
                if a is not None and b is not None and (name == "weight" or b is other[1]):
                    found.groups.agree(a, b, path)
