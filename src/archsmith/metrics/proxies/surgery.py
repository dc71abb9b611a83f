"""Networks without their shortcuts or squeeze-excite gates, as ZiCo's and Zen-NAS's released code
scores them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import fx, nn

from archsmith.errors import UserError

_ADD, _MUL = ("add", "iadd", "add_"), ("mul", "imul", "mul_")
_POOLS = ("mean", "adaptive_avg_pool2d")


def without_shortcuts(module: nn.Module) -> fx.GraphModule:
    """The network with each residual addition replaced by its main branch; layers are shared with
    `module`, not copied.

    A shortcut is the operand of an addition from which the other one is computed, or a projection:
    at most one convolution and its norm, where the other operand has more between it and their
    common source. Raises UserError where `module` cannot be traced.
    """
    traced = _trace(module, "drop_shortcuts")
    for node in list(traced.graph.nodes):
        if (
            _called(node) in _ADD
            and len(node.args) == 2
            and all(isinstance(arg, fx.Node) for arg in node.args)
        ):
            main = _main_branch(traced, *node.args)
            if main is not None:
                node.replace_all_uses_with(main)
                traced.graph.erase_node(node)
    return _cleaned(traced)


def without_squeeze_excite(module: nn.Module) -> fx.GraphModule:
    """The network with each product x * gate(pool(x)) replaced by x; layers are shared. Raises
    UserError as above."""
    traced = _trace(module, "drop_squeeze_excite")
    for node in list(traced.graph.nodes):
        if (
            _called(node) not in _MUL
            or len(node.args) != 2
            or not all(isinstance(arg, fx.Node) for arg in node.args)
        ):
            continue
        for kept, gate in (node.args, node.args[::-1]):
            path = _between(kept, gate)
            if kept in ancestors(gate) and any(_is_pool(traced, step) for step in path):
                node.replace_all_uses_with(kept)
                traced.graph.erase_node(node)
                break
    return _cleaned(traced)


def _trace(module: nn.Module, option: str) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(module)
    except Exception as error:  # a user's own forward may fail in any way under tracing
        raise UserError(
            f"{option} needs a network that torch.fx can trace; {type(module).__name__}: {error}"
        ) from error


def _cleaned(traced: fx.GraphModule) -> fx.GraphModule:
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _called(node: fx.Node) -> str:
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _is_pool(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d)
    return _called(node) in _POOLS


def sums(graph: fx.Graph) -> Iterator[tuple[fx.Node, fx.Node]]:
    """The two nodes that are added, for each addition of two different ones."""
    for node in graph.nodes:
        if getattr(node.target, "__name__", node.target) in _ADD and len(node.all_input_nodes) == 2:
            yield node.all_input_nodes[0], node.all_input_nodes[1]


def ancestors(node: fx.Node) -> set[fx.Node]:
    """The node and all it is computed from."""
    nodes: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current not in nodes:
            nodes.add(current)
            waiting.extend(current.all_input_nodes)
    return nodes


def _between(source: fx.Node, node: fx.Node) -> set[fx.Node]:
    return ancestors(node) - ancestors(source)


def _main_branch(traced: fx.GraphModule, a: fx.Node, b: fx.Node) -> fx.Node | None:
    above_a, above_b = ancestors(a), ancestors(b)
    if a in above_b or b in above_a:
        return b if a in above_b else a
    weights_a, weights_b = (
        _weighted(traced, branch) for branch in (above_a - above_b, above_b - above_a)
    )
    if weights_a <= 1 < weights_b:
        return b
    return a if weights_b <= 1 < weights_a else None


def _weighted(traced: fx.GraphModule, nodes: set[fx.Node]) -> int:
    modules = (traced.get_submodule(str(node.target)) for node in nodes if node.op == "call_module")
    return sum(isinstance(module, torch.nn.Conv2d | torch.nn.Linear) for module in modules)
