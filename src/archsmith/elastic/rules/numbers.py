"""Whether the numbers that a view was given still hold where a width is narrower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx

from archsmith.elastic.agreement import Layout, Part
from archsmith.elastic.channels import Channels, Value
from archsmith.elastic.nodes import axes_of, form_of, inputs, is_stock, location
from archsmith.elastic.provenance import Read, Source
from archsmith.elastic.tracing import called


def numbers_follow(
    channels: Channels, node: fx.Node, value: Value, args: Sequence[Any] | None
) -> bool:
    """Whether the sizes that a view was given, one for each axis of what it makes, are right in
    every network; those of what they are not for stay.

    `args`: a number, what stands for one in the graph, or None where nothing was written. `value`:
    what the view makes.
    """
    if args is None:
        return True
    channels.risky.append(value.layout)
    form = form_of(node) or ()
    if len(args) != len(form):  # x.reshape(y.shape)
        width = width_of(channels, args[0]) if len(args) == 1 else None
        return (width is not None and not width) or _kept(channels, node, value.layout)
    right = [
        width_follows(channels, node, value.layout, arg)
        if axis == value.axis
        else _rest_follows(channels, node, value.layout, (arg, form[axis]))
        for axis, arg in enumerate(args)
    ]
    return all(right) or _kept(channels, node, value.layout)


def size_follows(channels: Channels, node: fx.Node, layout: Layout, arg: Any) -> bool:
    """The same of one number, that was written for the width of a layout."""
    channels.risky.append(layout)
    return width_follows(channels, node, layout, arg) or _kept(channels, node, layout)


def _kept(channels: Channels, node: fx.Node, layout: Layout) -> bool:
    says = f"{location(node)} is written with numbers that a narrower network would not have"
    channels.groups.fix(layout, f"{says}; -1, or x.flatten(1), would follow it")
    return False


def width_follows(channels: Channels, node: fx.Node, layout: Layout, arg: Any) -> bool:
    """Whether what was written for a width is that width in every network."""
    if arg is None or (isinstance(arg, int) and arg == -1):
        return True
    if isinstance(arg, Read) and not any(
        is_stock(channels.model.get_submodule(path)) for path, _, _ in arg.sources
    ):
        for source in arg.sources:
            _bind(channels, node, layout, (arg, source))
        return True
    width = width_of(channels, arg)
    if not width:
        return False
    if channels.groups.numbers(width) != channels.groups.numbers(layout):
        channels.groups.agree(width, layout, location(node))
    return True


def _bind(channels: Channels, node: fx.Node, layout: Layout, read: tuple[Read, Source]) -> None:
    """Binds the number that a module holds, which was read for a width, or a part of it."""
    arg, source = read
    if not arg.direct:  # heads * size
        owner, name, place = source
        held: Any = getattr(channels.model.get_submodule(owner), name)
        parts = channels.groups.opened(layout)
        number = held if place is None else held[place]
        if len(parts) > 1 or number != channels.groups.size(parts[0].group):
            return
        layout = (Part(parts[0].group),)
    channels.bind_number(source, layout, location(node))


def _rest_follows(
    channels: Channels, node: fx.Node, layout: Layout, written: tuple[Any, int]
) -> bool:
    """Whether what was written for another axis, of this size, stays what it is."""
    arg, size = written
    width = width_of(channels, arg)
    if width is not None and not width:
        return True
    divided = isinstance(arg, fx.Node) and called(arg) == "floordiv"
    by = arg.args[1] if divided else None
    if not isinstance(by, Read) or by != channels.groups.total(layout):
        return False
    whole = width_of(channels, arg.args[0])
    if not whole or channels.groups.total(whole) != by * size:
        return False
    inner = tuple(Part(p.group, p.repeat * size) for p in channels.groups.opened(layout))
    # width // heads: the same at every width
    channels.groups.agree(whole, inner, location(node))
    return True


def width_of(channels: Channels, arg: Any) -> Layout | None:
    """The width that a number in the graph is; nothing where it rests on none, None where that is
    not known."""
    if not isinstance(arg, fx.Node):
        items = arg if isinstance(arg, tuple | list) else ()
        return () if all(width_of(channels, item) == () for item in items) else None
    name, args = called(arg), arg.args
    source: Any = args[0] if args else None
    index: Any = args[1] if len(args) > 1 else None
    if name == "getitem" and isinstance(source, fx.Node):
        outer = called(source)
        shape = outer == "getattr" and source.args[1:] == ("shape",)
        if shape or (outer == "size" and len(source.args) == 1):
            return _size(channels, source.args[0], index)
    if name == "size" or (name == "getattr" and index == "shape"):
        return _size(channels, source, index if name == "size" else slice(None))
    if name == "dim" or (name == "getattr" and index == "ndim"):
        return ()
    if name == "floordiv" and isinstance(index, int):
        whole = width_of(channels, source)
        return _part_of(channels, whole, index) if whole else whole
    times = next((item for item in args if isinstance(item, int)), None)
    if name == "mul" and times is not None:
        whole = width_of(channels, index if source is times else source)
        return whole * times if whole else whole
    if form_of(arg) is not None or inputs(arg):
        return None
    rest = [width_of(channels, given) for given in arg.all_input_nodes]
    return () if rest and all(width == () for width in rest) else None


def _size(channels: Channels, source: Any, index: Any) -> Layout | None:
    """The width that the size of a tensor along an axis is."""
    if form_of(source) is None:
        return None
    count, value = axes_of(source), channels.values.get(source)
    if value is None:
        return ()
    if isinstance(index, int):
        return value.layout if index % count == value.axis else ()
    axes = range(count)[index] if isinstance(index, slice) else range(count)
    return None if value.axis in axes else ()


def _part_of(channels: Channels, layout: Layout, count: int) -> Layout | None:
    """The first of `count` equal parts of a width, where it is made of such."""
    parts = channels.groups.opened(layout)
    if len(parts) % count == 0 and parts == parts[: len(parts) // count] * count:
        return parts[: len(parts) // count]
    if all(part.repeat % count == 0 for part in parts):
        return tuple(Part(part.group, part.repeat // count) for part in parts)
    return None
