"""Products of matrices, einsums and attention: axes that are multiplied agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx

from archsmith.elastic.agreement import Layout
from archsmith.elastic.channels import Channels, Rule, Value
from archsmith.elastic.nodes import axes_of, axis_length, inputs, location
from archsmith.elastic.rules.held import bound


def _matmul(channels: Channels, node: fx.Node) -> Value | None:
    """(..., M, K) times (..., K, N): K must agree, and what lies before."""
    factors = [a for a in node.args if isinstance(a, fx.Node)]
    counts = [axes_of(given) for given in factors]
    if len(factors) != 2 or counts[0] != counts[1] or counts[0] < 2:
        channels.unknown(node)
        return None
    outer = "abcdefghijkl"[: counts[0] - 2]
    return _multiplied(channels, node, factors, f"{outer}mk,{outer}kn->{outer}mn")


def _einsum(channels: Channels, node: fx.Node) -> Value | None:
    equation, *rest = node.args
    listed: Any = rest[0] if len(rest) == 1 and isinstance(rest[0], tuple | list) else rest
    factors = [a for a in listed if isinstance(a, fx.Node)]
    text = str(equation).replace(" ", "")
    letters, _, made = text.partition("->")
    fits = [axes_of(given) for given in factors] == [len(part) for part in letters.split(",")]
    if not made or "." in text or not fits:
        channels.unknown(node)
        return None
    return _multiplied(channels, node, factors, text)


def _multiplied(
    channels: Channels, node: fx.Node, factors: Sequence[fx.Node], equation: str
) -> Value | None:
    """Axes with one letter agree; one of them may be left in what is made."""
    read, _, made = equation.partition("->")
    letters = read.split(",")
    named: dict[str, Layout] = {}
    for given, text in zip(factors, letters, strict=True):
        if (value := channels.values.get(given)) is not None:
            layout = named.setdefault(text[value.axis], value.layout)
            channels.groups.agree(layout, value.layout, location(node))
    for letter, layout in named.items():
        for given, text in zip(factors, letters, strict=True):
            value, place = channels.values.get(given), text.find(letter)
            if place < 0 or (value is not None and value.axis == place):
                continue
            if axis_length(given, place) > 1 and not bound(channels, given, place, layout):
                what = f"{location(node)} joins it with {given.name}, whose width is its own"
                channels.groups.fix(layout, what)
                channels.fix([given], what)
    left = [letter for letter in named if letter in made]
    if len(left) > 1:
        channels.fix(factors, f"{location(node)} gives a product of two widths")
        return None
    return Value(named[left[0]], made.index(left[0])) if left else None


def _attention(channels: Channels, node: fx.Node) -> Value | None:
    """Attention of queries, keys and values (B, heads, T, head size): the heads agree."""
    read = inputs(node)
    given = [value for one in read[:3] if (value := channels.values.get(one)) is not None]
    heads = {value.axis for value in given}
    if len(given) < 3 or len(heads) > 1 or not 1 <= given[0].axis <= axes_of(node) - 3:
        channels.fix(read, f"{location(node)} attends along it")
        return None
    first = given[0]
    for value in given[1:]:
        channels.groups.agree(first.layout, value.layout, location(node))
    for mask in read[3:]:
        place = first.axis - (axes_of(node) - axes_of(mask))
        if place < 0 or axis_length(mask, place) == 1:
            continue
        if not bound(channels, mask, place, first.layout):
            what = f"{location(node)} takes {mask.name} with it, whose heads are its own"
            channels.fix(read, what)
    return first


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("matmul", "bmm"), _matmul),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
}
