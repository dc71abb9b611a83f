"""Plain twins of a model's modules, and fresh weights for them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic.layer import is_elastic
from archsmith.elastic.owning import Owning
from archsmith.elastic.structure import TORCH_INTERNAL
from archsmith.errors import UserError


class Copier:
    """Builds the plain twin of each module, children first; the same module in two places stays
    one."""

    def __init__(self, dead: frozenset[str], shared: bool) -> None:
        self._dead, self._shared = dead, shared
        self._memo: dict[int, Any] = {}
        self._tied: dict[tuple, nn.Parameter] = {}
        self.origins: dict[int, str] = {}  # id of a twin -> path of what it is the twin of
        self._kept: list[Any] = []  # what the memo speaks of must outlive it

    def copy(self, module: nn.Module, path: str) -> nn.Module:
        if id(module) in self._memo:
            return self._memo[id(module)]
        self._kept.append(module)
        if is_elastic(module) and not isinstance(module, Owning):
            twin = self._leaf(module)
        else:
            children = {
                name: self.copy(child, f"{path}.{name}" if path else name)
                for name, child in module._modules.items()
                if child is not None and (f"{path}.{name}" if path else name) not in self._dead
            }
            plain = getattr(type(module), "plain", None)
            twin = plain(module, children) if callable(plain) else self._container(module, children)
        self._memo[id(module)] = twin
        # where a container becomes its chosen child, that of the child
        self.origins.setdefault(id(twin), path)
        return twin

    def _leaf(self, layer: Any) -> nn.Module:
        twin = layer.plain()
        tensors = layer.weights() if self._shared else {}
        for name, parameter in twin._parameters.items():
            if parameter is not None:
                source, kernel = layer._parameters[name], getattr(layer, "kernel", None)
                value = (
                    tensors[name].detach().clone(memory_format=torch.contiguous_format)
                    if self._shared
                    else parameter
                )
                twin._parameters[name] = self._parameter(source, value, kernel)
        for name, buffer in twin._buffers.items():
            # those that no size governs: counters such as num_batches_tracked
            if buffer is not None and self._shared:
                twin._buffers[name] = tensors.get(name, layer._buffers[name]).detach().clone()
        return twin.train(layer.training)

    def _parameter(self, source: nn.Parameter, value: Tensor, kernel: Any = None) -> nn.Parameter:
        """The twin of a parameter; tied parameters stay tied where the same part of them is used in
        the same way."""
        key = (id(source), tuple(value.shape), kernel)
        if key not in self._tied:
            self._kept.append(source)
            self._tied[key] = nn.Parameter(value.detach(), source.requires_grad)
        return self._tied[key]

    def _container(self, module: nn.Module, children: dict[str, nn.Module]) -> nn.Module:
        own = module if isinstance(module, Owning) else None
        kind = module.__class__ if own is None else own.plain_class
        twin = kind.__new__(kind)
        nn.Module.__init__(twin)
        twin.training = module.training
        self._memo[id(module)] = twin
        names = list(module._modules)
        while (
            names
            and names[-1] not in children
            and isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        ):
            names.pop()
        twin._modules.update({name: children.get(name) for name in names})
        current = {} if own is None else own.weights()
        for name, parameter in module._parameters.items():
            if parameter is None:
                twin._parameters[name] = None
            else:
                used = current.get(name, parameter).detach()
                value = (
                    used.clone(memory_format=torch.contiguous_format)
                    if self._shared
                    else torch.empty_like(used, device="meta")
                )
                twin._parameters[name] = self._parameter(parameter, value)
        fresh = not self._shared and resetter(module) is not None
        for name, buffer in module._buffers.items():
            part = None if buffer is None else current.get(name, buffer)
            twin._buffers[name] = (
                torch.empty_like(part, device="meta")
                if fresh and part is not None
                else self._buffer(part)
            )
        twin._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
        for name, value in vars(module).items():
            if name not in TORCH_INTERNAL and name != ("" if own is None else "own_axes"):
                vars(twin)[name] = copy.deepcopy(value, self._memo)
        return twin

    def _buffer(self, buffer: Tensor | None) -> Tensor | None:
        if buffer is not None and id(buffer) not in self._memo:
            self._kept.append(buffer)
            self._memo[id(buffer)] = buffer.detach().clone()
        return None if buffer is None else self._memo[id(buffer)]


def resetter(module: nn.Module) -> Callable[[], None] | None:
    """What initializes a module's own tensors; torch's attention hides it."""
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)


def _children_first(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        yield from _children_first(child, f"{path}.{name}" if path else name)
    yield path, module


def initialize(plain: nn.Module, generator: torch.Generator | None) -> None:
    """torch's own initialization of every layer, on the CPU, children first; the global generator
    is borrowed, put back."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device).item())
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        made: dict[int, nn.Parameter] = {}
        kept: list[nn.Parameter] = []  # or their ids would be given to others
        for path, module in _children_first(plain):
            own = {**module._parameters, **module._buffers}
            if not any(t is not None and t.is_meta for t in own.values()):
                continue
            reset = resetter(module)
            if reset is None:
                raise UserError(
                    f"{type(module).__name__} at '{path}' holds {sorted(own)} but has no "
                    f"reset_parameters(); "
                    "give it one, so that fresh weights can be drawn"
                )
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter.is_meta:
                    if id(parameter) not in made:
                        empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu")
                        made[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
                        kept.append(parameter)
                    module._parameters[name] = made[id(parameter)]
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_meta:
                    module._buffers[name] = torch.empty(
                        buffer.shape, dtype=buffer.dtype, device="cpu"
                    )
            reset()
    finally:
        torch.default_generator.set_state(state)
