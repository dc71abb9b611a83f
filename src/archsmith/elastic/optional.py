"""Blocks of a plain network that may be left out: those of a Sequential that add to their input."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from archsmith.elastic.blocks import Chain
from archsmith.elastic.channels import Channels
from archsmith.elastic.nodes import form_of, inputs, modules_of
from archsmith.elastic.tracing import called
from archsmith.space import Choice


def optional_blocks(
    model: nn.Module, graph: fx.Graph, channels: Channels
) -> dict[str, list[list[str]]]:
    """Path of a Sequential -> names of its children that can be left out, next to one another."""
    chains: dict[str, list[list[str]]] = {}
    for path, module in model.named_modules():
        if type(module) is not nn.Sequential or not path or not _nodes_of(graph, path):
            continue
        runs: list[list[str]] = [[]]
        for name, child in module.named_children():
            learns = any(True for _ in child.parameters())
            if learns and _adds_to_its_input(channels, _nodes_of(graph, f"{path}.{name}")):
                runs[-1].append(name)
            elif runs[-1]:
                runs.append([])
        if kept := [run for run in runs if run]:
            chains[path] = kept
    return chains


def chain(module: nn.Module, path: str, runs: Sequence[Sequence[str]]) -> Chain:
    """A Sequential of which each run of blocks may be shorter, the last left out first."""
    decisions = {
        tuple(run): Choice(*range(len(run) + 1), name=f"{path}.{run[0]}.depth") for run in runs
    }
    return Chain(dict(module.named_children()), decisions)


def _nodes_of(graph: fx.Graph, path: str) -> list[fx.Node]:
    """The nodes that were recorded while the module at `path` was called; none where only its
    children are, one by one."""
    return [node for node in graph.nodes if path in modules_of(node)]


def _adds_to_its_input(channels: Channels, inside: Sequence[fx.Node]) -> bool:
    """Whether a module has one input, used nowhere else in it but to be added to, and gives the
    same form and the same channels: without it the network is still one."""
    own = set(inside)
    outer = {
        given
        for node in inside
        for given in inputs(node)
        if given not in own and given.op != "get_attr"
    }
    last = [
        node
        for node in inside
        if node.op != "get_attr" and any(user not in own for user in node.users)
    ]
    if len(outer) != 1 or len(last) != 1:
        return False
    (given,), (end,) = outer, last
    added = any(
        called(node) in ("add", "iadd")
        and any(_bare(channels, one) is given for one in inputs(node))
        for node in inside
    )
    return added and form_of(end) == form_of(given) and _same_channels(channels, given, end)


def _bare(channels: Channels, node: fx.Node) -> fx.Node:
    """What a node hands on as it is."""
    while node.op == "call_module" and isinstance(channels.layer(node), nn.Identity | nn.Dropout):
        node = inputs(node)[0]
    return node


def _same_channels(channels: Channels, one: fx.Node, other: fx.Node) -> bool:
    start, end = channels.values.get(one), channels.values.get(other)
    if start is None or end is None or start.axis != end.axis:
        return False
    return channels.groups.opened(start.layout) == channels.groups.opened(end.layout)
