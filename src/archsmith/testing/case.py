"""A layer under test, in double precision, and its architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.seeding import seeded
from archsmith.elastic.structure import read
from archsmith.elastic.supernet import active
from archsmith.elastic.widths import tensors_in
from archsmith.space import Architecture, SearchSpace

Inputs = Callable[[Mapping[str, Any]], Tensor | tuple[Tensor, ...]]
_CLOSE = 1e-8  # of double precision


class Broken(Exception):
    """What was seen of a rule that is broken."""


def require(kept: bool, seen: str) -> None:
    """Broken, with what was seen, where it is not kept."""
    if not kept:
        raise Broken(seen)


class Case:
    """A layer in double precision with numbers everywhere that tell, and its architectures."""

    def __init__(
        self,
        make: Callable[[], nn.Module],
        inputs: Inputs,
        twin: Callable[[], nn.Module] | None,
        count: int,
    ) -> None:
        self.make, self.given, self.twin, self.count = make, inputs, twin, count
        self.layer: Any = _told_apart(make()).double()

    @cached_property
    def space(self) -> SearchSpace:
        return read(self.layer).space

    @cached_property
    def largest(self) -> Architecture:
        return self.space.complete(
            {name: max(options) for name, options in self.space.items()}, Random(0)
        )

    @cached_property
    def architectures(self) -> list[Architecture]:
        if self.space.size <= self.count:
            return list(self.space.architectures())
        rng = Random(0)
        drawn = (self.space.sample(rng) for _ in range(self.count - 2))
        return list(dict.fromkeys((self.largest, self.space.extreme(0), *drawn)))

    def inputs(
        self, sizes: Mapping[str, Any], dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, ...]:
        with seeded(0):
            given = self.given(dict(sizes))
        given = (given,) if isinstance(given, Tensor) else given
        return tuple(t.detach().to(dtype) if t.is_floating_point() else t for t in given)

    def twins(self) -> Iterator[tuple[Architecture, Any]]:
        """Each architecture, the model switched to it, with its plain twin on `meta`."""
        for arch in self.architectures:
            with active(self.layer, arch):
                yield arch, self.layer.plain()


def _told_apart(layer: nn.Module) -> nn.Module:
    """Random numbers in every tensor; in buffers, which may be variances, none below zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
        for buffer in layer.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5, generator=generator)
    return layer


def run(layer: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The tensors that a layer gives."""
    with seeded(1):  # for layers that draw
        return list(tensors_in(layer(*inputs)))


def require_close(actual: Tensor | None, expected: Tensor, what: str, arch: Architecture) -> None:
    """Broken where the numbers differ by more than rounding."""
    actual = torch.zeros_like(expected) if actual is None else actual
    where = f"in the network {dict(arch)}"
    require(
        actual.shape == expected.shape,
        f"{what} is {tuple(actual.shape)}, of the twin {tuple(expected.shape)} {where}",
    )
    if not torch.allclose(actual, expected, _CLOSE, _CLOSE, equal_nan=True):
        raise Broken(f"{what} is off by {float((actual - expected).abs().max()):.3g} {where}")


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's own parameters and buffers."""
    return {
        name: t
        for name, t in (*module._parameters.items(), *module._buffers.items())
        if t is not None
    }
