"""Concatenations and stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import fx

from archsmith.elastic.channels import Channels, Rule, Value
from archsmith.elastic.nodes import argument, axes_of, inputs, location
from archsmith.elastic.rules.held import bound


def _concatenated(channels: Channels, node: fx.Node) -> Value | None:
    """Along the channels: the parts in order. Along another axis: the channels agree."""
    joined = _joined(node)
    place = argument(node, 1, "dim", "axis", default=0)
    axis = place % axes_of(node) if isinstance(place, int) else -1
    values = [channels.values.get(given) for given in joined]
    known = [value for value in values if value is not None]
    if len(known) == len(values) and all(value.axis == axis for value in known):
        return Value(tuple(part for value in known for part in value.layout), axis)
    if not known:
        return None
    first = known[0]
    if first.axis == axis or any(value.axis != first.axis for value in known):
        return _not_followed(channels, node, joined)
    for given, value in zip(joined, values, strict=True):
        if value is not None:
            channels.groups.agree(first.layout, value.layout, location(node))
        elif not bound(channels, given, first.axis, first.layout):
            what = f"{location(node)} puts it beside {given.name}, whose width is its own"
            channels.fix(joined, what)
    return first


def _joined(node: fx.Node) -> list[fx.Node]:
    """What is joined, the same one twice, too."""
    parts = node.args[0] if node.args else node.kwargs.get("tensors")
    if isinstance(parts, tuple | list):
        nodes = [part for part in parts if isinstance(part, fx.Node)]
        if len(nodes) == len(parts):
            return nodes
    return inputs(node)


def _stacked(channels: Channels, node: fx.Node) -> Value | None:
    """One more axis, of several with the same channels."""
    read = inputs(node)
    values = [value for given in read if (value := channels.values.get(given)) is not None]
    place = argument(node, 1, "dim", default=0)
    fits = isinstance(place, int) and len(values) == len(read)
    if not fits or len({value.axis for value in values}) != 1:
        return _not_followed(channels, node, read)
    first = values[0]
    for value in values[1:]:
        channels.groups.agree(first.layout, value.layout, location(node))
    return Value(first.layout, first.axis + (place % axes_of(node) <= first.axis))


def _not_followed(channels: Channels, node: fx.Node, joined: Sequence[fx.Node]) -> Value | None:
    channels.fix(joined, f"{location(node)} puts it beside what is not followed")
    return None


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
    "stack": _stacked,
}
