"""What is asked of the nodes of a network's graph: forms, inputs, arguments, and where they were
written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from archsmith.elastic.tracing import line_of


def form_of(node: Any) -> tuple[int, ...] | None:
    """The form of a node's tensor; None of what is no tensor."""
    return node.meta.get("form") if isinstance(node, fx.Node) else None


def axes_of(node: Any) -> int:
    """How many axes a node's tensor has."""
    return len(form_of(node) or ())


def axis_length(node: fx.Node, axis: int) -> int:
    """How many numbers lie along an axis of a node's tensor."""
    return (form_of(node) or ())[axis]


def inputs(node: fx.Node) -> list[fx.Node]:
    """The tensors that a node reads, each once."""
    return [given for given in node.all_input_nodes if form_of(given) is not None]


def location(node: fx.Node) -> str:
    """A node and the line that it was written in."""
    line = line_of(node)
    return f"{node.name} ({line})" if line else node.name


def modules_of(node: fx.Node) -> Mapping[str, Any]:
    """The paths of the modules that a node was recorded in."""
    return node.meta.get("nn_module_stack") or {}


def argument(node: fx.Node, position: int, *names: str, default: Any = None) -> Any:
    """An argument of a call, by position or by one of its names."""
    if len(node.args) > position:
        return node.args[position]
    return next((node.kwargs[name] for name in names if name in node.kwargs), default)


def sizes_of(node: fx.Node) -> tuple[Any, ...]:
    """The sizes that a view was given."""
    return _listed(node.args[1:] or node.kwargs.get("shape", node.kwargs.get("size", ())))


def axes_named(node: fx.Node) -> tuple[Any, ...]:
    """What a function was given after its tensor, as several or as one list."""
    return _listed(node.args[1:])


def _listed(args: Any) -> tuple[Any, ...]:
    if len(args) == 1 and isinstance(args[0], tuple | list):
        args = args[0]
    return tuple(args)


def is_stock(layer: nn.Module) -> bool:
    """Whether it is torch's own layer, and no class derived from one."""
    return type(layer).__module__.startswith("torch.nn.modules")
