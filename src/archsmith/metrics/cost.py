"""Parameters, MACs and peak activation memory: exact counts of a plain module, and `Costs`, the same of a model's architectures, fast."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from archsmith.elastic.layer import is_elastic, shapes
from archsmith.errors import UserError, did_you_mean
from archsmith.space import Architecture, SearchSpace, choices_of, resolve
from archsmith.supernet import Place, Reading, extract, read

Shape = tuple[int, ...]
NAMES = ("params", "macs", "memory")
_TABLE_LIMIT = 500_000  # entries of one table; then it starts anew


# -- exact counts of a plain module ---------------------------------------------------------------------------------------


def params(module: nn.Module) -> int:
    """Number of parameters; tied ones once."""
    return sum(p.numel() for p in module.parameters())


def macs(module: nn.Module, shape: Shape) -> int:
    """Multiply-accumulates of one input of `shape` (C, H, W), without the batch: convolutions, linear layers, matrix products."""
    return sum(macs_by_module(module, shape).values())


def macs_by_module(module: nn.Module, shape: Shape) -> dict[str, int]:
    """Path -> MACs that this module spends itself, outside its children ("" is the module)."""
    module, image = _on_meta(module), torch.empty(1, *shape, device="meta")
    counter = FlopCounterMode(display=False, depth=None)
    with counter, torch.no_grad():
        module(image)
    root = type(module).__name__
    total = {"": sum(counter.get_flop_counts()["Global"].values())}
    for name, count in counter.get_flop_counts().items():
        if name.startswith(f"{root}."):
            total[name.removeprefix(f"{root}.")] = sum(count.values())
    own = dict(total)
    for path, count in total.items():
        if path:
            parent = path.rpartition(".")[0]
            while parent not in total:
                parent = parent.rpartition(".")[0]
            own[parent] -= count
    return {path: count // 2 for path, count in own.items() if count}  # a multiply-accumulate is two of torch's FLOPs


def peak_memory(module: nn.Module, shape: Shape) -> int:
    """Peak bytes of live activations during eager float32 inference of one input (C, H, W), the input included.

    What PyTorch really keeps alive, variables of its own `forward` functions included; weights and a kernel's work space are not
    counted.
    """
    return _trace_memory(_on_meta(module), torch.empty(1, *shape, device="meta"))[0]


def _on_meta(module: nn.Module) -> nn.Module:
    """The module in eval mode on `meta`; a copy, unless it is that already. No weight is copied."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(t.is_meta for t in tensors) and not any(m.training for m in module.modules()):
        return module
    memo: dict[int, Any] = {}
    for tensor in tensors:
        twin = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin
    return copy.deepcopy(module, memo).eval()


class _Allocations(TorchDispatchMode):
    """Adds up the storages that are alive after each operation."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._seen = {StorageWeakRef(t.untyped_storage()).cdata for t in (*module.parameters(), *module.buffers())}
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def add(self, tensor: Tensor) -> None:
        """Counts a tensor's storage as long as it lives."""
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        if reference.cdata not in self._seen:
            self._live.setdefault(reference.cdata, (reference, storage.nbytes()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._live = {key: entry for key, entry in self._live.items() if not entry[0].expired()}
        result = func(*args, **(kwargs or {}))
        outputs = result if isinstance(result, tuple | list) else (result,)
        if "batch_norm" in func.__name__:
            outputs = outputs[:1]  # saved statistics: empty on real devices in eval mode, though not on `meta`
        for output in outputs:
            if isinstance(output, Tensor):
                self.add(output)
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return result


def _trace_memory(module: nn.Module, image: Tensor) -> tuple[int, Tensor]:
    """Peak bytes with the input alive throughout, and the output."""
    with torch.no_grad(), _Allocations(module) as allocations:
        allocations.add(image)
        allocations.peak = image.untyped_storage().nbytes()
        output = module(image)
    return allocations.peak, output


# -- counts of a model's architectures ------------------------------------------------------------------------------------


@dataclass
class _Group:
    """Modules whose costs rest on the same decisions, and what they cost under each combination met."""

    names: tuple[str, ...]
    places: list[Place]
    table: dict[tuple, tuple[int, int]] = field(default_factory=dict)


class Costs:
    """Metric: architecture -> {"params", "macs", "memory"} (bytes) of the extracted network for one input `shape` (C, H, W).

    Additive where the model is: parameters of each layer by its shape, MACs by its shape times how often it is applied, which is
    measured once; both tabulated per group of decisions. Whether the model is additive is checked on architectures that together
    hold every option; if not, `additive` is False and every architecture is counted exactly, once. Works on `meta`.
    """

    def __init__(self, model: nn.Module, shape: Shape, names: Sequence[str] = NAMES) -> None:
        for name in names:
            if name not in NAMES:
                raise UserError(f"unknown cost '{name}'{did_you_mean(name, NAMES)}; known are {', '.join(NAMES)}")
        self.model, self.shape, self.names = model, tuple(shape), tuple(names)
        self.name = "costs"
        self._reading = read(model)
        self._memory = _Memory(model, self.shape)
        self._memo: dict[Architecture, dict[str, int]] = {}
        self._rates: dict[str, int] = {}  # path of a layer with a weight -> MACs per element of it
        self._own: dict[tuple[str, tuple], int] = {}  # path and sizes of any other module -> MACs
        self._weighted = {p.path: p for p in self._reading.places if isinstance(p.module, nn.Linear | nn.Conv2d)}
        self._groups = _grouped(self._reading)
        self.additive = len({id(p.module) for p in self._reading.places}) == len(self._reading.places) and self._check()

    def __call__(self, arch: Architecture) -> dict[str, int]:
        """The costs named at the start, as whole numbers."""
        known = self._memo.get(arch)
        if known is None:
            if len(self._memo) >= _TABLE_LIMIT:
                self._memo.clear()
            known = self._memo[arch] = self._count(arch) if self.additive else self.exact(arch)
        return dict(known)

    def exact(self, arch: Architecture) -> dict[str, int]:
        """The same, counted on the extracted network."""
        plain = extract(self.model, arch, "fresh", device="meta").eval()
        found = {}
        if "params" in self.names:
            found["params"] = params(plain)
        if "macs" in self.names:
            found["macs"] = macs(plain, self.shape)
        if "memory" in self.names:
            found["memory"] = peak_memory(plain, self.shape)
        return found

    def _count(self, arch: Architecture) -> dict[str, int]:
        found: dict[str, int] = {}
        if "params" in self.names or "macs" in self.names:
            total = self._sum(arch)
            found = {name: total[i] for i, name in enumerate(("params", "macs")) if name in self.names}
        if "memory" in self.names:
            found["memory"] = self._memory(arch)
        return found

    def _sum(self, arch: Architecture) -> tuple[int, int]:
        weights = multiplications = 0
        get = arch._options.get
        for group in self._groups:
            key = tuple([get(name) for name in group.names])
            entry = group.table.get(key)
            if entry is None:
                if len(group.table) >= _TABLE_LIMIT:
                    group.table.clear()
                entry = group.table[key] = self._entry(group, arch)
            weights += entry[0]
            multiplications += entry[1]
        return weights, multiplications

    def _entry(self, group: _Group, arch: Architecture) -> tuple[int, int]:
        values = {choice: arch[name] for choice, name in self._reading.names.items() if name in arch}
        weights = multiplications = 0
        for place in group.places:
            clause = self._reading.along[place.path]
            if clause is None or not all(gate.open(arch) for gate in clause):
                continue
            found = _parameter_shapes(place, values)
            weights += sum(map(math.prod, found.values()))
            if place.path in self._weighted:
                if place.path not in self._rates:
                    self._learn(arch)
                multiplications += self._rates[place.path] * math.prod(found["weight"])
            else:
                key = (place.path, _sizes(place, values))
                if key not in self._own:
                    self._learn(arch)
                multiplications += self._own[key]
        return weights, multiplications

    def _learn(self, arch: Architecture) -> bool:
        """Takes from one exact count how often each layer is applied; False where that contradicts what was learned before."""
        values = {choice: arch[name] for choice, name in self._reading.names.items() if name in arch}
        counted = macs_by_module(extract(self.model, arch, "fresh", device="meta").eval(), self.shape)
        agrees = True
        for place in self._reading.places:
            clause = self._reading.along[place.path]
            if clause is None or not all(gate.open(arch) for gate in clause):
                continue
            count = counted.pop(place.path, 0)
            if place.path in self._weighted:
                rate, rest = divmod(count, math.prod(_parameter_shapes(place, values)["weight"]))
                agrees = agrees and rest == 0 and self._rates.setdefault(place.path, rate) == rate
            else:
                agrees = agrees and self._own.setdefault((place.path, _sizes(place, values)), count) == count
        return agrees and not counted  # extraction renamed or merged modules: paths cannot be followed

    def _check(self) -> bool:
        """Whether additive and exact counts agree on architectures that together hold every option."""
        for arch in _covering(self._reading.space):
            if ("params" in self.names or "macs" in self.names) and not self._learn(arch):
                return False
            if self._count(arch) != self.exact(arch):
                return False
        return True


def _sizes(place: Place, values: Mapping[Any, Any]) -> tuple:
    return tuple(repr(resolve(value, values)) for _, value in place.sizes)


def _parameter_shapes(place: Place, values: Mapping[Any, Any]) -> dict[str, tuple[int, ...]]:
    if is_elastic(place.module):
        return shapes(place.module, values)
    return {name: tuple(p.shape) for name, p in place.module._parameters.items() if p is not None}


def _grouped(reading: Reading) -> list[_Group]:
    """Modules by the decisions that their sizes and existence rest on; a group within a larger one joins it."""
    by_names: dict[frozenset[str], list[Place]] = {}
    for place in reading.places:
        clause = reading.along[place.path]
        if clause is None:
            continue
        choices = (c for _, value in place.sizes for c in choices_of(value))
        names = {reading.names[c] for c in choices} | {n for gate in clause for n in gate.names}
        by_names.setdefault(frozenset(names), []).append(place)
    groups: dict[frozenset[str], list[Place]] = {}
    for names, places in sorted(by_names.items(), key=lambda item: -len(item[0])):
        home = next((larger for larger in groups if names <= larger), names)
        groups.setdefault(home, []).extend(places)
    return [_Group(tuple(n for n in reading.space if n in names), places) for names, places in groups.items()]


def _covering(space: SearchSpace, draws: int = 6, limit: int = 24) -> Iterator[Architecture]:
    """The two extremes, random architectures, and more of them for options that were not among these."""
    rng = Random(0)
    missing = {(name, option) for name, options in space.items() for option in options}
    first = [space.extreme(-1), space.extreme(0), *(space.sample(rng) for _ in range(draws))]
    for arch in dict.fromkeys(first):
        missing -= set(arch.items())
        yield arch
    for name, option in sorted(missing, key=repr)[: limit - len(first)]:
        yield space.complete({name: option}, rng)


# -- peak memory of chains ------------------------------------------------------------------------------------------------


class _Memory:
    """Peak memory of architectures; links of a chain (nested nn.Sequential) are measured once per configuration."""

    def __init__(self, model: nn.Module, shape: Shape) -> None:
        self._model, self._shape = model, shape
        self._links: dict[tuple, tuple[int, Shape, bool]] = {}

    def __call__(self, arch: Architecture) -> int:
        plain = extract(self._model, arch, "fresh", device="meta").eval()
        return self._sequence(plain, (1, *self._shape), [])[0]

    def _sequence(self, module: nn.Module, shape: Shape, held: list[int]) -> tuple[int, Shape, bool]:
        """Peak bytes while `held` bytes of callers' variables are alive, output shape, whether the output is the input's storage."""
        if type(module) is not nn.Sequential:
            peak, output, alias = self._link(module, shape)
            return peak + sum(held), output, alias
        own, peak, same = 4 * math.prod(shape), 0, True
        for child in module:
            # this sequence's input stays alive in its caller, unless the child still works on that storage itself
            inner, shape, alias = self._sequence(child, shape, held if same else [*held, own])
            peak, same = max(peak, inner), same and alias
        return max(peak, own + sum(held)), shape, same

    def _link(self, module: nn.Module, shape: Shape) -> tuple[int, Shape, bool]:
        key = (_signature(module), shape)
        if key not in self._links:
            image = torch.empty(shape, device="meta")
            peak, output = _trace_memory(module, image)
            alias = output.untyped_storage()._cdata == image.untyped_storage()._cdata
            self._links[key] = (peak, tuple(output.shape), alias)
        return self._links[key]


def _signature(module: nn.Module) -> tuple:
    """What tells one plain module's memory from another's: classes, tensor shapes, and what their `extra_repr` says."""
    return tuple(
        (path, type(part), part.extra_repr(), *(tuple(p.shape) for p in part._parameters.values() if p is not None))
        for path, part in module.named_modules()
    )
