"""Linear layers and convolutions: what they read, and the new channels that they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from archsmith.elastic.agreement import Layout, Part
from archsmith.elastic.channels import UNFOLLOWED, Channels, Rule, Value
from archsmith.elastic.nodes import axes_of, inputs
from archsmith.elastic.rules.passing import along_another_axis


def _linear(channels: Channels, node: fx.Node) -> Value | None:
    layer: Any = channels.layer(node)
    path, axis, given = str(node.target), axes_of(node) - 1, channels.given(node)
    if given is not None and given.axis != axis:
        channels.plain[path] = "it reads another axis than that of the channels, which pass it"
        return given
    taken = _whole(channels, node, layer.in_features) if given is None else given.layout
    return Value(_new(channels, path, layer.out_features, taken), axis)


def _convolution(channels: Channels, node: fx.Node) -> Value | None:
    layer: Any = channels.layer(node)
    path, given = str(node.target), channels.given(node)
    if axes_of(node) != 4:
        return along_another_axis(channels, node)
    if given is not None and given.axis != 1:
        channels.plain[path] = "it reads another axis than that of the channels"
        channels.elsewhere(node)
        return None
    taken = _whole(channels, node, layer.in_channels) if given is None else given.layout
    if layer.groups == 1:
        return Value(_new(channels, path, layer.out_channels, taken), 1)
    if (why := _ungroupable(channels, path, layer, taken)) is not None:
        channels.fix(inputs(node), why)
        return Value(_new(channels, path, layer.out_channels, taken, why=why), 1)
    if (unit := layer.in_channels // layer.groups) > 1:
        channels.groups.multiples(channels.groups.opened(taken), unit, path)
    channels.note(path, taken, taken)
    return Value(taken, 1)


def _ungroupable(channels: Channels, path: str, layer: Any, taken: Layout) -> str | None:
    """Why a grouped convolution cannot have other groups; None where it can."""
    if layer.in_channels != layer.out_channels:
        return f"{path} takes it in {layer.groups} groups and gives another number of channels"
    parts = channels.groups.opened(taken)
    one = len(parts) == 1 and parts[0].repeat == 1
    if layer.in_channels == layer.groups or one:
        return None
    return f"{path} takes it in {layer.groups} groups, and it is put together of parts"


def _whole(channels: Channels, node: fx.Node, size: int) -> Layout:
    """Channels that are not followed: as many in every network."""
    channels.elsewhere(node)
    return (Part(channels.groups.new(size, str(node.target), UNFOLLOWED)),)


def _new(
    channels: Channels, path: str, size: int, taken: Layout, *, why: str | None = None
) -> Layout:
    """New channels that a layer gives; one that is used twice gives the same."""
    layout = channels.ends.get(path, (None, None))[1]
    layout = layout or (Part(channels.groups.new(size, path, why)),)
    channels.note(path, taken, layout)
    return layout


LAYERS: Mapping[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    **dict.fromkeys((nn.Conv2d, nn.ConvTranspose2d), _convolution),
}
