"""Sums, products and other functions of several tensors, number by number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import fx

from archsmith.elastic.channels import Channels, Rule, Value
from archsmith.elastic.nodes import axes_of, axis_length, form_of, inputs, location
from archsmith.elastic.rules.held import bound, merged
from archsmith.elastic.rules.passing import passed
from archsmith.elastic.tracing import called

_BINARY = (
    "add sub mul truediv div iadd isub imul itruediv maximum minimum where masked_fill "
    "multiply subtract pow"
).split()
_OF_SEVERAL = "max min expand_as".split()  # of one tensor they are something else


def _combined(channels: Channels, node: fx.Node) -> Value | None:
    """Equal widths must agree; one channel for all says nothing."""
    read = inputs(node)
    if len(read) == 1:
        return passed(channels, node)
    count = axes_of(node)
    # axes are counted from behind: tensors of fewer axes are repeated along the first
    known = {
        given: Value(value.layout, value.axis + count - axes_of(given))
        for given in read
        if (value := channels.values.get(given)) is not None
        and axis_length(given, value.axis) == axis_length(node, value.axis + count - axes_of(given))
    }
    axes = {value.axis for value in known.values()}
    if len(axes) > 1:
        channels.fix(read, f"{location(node)} joins different axes")
        return None
    others = [given for given in read if given not in known]
    if not known:
        merged(channels, node, others)
        return None
    first = next(iter(known.values()))
    for given in others:
        place = first.axis - (count - axes_of(given))
        if place < 0 or axis_length(given, place) == 1:
            continue
        if not bound(channels, given, place, first.layout):
            what = f"{location(node)} joins it with {given.name}, whose width is its own"
            channels.fix(read, what)
    for value in [*known.values()][1:]:
        channels.groups.agree(first.layout, value.layout, location(node))
    if called(node) in ("mul", "imul", "multiply"):
        for given, value in known.items():
            _note_gate(channels, given, value)
    return first


def _of_several(channels: Channels, node: fx.Node) -> Value | None:
    if len(inputs(node)) > 1:
        return _combined(channels, node)
    channels.unknown(node)
    return None


def _note_gate(channels: Channels, factor: fx.Node, scaled: Value) -> None:
    """A product with what two layers made of the mean over all places: the width between them
    follows the width that is scaled (Hu and others, CVPR 2018)."""
    layers = _layers_behind(channels, factor)
    if len(layers) != 2:
        return
    (first, last), opened = layers, channels.groups.opened
    read, inner = channels.ends[first]
    given = channels.ends[last][1] or ()
    same = opened(read or ()) == opened(given) == opened(scaled.layout)
    if same and inner is not None and len(given) == len(inner) == 1:
        channels.squeezes.append((inner[0].group, given[0].group))


def _layers_behind(channels: Channels, node: fx.Node) -> list[str]:
    """The last two layers, first one first, that made a number for each channel."""
    layers: list[str] = []
    if called(node) == "expand_as":
        node = inputs(node)[0]
    while len(layers) < 2 and (len(inputs(node)) == 1 or called(node) == "add"):
        form, value = form_of(node) or (), channels.values.get(node)
        if value is None or math.prod(form) != form[0] * form[value.axis]:
            break
        if node.op == "call_module" and channels.ends.get(str(node.target), (None,))[0]:
            layers.insert(0, str(node.target))
        node = inputs(node)[0]
    return layers


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_BINARY, _combined),
    **dict.fromkeys(_OF_SEVERAL, _of_several),
}
