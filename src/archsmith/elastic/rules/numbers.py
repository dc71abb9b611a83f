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
    found: Channels, node: fx.Node, value: Value, args: Sequence[Any] | None
) -> bool:
    """Whether the sizes that a view was given, one for each axis of what it makes, are right in
    every network; those of what they are not for stay.

    `args`: a number, what stands for one in the graph, or None where nothing was written. `value`:
    what the view makes.
    """
    if args is None:
        return True
    found.risky.append(value.layout)
    form = form_of(node) or ()
    if len(args) != len(form):  # x.reshape(y.shape)
        told = width_told(found, args[0]) if len(args) == 1 else None
        return (told is not None and not told) or _kept(found, node, value.layout)
    right = [
        width_follows(found, node, value.layout, arg)
        if axis == value.axis
        else _rest_follows(found, node, value.layout, (arg, form[axis]))
        for axis, arg in enumerate(args)
    ]
    return all(right) or _kept(found, node, value.layout)


def size_follows(found: Channels, node: fx.Node, layout: Layout, arg: Any) -> bool:
    """The same of one number, that was written for the width of a layout."""
    found.risky.append(layout)
    return width_follows(found, node, layout, arg) or _kept(found, node, layout)


def _kept(found: Channels, node: fx.Node, layout: Layout) -> bool:
    says = f"{location(node)} is written with numbers that a narrower network would not have"
    found.groups.fix(layout, f"{says}; -1, or x.flatten(1), would follow it")
    return False


def width_follows(found: Channels, node: fx.Node, layout: Layout, arg: Any) -> bool:
    """Whether what was written for a width is that width in every network."""
    if arg is None or (isinstance(arg, int) and arg == -1):
        return True
    if isinstance(arg, Read) and not any(
        is_stock(found.model.get_submodule(path)) for path, _, _ in arg.sources
    ):
        for source in arg.sources:
            _bind(found, node, layout, (arg, source))
        return True
    told = width_told(found, arg)
    if not told:
        return False
    if found.groups.numbers(told) != found.groups.numbers(layout):
        found.groups.agree(told, layout, location(node))
    return True


def _bind(found: Channels, node: fx.Node, layout: Layout, read: tuple[Read, Source]) -> None:
    """Binds the number that a module holds, which was read for a width, or a part of it."""
    arg, source = read
    if not arg.direct:  # heads * size
        owner, name, place = source
        held: Any = getattr(found.model.get_submodule(owner), name)
        parts = found.groups.opened(layout)
        number = held if place is None else held[place]
        if len(parts) > 1 or number != found.groups.size(parts[0].group):
            return
        layout = (Part(parts[0].group),)
    found.bind_number(source, layout, location(node))


def _rest_follows(found: Channels, node: fx.Node, layout: Layout, written: tuple[Any, int]) -> bool:
    """Whether what was written for another axis, of this size, stays what it is."""
    arg, size = written
    told = width_told(found, arg)
    if told is not None and not told:
        return True
    divided = isinstance(arg, fx.Node) and called(arg) == "floordiv"
    by = arg.args[1] if divided else None
    if not isinstance(by, Read) or by != found.groups.total(layout):
        return False
    whole = width_told(found, arg.args[0])
    if not whole or found.groups.total(whole) != by * size:
        return False
    inner = tuple(Part(p.group, p.repeat * size) for p in found.groups.opened(layout))
    # width // heads: the same at every width
    found.groups.agree(whole, inner, location(node))
    return True


def width_told(found: Channels, arg: Any) -> Layout | None:
    """The width that a number in the graph is; nothing where it rests on none, None where that is
    not known."""
    if not isinstance(arg, fx.Node):
        items = arg if isinstance(arg, tuple | list) else ()
        return () if all(width_told(found, item) == () for item in items) else None
    name, args = called(arg), arg.args
    source: Any = args[0] if args else None
    index: Any = args[1] if len(args) > 1 else None
    if name == "getitem" and isinstance(source, fx.Node):
        outer = called(source)
        shape = outer == "getattr" and source.args[1:] == ("shape",)
        if shape or (outer == "size" and len(source.args) == 1):
            return _size(found, source.args[0], index)
    if name == "size" or (name == "getattr" and index == "shape"):
        return _size(found, source, index if name == "size" else slice(None))
    if name == "dim" or (name == "getattr" and index == "ndim"):
        return ()
    if name == "floordiv" and isinstance(index, int):
        whole = width_told(found, source)
        return _part_of(found, whole, index) if whole else whole
    times = next((item for item in args if isinstance(item, int)), None)
    if name == "mul" and times is not None:
        whole = width_told(found, index if source is times else source)
        return whole * times if whole else whole
    if form_of(arg) is not None or inputs(arg):
        return None
    rest = [width_told(found, given) for given in arg.all_input_nodes]
    return () if rest and all(told == () for told in rest) else None


def _size(found: Channels, source: Any, index: Any) -> Layout | None:
    """The width that the size of a tensor along an axis is."""
    if form_of(source) is None:
        return None
    count, value = axes_of(source), found.values.get(source)
    if value is None:
        return ()
    if isinstance(index, int):
        return value.layout if index % count == value.axis else ()
    axes = range(count)[index] if isinstance(index, slice) else range(count)
    return None if value.axis in axes else ()


def _part_of(found: Channels, layout: Layout, count: int) -> Layout | None:
    """The first of `count` equal parts of a width, where it is made of such."""
    parts = found.groups.opened(layout)
    if len(parts) % count == 0 and parts == parts[: len(parts) // count] * count:
        return parts[: len(parts) // count]
    if all(part.repeat % count == 0 for part in parts):
        return tuple(Part(part.group, part.repeat // count) for part in parts)
    return None
