"""Which block of a network a node of its graph is in, and what goes in and comes out there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import fx, nn

from archsmith.graph.trace import TRACED, is_chain


def shape_text(shape: Sequence[int]) -> str:
    """A shape in a comment, its batch as N."""
    times = shape[0] // TRACED
    return f"({', '.join([f'{times} N' if times > 1 else 'N', *map(str, shape[1:])])})"


def path_of(node: fx.Node) -> str:
    """The path a node belongs to: of the module called, or of the module whose code it is."""
    return str(node.target) if node.op == "call_module" else str(node.meta["inside"])


def spans_of(graph: fx.Graph, unit: Callable[[fx.Node], str]) -> dict[str, tuple[Any, Any]]:
    """Unit -> shape of the first tensor it reads, shape of the last it makes."""
    spans: dict[str, tuple[Any, Any]] = {}
    for node in graph.nodes:
        if node.op in ("placeholder", "output", "get_attr") or not (name := unit(node)):
            continue
        read = next((n.meta["shape"] for n in node.all_input_nodes if n.meta["shape"]), None)
        spans[name] = (
            spans[name][0] if name in spans else read,
            node.meta["shape"] or spans.get(name, (None, None))[1],
        )
    return spans


def span_text(span: tuple[Any, Any]) -> str:
    """What goes in and what comes out, as shapes."""
    return " -> ".join(shape_text(s) for s in span if s)


def unit_of(network: nn.Module, path: str) -> str:
    """The block a path lies in: going down from the root, the first module that is not a Sequential
    of further blocks."""
    module, walked = network, []
    for name in path.split(".") if path else ():
        child = module._modules.get(name)
        if child is None:
            break
        walked.append(name)
        module = child
        if not (isinstance(module, nn.Sequential) and not is_chain(module)):
            break
    return ".".join(walked)
