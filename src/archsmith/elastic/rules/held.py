"""Tensors that the user's modules hold: what is made of them, and the widths that they lie
along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx

from archsmith.elastic.agreement import Layout
from archsmith.elastic.channels import Channels, Held, HeldAxes
from archsmith.elastic.nodes import axes_of, axis_length, form_of, is_stock, location
from archsmith.elastic.reshaping import blocks
from archsmith.elastic.rules.numbers import width_follows

_NONE: HeldAxes = frozenset()


def hold(channels: Channels, node: fx.Node) -> None:
    """A parameter or buffer of a module of the user's, as it is read."""
    path = str(node.target)
    owner, _, name = path.rpartition(".")
    module = channels.model.get_submodule(owner)
    named = name in module._parameters or name in module._buffers
    if form_of(node) is not None and named and not is_stock(module):
        axes = tuple(frozenset({(path, axis)}) for axis in range(axes_of(node)))
        channels.held[node] = Held(axes)


def bound(channels: Channels, node: fx.Node, axis: int, layout: Layout) -> bool:
    """Notes that an axis of the tensors behind a node lies along a layout; False where there are
    none, or it is of another width."""
    held = channels.held.get(node)
    if held is None or not held.axes[axis]:
        return False
    if axis_length(node, axis) != channels.groups.total(layout):
        return False
    for path, place in sorted(held.axes[axis]):
        channels.bind_tensor(path, place, layout)
    for along, arg, where in held.written:
        if along & held.axes[axis] and not width_follows(channels, node, layout, arg):
            channels.groups.fix(layout, f"{where} is written with a number; -1 would follow it")
    return True


def merged(channels: Channels, node: fx.Node, given: Sequence[fx.Node]) -> None:
    """What is made of such tensors alone, number by number."""
    form = form_of(node) or ()
    helds = [(one, held) for one in given if (held := channels.held.get(one)) is not None]
    if len(helds) != len(given):
        return
    axes = [_NONE for _ in form]
    for one, held in helds:
        more = len(form) - axes_of(one)
        for axis, along in enumerate(held.axes):
            if axis_length(one, axis) == form[axis + more]:
                axes[axis + more] |= along
    written = tuple(length for _, held in helds for length in held.written)
    channels.held[node] = Held(tuple(axes), written)


def permuted(channels: Channels, node: fx.Node, source: fx.Node, axes: Sequence[int]) -> None:
    """Its axes in another order."""
    if (held := channels.held.get(source)) is not None:
        channels.held[node] = Held(tuple(held.axes[a] for a in axes), held.written)


def expanded(channels: Channels, node: fx.Node, source: fx.Node, args: Sequence[Any]) -> None:
    """Repeated along axes of one number, or new ones in front."""
    if (held := channels.held.get(source)) is None:
        return
    more = axes_of(node) - axes_of(source)
    kept = (
        along if axis_length(source, axis) == axis_length(node, axis + more) else _NONE
        for axis, along in enumerate(held.axes)
    )
    axes = ((_NONE,) * more) + tuple(kept)
    channels.held[node] = Held(axes, held.written + _lengths(node, axes, args))


def reshaped(
    channels: Channels, node: fx.Node, source: fx.Node, args: Sequence[Any] | None
) -> None:
    """Axes that a view leaves whole keep what lies along them."""
    if (held := channels.held.get(source)) is None:
        return
    whole = {
        block.after[0]: held.axes[block.before[0]]
        for block in blocks(form_of(source) or (), form_of(node) or ())
        if len(block.before) == len(block.after) == 1
    }
    axes = tuple(whole.get(axis, _NONE) for axis in range(axes_of(node)))
    channels.held[node] = Held(axes, held.written + _lengths(node, axes, args))


def _lengths(
    node: fx.Node, axes: Sequence[HeldAxes], args: Sequence[Any] | None
) -> tuple[tuple[HeldAxes, Any, str], ...]:
    """What a view says of the lengths of such axes."""
    if args is None:
        return ()
    if len(args) != len(axes):
        return tuple((along, 0, location(node)) for along in axes if along)
    return tuple(
        (along, arg, location(node)) for along, arg in zip(axes, args, strict=True) if along
    )


def indexed(
    channels: Channels, node: fx.Node, source: fx.Node, axes: Sequence[int | None] | None
) -> bool:
    """What an index takes of such tensors; `axes`: those that it leaves, None where it is no plain
    index. True where they are rows by their number, and nothing else is known of them."""
    if (held := channels.held.get(source)) is None:
        return False
    index = node.args[1]
    rows = (_NONE,) * axes_of(index)
    if form_of(index) is not None and axes_of(node) == len(rows) + len(held.axes) - 1:
        channels.held[node] = Held((*rows, *held.axes[1:]), held.written)
        return True
    if axes is None:
        channels.fix([source], f"{location(node)} takes a part of it")
        return False
    kept = tuple(
        held.axes[a]
        if a is not None and axis_length(source, a) == axis_length(node, place)
        else _NONE
        for place, a in enumerate(axes)
    )
    channels.held[node] = Held(kept, held.written)
    return False
