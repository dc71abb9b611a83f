"""Parts of a tensor: chunk, split, unbind, and what is taken by an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx

from archsmith.elastic.agreement import Layout, Part
from archsmith.elastic.channels import Channels, Rule, SeveralRule, Value
from archsmith.elastic.nodes import argument, axes_of, form_of, inputs, location
from archsmith.elastic.rules.held import indexed
from archsmith.elastic.rules.numbers import size_follows
from archsmith.elastic.tracing import called


def _cut(channels: Channels, node: fx.Node) -> list[Value | None]:
    """Chunk and split: equal parts of the channels, or all of them at other places."""
    along = _along(channels, node, position=2)
    if along is None:
        return []
    (given, axis), count = along, node.meta.get("count", 0)
    if axis != given.axis:
        return [given] * count
    split = called(node) == "split"
    size: Any = argument(node, 1, "split_size" if split else "chunks")
    layouts = None
    if split or size == count:
        layouts = _divided(channels, given.layout, count, location(node))
    if layouts is None:
        return _taken_apart(channels, node)
    if split and not size_follows(channels, node, layouts[0], size):
        return []
    return [Value(layout, axis) for layout in layouts]


def _unbound(channels: Channels, node: fx.Node) -> list[Value | None]:
    along = _along(channels, node, position=1)
    if along is None:
        return []
    given, axis = along
    if axis == given.axis:
        return _taken_apart(channels, node)
    value = Value(given.layout, given.axis - (axis < given.axis))
    return [value] * node.meta.get("count", 0)


def _along(channels: Channels, node: fx.Node, *, position: int) -> tuple[Value, int] | None:
    """What is cut, and along which axis."""
    source = inputs(node)[0]
    given, axis = channels.values.get(source), argument(node, position, "dim", default=0)
    if given is None or not isinstance(axis, int):
        channels.fix([source], f"{location(node)} is not followed")
        return None
    return given, axis % axes_of(source)


def _taken_apart(channels: Channels, node: fx.Node) -> list[Value | None]:
    channels.fix(inputs(node)[:1], f"{location(node)} takes parts of it")
    return []


def _divided(channels: Channels, layout: Layout, count: int, where: str) -> list[Layout] | None:
    """A layout in equal parts of as many channels each; None where it has none such."""
    groups = channels.groups
    parts = groups.opened(layout)
    if (pieces := groups.pieces(parts, count)) is not None:
        return pieces
    group, size = parts[0].group, groups.size(parts[0].group)
    if len(parts) > 1 or size % count:
        return None
    inner = groups.new(size // count, groups.name(group))
    if not groups.becomes(group, (Part(inner),) * count, where):
        return None
    return [(Part(inner, parts[0].repeat),)] * count


def _taken(channels: Channels, node: fx.Node) -> Value | None:
    """One of several, or places cut out of one, all channels kept."""
    source, index = node.args[0], node.args[1]
    if not isinstance(source, fx.Node):
        return None
    if source in channels.several:
        values = channels.several[source]
        if isinstance(index, int) and -len(values) <= index < len(values):
            return values[index]
        return _part_taken(channels, node, source)
    before = form_of(source)
    if before is None:
        return None
    axes = _axes_left(index, len(before))
    if indexed(channels, node, source, axes):
        return None
    given = channels.values.get(source)
    if given is None:
        return None
    plain = axes is not None and given.axis in axes and len(inputs(node)) == 1
    if axes is not None and plain and not _cuts(index, given.axis, before):
        return Value(given.layout, axes.index(given.axis))
    return _part_taken(channels, node, source)


def _part_taken(channels: Channels, node: fx.Node, source: fx.Node) -> Value | None:
    channels.fix([source], f"{location(node)} takes a part of it")
    return None


def _axes_left(index: Any, count: int) -> list[int | None] | None:
    """The axes that an index leaves, None for new ones; None where it is another kind of index."""
    items = list(index) if isinstance(index, tuple) else [index]
    if any(not (i is None or i is Ellipsis or isinstance(i, int | slice)) for i in items):
        return None
    if any(isinstance(i, bool) for i in items):
        return None
    used = sum(i is not None and i is not Ellipsis for i in items)
    if Ellipsis not in items:
        items.append(Ellipsis)
    left: list[int | None] = []
    axis = 0
    for item in items:
        if item is None:
            left.append(None)
        elif item is Ellipsis:
            left += range(axis, axis + count - used)
            axis += count - used
        else:
            if isinstance(item, slice):
                left.append(axis)
            axis += 1
    return left


def _cuts(index: Any, axis: int, before: Sequence[int]) -> bool:
    """Whether an index takes a part of an axis."""
    items = [i for i in (index if isinstance(index, tuple) else (index,)) if i is not None]
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = [slice(None)] * (len(before) - len(items) + 1)
    if axis >= len(items) or not isinstance(items[axis], slice):
        return axis < len(items)
    start, stop, step = items[axis].start, items[axis].stop, items[axis].step
    to_end = stop is None or (isinstance(stop, int) and stop >= before[axis])
    return not (to_end and start in (None, 0) and step in (None, 1))


RULES: Mapping[str, Rule] = {"getitem": _taken}
SEVERAL: Mapping[str, SeveralRule] = {
    **dict.fromkeys(("chunk", "split"), _cut),
    "unbind": _unbound,
}
