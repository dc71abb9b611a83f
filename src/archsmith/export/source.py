"""Generates model.py: one network as plain PyTorch that is pleasant to read, with the parameter
names of the weights file."""

from __future__ import annotations

import itertools
import keyword
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from torch import fx, nn

from archsmith.graph.trace import (
    TRACED,
    Untraceable,
    constructor,
    function_name,
    is_chain,
    is_stock,
    literal,
    parent,
    trace,
)
from archsmith.graph.writer import Deployment

WIDTH = 120  # columns of the generated file
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


def source(network: nn.Module, shape: Sequence[int], facts: Mapping[str, Any]) -> str:
    """The text of model.py. facts: title, summary, classes (names of the outputs), deployment (what
    is around it), how (the picture's way to a tensor, in words).

    Raises Untraceable, naming the module, where the network's computation cannot be written as
    plain PyTorch.
    """
    if is_stock(network):
        raise Untraceable(f"nn.{type(network).__name__} is a single layer; wrap it in a Sequential")
    graph = trace(network, tuple(shape), chains=True)
    template = Template(
        resources.files("archsmith").joinpath("shipped/model.py.txt").read_text(encoding="utf-8")
    )
    out = next(node for node in graph.nodes if node.op == "output").args[0]
    if not isinstance(out, fx.Node):
        raise Untraceable(f"{type(network).__name__} returns more than one tensor")
    helpers = _helpers(network)
    around: Deployment = facts["deployment"]
    names = [str(c) for c in facts["classes"]]
    return template.substitute(
        title=facts["title"],
        summary=facts["summary"],
        how=facts["how"],
        shape=", ".join(map(str, shape)),
        labels=_assignment("LABELS", names) + "\n" if names else "",
        mean=tuple(round(float(v), 7) for v in around.mean),
        std=tuple(round(float(v), 7) for v in around.std),
        **_answer(around, len(names), shape),
        input=_shape((TRACED, *shape)),
        output=_shape(out.meta["shape"]),
        layers=_indented(_declarations(network, graph), 8),
        steps=_indented(_Forward(network, graph).lines(), 8),
        helpers=helpers,
        ordered="from collections import OrderedDict\n" if "OrderedDict" in helpers else "",
        functional="from torch.nn import functional as F\n" if _uses_functional(graph) else "",
    )


def _answer(around: Deployment, count: int, shape: Sequence[int]) -> dict[str, str]:
    """The parts of the template that tell what comes out."""
    if around.answer == "probabilities":
        return {
            "example": f"probabilities = model.predict(network, images)           # (1, {count}), "
            f"rows sum to 1\n"
            "    print(model.LABELS[int(probabilities[0].argmax())])",
            "raw": "logits",
            "what": "class probabilities",
            "units": "",
            "result": "return network(normalize(images)).softmax(dim=-1)",
        }
    pixels = around.answer == "pixels"
    form, out = (
        ("1, -1, 1, 1", f"(1, {', '.join(map(str, shape))}), 0..1")
        if pixels
        else ("1, -1", f"(1, {count})")
    )
    lines = "\n    ".join(
        [
            f"scale, shift = (torch.tensor(values, device=images.device).view({form}) for values "
            f"in (SCALE, SHIFT))",
            f"return (network(normalize(images)) * scale + "
            f"shift){'.clamp(0, 1)' if pixels else ''}",
        ]
    )
    return {
        "example": f"{around.answer} = model.predict(network, images)           # {out}",
        "raw": "outputs, less SHIFT and over SCALE",
        "what": around.answer,
        "units": f"SCALE, SHIFT = {around.scale!r}, {around.shift!r}  # from the network's outputs "
        f"to {around.answer}\n",
        "result": lines,
    }


def _indented(lines: Sequence[str], columns: int) -> str:
    return "\n".join(" " * columns + line if line else "" for line in lines).lstrip()


def _assignment(name: str, values: Sequence[Any]) -> str:
    return "\n".join(
        _call(f"{name} = (", [literal(v) for v in values], ",)" if len(values) == 1 else ")", 0)
    )


def _call(start: str, parts: Sequence[str], end: str, indent: int) -> list[str]:
    """`start` + parts + `end` on one line where they fit in what `indent` leaves, else one part a
    line."""
    line = start + ", ".join(parts) + end
    if len(line) + indent <= WIDTH and not any("\n" in part for part in parts):
        return [line]
    broken = [f"{part}," for part in parts]
    return [
        start,
        *(f"    {line}" for part in broken for line in part.split("\n")),
        end.lstrip(","),
    ]


# -- the layers ----------------------------------------------------------------------------------


def _is_list(module: nn.Module) -> bool:
    names = list(module._modules)
    return bool(names) and names == [str(i) for i in range(len(names))]


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _construction(module: nn.Module, label: str, indent: int, end: str = "") -> list[str]:
    """`label` + the expression that makes a module and everything below it + `end`, as lines;
    `indent` columns are taken."""
    if is_stock(module):
        return [label + constructor(module) + end]
    children = {name: child for name, child in module._modules.items() if child is not None}
    if _is_list(module):
        start, close = ("nn.Sequential(", ")") if is_chain(module) else ("nn.ModuleList([", "])")
        labels = {name: ("", "") for name in children}
    else:
        start, close = ("chain(" if is_chain(module) else "group("), ")"
        labels = {
            name: (f"{name}=", "") if _is_name(name) else (f'**{{"{name}": ', "}")
            for name in children
        }
    parts = [
        "\n".join(_construction(child, labels[n][0], indent + 5, labels[n][1]))
        for n, child in children.items()
    ]
    return _call(label + start, parts, close + end, indent)


def _declarations(network: nn.Module, graph: fx.Graph) -> list[str]:
    """The body of `__init__`, stage by stage, each under its name and shapes."""
    spans = _spans(graph, lambda node: _target(node).split(".")[0])
    lines: list[str] = []
    for name, child in network._modules.items():
        if child is None or (type(child) is nn.Sequential and len(child) == 0):
            continue
        if not _is_name(name):
            raise Untraceable(
                f"a child of the network is called '{name}', which cannot be an "
                f"attribute; name the stages"
            )
        container = not is_stock(child)
        if lines and (container or not lines[-1].startswith(("self.", "# "))):
            lines.append("")
        if container and name in spans:
            lines.append(f"# {_span(spans[name])}")
        lines += _construction(child, f"self.{name} = ", 8)
        lines += _tensors(network, child, name)
    lines += _tensors(network, network, "", deep=False)
    return lines or ["pass"]


def _tensors(network: nn.Module, module: nn.Module, path: str, deep: bool = True) -> list[str]:
    """Parameters and buffers that containers hold themselves."""
    lines = []
    for below, owner in module.named_modules() if deep else [("", module)]:
        if is_stock(owner):
            continue
        full = ".".join(p for p in (path, below) if p)
        holder = _access(network, full)
        for name, tensor in owner._parameters.items():
            if tensor is not None:
                lines.append(
                    f'{holder}.register_parameter("{name}", '
                    f"nn.Parameter(torch.empty({tuple(tensor.shape)})))"
                )
        for name, buffer in owner._buffers.items():
            if name in owner._non_persistent_buffers_set:
                raise Untraceable(
                    f"buffer '{name}' of {type(owner).__name__} at '{full}' is not "
                    f"part of its state_dict"
                )
            if buffer is not None:
                lines.append(
                    f'{holder}.register_buffer("{name}", '
                    f"torch.empty({tuple(buffer.shape)}, dtype={buffer.dtype}))"
                )
    return lines


def _access(network: nn.Module, path: str) -> str:
    """`self.stage1[0].conv` for `stage1.0.conv`."""
    text, module = "self", network
    for name in path.split(".") if path else ():
        if name in module._modules:
            listed, module = _is_list(module) and module is not network, module._modules[name]  # type: ignore[assignment]
            text += (
                f"[{name}]"
                if listed
                else f".{name}"
                if _is_name(name)
                else f'.get_submodule("{name}")'
            )
        else:
            text += f".{name}"
    return text


def _helpers(network: nn.Module) -> str:
    """The definitions of `chain` and `group`, where the layers need them."""
    named = [
        m for m in network.modules() if m is not network and not is_stock(m) and not _is_list(m)
    ]
    text = ""
    if any(is_chain(m) for m in named):
        text += '''

def chain(**layers: nn.Module) -> nn.Module:
    """Named layers that are called one after the other."""
    return nn.Sequential(OrderedDict(layers))
'''
    if not all(is_chain(m) for m in named):
        text += '''

def group(**layers: nn.Module) -> nn.Module:
    """Named layers that `forward` calls one by one."""
    module = nn.Module()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module
'''
    return text


# -- the computation -----------------------------------------------------------------------------


def _shape(shape: Sequence[int]) -> str:
    times = shape[0] // TRACED
    return f"({', '.join([f'{times} N' if times > 1 else 'N', *map(str, shape[1:])])})"


def _target(node: fx.Node) -> str:
    """The path a node belongs to: of the module called, or of the module whose code it is."""
    return str(node.target) if node.op == "call_module" else str(node.meta["inside"])


def _spans(graph: fx.Graph, unit: Callable[[fx.Node], str]) -> dict[str, tuple[Any, Any]]:
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


def _span(span: tuple[Any, Any]) -> str:
    return " -> ".join(_shape(s) for s in span if s)


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


class _Forward:
    """Writes the body of `forward` from the graph: a name for each value by its lifetime, short
    chains nested."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        self._network = network
        self._nodes = [node for node in graph.nodes]
        self._position = {node: i for i, node in enumerate(self._nodes)}
        self._spans = _spans(graph, self._unit)
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
        unit = unit_of(self._network, _target(node))
        return "" if unit and is_stock(self._network.get_submodule(unit)) else unit

    def _heading(self, unit: str, start: fx.Node) -> list[str]:
        """The block's comment, and a short name for it where it is spoken of more than once."""
        self._alias = ("", "")
        if not unit:
            return []
        lines = [f"# {unit}: {_span(self._spans[unit])}"]
        run = itertools.takewhile(
            lambda n: self._unit(n) == unit, self._nodes[self._position[start] :]
        )
        if sum(n.op == "call_module" and str(n.target) != unit for n in run) > 1:
            self._alias = (_access(self._network, unit), "block")
            lines.append(f"block = {self._alias[0]}")
        return lines

    def _reach(self, path: str) -> str:
        text = _access(self._network, path)
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


def _uses_functional(graph: fx.Graph) -> bool:
    functions = [n.target for n in graph.nodes if n.op == "call_function"]
    builtin = (*_INFIX, getattr, operator.getitem, operator.neg)
    return any(function_name(t).startswith("F.") for t in functions if t not in builtin)
