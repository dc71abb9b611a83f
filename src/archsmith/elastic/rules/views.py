"""Views: axes that move, repeat, split or merge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx, nn

from archsmith.elastic.agreement import Layout, Part
from archsmith.elastic.channels import Channels, Rule, Value, of_one
from archsmith.elastic.nodes import (
    argument,
    axes_named,
    axes_of,
    axis_length,
    form_of,
    inputs,
    location,
    sizes_of,
)
from archsmith.elastic.reshaping import moved
from archsmith.elastic.rules import held
from archsmith.elastic.rules.numbers import numbers_follow
from archsmith.elastic.tracing import called

_SEGMENTS = 16  # a view that takes a width from more places than this mixes it

Factors = Sequence[tuple[int, int]]  # (axis, size) of the axes that a width becomes


def _not_followed(channels: Channels, node: fx.Node, why: str = "is not followed") -> Value | None:
    channels.fix(inputs(node)[:1], f"{location(node)} {why}")
    return None


def _moved(channels: Channels, node: fx.Node) -> Value | None:
    """Axes in another order."""
    source, count = inputs(node)[0], axes_of(node)
    rest = axes_named(node)
    if rest == ("mT",) or (rest == ("T",) and count == 2):
        rest = (-2, -1)
    if not rest or not all(isinstance(a, int) for a in rest) or node.kwargs:
        return _not_followed(channels, node)
    axes, named = list(range(count)), [a % count for a in rest]
    if called(node) == "permute":
        axes = named
    else:
        axes[named[0]], axes[named[1]] = axes[named[1]], axes[named[0]]
    held.permuted(channels, node, source, axes)
    given = channels.values.get(source)
    return None if given is None else Value(given.layout, axes.index(given.axis))


def _expanded(channels: Channels, node: fx.Node) -> Value | None:
    """Repeated along axes of one number, or new ones in front."""
    source, sizes = inputs(node)[0], sizes_of(node)
    held.expanded(channels, node, source, sizes)
    given = channels.values.get(source)
    if given is None:
        return None
    axis = given.axis + axes_of(node) - axes_of(source)
    if axis_length(source, given.axis) != axis_length(node, axis):
        return _not_followed(channels, node, "changes it")
    value = Value(given.layout, axis)
    return value if numbers_follow(channels, node, value, sizes) else None


def _by_sizes(channels: Channels, node: fx.Node) -> Value | None:
    return _reshaped(channels, node, sizes_of(node))


def _by_itself(channels: Channels, node: fx.Node) -> Value | None:
    return _reshaped(channels, node, None)


def _unflattened(channels: Channels, node: fx.Node) -> Value | None:
    """One axis as several, by a function or by a layer."""
    if node.op == "call_module":
        layer: Any = channels.layer(node)
        dim, sizes = layer.dim, layer.unflattened_size
    else:
        dim, sizes = argument(node, 1, "dim"), argument(node, 2, "sizes", default=())
    if not isinstance(dim, int) or not isinstance(sizes, tuple | list):
        return _not_followed(channels, node)
    start = dim % axes_of(inputs(node)[0])
    written: list[Any] = [None] * axes_of(node)
    written[start : start + len(sizes)] = list(sizes)
    return _reshaped(channels, node, written)


def _reshaped(channels: Channels, node: fx.Node, args: Sequence[Any] | None) -> Value | None:
    """Axes that split, merge or stay. `args`: what was written for each of the new axes, None where
    nothing was."""
    source = inputs(node)[0]
    held.reshaped(channels, node, source, args)
    given = channels.values.get(source)
    if given is None:
        return None
    value = _placed(channels, node, given)
    if value is None:
        return _not_followed(channels, node, "mixes it with other axes")
    return value if numbers_follow(channels, node, value, args) else None


def _placed(channels: Channels, node: fx.Node, given: Value) -> Value | None:
    """Where a width lies after a view; None where it is mixed with other axes."""
    place = moved(form_of(inputs(node)[0]) or (), form_of(node) or (), given.axis)
    if place is None or place.outer > _SEGMENTS:
        return None
    parts = channels.groups.opened(given.layout)
    full = tuple(Part(p.group, p.repeat * place.inner) for p in parts) * place.outer
    if len(place.candidates) == 1:
        return Value(full, place.candidates[0][0])
    parts = channels.groups.opened(full)
    if len(parts) == 1 and parts[0].repeat == 1:
        return _divided(channels, node, parts[0].group, place.candidates)
    return _factor(channels, node, parts, place.candidates)


def _divided(channels: Channels, node: fx.Node, group: int, factors: Factors) -> Value | None:
    """A width that is made of others from here on: which of its factors changes is tried."""
    sizes = [size for _, size in factors]
    count = len(sizes) - 1  # the last is what each of the others is made of
    place = min(channels.places.get(node.name, 0), count - 1)
    outer, inner = math.prod(sizes[:place]), math.prod(sizes[place + 1 :])
    if outer > _SEGMENTS:
        return None
    name = channels.groups.name(group) + (".heads" if inner > 1 else "")
    made = channels.groups.new(sizes[place], name)
    channels.splits[node.name] = made, place, count
    if not channels.groups.becomes(group, (Part(made, inner),) * outer, location(node)):
        return None
    return Value((Part(made),), factors[place][0])


def _factor(channels: Channels, node: fx.Node, parts: Layout, factors: Factors) -> Value | None:
    """Which of several factors is a width that is known already."""
    sizes = [size for _, size in factors]
    for place, (axis, _) in enumerate(factors):
        outer, inner = math.prod(sizes[:place]), math.prod(sizes[place + 1 :])
        pieces = channels.groups.pieces(parts, outer)
        if pieces is None or any(part.repeat % inner for part in parts):
            continue
        for piece in pieces[1:]:
            channels.groups.agree(pieces[0], piece, location(node))
        opened = channels.groups.opened(pieces[0])
        return Value(tuple(Part(p.group, p.repeat // inner) for p in opened), axis)
    return None


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("permute", "transpose", "swapaxes", "getattr"), of_one(_moved)),
    "expand": of_one(_expanded),
    **dict.fromkeys(("view", "reshape"), of_one(_by_sizes)),
    **dict.fromkeys(("flatten", "squeeze", "unsqueeze"), of_one(_by_itself)),
    "unflatten": of_one(_unflattened),
}
LAYERS: Mapping[type[nn.Module], Rule] = {
    nn.Flatten: of_one(_by_itself),
    nn.Unflatten: of_one(_unflattened),
}
