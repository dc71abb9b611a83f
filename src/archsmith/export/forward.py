"""The body of `forward` in model.py, from the traced graph."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from torch import fx, nn

from archsmith.export.declarations import access
from archsmith.export.spans import path_of, span_text, spans_of, unit_of
from archsmith.graph.trace import Untraceable, function_name, is_stock, literal, parent

_NAMES = ("x", "y", "z", "u", "v", "w")
_INFIX = {
    operator.add: "+",
    operator.iadd: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.imul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.matmul: "@",
    operator.mod: "%",
    operator.pow: "**",
}


class Forward:
    """Writes the body of `forward` from the graph: a name for each value by its lifetime, short
    chains nested."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        self._network = network
        self._nodes = [node for node in graph.nodes]
        self._position = {node: i for i, node in enumerate(self._nodes)}
        self._spans = spans_of(graph, self._unit)
        # the expression or the variable that stands for a value
        self._text: dict[fx.Node, str] = {}
        self._nested: set[fx.Node] = set()  # values that are part of a later expression
        self._loose: set[fx.Node] = set()  # expressions that need parentheses inside another
        self._held: dict[str, fx.Node] = {}  # variable -> the value it holds
        self._alias = ("", "")

    def lines(self) -> list[str]:
        lines: list[str] = []
        unit = stage = None
        for node in self._nodes:
            if node.op == "placeholder":
                if self._held:
                    raise Untraceable(f"{type(self._network).__name__} takes more than one input")
                self._text[node] = self._name(node, ())
                continue
            if node.op == "output":
                (returned,) = node.args
                assert isinstance(returned, fx.Node)
                lines.append(f"return {self._text[returned]}")
                continue
            here = self._unit(node)
            if here != unit and node.op != "get_attr":
                if lines and here.split(".")[0] != stage:
                    lines.append("")
                unit, stage = here, here.split(".")[0]
                lines += self._heading(unit, node)
            lines += self._statement(node)
        return lines

    def _unit(self, node: fx.Node) -> str:
        """The block that a node is in; a stock layer of the root counts as the root's own code."""
        unit = unit_of(self._network, path_of(node))
        return "" if unit and is_stock(self._network.get_submodule(unit)) else unit

    def _heading(self, unit: str, start: fx.Node) -> list[str]:
        """The block's comment, and a short name for it where it is spoken of more than once."""
        self._alias = ("", "")
        if not unit:
            return []
        lines = [f"# {unit}: {span_text(self._spans[unit])}"]
        run = itertools.takewhile(
            lambda n: self._unit(n) == unit, self._nodes[self._position[start] :]
        )
        if sum(n.op == "call_module" and str(n.target) != unit for n in run) > 1:
            self._alias = (access(self._network, unit), "block")
            lines.append(f"block = {self._alias[0]}")
        return lines

    def _reach(self, path: str) -> str:
        text = access(self._network, path)
        full, short = self._alias
        return (
            short + text[len(full) :]
            if full and text.startswith((full + ".", full + "["))
            else text
        )

    def _statement(self, node: fx.Node) -> list[str]:
        """The node's assignment; nothing where its expression moves into the one after it."""
        expression, loose = self._expression(node)
        if node.op == "get_attr" or self._nests(node, expression):
            self._text[node] = expression
            self._nested.add(node)
            if loose:
                self._loose.add(node)
            return []
        name = self._name(node, self._last_read(node))
        self._text[node] = name
        return [f"{name} = {expression}"]

    def _nests(self, node: fx.Node, expression: str) -> bool:
        after = self._position[node] + 1
        if len(node.users) != 1 or self._nodes[after] not in node.users or len(expression) > 90:
            return False
        user = self._nodes[after]
        if node.meta["shape"] is None or user.op == "output":
            return True
        if self._unit(user) != self._unit(node):
            return False
        if node.op == "call_module" and user.op == "call_function" and user.target in _INFIX:
            return True
        if node.op != "call_function" and user.op == "call_method" and user.args[0] is node:
            return True
        inner = parent(str(node.target)) if node.op == "call_module" else ""
        deep = inner != self._unit(node)
        return (
            bool(inner) and deep and user.op == "call_module" and parent(str(user.target)) == inner
        )

    def _last_read(self, node: fx.Node) -> tuple[str, ...]:
        """Variables whose value nothing reads after this node."""
        here = self._position[node]

        def last(value: fx.Node) -> int:
            return max(
                (last(u) if u in self._nested else self._position[u] for u in value.users),
                default=-1,
            )

        return tuple(name for name, value in self._held.items() if last(value) <= here)

    def _name(self, node: fx.Node, free: tuple[str, ...]) -> str:
        for name in free:
            del self._held[name]
        names = _names() if node.op == "placeholder" or node.meta["shape"] else _numbered("size")
        chosen = next(name for name in names if name not in self._held)
        self._held[chosen] = node
        return chosen

    def _expression(self, node: fx.Node) -> tuple[str, bool]:
        """The node as Python, and whether it needs parentheses inside another expression."""
        arguments = [self._argument(a) for a in node.args]
        named = [
            f"{k}={self._argument(v)}"
            for k, v in node.kwargs.items()
            if (k, v) != ("inplace", False)
        ]
        if node.op == "get_attr":
            return self._reach(str(node.target)), False
        if node.op == "call_module":
            return f"{self._reach(str(node.target))}({', '.join(arguments + named)})", False
        if node.op == "call_method":
            return (
                f"{self._operand(node.args[0])}.{node.target}({', '.join(arguments[1:] + named)})",
                False,
            )
        if node.target in _INFIX:
            left, right = (self._operand(a) for a in node.args)
            return f"{left} {_INFIX[node.target]} {right}", True
        if node.target is getattr:
            return f"{self._operand(node.args[0])}.{node.args[1]}", False
        if node.target is operator.getitem:
            return f"{self._operand(node.args[0])}[{_index(node.args[1], self._argument)}]", False
        if node.target is operator.neg:
            return f"-{self._operand(node.args[0])}", True
        try:
            return f"{function_name(node.target)}({', '.join(arguments + named)})", False
        except Untraceable as error:
            raise Untraceable(
                f"{type(self._network).__name__} at '{node.meta['inside']}': {error}"
            ) from None

    def _operand(self, value: Any) -> str:
        text = self._argument(value)
        return f"({text})" if isinstance(value, fx.Node) and value in self._loose else text

    def _argument(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            return self._text[value]
        if isinstance(value, tuple | list):
            inner = ", ".join(self._argument(v) for v in value)
            return (
                f"[{inner}]"
                if isinstance(value, list)
                else f"({inner}{',' if len(value) == 1 else ''})"
            )
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        return literal(value)


def _index(value: Any, argument: Callable[[Any], str]) -> str:
    if isinstance(value, tuple):
        return ", ".join(_index(v, argument) for v in value)
    if isinstance(value, slice):
        text = ":".join("" if v is None else argument(v) for v in (value.start, value.stop))
        return text if value.step is None else f"{text}:{argument(value.step)}"
    return "..." if value is Ellipsis else argument(value)


def _names() -> Iterator[str]:
    yield from _NAMES
    yield from _numbered("t")


def _numbered(stem: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{stem}{number}"


def uses_functional(graph: fx.Graph) -> bool:
    """Whether `forward` calls functions of torch.nn.functional."""
    functions = [n.target for n in graph.nodes if n.op == "call_function"]
    builtin = (*_INFIX, getattr, operator.getitem, operator.neg)
    return any(function_name(t).startswith("F.") for t in functions if t not in builtin)
