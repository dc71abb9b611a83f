"""Rules of what a layer computes beside its twin: outputs, gradients, slices, counts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.seeding import seeded
from archsmith.elastic.layer import Index, shapes
from archsmith.elastic.structure import read
from archsmith.elastic.supernet import active, dimensions, extract, slices
from archsmith.metrics.cost import NAMES, Costs
from archsmith.space import Architecture, Choice
from archsmith.testing.case import (
    Case,
    Inputs,
    _told_apart,
    require,
    require_close,
    run,
    tensors_of,
)


def check_largest(case: Case) -> None:
    layer: Any = _told_apart(case.make())
    twin = layer.plain() if case.twin is None else case.twin()
    for name, parameter in twin._parameters.items():
        if parameter is not None:
            twin._parameters[name] = nn.Parameter(layer._parameters[name].detach().clone())
    for name, buffer in twin._buffers.items():
        if buffer is not None:
            twin._buffers[name] = layer._buffers[name].detach().clone()
    inputs = case.inputs(case.largest, torch.float32)
    for training in (False, True):
        for made, wanted in zip(
            run(layer.train(training), inputs), run(twin.train(training), inputs), strict=True
        ):
            same = made.shape == wanted.shape and torch.equal(
                made.nan_to_num(), wanted.nan_to_num()
            )
            require(same, f"they differ in {'train' if training else 'eval'} mode")


def check_active(case: Case) -> None:
    for arch in case.architectures:
        inputs = case.inputs(arch)
        for training in (False, True):
            plain = extract(case.layer.train(training), arch)
            require(
                plain.training is training,
                f"the extracted network is in another mode than the layer in {dict(arch)}",
            )
            with torch.no_grad(), active(case.layer, arch):
                made = run(case.layer, inputs)
            with torch.no_grad():
                for one, other in zip(made, run(plain, inputs), strict=True):
                    require_close(
                        one, other, f"the output in {'train' if training else 'eval'} mode", arch
                    )


def check_gradients(case: Case) -> None:
    layer = case.layer.train()
    for arch in case.architectures:
        plain = extract(layer, arch)
        with active(layer, arch):
            mine = _gradients(layer, case.inputs(arch))
        wanted = _gradients(plain, case.inputs(arch))
        for one, other in zip(mine.pop(""), wanted.pop(""), strict=True):
            require_close(one, other, "the gradient of the input", arch)
        for name, expected in _pulled_back(layer, arch, wanted).items():
            require_close(mine[name], expected, f"the gradient of '{name}'", arch)


def _gradients(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """Of a weighted sum of the outputs: by the parameters, and under "" by the inputs that can have
    one."""
    module.zero_grad(set_to_none=True)
    inputs = tuple(t.clone().requires_grad_() if t.is_floating_point() else t for t in inputs)
    generator, total = torch.Generator().manual_seed(2), torch.zeros((), dtype=torch.float64)
    for output in run(module, inputs):
        if output.requires_grad:
            total = (
                total
                + (
                    output * torch.randn(output.shape, generator=generator, dtype=output.dtype)
                ).sum()
            )
    require(total.requires_grad, "the output hangs on nothing that learns")
    total.backward()
    gradients: dict[str, Any] = {
        name: p.grad for name, p in module.named_parameters() if p.requires_grad
    }
    gradients[""] = [
        torch.zeros_like(t) if t.grad is None else t.grad for t in inputs if t.is_floating_point()
    ]
    return gradients


def _pulled_back(
    layer: Any, arch: Architecture, wanted: Mapping[str, Tensor | None]
) -> dict[str, Tensor]:
    """What the gradients of the twin are to the layer's own parameters, by the chain rule through
    `weights`."""
    parameters = {name: p for name, p in layer.named_parameters() if p.requires_grad}
    with active(layer, arch):
        made = {name: tensor for name, tensor in layer.weights().items() if tensor.requires_grad}
    if not made:
        return {}
    ends = [torch.zeros_like(made[n]) if wanted.get(n) is None else wanted[n] for n in made]
    gradients = torch.autograd.grad(
        list(made.values()), list(parameters.values()), ends, allow_unused=True
    )
    back = zip(parameters.items(), gradients, strict=True)
    return {
        name: torch.zeros_like(parameter) if grad is None else grad
        for (name, parameter), grad in back
    }


def check_slices(case: Case) -> None:
    governed = {(d.tensor, d.axis) for entries in dimensions(case.layer).values() for d in entries}
    for arch in case.architectures:
        where, plain = slices(case.layer, arch), tensors_of(extract(case.layer, arch))
        spoilt = copy.deepcopy(case.layer)
        for name, tensor in tensors_of(case.layer).items():
            part = tensor.detach()[_grid(where[name])]
            for axis, (kept, length) in enumerate(zip(part.shape, tensor.shape, strict=True)):
                message = (
                    f"a part of '{name}' along axis {axis} is taken, which no decision governs, "
                    f"in {dict(arch)}"
                )
                require(kept == length or (name, axis) in governed, message)
            # kernels go through matrices
            if name in plain and not (name == "weight" and hasattr(case.layer, "region")):
                wanted = plain[name].detach()
                message = (
                    f"'{name}' is {tuple(part.shape)} by `axes`, {tuple(wanted.shape)} in the "
                    f"network {dict(arch)}"
                )
                require(part.shape == wanted.shape, message)
                require(
                    torch.equal(part, wanted),
                    f"'{name}' holds other numbers in the network {dict(arch)}",
                )
            if tensor.is_floating_point():
                with torch.no_grad():
                    tensors_of(spoilt)[name].add_(1)[_grid(where[name])] = part
        for name, tensor in tensors_of(extract(spoilt, arch)).items():
            kept = torch.equal(tensor, plain[name])
            require(
                kept, f"'{name}' takes numbers from outside its slices in the network {dict(arch)}"
            )


def _grid(where: tuple[Index, ...]) -> tuple[Index, ...]:
    """Index of the product of one slice or index tensor per axis."""
    if all(isinstance(w, slice) for w in where):
        return where
    ranges = [torch.arange(w.start, w.stop) if isinstance(w, slice) else w for w in where]
    return tuple(torch.meshgrid(*ranges, indexing="ij"))


class _Fed(nn.Module):
    """A network of the layer alone, which is given inputs of the sizes that it has, whatever the
    network is given."""

    def __init__(self, layer: nn.Module, decisions: Mapping[str, Choice], inputs: Inputs) -> None:
        super().__init__()
        self.layer, self.decisions, self.inputs = layer, dict(decisions), inputs

    def extra_repr(self) -> str:
        return str(self.decisions)

    def forward(self, x: Tensor) -> Any:
        with seeded(0):
            given = self.inputs(self.decisions)
        return self.layer(
            *(t.to(x.device) for t in ((given,) if isinstance(given, Tensor) else given))
        )


def check_counts(case: Case) -> None:
    layer = case.make()
    names = read(layer).names
    for arch in case.architectures:
        twin = extract(layer, arch, "fresh", device="meta")
        wanted = {name: tuple(p.shape) for name, p in twin.named_parameters()}
        declared = shapes(
            layer, {choice: arch[name] for choice, name in names.items() if name in arch}
        )
        require(
            declared == wanted,
            f"parameters are {declared} by `axes`, {wanted} in the network {dict(arch)}",
        )
    fed = _Fed(layer, {name: choice for choice, name in names.items()}, case.given)
    costs, space, rng = Costs(fed, (1, 1, 1), NAMES), read(fed).space, Random(0)
    require(
        costs.additive, "MACs are not so many for each element of the weight, nor told by the sizes"
    )
    for arch in (space.extreme(0), space.extreme(-1), *(space.sample(rng) for _ in range(8))):
        counted, exact = costs(arch), costs.exact(arch)
        require(
            counted == exact, f"{counted} is counted, {exact} is right in the network {dict(arch)}"
        )
