"""Which channels of a plain network must agree: its graph followed from layer to layer, and groups
of widths that only change together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.fx.node import map_aggregate

from archsmith.elastic.agreement import Groups, Layout, Part
from archsmith.elastic.reshaping import blocks, moved
from archsmith.elastic.tracing import Read, Source, called, line_of


@dataclass(frozen=True)
class _Value:
    """A tensor in the graph whose axis `axis`, counted from the front, holds channels."""

    layout: Layout
    axis: int


@dataclass(frozen=True)
class _Own:
    """What was made of tensors that the user's modules hold: the axes of those, (path, axis), that
    lie along each of its own, and what was written of their lengths."""

    axes: tuple[frozenset[tuple[str, int]], ...]
    written: tuple[tuple[frozenset[tuple[str, int]], Any, str], ...] = ()


_BINARY = frozenset(
    "add sub mul truediv div iadd isub imul itruediv maximum minimum where masked_fill "
    "multiply subtract pow".split()
)
_PASSING = frozenset(
    "relu relu6 hardtanh gelu silu sigmoid tanh hardswish hardsigmoid leaky_relu elu celu selu "
    "mish softplus softsign logsigmoid dropout dropout1d dropout2d dropout3d alpha_dropout "
    "contiguous clone detach float half double bfloat16 to type clamp neg abs exp sqrt square pow "
    "rsqrt log sin cos erf reciprocal nan_to_num".split()
)
_PLACES = frozenset(  # over the axes after the second
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d avg_pool1d "
    "avg_pool2d max_pool1d max_pool2d lp_pool2d interpolate upsample".split()
)
_ALONG = frozenset("softmax log_softmax softmin normalize flip roll cumsum cumprod sort".split())
_REDUCING = frozenset("mean sum amax amin std var norm logsumexp prod".split())
_NUMBERS = frozenset("size getattr dim numel len".split())  # no tensors come out of these
_COMPARING = frozenset("eq ne lt le gt ge mod".split())  # of sizes: which way a branch goes
_MIXING: tuple[type[nn.Module], ...] = (
    *(nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle, nn.Softmax2d),
    *(nn.LocalResponseNorm, nn.Fold, nn.Unfold),
)
_SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
_UNFOLLOWED = "what it reads is not followed"
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_HELD = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.PReLU, nn.RMSNorm)
_LAYERS = (
    *(nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.GroupNorm, nn.LayerNorm),
    *_BATCH_NORMS,
    *_HELD,
)
_SEGMENTS = 16  # a view that takes a width from more places than this mixes it
_ROUNDS = 4  # of trying which factor of a split width is the one that can be narrower
_IN_HEADS = (
    "torch's own attention keeps its width and its heads; written as Linear layers and "
    "F.scaled_dot_product_attention its heads could be decided"
)


def _form(node: Any) -> tuple[int, ...] | None:
    """The form of a node's tensor; None of what is no tensor."""
    return node.meta.get("form") if isinstance(node, fx.Node) else None


def _inputs(node: fx.Node) -> list[fx.Node]:
    """The tensors that a node reads."""
    return [given for given in node.all_input_nodes if _form(given) is not None]


def followed(model: nn.Module, graph: fx.Graph) -> Channels:
    """The channels of a network. Where a view divides a width into several factors, the first of
    them that can be narrower is the one that changes (of (3, heads, size): the heads)."""
    places: dict[str, int] = {}
    found = Channels(model, graph, places)
    for _ in range(_ROUNDS):
        later = {name: place + 1 for name, place in found.misled().items()}
        if not later:
            break
        places |= later
        found = Channels(model, graph, places)
    return found


class Channels:
    """The channels of a network: groups of those that change together, and what each layer reads
    and gives.

    `places`: name of a view that divides a width -> which of its factors is the width from there
    on, 0 where it is not said.
    """

    def __init__(
        self, model: nn.Module, graph: fx.Graph, places: Mapping[str, int] | None = None
    ) -> None:
        self._model, self._graph, self._places = model, graph, dict(places or {})
        self.groups = Groups()
        # path of a layer -> what it reads (None: what it gives), what it gives
        self.ends: dict[str, tuple[Layout | None, Layout | None]] = {}
        # path of a tensor that a module of the user's holds -> what lies along its axes
        self.tensors: dict[str, dict[int, Layout]] = {}
        self.numbers: dict[Source, Layout] = {}  # a whole number that such a module holds -> what
        self.squeezes: list[tuple[int, int]] = []  # inner group of a gate, the one that it scales
        self.risky: list[Layout] = []  # what views by numbers say something of
        self._splits: dict[str, tuple[int, int, int]] = {}  # view -> group, place, how many
        self._left: dict[str, str] = {}  # path of a module that is not elastic -> why
        self._loose: dict[str, str] = {}  # path of a tensor that must stay -> why
        self._apart: dict[str, str] = {}  # path of a layer that is looked into -> where
        self._values: dict[fx.Node, _Value] = {}
        self._several: dict[fx.Node, list[_Value | None]] = {}  # of nodes that give several
        self._own: dict[fx.Node, _Own] = {}
        for node in graph.nodes:
            self._note_read(node)
            value = self._follow(node)
            if value is not None and _form(node) is not None:
                self._values[node] = value
        self._tie()
        for path, where in self._apart.items():
            for layout in self.ends.get(path, ()):
                self.groups.fix(layout or (), f"{where} reads what '{path}' holds apart from it")

    # -- what was found ---------------------------------------------------------------------------

    def fixed(self) -> dict[str, str]:
        """Path of a layer -> why the width it gives stays."""
        found = dict(self._left)
        for path, (_, given) in self.ends.items():
            for part in given or ():
                if (why := self.groups.reason(part.group)) is not None:
                    found.setdefault(path, why)
        return found

    def misled(self) -> dict[str, int]:
        """Views that divide a width whose place in it stays, where another may not."""
        return {
            name: place
            for name, (group, place, count) in self._splits.items()
            if place + 1 < count and self.groups.reason(group) is not None
        }

    def layouts(self) -> Iterable[tuple[fx.Node, Layout, int]]:
        """The tensors of the graph that hold channels: node, what it holds, and along which
        axis."""
        for node, value in self._values.items():
            yield node, value.layout, value.axis

    def _fix(self, nodes: Iterable[fx.Node], why: str) -> None:
        for node in nodes:
            if (value := self._values.get(node)) is not None:
                self.groups.fix(value.layout, why)
            for value in self._several.get(node, ()):
                if value is not None:
                    self.groups.fix(value.layout, why)
            if (own := self._own.get(node)) is not None:
                for path in {path for along in own.axes for path, _ in along}:
                    self._loose.setdefault(path, why)
                    for layout in self.tensors.get(path, {}).values():
                        self.groups.fix(layout, why)

    # -- the graph --------------------------------------------------------------------------------

    def _follow(self, node: fx.Node) -> _Value | None:
        """What comes out of a node; what it makes of widths that it cannot follow stays fixed."""
        form = _form(node)
        if node.op == "placeholder":
            if form is None or len(form) < 2:
                return None
            axis = 1 if len(form) != 3 else 2
            group = self.groups.new(form[axis], "the input", "it is the input's")
            return _Value((Part(group),), axis)
        if node.op == "output":
            self._fix(_inputs(node), "it is the output's")
            return None
        if node.op == "get_attr":
            self._held(node, form)
            return None
        if form is None:
            name = called(node)
            if name in ("chunk", "split", "unbind") and len(_inputs(node)) == 1:
                self._several[node] = self._parted(node, name)
            elif name in ("max", "min") and len(_inputs(node)) == 1:
                self._several[node] = [self._reduced(node)] * 2  # the values, and where they are
            elif name in _COMPARING:
                self.risky += [told for arg in node.args if (told := self._told(arg))]
            elif name not in _NUMBERS:
                self._unknown(node)
            return None
        if node.op == "call_module":
            module = self._model.get_submodule(str(node.target))
            return self._layer(node, str(node.target), module, form)
        return self._function(node, form)

    def _layer(
        self, node: fx.Node, path: str, layer: nn.Module, form: tuple[int, ...]
    ) -> _Value | None:
        inputs = _inputs(node)
        given = self._values.get(inputs[0]) if inputs else None
        if isinstance(layer, _LAYERS) and (why := _altered(layer)):
            self._unknown(node, why)
            return None
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and len(form) == 4:
            return self._convolution(node, path, layer, given)
        if isinstance(layer, nn.Linear):
            return self._linear(node, path, layer, given, axis=len(form) - 1)
        normal = self._norm(node, path, layer, given)
        if normal is not None:
            return normal
        if given is None and isinstance(layer, _LAYERS):
            self._left[path] = _UNFOLLOWED
            self._fix(inputs, f"{path} reads it along another axis")
            return None
        if len(inputs) == 1:
            if isinstance(layer, nn.Flatten):
                return self._reshaped(node, form, None)
            if isinstance(layer, nn.Unflatten):
                return self._unflattened(node, form, layer.dim, layer.unflattened_size)
            if isinstance(layer, _SOFTMAX):
                return self._over(node, given, layer.dim)
            own = next(iter([*layer.parameters(), *layer.buffers()]), None) is not None
            if not own and not isinstance(layer, _MIXING):
                name = type(layer).__name__
                places = "Pool" in name or "Upsampl" in name
                return self._passed(node, form, places=places)
        self._unknown(node)
        return None

    def _unknown(self, node: fx.Node, why: str = "has no elastic form") -> None:
        """What goes into something that has no elastic form stays as it is."""
        what = f"{called(node)} ({_written(node)})"
        if node.op == "call_module":
            path = str(node.target)
            layer = self._model.get_submodule(path)
            what = f"{path} ({type(layer).__name__})"
            attention = isinstance(layer, nn.MultiheadAttention)
            self._left[path] = _IN_HEADS if attention else f"it {why}"
        self._fix(node.all_input_nodes, f"{what} {why}")

    def _stock(self, path: str) -> bool:
        """Whether it is torch's own layer."""
        return type(self._model.get_submodule(path)).__module__.startswith("torch.nn.modules")

    def _note_read(self, node: fx.Node) -> None:
        """Layers of torch whose tensors or widths are read by others than themselves."""
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            if name in self._model.get_submodule(owner)._parameters and self._stock(owner):
                user = next(iter(node.users), node)
                self._apart.setdefault(owner, _written(user))

        def note(arg: Any) -> Any:
            for path, _, _ in arg.sources if isinstance(arg, Read) else ():
                if self._stock(path):
                    self._apart.setdefault(path, _written(node))
            return arg

        map_aggregate((node.args, node.kwargs), note)

    # -- layers -----------------------------------------------------------------------------------

    def _convolution(
        self, node: fx.Node, path: str, layer: Any, given: _Value | None
    ) -> _Value | None:
        if given is not None and given.axis != 1:
            self._left[path] = "it reads another axis than that of the channels"
            self._fix(_inputs(node), f"{path} reads it along another axis")
            return None
        if given is None:
            given = self._whole(node, path, layer.in_channels, axis=1)
        if layer.groups == 1:
            return self._given(path, layer.out_channels, given.layout, axis=1)
        unit, parts = layer.in_channels // layer.groups, self.groups.opened(given.layout)
        one = len(parts) == 1 and parts[0].repeat == 1
        if layer.in_channels != layer.out_channels or (unit > 1 and not one):
            why = f"{path} takes it in {layer.groups} groups and gives another number of channels"
            if layer.in_channels == layer.out_channels:
                why = f"{path} takes it in {layer.groups} groups, and it is put together of parts"
            self._fix(_inputs(node), why)
            return self._given(path, layer.out_channels, given.layout, why=why, axis=1)
        if unit > 1:
            self.groups.multiples(parts, unit, path)
        self._note(path, given.layout, given.layout)
        return _Value(given.layout, 1)

    def _linear(
        self, node: fx.Node, path: str, layer: nn.Linear, given: _Value | None, axis: int
    ) -> _Value | None:
        if given is not None and given.axis != axis:
            self._left[path] = "it reads another axis than that of the channels, which pass it"
            return given
        if given is None:
            given = self._whole(node, path, layer.in_features, axis=axis)
        return self._given(path, layer.out_features, given.layout, axis=axis)

    def _whole(self, node: fx.Node, path: str, size: int, *, axis: int) -> _Value:
        """Channels that are not followed: as many in every network."""
        self._fix(_inputs(node), f"{path} reads it along another axis")
        return _Value((Part(self.groups.new(size, path, _UNFOLLOWED)),), axis)

    def _given(
        self, path: str, size: int, taken: Layout, *, why: str | None = None, axis: int
    ) -> _Value:
        """A layer of new channels; one that is used twice gives the same."""
        layout = self.ends.get(path, (None, None))[1] or (Part(self.groups.new(size, path, why)),)
        self._note(path, taken, layout)
        return _Value(layout, axis)

    def _note(self, path: str, taken: Layout | None, given: Layout | None) -> None:
        """What a layer reads and gives; the same each time it is used."""
        before = self.ends.setdefault(path, (taken, given))
        for old, new in zip(before, (taken, given), strict=True):
            if old is not None and new is not None and old != new:
                self.groups.agree(old, new, path)

    def _norm(
        self, node: fx.Node, path: str, layer: nn.Module, given: _Value | None
    ) -> _Value | None:
        if given is None:
            return None
        last = len(_form(node) or ()) - 1
        if isinstance(layer, _HELD):
            return self._held_norm(path, layer, given, last)
        if isinstance(layer, _BATCH_NORMS) and given.axis == 1:
            self._note(path, None, given.layout)
            return given
        if isinstance(layer, nn.GroupNorm) and given.axis == 1:
            parts, unit = self.groups.opened(given.layout), layer.num_channels // layer.num_groups
            if len(parts) > 1 and layer.num_groups > 1:
                return None
            if layer.num_groups > 1:  # one group is all channels, however many
                self.groups.multiples(parts, unit, path)
            self._note(path, None, given.layout)
            return given
        whole = isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1
        if whole and given.axis == last:
            self._note(path, None, given.layout)
            return given
        return None

    def _held_norm(self, path: str, layer: nn.Module, given: _Value, last: int) -> _Value | None:
        """Layers of torch without an elastic form whose tensors are of a channel each: those and
        their numbers are cut where they stand."""
        of_last = isinstance(layer, nn.RMSNorm)
        count = getattr(layer, "num_parameters", None)
        if of_last and len(layer.normalized_shape) > 1 or count == 1:  # type: ignore[arg-type]
            return given if count == 1 else None
        if given.axis != (last if of_last else 1):
            return None
        name, place = ("normalized_shape", 0) if of_last else ("num_features", None)
        source = (path, name if count is None else "num_parameters", place)
        self.groups.agree(self.numbers.setdefault(source, given.layout), given.layout, path)
        for tensor, held in {**layer._parameters, **layer._buffers}.items():
            if held is not None and held.dim() == 1:
                axes = self.tensors.setdefault(f"{path}.{tensor}", {0: given.layout})
                self.groups.agree(axes[0], given.layout, path)
        return given

    def _tie(self) -> None:
        """Layers that share a tensor agree in what they read and give."""
        holders: dict[int, tuple[str, nn.Module]] = {}
        for path, layer in self._model.named_modules():
            for name in ("weight", "bias"):
                tensor = layer._parameters.get(name)
                if tensor is None:
                    continue
                first, held = holders.setdefault(id(tensor), (path, layer))
                if held is layer:
                    continue
                one, other = self.ends.get(first), self.ends.get(path)
                if one is None or other is None or type(held) is not type(layer):
                    for end in (*(one or ()), *(other or ())):
                        self.groups.fix(end or (), f"{first} and {path} share a tensor")
                    continue
                for a, b in zip(one, other, strict=True):
                    if a is not None and b is not None and (name == "weight" or b is other[1]):
                        self.groups.agree(a, b, path)

    # -- functions --------------------------------------------------------------------------------

    def _function(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        name = called(node)
        inputs = _inputs(node)
        given = self._values.get(inputs[0]) if inputs else None
        joins = name in _BINARY or name in ("max", "min", "expand_as")
        if (joins and len(inputs) > 1) or name in _BINARY - _PASSING:
            return self._combined(node, form)
        if name in ("cat", "concat", "concatenate"):
            return self._joined(node, form)
        if name == "stack":
            return self._stacked(node, form)
        if name in ("matmul", "bmm"):
            return self._product(node, form)
        if name == "scaled_dot_product_attention":
            return self._attended(node)
        if name == "einsum":
            return self._summed(node)
        if name == "layer_norm":
            return self._normalized(node, given, form)
        if name == "getitem":
            return self._taken(node, form)
        if len(inputs) == 1:
            if name in _PASSING or name == "pad":
                return self._passed(node, form)
            if name in _PLACES:
                return self._passed(node, form, places=True)
            if name in _ALONG:
                return self._over(node, given, _argument(node, 1, "dim", "dims"))
            rule: Callable[..., _Value | None] | None = {
                "permute": self._moved,
                "getattr": self._moved,
                "transpose": self._moved,
                "swapaxes": self._moved,
                "expand": self._expanded,
                **dict.fromkeys(("view", "reshape", "flatten", "unflatten"), self._viewed),
                **dict.fromkeys(("squeeze", "unsqueeze"), self._viewed),
                **dict.fromkeys(_REDUCING, self._averaged),
            }.get(name)
            if rule is not None:
                return rule(node, given, form)
        self._unknown(node)
        return None

    def _passed(
        self, node: fx.Node, form: tuple[int, ...], *, places: bool = False
    ) -> _Value | None:
        """The same channels, where they are as many on the same axis; `places`: the axes after the
        second are of places."""
        source = next(iter(_inputs(node)), None)
        before = _form(source)
        if source is None or before is None:
            return None
        if (own := self._own.get(source)) is not None and before == form:
            self._own[node] = own
        given = self._values.get(source)
        if given is None:
            return None
        same = len(before) == len(form) and before[given.axis] == form[given.axis]
        if same and not (places and given.axis != 1):
            return given
        self._fix([source], f"{_written(node)} changes it")
        return None

    def _over(self, node: fx.Node, given: _Value | None, along: Any) -> _Value | None:
        """What is done along some axes, and leaves the form."""
        if given is None:
            return None
        count = len(_form(node) or ())
        axes = along if isinstance(along, tuple | list) else (along,)
        if not all(isinstance(a, int) for a in axes) or given.axis in [a % count for a in axes]:
            self._fix(_inputs(node), f"{called(node) or node.name} goes along it")
            return None
        return given

    def _combined(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        """Sums and products: equal widths must agree; one channel for all says nothing."""
        inputs = _inputs(node)
        if len(inputs) == 1:
            return self._passed(node, form)
        aligned = {given: len(form) - len(_form(given) or ()) for given in inputs}
        known = [
            (given, value)
            for given in inputs
            if (value := self._values.get(given)) is not None
            and (_form(given) or ())[value.axis] == form[value.axis + aligned[given]]
        ]
        axes = {value.axis + aligned[given] for given, value in known}
        if len(axes) > 1:
            self._fix(inputs, f"{_written(node)} joins different axes")
            return None
        others = [given for given in inputs if given not in dict(known)]
        if not known:
            self._merge(node, form, others)
            return None
        axis = axes.pop()
        layout = known[0][1].layout
        for given in others:
            place, own = axis - aligned[given], _form(given) or ()
            if place < 0 or own[place] == 1:
                continue
            if not self._bind(given, place, layout):
                what = f"{_written(node)} joins it with {given.name}, whose width is its own"
                self._fix(inputs, what)
        for _, value in known[1:]:
            self.groups.agree(layout, value.layout, _written(node))
        if called(node) in ("mul", "imul", "multiply"):
            for given, value in known:
                self._note_gate(given, value)
        return _Value(layout, axis)

    def _note_gate(self, small: fx.Node, value: _Value) -> None:
        """A product with what layers made of the mean over all places: the width between them
        follows the width that is scaled (Hu and others, CVPR 2018)."""
        node, between = small, list[str]()
        if called(node) == "expand_as":
            node = _inputs(node)[0]
        while len(between) < 2 and (len(_inputs(node)) == 1 or called(node) == "add"):
            form, held = _form(node) or (), self._values.get(node)
            if held is None or math.prod(form) != form[0] * form[held.axis]:
                break
            if node.op == "call_module" and self.ends.get(str(node.target), (None,))[0]:
                between.append(str(node.target))
            node = _inputs(node)[0]
        if len(between) < 2:
            return
        last, first = between[0], between[-1]
        scaled, inner = self.ends[last][1] or (), self.ends[first][1] or ()
        read = self.ends[first][0] or ()
        same = (
            self.groups.opened(read)
            == self.groups.opened(scaled)
            == self.groups.opened(value.layout)
        )
        if len(between) == 2 and same and len(scaled) == len(inner) == 1:
            self.squeezes.append((inner[0].group, scaled[0].group))

    def _joined(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        inputs = _inputs(node)
        parts = node.args[0] if node.args else node.kwargs.get("tensors")
        if isinstance(parts, tuple | list) and all(isinstance(part, fx.Node) for part in parts):
            inputs = list(parts)  # the same one twice, too
        found = _argument(node, 1, "dim", "axis", default=0)
        axis = found % len(form) if isinstance(found, int) else -1
        values = [self._values.get(given) for given in inputs]
        if all(value is not None and value.axis == axis for value in values):
            joined = tuple(part for value in values if value is not None for part in value.layout)
            return _Value(joined, axis)
        first = next((value for value in values if value is not None), None)
        if first is None:
            return None
        if first.axis != axis and all(v is None or v.axis == first.axis for v in values):
            for given, value in zip(inputs, values, strict=True):  # along another axis
                if value is not None:
                    self.groups.agree(first.layout, value.layout, _written(node))
                elif not self._bind(given, first.axis, first.layout):
                    what = f"{_written(node)} puts it beside {given.name}, whose width is its own"
                    self._fix(inputs, what)
            return first
        self._fix(inputs, f"{_written(node)} puts it beside what is not followed")
        return None

    def _stacked(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        """One more axis, of several with the same channels."""
        inputs = _inputs(node)
        values = [self._values.get(given) for given in inputs]
        found = _argument(node, 1, "dim", default=0)
        first = values[0]
        if (
            not isinstance(found, int)
            or first is None
            or any(v is None or v.axis != first.axis for v in values)
        ):
            self._fix(inputs, f"{_written(node)} puts it beside what is not followed")
            return None
        for value in values[1:]:
            assert value is not None
            self.groups.agree(first.layout, value.layout, _written(node))
        return _Value(first.layout, first.axis + (found % len(form) <= first.axis))

    def _averaged(
        self, node: fx.Node, given: _Value | None, form: tuple[int, ...]
    ) -> _Value | None:
        if given is None:
            return None
        before = _form(_inputs(node)[0]) or ()
        found: Any = _argument(node, 1, "dim", "axis")
        if called(node) == "norm":
            found = _argument(node, 2, "dim")
        if found is None:
            return None
        axes = [
            int(a) % len(before) for a in (found if isinstance(found, tuple | list) else (found,))
        ]
        if given.axis in axes:
            return None  # over the channels, however many there are
        gone = 0 if len(form) == len(before) else sum(a < given.axis for a in axes)
        return _Value(given.layout, given.axis - gone)

    def _reduced(self, node: fx.Node) -> _Value | None:
        """The largest or smallest along one axis."""
        source = _inputs(node)[0]
        given, axis = self._values.get(source), _argument(node, 1, "dim")
        if given is None or not isinstance(axis, int):
            self._fix([source], f"{_written(node)} is not followed")
            return None
        axis %= len(_form(source) or ())
        kept = bool(_argument(node, 2, "keepdim", default=False))
        if axis == given.axis:
            return None
        return _Value(given.layout, given.axis - (not kept and axis < given.axis))

    def _moved(self, node: fx.Node, given: _Value | None, form: tuple[int, ...]) -> _Value | None:
        rest = node.args[1:]
        if len(rest) == 1 and isinstance(rest[0], tuple | list):
            rest = tuple(rest[0])
        if rest == ("mT",) or (rest == ("T",) and len(form) == 2):
            rest = (-2, -1)
        if not rest or not all(isinstance(a, int) for a in rest) or node.kwargs:
            self._fix(_inputs(node), f"{_written(node)} is not followed")
            return None
        axes, changed = list(range(len(form))), [int(a) % len(form) for a in rest]  # type: ignore[arg-type]
        if called(node) == "permute":
            axes = changed
        else:
            axes[changed[0]], axes[changed[1]] = axes[changed[1]], axes[changed[0]]
        if (own := self._own.get(_inputs(node)[0])) is not None:
            self._own[node] = _Own(tuple(own.axes[a] for a in axes), own.written)
        return None if given is None else _Value(given.layout, axes.index(given.axis))

    def _expanded(
        self, node: fx.Node, given: _Value | None, form: tuple[int, ...]
    ) -> _Value | None:
        source = _inputs(node)[0]
        before = _form(source) or ()
        more = len(form) - len(before)
        args = _sizes_of(node)
        if (own := self._own.get(source)) is not None:
            kept = [a if n == m else frozenset() for a, n, m in _along(own, before, form[more:])]
            axes = (*(frozenset[tuple[str, int]](),) * more, *kept)
            self._own[node] = _Own(axes, own.written + self._told_of(node, axes, form, args))
        if given is None:
            return None
        if before[given.axis] != form[given.axis + more]:
            self._fix([source], f"{_written(node)} changes it")
            return None
        value = _Value(given.layout, given.axis + more)
        return value if self._numbers_follow(node, value, form, args) else None

    # -- products of two --------------------------------------------------------------------------

    def _product(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        """(..., M, K) times (..., K, N): K must agree, and what lies before."""
        inputs = [a for a in node.args if isinstance(a, fx.Node)]
        counts = [len(_form(given) or ()) for given in inputs]
        if len(inputs) != 2 or counts[0] != counts[1] or counts[0] < 2:
            self._unknown(node)
            return None
        outer = "abcdefghijkl"[: counts[0] - 2]
        return self._paired(node, inputs, letters=[f"{outer}mk", f"{outer}kn"], made=f"{outer}mn")

    def _summed(self, node: fx.Node) -> _Value | None:
        """An einsum, by its letters."""
        equation, *rest = node.args
        if len(rest) == 1 and isinstance(rest[0], tuple | list):
            rest = list(rest[0])
        inputs = [a for a in rest if isinstance(a, fx.Node)]
        text = str(equation).replace(" ", "")
        letters, _, made = text.partition("->")
        fits = [len(_form(i) or ()) for i in inputs] == [len(part) for part in letters.split(",")]
        if not made or "." in text or not fits:
            self._unknown(node)
            return None
        return self._paired(node, inputs, letters=letters.split(","), made=made)

    def _paired(
        self, node: fx.Node, inputs: Sequence[fx.Node], *, letters: Sequence[str], made: str
    ) -> _Value | None:
        """Axes with one letter agree; one of them may be left in what is made."""
        named: dict[str, Layout] = {}
        for given, text in zip(inputs, letters, strict=True):
            if (value := self._values.get(given)) is not None:
                letter = text[value.axis]
                layout = named.setdefault(letter, value.layout)
                self.groups.agree(layout, value.layout, _written(node))
        for letter, layout in named.items():
            for given, text in zip(inputs, letters, strict=True):
                value = self._values.get(given)
                place = text.find(letter)
                if place < 0 or (value is not None and value.axis == place):
                    continue
                if (_form(given) or ())[place] > 1 and not self._bind(given, place, layout):
                    what = f"{_written(node)} joins it with {given.name}, whose width is its own"
                    self.groups.fix(layout, what)
                    self._fix([given], what)
        left = [letter for letter in named if letter in made]
        if len(left) > 1:
            self._fix(inputs, f"{_written(node)} gives a product of two widths")
            return None
        return _Value(named[left[0]], made.index(left[0])) if left else None

    def _attended(self, node: fx.Node) -> _Value | None:
        """Attention of queries, keys and values (B, heads, T, head size): the heads agree."""
        inputs = _inputs(node)
        given = [self._values.get(i) for i in inputs[:3]]
        count = len(_form(node) or ())
        first = given[0]
        apart = all(v is not None and first is not None and v.axis == first.axis for v in given)
        if len(given) < 3 or first is None or not apart or first.axis > count - 3 or first.axis < 1:
            self._fix(inputs, f"{_written(node)} attends along it")
            return None
        for value in given[1:]:
            assert value is not None
            self.groups.agree(first.layout, value.layout, _written(node))
        for mask in inputs[3:]:
            form = _form(mask) or ()
            place = first.axis - (count - len(form))
            if place >= 0 and form[place] > 1 and not self._bind(mask, place, first.layout):
                what = f"{_written(node)} takes {mask.name} with it, whose heads are its own"
                self._fix(inputs, what)
        return first

    def _normalized(
        self, node: fx.Node, given: _Value | None, form: tuple[int, ...]
    ) -> _Value | None:
        """A LayerNorm as a function, over the last axis."""
        shape: Any = _argument(node, 1, "normalized_shape")
        inputs = _inputs(node)
        if given is None or inputs[0] is not (node.args[0] if node.args else None):
            self._unknown(node)
            return None
        single = isinstance(shape, tuple | list) and len(shape) == 1
        if given.axis != len(form) - 1 or not single:
            if given.axis == len(form) - 1 or not isinstance(shape, tuple | list):
                self._unknown(node)
                return None
            if given.axis >= len(form) - len(shape):
                self._unknown(node)
                return None
            return given
        args = [-1] * (len(form) - 1) + [shape[0]]
        if not self._numbers_follow(node, given, form, args):
            return None
        for held in inputs[1:]:
            if not self._bind(held, 0, given.layout):
                self._fix(inputs, f"{_written(node)} scales it by {held.name}, not followed")
        return given

    # -- parts ------------------------------------------------------------------------------------

    def _parted(self, node: fx.Node, name: str) -> list[_Value | None]:
        """What chunk, split and unbind give."""
        source = _inputs(node)[0]
        given, before = self._values.get(source), _form(source) or ()
        count = node.meta.get("count", 0)
        position = 1 if name == "unbind" else 2
        found = _argument(node, position, "dim", default=0)
        if given is None or not isinstance(found, int):
            self._fix([source], f"{_written(node)} is not followed")
            return []
        axis = found % len(before)
        if axis != given.axis:
            gone = name == "unbind" and axis < given.axis
            return [_Value(given.layout, given.axis - gone)] * count
        what: Any = _argument(node, 1, "chunks" if name == "chunk" else "split_size")
        layouts = None
        if name == "split" or what == count:
            layouts = self._divided(given.layout, count, _written(node))
        if layouts is None:
            self._fix([source], f"{_written(node)} takes parts of it")
            return []
        if name == "split":
            value = _Value(layouts[0], 0)
            if not self._numbers_follow(node, value, (self.groups.total(layouts[0]),), [what]):
                return []
        return [_Value(layout, given.axis) for layout in layouts]

    def _divided(self, layout: Layout, count: int, where: str) -> list[Layout] | None:
        """A layout in equal parts of as many channels each; None where it has none such."""
        parts = self.groups.opened(layout)
        if (pieces := self.groups.pieces(parts, count)) is not None:
            return pieces
        group, size = parts[0].group, self.groups.size(parts[0].group)
        if len(parts) > 1 or size % count:
            return None
        inner = self.groups.new(size // count, self.groups.name(group))
        if not self.groups.becomes(group, (Part(inner),) * count, where):
            return None
        return [(Part(inner, parts[0].repeat),)] * count

    def _taken(self, node: fx.Node, form: tuple[int, ...]) -> _Value | None:
        """One of several, or places cut out of one, all channels kept."""
        source, index = node.args[0], node.args[1]
        if isinstance(source, fx.Node) and source in self._several:
            values = self._several[source]
            if isinstance(index, int) and -len(values) <= index < len(values):
                return values[index]
            self._fix([source], f"{_written(node)} takes a part of it")
            return None
        before = _form(source)
        if before is None or not isinstance(source, fx.Node) or source not in _inputs(node):
            return None
        axes = _axes_left(index, len(before))
        given = self._values.get(source)
        if (own := self._own.get(source)) is not None:
            rows = (frozenset[tuple[str, int]](),) * len(_form(index) or ())
            if _form(index) is not None and len(form) == len(rows) + len(own.axes) - 1:
                self._own[node] = _Own((*rows, *own.axes[1:]), own.written)  # rows by their number
                return None
            if axes is None:
                self._fix([source], f"{_written(node)} takes a part of it")
            else:
                kept = tuple(
                    own.axes[a] if a is not None and before[a] == form[i] else frozenset()
                    for i, a in enumerate(axes)
                )
                self._own[node] = _Own(kept, own.written)
        if given is None:
            return None
        whole = axes is not None and given.axis in axes and not _cuts(index, given.axis, before)
        if axes is not None and whole and len(_inputs(node)) == 1:
            return _Value(given.layout, axes.index(given.axis))
        self._fix([source], f"{_written(node)} takes a part of it")
        return None

    # -- views ------------------------------------------------------------------------------------

    def _viewed(self, node: fx.Node, _: _Value | None, form: tuple[int, ...]) -> _Value | None:
        name = called(node)
        if name == "unflatten":
            rest = node.args[1:]
            sizes: Any = node.kwargs.get("sizes", rest[1] if len(rest) > 1 else ())
            return self._unflattened(node, form, _argument(node, 1, "dim"), sizes)
        return self._reshaped(node, form, _sizes_of(node) if name in ("view", "reshape") else None)

    def _unflattened(
        self, node: fx.Node, form: tuple[int, ...], dim: Any, sizes: Any
    ) -> _Value | None:
        count = len(_form(_inputs(node)[0]) or ())
        if not isinstance(dim, int) or not isinstance(sizes, tuple | list):
            self._fix(_inputs(node), f"{_written(node)} is not followed")
            return None
        start = dim % count
        args: list[Any] = [None] * len(form)
        args[start : start + len(sizes)] = list(sizes)
        return self._reshaped(node, form, args)

    def _reshaped(
        self, node: fx.Node, form: tuple[int, ...], args: Sequence[Any] | None
    ) -> _Value | None:
        """Axes that split, merge or stay. `args`: what was written for each of the new axes, None
        where nothing was."""
        source = _inputs(node)[0]
        before = _form(source) or ()
        if (own := self._own.get(source)) is not None:
            whole = {
                b.after[0]: own.axes[b.before[0]]
                for b in blocks(before, form)
                if len(b.before) == len(b.after) == 1
            }
            axes = tuple(whole.get(a, frozenset()) for a in range(len(form)))
            self._own[node] = _Own(axes, own.written + self._told_of(node, axes, form, args))
        given = self._values.get(source)
        if given is None:
            return None
        place = moved(before, form, given.axis)
        if place is None or place.outer > _SEGMENTS:
            self._fix([source], f"{_written(node)} mixes it with other axes")
            return None
        parts = self.groups.opened(given.layout)
        full = tuple(Part(p.group, p.repeat * place.inner) for p in parts) * place.outer
        value: _Value | None
        if len(place.candidates) == 1:
            value = _Value(full, place.candidates[0][0])
        else:
            value = self._split(node, full, place.candidates)
        if value is None:
            self._fix([source], f"{_written(node)} mixes it with other axes")
            return None
        return value if self._numbers_follow(node, value, form, args) else None

    def _split(
        self, node: fx.Node, full: Layout, candidates: Sequence[tuple[int, int]]
    ) -> _Value | None:
        """Which of several factors of a width is the one that changes."""
        parts, sizes = self.groups.opened(full), [size for _, size in candidates]
        first = parts[0]
        if len(parts) == 1 and first.repeat == 1:
            count = len(sizes) - 1  # the last is what each of the others is made of
            place = min(self._places.get(node.name, 0), count - 1)
            outer, inner = math.prod(sizes[:place]), math.prod(sizes[place + 1 :])
            if outer > _SEGMENTS:
                return None
            name = self.groups.name(first.group) + (".heads" if inner > 1 else "")
            group = self.groups.new(sizes[place], name)
            self._splits[node.name] = group, place, count
            layout = (Part(group, inner),) * outer
            if not self.groups.becomes(first.group, layout, _written(node)):
                return None
            return _Value((Part(group),), candidates[place][0])
        for place, (axis, _) in enumerate(candidates):
            outer, inner = math.prod(sizes[:place]), math.prod(sizes[place + 1 :])
            pieces = self.groups.pieces(parts, outer)
            if pieces is None or any(part.repeat % inner for part in parts):
                continue
            for piece in pieces[1:]:
                self.groups.agree(pieces[0], piece, _written(node))
            return _Value(
                tuple(Part(p.group, p.repeat // inner) for p in self.groups.opened(pieces[0])), axis
            )
        return None

    def _numbers_follow(
        self, node: fx.Node, value: _Value, form: tuple[int, ...], args: Sequence[Any] | None
    ) -> bool:
        """Whether the sizes that a view was given are still right where `value` is narrower; what
        they are not for stays."""
        if args is None:
            return True
        self.risky.append(value.layout)
        right = True
        if len(args) != len(form):  # x.reshape(y.shape)
            told = self._told(args[0]) if len(args) == 1 else None
            right = told is not None and not told
        else:
            for axis, arg in enumerate(args):
                if axis == value.axis:
                    right = self._width_follows(node, value, arg) and right
                else:
                    right = self._rest_follows(node, value, arg, form[axis]) and right
        if not right:
            where = _written(node)
            says = f"{where} is written with numbers that a narrower network would not have"
            self.groups.fix(value.layout, f"{says}; -1, or x.flatten(1), would follow it")
        return right

    def _width_follows(self, node: fx.Node, value: _Value, arg: Any) -> bool:
        """Whether what was written for the width itself does."""
        if arg is None or (isinstance(arg, int) and arg == -1):
            return True
        if isinstance(arg, Read) and not any(self._stock(path) for path, _, _ in arg.sources):
            for source in arg.sources:
                self._number_follows(node, value.layout, arg, source=source)
            return True
        told = self._told(arg)
        if not told:
            return False
        if self.groups.numbers(told) != self.groups.numbers(value.layout):
            self.groups.agree(told, value.layout, _written(node))
        return True

    def _number_follows(self, node: fx.Node, layout: Layout, arg: Read, *, source: Source) -> None:
        """Binds the number that a module holds, which was read for a width, or a part of it."""
        if not arg.direct:  # heads * size
            owner, name, place = source
            held: Any = getattr(self._model.get_submodule(owner), name)
            parts = self.groups.opened(layout)
            number = held if place is None else held[place]
            if len(parts) > 1 or number != self.groups.size(parts[0].group):
                return
            layout = (Part(parts[0].group),)
        self.groups.agree(self.numbers.setdefault(source, layout), layout, _written(node))

    def _rest_follows(self, node: fx.Node, value: _Value, arg: Any, size: int) -> bool:
        """Whether what was written for another axis stays what it is."""
        told = self._told(arg)
        if told is not None and not told:
            return True
        divided = isinstance(arg, fx.Node) and called(arg) == "floordiv"
        by = arg.args[1] if divided else None
        if not isinstance(by, Read) or by != self.groups.total(value.layout):
            return False
        whole = self._told(arg.args[0])
        if not whole or self.groups.total(whole) != by * size:
            return False
        inner = tuple(Part(p.group, p.repeat * size) for p in self.groups.opened(value.layout))
        self.groups.agree(whole, inner, _written(node))  # width // heads: the same at every width
        return True

    def _told(self, arg: Any) -> Layout | None:
        """The width that a number in the graph is; nothing where it rests on none, None where that
        is not known."""
        if not isinstance(arg, fx.Node):
            items = arg if isinstance(arg, tuple | list) else ()
            return () if all(self._told(item) == () for item in items) else None
        name, args = called(arg), arg.args
        source: Any = args[0] if args else None
        index: Any = args[1] if len(args) > 1 else None
        if name == "getitem" and isinstance(source, fx.Node):
            outer = called(source)
            shape = outer == "getattr" and source.args[1:] == ("shape",)
            if shape or (outer == "size" and len(source.args) == 1):
                return self._size(source.args[0], index)
        if name == "size" or (name == "getattr" and index == "shape"):
            return self._size(source, index if name == "size" else slice(None))
        if name == "dim" or (name == "getattr" and index == "ndim"):
            return ()
        if name == "floordiv" and isinstance(index, int):
            whole = self._told(source)
            return self._part_of(whole, index) if whole else whole
        times = next((item for item in args if isinstance(item, int)), None)
        if name == "mul" and times is not None:
            whole = self._told(index if source is times else source)
            return whole * times if whole else whole
        if _form(arg) is not None or any(_form(given) is not None for given in _inputs(arg)):
            return None
        rest = [self._told(given) for given in arg.all_input_nodes]
        return () if rest and all(told == () for told in rest) else None

    def _size(self, source: Any, index: Any) -> Layout | None:
        """The width that the size of a tensor along an axis is."""
        form, value = _form(source), self._values.get(source)
        if form is None:
            return None
        if value is None:
            return ()
        if isinstance(index, int):
            return value.layout if index % len(form) == value.axis else ()
        axes = range(len(form))[index] if isinstance(index, slice) else range(len(form))
        return None if value.axis in axes else ()

    def _part_of(self, layout: Layout, count: int) -> Layout | None:
        """The first of `count` equal parts of a width, where it is made of such."""
        parts = self.groups.opened(layout)
        if len(parts) % count == 0 and parts == parts[: len(parts) // count] * count:
            return parts[: len(parts) // count]
        if all(part.repeat % count == 0 for part in parts):
            return tuple(Part(part.group, part.repeat // count) for part in parts)
        return None

    # -- tensors that the user's modules hold -----------------------------------------------------

    def _held(self, node: fx.Node, form: tuple[int, ...] | None) -> None:
        path = str(node.target)
        owner, _, name = path.rpartition(".")
        module = self._model.get_submodule(owner)
        named = name in module._parameters or name in module._buffers
        if (
            form is not None
            and named
            and not type(module).__module__.startswith("torch.nn.modules")
        ):
            self._own[node] = _Own(tuple(frozenset({(path, axis)}) for axis in range(len(form))))

    def _merge(self, node: fx.Node, form: tuple[int, ...], inputs: Sequence[fx.Node]) -> None:
        """What is made of such tensors alone."""
        owns = [(given, own) for given in inputs if (own := self._own.get(given)) is not None]
        if len(owns) != len(inputs):
            return
        axes = [frozenset[tuple[str, int]]() for _ in form]
        written: tuple[Any, ...] = ()
        for given, own in owns:
            before = _form(given) or ()
            more = len(form) - len(before)
            for axis, (along, size) in enumerate(zip(own.axes, before, strict=True)):
                if size == form[axis + more]:
                    axes[axis + more] |= along
            written += own.written
        self._own[node] = _Own(tuple(axes), written)

    def _told_of(
        self,
        node: fx.Node,
        axes: Sequence[frozenset[tuple[str, int]]],
        form: tuple[int, ...],
        args: Sequence[Any] | None,
    ) -> tuple[tuple[frozenset[tuple[str, int]], Any, str], ...]:
        """What was written of the lengths of such a tensor's axes."""
        if args is None:
            return ()
        if len(args) != len(form):
            return tuple((along, 0, _written(node)) for along in axes if along)
        told = zip(axes, args, strict=True)
        return tuple((along, arg, _written(node)) for along, arg in told if along)

    def _bind(self, node: fx.Node, axis: int, layout: Layout) -> bool:
        """Notes that an axis of the tensors behind a node lies along a layout; False where there
        are none, or they must stay."""
        own = self._own.get(node)
        size = (_form(node) or ())[axis]
        if own is None or not own.axes[axis] or size != self.groups.total(layout):
            return False
        for path, place in own.axes[axis]:
            before = self.tensors.setdefault(path, {}).setdefault(place, layout)
            self.groups.agree(before, layout, path)
            if (why := self._loose.get(path)) is not None:
                self.groups.fix(layout, why)
        for along, arg, where in own.written:
            if along & own.axes[axis] and not self._width_follows(node, _Value(layout, 0), arg):
                self.groups.fix(layout, f"{where} is written with a number; -1 would follow it")
        return True

    # -- blocks -----------------------------------------------------------------------------------

    def calls(self, path: str) -> bool:
        """Whether the network calls the module itself, and not its children one by one."""
        return any(path in _modules_of(node) for node in self._graph.nodes)

    def adds_to_its_input(self, path: str) -> bool:
        """Whether a module has one input, used nowhere else in it but to be added to, and gives
        the same form and the same channels: without it the network is still one."""
        inside = [node for node in self._graph.nodes if path in _modules_of(node)]
        own = set(inside)
        outer = {
            given
            for node in inside
            for given in _inputs(node)
            if given not in own and given.op != "get_attr"
        }
        last = [node for node in inside if any(user not in own for user in node.users)]
        last = [node for node in last if node.op != "get_attr"]
        if len(outer) != 1 or len(last) != 1:
            return False
        (given,) = outer
        added = any(
            called(node) in ("add", "iadd") and given in map(self._bare, _inputs(node))
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
        layouts = [self.groups.opened(value.layout) for value in (one, other)]
        return one.axis == other.axis and layouts[0] == layouts[1]


# -- nodes ----------------------------------------------------------------------------------------


def _written(node: fx.Node) -> str:
    """A node and the line that it was written in."""
    line = line_of(node)
    return f"{node.name} ({line})" if line else node.name


def _modules_of(node: fx.Node) -> Mapping[str, Any]:
    """The paths of the modules that a node was recorded in."""
    return node.meta.get("nn_module_stack") or {}


def _argument(node: fx.Node, position: int, *names: str, default: Any = None) -> Any:
    """An argument of a call, by position or by one of its names."""
    if len(node.args) > position:
        return node.args[position]
    return next((node.kwargs[name] for name in names if name in node.kwargs), default)


def _sizes_of(node: fx.Node) -> tuple[Any, ...]:
    """The sizes that a view was given."""
    found: Any = node.args[1:] or node.kwargs.get("shape", node.kwargs.get("size", ()))
    if len(found) == 1 and isinstance(found[0], tuple | list):
        found = found[0]
    return tuple(found)


def _along(
    own: _Own, before: Sequence[int], after: Sequence[int]
) -> Iterable[tuple[frozenset[tuple[str, int]], int, int]]:
    return zip(own.axes, before, after, strict=True)


def _altered(layer: nn.Module) -> str:
    """Why a layer of torch is more than its class says."""
    if not type(layer).__module__.startswith("torch.nn.modules"):
        return f"is a {type(layer).__name__}, a layer with a forward of its own"
    if layer._forward_pre_hooks or layer._forward_hooks:
        return "has hooks, which an elastic layer would not have"
    return ""


def _axes_left(index: Any, count: int) -> list[int | None] | None:
    """The axes that an index leaves, None for new ones; None where it is another kind of index."""
    items = list(index) if isinstance(index, tuple) else [index]
    if any(not (i is None or i is Ellipsis or isinstance(i, int | slice)) for i in items):
        return None
    if any(isinstance(i, bool) for i in items):
        return None
    used = sum(i is not None and i is not Ellipsis for i in items)
    if Ellipsis not in items:
        items.append(Ellipsis)
    left: list[int | None] = []
    axis = 0
    for item in items:
        if item is None:
            left.append(None)
        elif item is Ellipsis:
            left += range(axis, axis + count - used)
            axis += count - used
        else:
            if isinstance(item, slice):
                left.append(axis)
            axis += 1
    return left


def _cuts(index: Any, axis: int, before: Sequence[int]) -> bool:
    """Whether an index takes a part of an axis."""
    items = [i for i in (index if isinstance(index, tuple) else (index,)) if i is not None]
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = [slice(None)] * (len(before) - len(items) + 1)
    if axis >= len(items) or not isinstance(items[axis], slice):
        return axis < len(items)
    start, stop, step = items[axis].start, items[axis].stop, items[axis].step
    to_end = stop is None or (isinstance(stop, int) and stop >= before[axis])
    return not (to_end and start in (None, 0) and step in (None, 1))
