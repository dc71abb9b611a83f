"""Which channels of a plain network must agree: its graph followed from layer to layer, and groups
of widths that only change together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from archsmith._internal.modes import modes_kept
from archsmith.errors import UserError, first_line


@dataclass(frozen=True)
class Part:
    """Of a layout: the channels of a group, each `repeat` features wide."""

    group: int
    repeat: int = 1


Layout = tuple[Part, ...]  # one part, or those of a concatenation in order


@dataclass(frozen=True)
class _Value:
    """A tensor in the graph whose axis `axis`, counted from the front, holds channels."""

    layout: Layout
    axis: int


_BINARY = frozenset("add sub mul truediv div iadd isub imul itruediv maximum minimum".split())
_PASSING = frozenset(
    "relu relu6 hardtanh gelu silu sigmoid tanh hardswish hardsigmoid leaky_relu elu celu selu "
    "mish "
    "softplus dropout dropout2d adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d max_pool2d "
    "interpolate upsample contiguous clone detach float to type clamp neg abs exp sqrt square pow "
    "rsqrt log".split()
)
_NUMBERS = frozenset("size getattr dim numel len".split())  # no tensors come out of these
_MIXING: tuple[type[nn.Module], ...] = (
    *(nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle, nn.Softmax, nn.Softmax2d),
    *(nn.LogSoftmax, nn.LocalResponseNorm, nn.Unflatten, nn.Fold, nn.Unfold),
)
_UNFOLLOWED = "what it reads is not followed"
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def traced(model: nn.Module, example: Tensor) -> fx.Graph:
    """The graph of a network, with the form of each tensor; UserError where it cannot be followed,
    naming the module."""
    tracer = fx.Tracer()
    try:
        graph = tracer.trace(model)
    except Exception as error:
        where = next(reversed(tracer.module_stack), "") if tracer.module_stack else ""
        kind = type(model.get_submodule(where)).__name__
        raise UserError(
            f"{type(model).__name__} cannot be followed: {first_line(error)}, in "
            f"{f'{where} ({kind})' if where else kind}; write its forward without branches or "
            f"loops "
            "over what depends on the input, e.g. x.flatten(1) for a view by numbers"
        ) from error
    module = fx.GraphModule(model, graph)
    try:
        with modes_kept(model), torch.no_grad():
            ShapeProp(module.eval()).propagate(example)
    except Exception as error:
        raise UserError(
            f"{type(model).__name__} does not take the example of form {tuple(example.shape)}: "
            f"{first_line(error)}"
        ) from error
    return graph


def _form(node: Any) -> tuple[int, ...] | None:
    """The form of a node's tensor; None of what is no tensor."""
    found = node.meta.get("tensor_meta") if isinstance(node, fx.Node) else None
    shape = getattr(found, "shape", None)
    return None if shape is None else tuple(shape)


def _inputs(node: fx.Node) -> list[fx.Node]:
    """The tensors that a node reads."""
    return [given for given in node.all_input_nodes if _form(given) is not None]


class Channels:
    """The channels of a network: groups of those that change together, and what each layer reads
    and gives."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self._model, self._graph = model, graph
        self._above: list[int] = []  # group -> the one that it was joined to
        self._sizes: list[int] = []
        self._units: list[int] = []  # widths are multiples of it
        self._names: list[str] = []  # the layer that gives it first
        self._reasons: list[str | None] = []  # why its width stays
        # path of a layer -> what it reads (None: what it gives), what it gives
        self.ends: dict[str, tuple[Layout | None, Layout | None]] = {}
        self._left: dict[str, str] = {}  # path of a module that is not elastic -> why
        self._values: dict[fx.Node, _Value] = {}
        for node in graph.nodes:
            value = self._follow(node)
            if value is not None and _form(node) is not None:
                self._values[node] = value

    # -- groups -----------------------------------------------------------------------------------

    def root(self, group: int) -> int:
        """What it was joined to in the end."""
        while self._above[group] != group:
            group = self._above[group]
        return group

    @property
    def roots(self) -> list[int]:
        """The groups, in order of their first layers."""
        return [group for group in range(len(self._above)) if self._above[group] == group]

    def size(self, group: int) -> int:
        """Its channels."""
        return self._sizes[self.root(group)]

    def unit(self, group: int) -> int:
        """What its widths are multiples of."""
        return self._units[self.root(group)]

    def name(self, group: int) -> str:
        """The first layer that gives it."""
        return self._names[self.root(group)]

    def reason(self, group: int) -> str | None:
        """Why its width stays; None where nothing keeps it."""
        return self._reasons[self.root(group)]

    def fixed(self) -> dict[str, str]:
        """Path of a layer -> why the width it gives stays."""
        found = dict(self._left)
        for path, (_, given) in self.ends.items():
            for part in given or ():
                if (why := self.reason(part.group)) is not None:
                    found.setdefault(path, why)
        return found

    def _new(self, size: int, name: str, reason: str | None = None) -> int:
        self._above.append(len(self._above))
        self._sizes.append(size)
        self._units.append(1)
        self._names.append(name)
        self._reasons.append(reason)
        return len(self._above) - 1

    def _join(self, one: int, other: int, where: str) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        if first == second:
            return
        if self._sizes[first] != self._sizes[second]:
            for group in (first, second):
                self._fix_group(group, f"{where} joins it with another width")
            return
        self._above[second] = first
        self._units[first] = math.lcm(self._units[first], self._units[second])
        self._reasons[first] = self._reasons[first] or self._reasons[second]

    def _fix_group(self, group: int, why: str) -> None:
        root = self.root(group)
        self._reasons[root] = self._reasons[root] or why

    def _fix(self, nodes: Iterable[fx.Node], why: str) -> None:
        for node in nodes:
            if (value := self._values.get(node)) is not None:
                for part in value.layout:
                    self._fix_group(part.group, why)

    # -- the graph --------------------------------------------------------------------------------

    def _follow(self, node: fx.Node) -> _Value | None:
        """What comes out of a node; what it makes of widths that it cannot follow stays fixed."""
        form = _form(node)
        if node.op == "placeholder":
            if form is None or len(form) < 2:
                return None
            axis = 1 if len(form) != 3 else 2
            return _Value((Part(self._new(form[axis], "the input", "it is the input's")),), axis)
        if node.op == "output":
            self._fix(_inputs(node), "it is the output's")
            return None
        if form is None:
            if _called(node) not in _NUMBERS:
                self._unknown(node)
            return None
        if node.op == "get_attr":
            return None
        if node.op == "call_module":
            module = self._model.get_submodule(str(node.target))
            return self._layer(node, str(node.target), module, form)
        return self._function(node, form)

    def _layer(
        self, node: fx.Node, path: str, layer: nn.Module, form: tuple[int, ...]
    ) -> _Value | None:
        given = self._values.get(_inputs(node)[0]) if _inputs(node) else None
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and len(form) == 4:
            return self._convolution(node, path, layer, given)
        if isinstance(layer, nn.Linear):
            return self._linear(node, path, layer, given, axis=len(form) - 1)
        normal = self._norm(node, path, layer, given)
        if normal is not None:
            return normal
        if isinstance(layer, nn.Flatten):
            return self._flattened(node, given, form)
        own = next(iter([*layer.parameters(), *layer.buffers()]), None) is not None
        if not own and not isinstance(layer, _MIXING):
            return self._passed(node, given, form)
        self._unknown(node)
        return None

    def _unknown(self, node: fx.Node) -> None:
        """What goes into something that has no elastic form stays as it is."""
        what = f"{_called(node)} ({node.name})"
        if node.op == "call_module":
            path = str(node.target)
            what = f"{path} ({type(self._model.get_submodule(path)).__name__})"
            self._left[path] = "it has no elastic form"
        self._fix(_inputs(node), f"{what} has no elastic form")

    def _convolution(
        self, node: fx.Node, path: str, layer: Any, given: _Value | None
    ) -> _Value | None:
        if given is None or given.axis != 1:
            self._fix(_inputs(node), f"{path} reads it along another axis")
            return self._given(path, layer.out_channels, why=_UNFOLLOWED, axis=1)
        if layer.groups == 1:
            return self._given(path, layer.out_channels, given.layout, axis=1)
        unit = layer.in_channels // layer.groups
        whole = layer.in_channels == layer.out_channels and len(given.layout) == 1
        if not whole or given.layout[0].repeat != 1:
            why = f"{path} takes it in {layer.groups} groups and gives another number of channels"
            self._fix(_inputs(node), why)
            return self._given(path, layer.out_channels, given.layout, why=why, axis=1)
        root = self.root(given.layout[0].group)
        self._units[root] = math.lcm(self._units[root], unit)
        self._note(path, given.layout, given.layout)
        return _Value(given.layout, 1)

    def _linear(
        self, node: fx.Node, path: str, layer: nn.Linear, given: _Value | None, axis: int
    ) -> _Value | None:
        if given is None or given.axis != len(_form(_inputs(node)[0]) or ()) - 1:
            self._fix(_inputs(node), f"{path} reads it along another axis")
            return self._given(path, layer.out_features, why=_UNFOLLOWED, axis=axis)
        return self._given(path, layer.out_features, given.layout, axis=axis)

    def _given(
        self,
        path: str,
        size: int,
        taken: Layout | None = None,
        *,
        why: str | None = None,
        axis: int,
    ) -> _Value:
        """A layer of new channels; one that is used twice gives the same."""
        if path in self.ends and self.ends[path][1] is not None:
            layout = self.ends[path][1] or ()
            self._note(path, taken, layout)
            return _Value(layout, axis)
        layout = (Part(self._new(size, path, why)),)
        if taken is None:
            self._left[path] = why or ""
        else:
            self._note(path, taken, layout)
        return _Value(layout, axis)

    def _note(self, path: str, taken: Layout | None, given: Layout | None) -> None:
        """What a layer reads and gives; the same each time it is used."""
        before = self.ends.setdefault(path, (taken, given))
        for old, new in zip(before, (taken, given), strict=True):
            if old is not None and new is not None and old != new:
                self._agree(old, new, path)

    def _agree(self, one: Layout, other: Layout, where: str) -> None:
        """Two layouts of one tensor."""
        if [(self.size(p.group), p.repeat) for p in one] == [
            (self.size(p.group), p.repeat) for p in other
        ]:
            for first, second in zip(one, other, strict=True):
                self._join(first.group, second.group, where)
            return
        for part in (*one, *other):
            self._fix_group(part.group, f"{where} joins it with channels of another order")

    def _norm(
        self, node: fx.Node, path: str, layer: nn.Module, given: _Value | None
    ) -> _Value | None:
        if given is None:
            return None
        last = len(_form(node) or ()) - 1
        if isinstance(layer, _BATCH_NORMS) and given.axis == 1:
            self._note(path, None, given.layout)
            return given
        if isinstance(layer, nn.GroupNorm) and given.axis == 1 and len(given.layout) == 1:
            unit, root = layer.num_channels // layer.num_groups, self.root(given.layout[0].group)
            self._units[root] = math.lcm(self._units[root], unit)
            self._note(path, None, given.layout)
            return given
        whole = isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1
        if whole and given.axis == last:
            self._note(path, None, given.layout)
            return given
        return None

    def _passed(self, node: fx.Node, given: _Value | None, form: tuple[int, ...]) -> _Value | None:
        """The same channels, where they are as many on the same axis."""
        before = _form(_inputs(node)[0]) if _inputs(node) else None
        if given is None or before is None:
            return None
        if len(before) == len(form) and before[given.axis] == form[given.axis]:
            return given
        self._fix(_inputs(node), f"{node.name} changes it")
        return None

    def _flattened(
        self, node: fx.Node, given: _Value | None, form: tuple[int, ...]
    ) -> _Value | None:
        """Maps as features: each channel becomes as many as it has places."""
        before = _form(_inputs(node)[0]) or ()
        if given is None:
            return None
        if len(form) == 2 and given.axis == 1 and len(before) >= 2:
            places = math.prod(before[2:])
            return _Value(tuple(Part(p.group, p.repeat * places) for p in given.layout), 1)
        if len(form) == 3 and given.axis == 1 and len(before) == 4 and form[1] == before[1]:
            return _Value(given.layout, 1)  # (B, C, H W)
        self._fix(_inputs(node), f"{node.name} mixes it with other axes")
        return None

    def _function(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        name = _called(node)
        inputs = _inputs(node)
        given = self._values.get(inputs[0]) if inputs else None
        if name in _BINARY:
            return self._combined(node, form)
        if name in _PASSING and len(inputs) == 1:
            return self._passed(node, given, form)
        if name in ("cat", "concat", "concatenate"):
            return self._joined(node, form)
        rule: Callable[..., _Value | None] | None = {
            "flatten": self._flattened,
            "view": self._viewed,
            "reshape": self._viewed,
            "mean": self._averaged,
            "permute": self._moved,
            "transpose": self._moved,
            "getitem": self._cut,
            "pad": self._passed,
        }.get(name)
        if rule is not None and len(inputs) == 1:
            return rule(node, given, form)
        self._unknown(node)
        return None

    def _combined(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        """Sums and products: equal widths must agree; one channel for all says nothing."""
        values = [(given, self._values.get(given)) for given in _inputs(node)]
        if len(values) == 1:
            return self._passed(node, values[0][1], form)
        known = [
            (given, value)
            for given, value in values
            if value is not None
            and (_form(given) or ())[value.axis]
            == form[value.axis + len(form) - len(_form(given) or ())]
        ]
        unknown = [
            given for given, value in values if value is None and self._wide(given, form, known)
        ]
        if unknown:
            what = " and ".join(given.name for given in unknown)
            self._fix(_inputs(node), f"{node.name} joins it with {what}, whose width is its own")
        if not known:
            return None
        first = known[0][1]
        axes = {value.axis + len(form) - len(_form(given) or ()) for given, value in known}
        if len(axes) > 1:
            self._fix(_inputs(node), f"{node.name} joins different axes")
            return None
        for _, value in known[1:]:
            self._agree(first.layout, value.layout, node.name)
        return _Value(first.layout, next(iter(axes)))

    def _wide(
        self, given: fx.Node, form: tuple[int, ...], known: list[tuple[fx.Node, _Value]]
    ) -> bool:
        """Whether a tensor that is not followed has as many numbers along the channels."""
        own = _form(given) or ()
        for other, value in known:
            axis = value.axis + len(form) - len(_form(other) or ()) - (len(form) - len(own))
            if axis >= 0 and own[axis] != 1:
                return True
        return not known

    def _joined(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        inputs = _inputs(node)
        values = [self._values.get(given) for given in inputs]
        found = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        axis = found % len(form) if isinstance(found, int) else -1
        if all(value is not None and value.axis == axis for value in values):
            parts = tuple(part for value in values if value is not None for part in value.layout)
            return _Value(parts, axis)
        first = values[0]
        if first is not None and all(v is not None and v.axis == first.axis for v in values):
            for value in values[1:]:
                assert value is not None
                self._agree(first.layout, value.layout, node.name)  # along another axis
            return first
        self._fix(inputs, f"{node.name} puts it beside what is not followed")
        return None

    def _viewed(self, node: fx.Node, given: _Value | None, form: tuple[int, ...]) -> _Value | None:
        """A flattening that counts by itself, or the same form by sizes."""
        sizes = node.args[1:]
        if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
            sizes = tuple(sizes[0])
        if len(form) == 2 and sizes and sizes[-1] == -1:
            return self._flattened(node, given, form)
        self._fix(
            _inputs(node), f"{node.name} is written with numbers; x.flatten(1) would follow it"
        )
        return None

    def _averaged(
        self, node: fx.Node, given: _Value | None, form: tuple[int, ...]
    ) -> _Value | None:
        if given is None:
            return None
        before = _form(_inputs(node)[0]) or ()
        found: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        if found is None:
            return None
        axes = [
            int(a) % len(before) for a in (found if isinstance(found, tuple | list) else (found,))
        ]
        if given.axis in axes:
            return None  # over the channels, however many there are
        gone = 0 if len(form) == len(before) else sum(a < given.axis for a in axes)
        return _Value(given.layout, given.axis - gone)

    def _moved(self, node: fx.Node, given: _Value | None, form: tuple[int, ...]) -> _Value | None:
        if given is None:
            return None
        axes = list(range(len(form)))
        rest = node.args[1:]
        if len(rest) == 1 and isinstance(rest[0], tuple | list):
            rest = tuple(rest[0])
        if not all(isinstance(a, int) for a in rest) or node.kwargs:
            self._fix(_inputs(node), f"{node.name} is not followed")
            return None
        moved = [int(a) % len(form) for a in rest]  # type: ignore[arg-type]
        if "transpose" in str(node.target):
            axes[moved[0]], axes[moved[1]] = axes[moved[1]], axes[moved[0]]
        else:
            axes = moved
        return _Value(given.layout, axes.index(given.axis))

    def _cut(self, node: fx.Node, given: _Value | None, form: tuple[int, ...]) -> _Value | None:
        """Places cut out, all channels kept."""
        if given is None:
            return None
        index: Any = node.args[1]
        whole = isinstance(index, tuple) and all(isinstance(i, slice) for i in index)
        if whole and (len(index) <= given.axis or index[given.axis] == slice(None)):
            return given
        self._fix(_inputs(node), f"{node.name} takes a part of it")
        return None

    # -- blocks -----------------------------------------------------------------------------------

    def called(self, path: str) -> bool:
        """Whether the network calls the module itself, and not its children one by one."""
        return any(path in _modules_of(node) for node in self._graph.nodes)

    def adds_to_its_input(self, path: str) -> bool:
        """Whether a module has one input, used nowhere else in it but to be added to, and gives
        the same form and the same channels: without it the network is still one."""
        inside = [node for node in self._graph.nodes if path in _modules_of(node)]
        own = set(inside)
        outer = {given for node in inside for given in _inputs(node) if given not in own}
        last = [node for node in inside if any(user not in own for user in node.users)]
        if len(outer) != 1 or len(last) != 1:
            return False
        (given,) = outer
        added = any(
            _called(node) in ("add", "iadd") and given in map(self._bare, _inputs(node))
            for node in inside
        )
        if not added or _form(last[0]) != _form(given):
            return False
        start, end = self._values.get(given), self._values.get(last[0])
        return start is not None and end is not None and self._same(start, end)

    def _bare(self, node: fx.Node) -> fx.Node:
        """What a node hands on as it is."""
        while node.op == "call_module" and isinstance(
            self._model.get_submodule(str(node.target)), nn.Identity | nn.Dropout
        ):
            node = _inputs(node)[0]
        return node

    def _same(self, one: _Value, other: _Value) -> bool:
        roots = [
            [(self.root(part.group), part.repeat) for part in value.layout]
            for value in (one, other)
        ]
        return one.axis == other.axis and roots[0] == roots[1]


def _called(node: fx.Node) -> str:
    """The name of the function or method that a node calls, in place or not."""
    if node.op not in ("call_function", "call_method"):
        return ""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return str(name).rstrip("_")


def _modules_of(node: fx.Node) -> Mapping[str, Any]:
    """The paths of the modules that a node was recorded in."""
    return node.meta.get("nn_module_stack") or {}
