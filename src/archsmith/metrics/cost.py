"""Parameters, MACs, depth: exact counts of a plain module, and `Costs` of architectures (memory
too), equal and fast."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from archsmith.elastic.resize import inputs_of, without_resize
from archsmith.elastic.structure import Place, Structure, read
from archsmith.elastic.supernet import extract, parts
from archsmith.elastic.views import decisions, once
from archsmith.errors import UserError, did_you_mean
from archsmith.metrics.groups import Group, channels, covering, grouped, parameter_shapes, sizes_of
from archsmith.metrics.memory import TABLE_LIMIT, PeakMemory, Quick, on_meta, peak_memory
from archsmith.problem import Term
from archsmith.space import Architecture

Shape = tuple[int, ...]
NAMES = ("params", "macs", "memory")
LAYERS = ("depth", "log_sizes", "outputs")  # see `layer_sums`
OWN = ("layers",)  # what only a model's own `counts` can say
_FLOPS_PER_MAC = 2  # as torch counts them
_INSTEAD = (
    ": only a model that does so in its own `counts` has them, as `zen` has; bound depth instead"
)
# whose MACs are so many for each element of the weight
_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
# of a layer, beside its path and type: what its MACs for each element of its weight rest on
_FORM = ("kernel_size", "stride", "padding", "dilation")


# -- exact counts of a plain module --------------------------------------------------------------


def params(module: nn.Module) -> int:
    """Number of parameters; tied ones once."""
    return sum(p.numel() for p in module.parameters())


def macs(module: nn.Module, shape: Shape) -> int:
    """Multiply-accumulates of one input of `shape` (C, H, W): convolutions, linear layers, matrix
    products."""
    return sum(macs_by_module(module, shape).values())


def macs_while(run: Callable[[], object]) -> int:
    """Multiply-accumulates of what torch computes while `run` does."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        run()
    return counter.get_total_flops() // _FLOPS_PER_MAC


def macs_by_module(module: nn.Module, shape: Shape) -> dict[str, int]:
    """Path -> MACs that this module spends itself, outside its children ("" is the module)."""
    module, spent = on_meta(module), Spent()
    hooks = [
        hook
        for path, part in module.named_modules()
        for hook in (
            part.register_forward_pre_hook(lambda *_, path=path: spent.inside.append(path)),
            part.register_forward_hook(lambda *_: spent.leave()),
        )
    ]
    try:
        with torch.inference_mode(False), torch.no_grad(), spent:
            module(torch.empty(1, *shape, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return {path: count // _FLOPS_PER_MAC for path, count in spent.flops.items() if count}


class Spent(Quick):
    """FLOPs of what torch computes within it, by torch's own formulas, for the module it is in.

    Quicker than `FlopCounterMode`, which tries to decompose every operation: within a module that
    is called as usual, outside of inference mode, all are decomposed that can be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = [""]
        self.flops: dict[str, int] = {}

    def leave(self) -> None:
        """The module that was entered last is left."""
        self.inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            path, count = self.inside[-1], formula(*args, **(kwargs or {}), out_val=result)
            self.flops[path] = self.flops.get(path, 0) + count
        return result


class MacsOfOneForm:
    """MACs of networks that differ in how wide their layers are and in nothing else.

    They are measured on the first; what a layer spends for each element of its weight is the same
    in all of them. Networks of another form, or with other modules that spend, are counted whole.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._rates: dict[tuple, int] | None = None

    def __call__(self, module: nn.Module) -> int:
        """As `macs` counts them."""
        sizes = {
            (path, type(layer), *(getattr(layer, name, None) for name in _FORM)): layer.weight
            for path, layer in module.named_modules()
            if isinstance(layer, _WEIGHTED)
        }
        if self._rates is None:
            spent = macs_by_module(module, self._shape)
            rates = {key: divmod(spent.pop(key[0], 0), w.numel()) for key, w in sizes.items()}
            even = not spent and not any(rest for _, rest in rates.values())
            self._rates = {key: rate for key, (rate, _) in rates.items()} if even else {}
        if self._rates.keys() != sizes.keys():
            return macs(module, self._shape)
        return sum(self._rates[key] * weight.numel() for key, weight in sizes.items())


def layer_sums(
    module: nn.Module, shape: Shape, spent: Mapping[str, int] | None = None
) -> dict[str, float]:
    """Sums over the Conv2d, ConvTranspose2d and Linear layers of a module, for one input of `shape`
    (C, H, W).

    `depth`: how many there are. `log_sizes`: of ln(elements of the weight). `outputs`: of the
    numbers they give. `spent`: its `macs_by_module`, where they are counted already.
    """
    spent = macs_by_module(module, shape) if spent is None else spent
    given, total = _given(module, shape), dict.fromkeys(LAYERS, 0.0)
    for path, layer in module.named_modules():
        if isinstance(layer, _WEIGHTED):
            size = tuple(layer.weight.shape)
            numbers = given.get(path, spent.get(path, 0) // math.prod(size) * size[0])
            for name, value in zip(LAYERS, _layer(size, numbers), strict=True):
                total[name] += value
    return total


def _layer(weight: Shape, numbers: int) -> tuple[float, ...]:
    """One layer's part of each of LAYERS; `numbers`: how many it gives."""
    return 1.0, math.log(math.prod(weight)), float(numbers)


def _given(module: nn.Module, shape: Shape) -> dict[str, int]:
    """Path -> numbers that a transposed convolution gives; those of other layers follow from their
    MACs."""
    module, given = on_meta(module), dict[str, int]()

    def note(path: str, output: Tensor) -> None:
        given[path] = given.get(path, 0) + output.numel()

    layers = [
        (path, layer)
        for path, layer in module.named_modules()
        if isinstance(layer, nn.ConvTranspose2d)
    ]
    hooks = [
        layer.register_forward_hook(lambda _, __, output, path=path: note(path, output))
        for path, layer in layers
    ]
    try:
        if hooks:
            with Quick(), torch.no_grad():
                module(torch.empty(1, *shape, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return given


def _counted(
    plain: nn.Module,
    shape: Shape,
    names: Sequence[str],
    *,
    spent: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Those costs of a network; `spent`: its `macs_by_module`, where they are counted already."""
    sums = layer_sums(plain, shape, spent) if any(name in LAYERS for name in names) else {}
    count: dict[str, Callable[[], float]] = {
        "params": lambda: params(plain),
        "macs": lambda: macs(plain, shape) if spent is None else sum(spent.values()),
        "memory": lambda: peak_memory(plain, shape),
    }
    return {name: sums[name] if name in sums else count[name]() for name in names}


# -- counts of a model's architectures -----------------------------------------------------------


class _Seen:
    """What an architecture makes of a model: the sizes that its choices have, and the modules that
    it holds; both are found once for all of its groups."""

    def __init__(self, reading: Structure, arch: Architecture) -> None:
        self.arch, self._reading = arch, reading
        self._open: dict[int, bool] = {}  # by the identity of a clause: hashing one takes longer

    @cached_property
    def values(self) -> dict[Any, Any]:
        """Choice -> option."""
        options = self.arch._options
        return {
            choice: options[name] for choice, name in self._reading.names.items() if name in options
        }

    def present(self, places: Sequence[Place]) -> Iterator[Place]:
        """Those that the architecture has."""
        for place in places:
            clause = self._reading.along[place.path]
            if clause is None:
                continue
            held = self._open.get(id(clause))
            if held is None:
                held = self._open[id(clause)] = all(gate.open(self.arch) for gate in clause)
            if held:
                yield place


class Costs:
    """Metric: architecture -> {"params", "macs"} of the extracted network for one input `shape` (C,
    H, W), as it is shipped: one that begins with a `Resize` without that, for an input of its side.

    What is not asked for is not counted: `names` may also hold `memory` (bytes; a trace of each
    network, a thousand times as slow as a look-up), those of `layer_sums`, and `layers` of a model
    that counts them itself. Additive where the model is: parameters of each layer by its shape,
    MACs by its shape times how often it is applied, measured once; both tabulated per group of
    decisions, and per side of the images where a `Resize` decides that. Whether the model is
    additive is checked on architectures that together hold every option; if not, `additive` is
    False and every architecture is counted exactly, once. A model that has `counts(arch, shape)` of
    its own is asked for what that gives; UserError where it is wrong for one of a few
    architectures. Works on `meta`.
    """

    def __init__(self, model: nn.Module, shape: Shape, names: Sequence[str] = NAMES[:2]) -> None:
        for name in names:
            if name not in (*NAMES, *LAYERS, *OWN):
                known = (*NAMES, *LAYERS, *OWN)
                raise UserError(
                    f"unknown cost '{name}'{did_you_mean(name, known)}; known are "
                    f"{', '.join(known)}"
                )
        self.model, self.shape, self.names = model, tuple(shape), tuple(names)
        self.counted = self.names  # what it can show
        self.name = "costs"
        self._reading = read(model)
        self._inputs = inputs_of(self._reading, self.shape)
        self._memory = (
            PeakMemory(model, self.shape, self._reading) if "memory" in self.names else None
        )
        self._layers = tuple(name for name in LAYERS if name in self.names)
        self._memo: dict[Architecture, dict[str, float]] = {}
        self._views = decisions(self._reading)
        # what each layer's MACs rest on: how often it looks at an image, and how large that is
        self._always = tuple(dict.fromkeys((*self._views, *self._inputs.names)))
        # path of a layer with a weight, those -> MACs per element of it
        self._rates: dict[tuple, int] = {}
        # the same of transposed convolutions -> numbers per channel that they give
        self._areas: dict[tuple, int] = {}
        # path, those and sizes of any other module that spends some -> MACs
        self._own: dict[tuple, int] = {}
        self._spending: set[str] = set()  # those modules' paths
        self._weighted = {
            p.path: p for p in self._reading.places if isinstance(p.module, _WEIGHTED)
        }
        self._groups = grouped(self._reading, self._always)
        self._own_counts = self._checked(getattr(model, "counts", None))
        self.additive = (
            self._own_counts is None
            and len({id(p.module) for p in self._reading.places}) == len(self._reading.places)
            and self._check()
        )

    def __call__(self, arch: Architecture) -> dict[str, float]:
        """The costs named at the start; all but `log_sizes` are whole numbers."""
        known = self._memo.get(arch)
        if known is None:
            if len(self._memo) >= TABLE_LIMIT:
                self._memo.clear()
            known = self._memo[arch] = (
                self._count(arch) if self.additive else self._one_by_one(arch)
            )
        return dict(known)

    def once(self, arch: Architecture) -> dict[str, float]:
        """The costs of looking at one image once, as training does, where the network answers by
        the mean of two views."""
        return self(once(arch, self._views))

    def showing(self, *names: str) -> Costs:
        """The same counts, of which these are given; what one of the two learns of the model the
        other knows as well."""
        for name in names:
            if name not in self.counted:
                raise UserError(
                    f"cost '{name}' is not counted here; counted are {', '.join(self.counted)}"
                )
        shown = copy.copy(self)
        shown.names, shown._memo = names, {}
        return shown

    @property
    def terms(self) -> list[Term] | None:
        """What adds up to the costs but `memory`, a term for each group of decisions; None where
        the model is not additive."""
        return (
            [Term(group.names, partial(self._term, group)) for group in self._groups]
            if self.additive
            else None
        )

    def _term(self, group: Group, arch: Architecture) -> dict[str, float]:
        weights, multiplications, sums = self._entry(group, self._seen(arch))
        return {
            "params": weights,
            "macs": multiplications,
            **dict(zip(self._layers, sums, strict=False)),
        }

    def _one_by_one(self, arch: Architecture) -> dict[str, float]:
        own = {} if self._own_counts is None else self._own_counts(arch, self.shape)
        rest = [name for name in self.names if name not in own]
        counts = {**own, **(self.exact(arch, rest) if rest else {})}
        return {name: counts[name] for name in self.names}

    def _checked(self, own: Any) -> Callable[[Architecture, Shape], Mapping[str, float]] | None:
        """The model's own counts, compared with exact ones; None where it has none."""
        if not callable(own):
            for name in self.names:
                if name in OWN:
                    raise UserError(f"this space does not count {name}{_INSTEAD}")
            return None
        space, rng = self._reading.space, Random(0)
        for arch in (space.extreme(0), *(space.sample(rng) for _ in range(2))):
            counts = own(arch, self.shape)
            for name in self.names:
                if name in OWN and name not in counts:
                    raise UserError(f"{type(self.model).__name__} does not count {name}{_INSTEAD}")
            for name, count in self.exact(
                arch, [n for n in self.names if n in counts and n not in OWN]
            ).items():
                if counts[name] != count:
                    kind = type(self.model).__name__
                    raise UserError(
                        f"{kind}.counts says {name}={counts[name]} of {dict(arch)}, the "
                        f"network has {count}"
                    )
        return own

    def exact(self, arch: Architecture, names: Sequence[str] | None = None) -> dict[str, float]:
        """The same, counted on the extracted network."""
        plain = extract(self.model, arch, "fresh", device="meta").eval()
        return _counted(*without_resize(plain, self.shape), self.names if names is None else names)

    def _count(self, arch: Architecture) -> dict[str, float]:
        counts: dict[str, float] = {} if self.names == ("memory",) else self._sum(arch)
        if self._memory is not None and "memory" in self.names:
            counts["memory"] = self._memory(arch)
        return {name: counts[name] for name in self.names}

    def _sum(self, arch: Architecture) -> dict[str, float]:
        weights = multiplications = 0
        sums: tuple[float, ...] = (0.0,) * len(self._layers)
        get, seen = arch._options.get, self._seen(arch)
        for group in self._groups:
            key = tuple([get(name) for name in group.names])
            entry = group.table.get(key)
            if entry is None:
                if len(group.table) >= TABLE_LIMIT:
                    group.table.clear()
                entry = group.table[key] = self._entry(group, seen)
            weights += entry[0]
            multiplications += entry[1]
            if self._layers:
                sums = tuple(map(float.__add__, sums, entry[2]))
        return {
            "params": weights,
            "macs": multiplications,
            **dict(zip(self._layers, sums, strict=True)),
        }

    def _entry(self, group: Group, seen: _Seen) -> tuple[int, int, tuple[float, ...]]:
        """Parameters, MACs and layer sums of a group's modules in an architecture."""
        values = seen.values
        weights = multiplications = 0
        sums = dict.fromkeys(LAYERS, 0.0)
        for place in seen.present(group.places):
            shapes = parameter_shapes(place, values)
            weights += sum(map(math.prod, shapes.values()))
            weighted = place.path in self._weighted
            if not weighted and place.path not in self._spending:
                continue
            key = self._key(place, seen.arch, values)
            if key not in self._rates:
                self._learn(seen.arch)
            rate = self._rates[key]
            multiplications += rate * math.prod(shapes["weight"]) if weighted else rate
            if weighted:
                numbers = self._areas.get(key, rate) * channels(place, shapes["weight"], values)
                for name, value in zip(LAYERS, _layer(shapes["weight"], numbers), strict=True):
                    sums[name] += value
        return weights, multiplications, tuple(sums[name] for name in self._layers)

    def _learn(self, arch: Architecture) -> tuple[nn.Module, Mapping[str, int]] | None:
        """The rates of an architecture's modules, from one exact count.

        Its network and the MACs of that by module; None where earlier rates contradict.
        """
        seen = self._seen(arch)
        values = seen.values
        with parts(self.model, self._reading, arch) as part:
            twin, origins = part("")
        plain, shape = without_resize(twin, self.shape)
        by_module = macs_by_module(plain, shape)
        left = {origins.get(path, path): count for path, count in by_module.items()}
        agrees = len(left) == len(by_module) and self._learn_areas(
            arch, plain, origins, shape=shape
        )
        for place in seen.present(self._reading.places):
            count, rest = left.pop(place.path, 0), 0
            if place.path in self._weighted:
                count, rest = divmod(count, math.prod(parameter_shapes(place, values)["weight"]))
            elif count or place.path in self._spending:
                self._spending.add(place.path)
            else:
                continue
            agrees = (
                agrees
                and rest == 0
                and self._rates.setdefault(self._key(place, arch, values), count) == count
            )
        # left over: modules that are nobody's twin
        return (plain, by_module) if agrees and not left else None

    def _learn_areas(
        self, arch: Architecture, plain: nn.Module, origins: Mapping[str, str], *, shape: Shape
    ) -> bool:
        """The places that transposed convolutions give numbers for; False where earlier ones
        contradict."""
        agrees, always = True, [arch[name] for name in self._always]
        for path, numbers in (_given(plain, shape) if self._layers else {}).items():
            layer: Any = plain.get_submodule(path)
            area = numbers // layer.out_channels
            agrees = (
                agrees and self._areas.setdefault((origins.get(path, path), *always), area) == area
            )
        return agrees

    def _seen(self, arch: Architecture) -> _Seen:
        return _Seen(self._reading, arch)

    def _key(self, place: Place, arch: Architecture, values: Mapping[Any, Any]) -> tuple:
        """What a module's rate rests on: how often images are looked at, how large they are and,
        where it has no weight, its sizes."""
        always = [arch[name] for name in self._always]
        return (
            (place.path, *always)
            if place.path in self._weighted
            else (place.path, *always, sizes_of(place, values))
        )

    def _check(self) -> bool:
        """Whether additive and exact counts agree on architectures that together hold every
        option."""
        for arch in covering(self._reading.space):
            if "macs" in self.names or self._layers:
                learned = self._learn(arch)
                if learned is None:
                    return False
                exact = _counted(learned[0], self._inputs(arch), self.names, spent=learned[1])
            else:
                exact = self.exact(arch)
            if not all(
                math.isclose(count, exact[name], rel_tol=1e-12)
                for name, count in self._count(arch).items()
            ):
                return False
        return True
