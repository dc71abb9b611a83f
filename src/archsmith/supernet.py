"""Functions over any nn.Module that holds Choices: search_space, active, dimensions, slices, extract, calibrate."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archsmith.elastic.layer import ElasticLayer, Index, index
from archsmith.errors import UserError
from archsmith.space import (
    Architecture,
    Choice,
    Clause,
    Concat,
    Derived,
    Gate,
    SearchSpace,
    Size,
    choices_of,
    resolve,
    simplify,
)

_TORCH_INTERNAL = frozenset(vars(nn.Module())) | {"gates", "_active_architecture"}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


# -- reading a model ------------------------------------------------------------------------------------------------------


def _holds_choice(value: Any) -> bool:
    if isinstance(value, Choice | Derived | Concat):
        return True
    if isinstance(value, Mapping):
        return any(_holds_choice(v) for v in value.values())
    return isinstance(value, list | tuple) and any(_holds_choice(v) for v in value)


def _sizes_in(value: Any, path: str) -> Iterator[tuple[str, Choice | Derived | Concat]]:
    """Every size in an attribute, with its path; attributes may be lists, tuples and dicts of sizes."""
    if isinstance(value, Choice | Derived | Concat):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _sizes_in(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _sizes_in(item, f"{path}.{position}")


def _resolved(value: Any, values: Mapping[Choice, Any]) -> Any:
    if isinstance(value, Choice | Derived | Concat):
        return resolve(value, values) if all(c in values for c in choices_of(value)) else value
    if isinstance(value, Mapping):
        return {key: _resolved(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_resolved(item, values) for item in value)
    return value


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name not in _TORCH_INTERNAL and _holds_choice(value):
            yield name, value


def _gates(module: nn.Module) -> Mapping[str, tuple[Any, tuple[Any, ...]]]:
    return getattr(module, "gates", None) or {}


def _names(model: nn.Module) -> dict[Choice, str]:
    """Each Choice's name: its own, or the first path at which it is found."""
    first: dict[Choice, str] = {}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        found = [pair for attribute, value in _attributes(module) for pair in _sizes_in(value, prefix + attribute)]
        found += [(f"{prefix}gates.{child}", gate[0]) for child, gate in _gates(module).items()]
        for (
            where,
            size,
        ) in found:  # a Choice that stands there itself is named by that place, one inside a formula by the formula's
            for position, choice in enumerate(choices_of(size)):
                first.setdefault(choice, where if isinstance(size, Choice) else f"{where}.{position}")
    names = {choice: choice.name or path for choice, path in first.items()}
    taken: dict[str, Choice] = {}
    for choice, name in names.items():
        if name in taken:
            raise UserError(
                f"two decisions are called '{name}': {taken[name]!r} and {choice!r}; "
                "use the same Choice object for one decision, or give them different names"
            )
        taken[name] = choice
    return names


@dataclass(frozen=True)
class _Reading:
    """A model's decisions: the space, each Choice's name, and each path's gates along the way to it."""

    space: SearchSpace
    names: dict[Choice, str]


def _gate(decision: Any, accepted: Iterable[Any], names: Mapping[Choice, str]) -> Gate | bool:
    """The decision's accepted values as combinations of options; a plain value is simply in or out."""
    accepted = tuple(accepted)
    choices = choices_of(decision)
    if not choices:
        return decision in accepted
    combinations = itertools.product(*(c.options for c in choices))
    passing = frozenset(v for v in combinations if resolve(decision, dict(zip(choices, v, strict=True))) in accepted)
    if len(passing) == 0:
        return False
    everything = 1
    for c in choices:
        everything *= len(c.options)
    return len(passing) == everything or Gate(tuple(names[c] for c in choices), passing)


def _read(model: nn.Module) -> _Reading:
    if "_active_architecture" in vars(model):
        raise UserError("the model is inside `active`; leave that first: one architecture at a time")
    names = _names(model)
    clauses: dict[str, list[Clause]] = {name: [] for name in names.values()}
    below: list[tuple[str, Gate | bool]] = []  # (path prefix, gate) of every gated child, parents first
    for path, module in model.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        along = [gate for start, gate in below if path == start or path.startswith(start + ".")]
        gates = _gates(module)
        if False not in along:
            clause = tuple(gate for gate in along if isinstance(gate, Gate))
            sizes = [size for attribute, value in _attributes(module) for _, size in _sizes_in(value, attribute)]
            for size in (*sizes, *(decision for decision, _ in gates.values())):
                for choice in choices_of(size):
                    clauses[names[choice]].append(clause)
        for child, (decision, accepted) in gates.items():
            below.append((prefix + child, _gate(decision, accepted, names)))
    conditions = {name: simplify(any_of) for name, any_of in clauses.items() if any_of}
    options = {name: choice.options for choice, name in names.items() if clauses[name]}
    space = SearchSpace(options, {name: c for name, c in conditions.items() if c is not None})
    return _Reading(space, names)


def search_space(model: nn.Module) -> SearchSpace:
    """The decisions a model declares: names from `Choice(name=)` or the first path, conditions from the gates above each use."""
    return _read(model).space


# -- one architecture at a time -------------------------------------------------------------------------------------------


@contextmanager
def active(model: nn.Module, arch: Mapping[str, Any]) -> Iterator[nn.Module]:
    """Within it the model computes one architecture, sharing weights; for training steps, backward inside, one thread.

    Resolved sizes are written onto this model's own modules and restored on exit. Raises OutOfSpace for a foreign architecture.
    """
    reading = _read(model)
    with _written(model, reading, reading.space.check(arch)):
        yield model


@contextmanager
def _written(model: nn.Module, reading: _Reading, arch: Architecture) -> Iterator[dict[Choice, Any]]:
    values = {choice: arch[name] for choice, name in reading.names.items() if name in arch}
    originals = [(module, name, value) for module in model.modules() for name, value in _attributes(module)]
    try:
        for module, name, value in originals:
            vars(module)[name] = _resolved(value, values)
        vars(model)["_active_architecture"] = arch
        yield values
    finally:
        vars(model).pop("_active_architecture", None)
        for module, name, value in originals:
            vars(module)[name] = value


def _dead(model: nn.Module, values: Mapping[Choice, Any]) -> frozenset[str]:
    """Paths of the children that are gated off; what lies below them is dead too."""
    dead: set[str] = set()
    for path, module in model.named_modules(remove_duplicate=False):
        if _is_below(path, dead):
            continue
        for child, (decision, accepted) in _gates(module).items():
            if _resolved(decision, values) not in accepted:
                dead.add(f"{path}.{child}" if path else child)
    return frozenset(dead)


def _is_below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root + ".") for root in roots)


# -- which part of which tensor --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dimension:
    """One axis of one tensor whose length a decision governs."""

    tensor: str
    axis: int
    size: Size


def dimensions(model: nn.Module) -> dict[str, tuple[Dimension, ...]]:
    """Decision name -> the tensor axes it governs. Which modules exist at all is in the space's conditions."""
    reading = _read(model)
    found: dict[str, list[Dimension]] = {name: [] for name in reading.space}
    for path, module in model.named_modules():
        if not isinstance(module, ElasticLayer):
            continue
        for tensor, sizes in module.axes().items():
            axes = list(enumerate(sizes))
            if tensor == "weight" and choices_of(kernel := getattr(module, "kernel", None)):
                axes += [(2, kernel), (3, kernel)]
            for axis, size in axes:
                for choice in choices_of(size):
                    assert size is not None
                    found[reading.names[choice]].append(Dimension(f"{path}.{tensor}" if path else tensor, axis, size))
    return {name: tuple(entries) for name, entries in found.items()}


def slices(model: nn.Module, arch: Mapping[str, Any]) -> dict[str, tuple[Index, ...]]:
    """Tensor name -> where along each axis the architecture's weights lie; tensors it does not use are absent.

    For an elastic kernel with matrices this is the region of the stored kernel that the smaller one is computed from.
    """
    reading = _read(model)
    found: dict[str, tuple[Index, ...]] = {}
    with _written(model, reading, reading.space.check(arch)) as values:
        dead = _dead(model, values)
        for path, module in model.named_modules(remove_duplicate=False):
            if _is_below(path, dead):
                continue
            axes = module.axes() if isinstance(module, ElasticLayer) else {}
            tensors = {**module._parameters, **module._buffers}
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                sizes = axes.get(name, (None,) * tensor.dim())
                where: tuple[Index, ...] = tuple(index(size, tensor.shape[i]) for i, size in enumerate(sizes))
                if name == "weight" and hasattr(module, "region"):
                    where = (*where[:2], *module.region())
                found[f"{path}.{name}" if path else name] = where
    return found


# -- stand-alone networks --------------------------------------------------------------------------------------------------


def extract(
    model: nn.Module,
    arch: Mapping[str, Any],
    weights: Literal["shared", "fresh"] = "shared",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """A plain module of stock torch layers for one architecture, holding copies of only what it uses, in the model's mode.

    "shared": the model's weights. "fresh": newly initialised as torch does it, from `generator` (default: seed 0), on `device`
    (default: the model's, the CPU for a model on `meta`; "meta" leaves it there); works from a model on `meta`. The global RNG is
    left alone.
    """
    if weights not in ("shared", "fresh"):
        raise UserError(f"weights={weights!r} is not one of 'shared', 'fresh'")
    reading = _read(model)
    with _written(model, reading, reading.space.check(arch)) as values:
        plain = _Copier(_dead(model, values), values, shared=weights == "shared").copy(model, "")
    if weights == "fresh" and str(device) != "meta":
        _initialise(plain, generator)
        target = device or next((p.device for p in model.parameters() if p.device.type != "meta"), None)
        if target is not None:
            plain = plain.to(target)
    elif device is not None:
        plain = plain.to(device)
    return plain


class _Copier:
    """Builds the plain twin of each module, children first; the same module in two places stays one."""

    def __init__(self, dead: frozenset[str], values: Mapping[Choice, Any], shared: bool) -> None:
        self._dead, self._values, self._shared = dead, values, shared
        self._memo: dict[int, Any] = {}
        self._kept: list[Any] = []  # what the memo speaks of must outlive it

    def copy(self, module: nn.Module, path: str) -> nn.Module:
        if id(module) in self._memo:
            return self._memo[id(module)]
        self._kept.append(module)
        if isinstance(module, ElasticLayer):
            twin = self._leaf(module)
        else:
            children = {
                name: self.copy(child, f"{path}.{name}" if path else name)
                for name, child in module._modules.items()
                if child is not None and (f"{path}.{name}" if path else name) not in self._dead
            }
            twin = module.plain(children) if hasattr(module, "plain") else self._container(module, children)
        self._memo[id(module)] = twin
        return twin

    def _leaf(self, layer: Any) -> nn.Module:
        twin = layer.plain()
        if self._shared:
            for name, tensor in layer.weights().items():
                _put(twin, name, tensor.detach().clone(memory_format=torch.contiguous_format), layer)
            for name, buffer in twin._buffers.items():  # counters such as num_batches_tracked
                if buffer is not None and buffer.is_meta and not layer._buffers[name].is_meta:
                    twin._buffers[name] = layer._buffers[name].detach().clone()
        return twin.train(layer.training)

    def _container(self, module: nn.Module, children: dict[str, nn.Module]) -> nn.Module:
        twin = module.__class__.__new__(module.__class__)
        nn.Module.__init__(twin)
        twin.training = module.training
        self._memo[id(module)] = twin
        names = list(module._modules)
        while names and names[-1] not in children and isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            names.pop()
        twin._modules.update({name: children.get(name) for name in names})
        for name, tensor in {**module._parameters, **module._buffers}.items():
            if tensor is None or self._shared or (name in module._buffers and not hasattr(module, "reset_parameters")):
                value = None if tensor is None else self._tensor(tensor)
            else:
                value = torch.empty_like(tensor, device="meta")
            if name in module._parameters:
                twin._parameters[name] = None if value is None else nn.Parameter(value, tensor.requires_grad)  # type: ignore[union-attr]
            else:
                twin._buffers[name] = value
        twin._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
        for name, value in vars(module).items():
            if name not in _TORCH_INTERNAL:
                vars(twin)[name] = copy.deepcopy(value, self._memo)
        return twin

    def _tensor(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._memo:  # tied tensors stay tied
            self._kept.append(tensor)
            self._memo[id(tensor)] = tensor.detach().clone()
        return self._memo[id(tensor)]


def _put(twin: nn.Module, name: str, tensor: Tensor, source: nn.Module) -> None:
    if name in twin._parameters:
        original = source._parameters[name]
        twin._parameters[name] = nn.Parameter(tensor, original is None or original.requires_grad)
    else:
        twin._buffers[name] = tensor


def _initialise(plain: nn.Module, generator: torch.Generator | None) -> None:
    """torch's own initialisation of every layer, on the CPU, in module order; the global generator is borrowed and put back."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device).item())
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        for path, module in plain.named_modules():
            own = {**module._parameters, **module._buffers}
            if not any(t is not None and t.is_meta for t in own.values()):
                continue
            if not hasattr(module, "reset_parameters"):
                raise UserError(
                    f"{type(module).__name__} at '{path}' holds {sorted(own)} but has no reset_parameters(); "
                    "give it one, so that fresh weights can be drawn"
                )
            module.to_empty(device="cpu", recurse=False)
            module.reset_parameters()
    finally:
        torch.default_generator.set_state(state)


@torch.no_grad()
def calibrate(plain: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Sets every BatchNorm's running statistics to the mean over the batches of their means and variances; returns the module.

    (Cai et al., ICLR 2020, released code; Yu and Huang, ICCV 2019.) For extracted networks. Dropout stays off, modes are restored.
    """
    norms = [module for module in plain.modules() if isinstance(module, _BATCH_NORMS)]
    if any(isinstance(module, ElasticLayer) for module in norms):
        raise UserError(
            "calibrate works on extracted networks: statistics of a supernet's mixture fit none of them; use extract first"
        )
    modes = {module: module.training for module in plain.modules()}
    momenta = [norm.momentum for norm in norms]
    try:
        plain.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch: cumulative average
            norm.train()
        for batch in batches:
            plain(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    return plain
