"""Normalisations, and other layers whose tensors are of a channel each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import fx, nn

from archsmith.elastic.channels import Channels, Rule, Value
from archsmith.elastic.nodes import argument, axes_of, inputs, location
from archsmith.elastic.rules.held import bound
from archsmith.elastic.rules.numbers import numbers_follow
from archsmith.elastic.rules.passing import along_another_axis


def _where(fits: Callable[[Channels, fx.Node, Value], bool]) -> Rule:
    """A layer of as many channels as it reads, where what it is of is their axis."""

    def normalized(channels: Channels, node: fx.Node) -> Value | None:
        given = channels.given(node)
        if given is None or not fits(channels, node, given):
            return along_another_axis(channels, node)
        return given

    return normalized


def _batch_norm(channels: Channels, node: fx.Node, given: Value) -> bool:
    if given.axis == 1:
        channels.note(str(node.target), None, given.layout)
    return given.axis == 1


def _group_norm(channels: Channels, node: fx.Node, given: Value) -> bool:
    """Widths are multiples of a group's channels; one group is all channels, however many."""
    layer: Any = channels.layer(node)
    parts, path = channels.groups.opened(given.layout), str(node.target)
    if given.axis != 1 or (len(parts) > 1 and layer.num_groups > 1):
        return False
    if layer.num_groups > 1:
        channels.groups.multiples(parts, layer.num_channels // layer.num_groups, path)
    channels.note(path, None, given.layout)
    return True


def _layer_norm(channels: Channels, node: fx.Node, given: Value) -> bool:
    layer: Any = channels.layer(node)
    whole = len(layer.normalized_shape) == 1 and given.axis == axes_of(node) - 1
    if whole:
        channels.note(str(node.target), None, given.layout)
    return whole


# Layers without an elastic form: their tensors and numbers are cut where they stand.


def _instance_norm(channels: Channels, node: fx.Node, given: Value) -> bool:
    if given.axis == 1:
        _cut_where_it_stands(channels, node, given, ("num_features", None))
    return given.axis == 1


def _prelu(channels: Channels, node: fx.Node, given: Value) -> bool:
    layer: Any = channels.layer(node)
    if layer.num_parameters == 1:
        return True
    if given.axis == 1:
        _cut_where_it_stands(channels, node, given, ("num_parameters", None))
    return given.axis == 1


def _rms_norm(channels: Channels, node: fx.Node, given: Value) -> bool:
    layer: Any = channels.layer(node)
    whole = len(layer.normalized_shape) == 1 and given.axis == axes_of(node) - 1
    if whole:
        _cut_where_it_stands(channels, node, given, ("normalized_shape", 0))
    return whole


def _cut_where_it_stands(
    channels: Channels, node: fx.Node, given: Value, number: tuple[str, int | None]
) -> None:
    layer, path = channels.layer(node), str(node.target)
    channels.bind_number((path, *number), given.layout, path)
    for name, tensor in {**layer._parameters, **layer._buffers}.items():
        if tensor is not None and tensor.dim() == 1:
            channels.bind_tensor(f"{path}.{name}", 0, given.layout)


def _layer_norm_function(channels: Channels, node: fx.Node) -> Value | None:
    """A LayerNorm as a function, over the last axes."""
    shape: Any = argument(node, 1, "normalized_shape")
    read, given = inputs(node), channels.given(node)
    first = node.args[0] if node.args else None
    if given is None or read[0] is not first or not isinstance(shape, tuple | list):
        channels.unknown(node)
        return None
    count = axes_of(node)
    if given.axis < count - len(shape):
        return given
    if len(shape) != 1:
        channels.unknown(node)
        return None
    if not numbers_follow(channels, node, given, [-1] * (count - 1) + [shape[0]]):
        return None
    for held in read[1:]:
        if not bound(channels, held, 0, given.layout):
            channels.fix(read, f"{location(node)} scales it by {held.name}, not followed")
    return given


RULES: Mapping[str, Rule] = {"layer_norm": _layer_norm_function}
LAYERS: Mapping[type[nn.Module], Rule] = {
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), _where(_batch_norm)),
    nn.GroupNorm: _where(_group_norm),
    nn.LayerNorm: _where(_layer_norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d), _where(_instance_norm)),
    nn.PReLU: _where(_prelu),
    nn.RMSNorm: _where(_rms_norm),
}
