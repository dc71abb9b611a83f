"""A network made smaller by hand: all widths by the same share, as one does without a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import nn

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import dimensions, extract
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import build

_FINEST, _LEAST = 0.02, 0.02  # steps of the share, and the least


@dataclass(frozen=True)
class Thinned:
    """A network of a `space` that was made smaller by hand, for images of `channels` x `size` x
    `size` and so many `classes` or other outputs: its architecture, and what it is, in words."""

    name: str
    space: str
    classes: int
    channels: int
    size: int
    options: Mapping[str, Any]
    text: str

    @property
    def arch(self) -> Architecture:
        """Its decisions."""
        return Architecture.from_json(dict(self.options))

    def make(
        self, seed: int | None, headed: Callable[[nn.Module], nn.Module] = lambda model: model
    ) -> nn.Module:
        """The plain network, freshly initialised; None: on `meta`, for counting. `headed` appends
        what must follow it."""
        model = headed(build(self.space, self.classes, self.channels, self.size))
        if seed is None:
            return extract(model, self.arch, "fresh", device="meta")
        generator = torch.Generator().manual_seed(mix(seed, self.name))
        return extract(model, self.arch, "fresh", generator)


def widths_of(model: nn.Module) -> tuple[str, ...]:
    """The decisions of an elastic network that are widths: those along an axis of a tensor that is
    no side of a kernel."""
    return tuple(
        name
        for name, axes in dimensions(model).items()
        if any(dimension.axis < 2 or not dimension.tensor.endswith("weight") for dimension in axes)
    )


def depths_of(space: SearchSpace, model: nn.Module) -> tuple[str, ...]:
    """The decisions on how many modules there are: numbers along no axis of any tensor."""
    axes = dimensions(model)
    return tuple(name for name, options in space.items() if not axes[name] and _sizes(options))


def thinned(
    space: SearchSpace,
    widths: Sequence[str],
    keeps: Callable[[Architecture], bool],
    fixed: Mapping[str, Any] | None = None,
) -> Architecture | None:
    """The widest architecture whose `widths` are all the same share of their largest and that keeps
    the budget; None where there is none.

    All else is the largest there is, or as `fixed` says. Options are few, so after rounding what is
    narrowest is widened step by step while the budget is kept.
    """
    whole = {
        name: max(options) if _sizes(options) else options[-1] for name, options in space.items()
    }
    whole |= fixed or {}
    free = [name for name in widths if name not in (fixed or {}) and _sizes(space[name])]

    def at(share: float) -> Architecture:
        own = {
            name: min(space[name], key=lambda option: abs(option - share * whole[name]))
            for name in free
        }
        return space.complete({**whole, **own}, Random(0))

    steps = range(round(1 / _FINEST), 0, -1)
    for arch in (at(max(_LEAST, step * _FINEST)) for step in steps):
        if keeps(arch):
            return _widened(space, arch, {name: whole[name] for name in free}, keeps)
    return None


def _sizes(options: Sequence[Any]) -> bool:
    return all(isinstance(o, int | float) and not isinstance(o, bool) for o in options)


def _widened(
    space: SearchSpace,
    arch: Architecture,
    largest: Mapping[str, Any],
    keeps: Callable[[Architecture], bool],
) -> Architecture:
    """One step wider at a time, what is narrowest beside its `largest` first; each width that can
    be no wider is left."""
    open_ = [name for name in largest if name in arch and arch[name] < largest[name]]
    while open_:
        name = min(open_, key=lambda name: arch[name] / largest[name])
        wider = min(option for option in space[name] if option > arch[name])
        more = space.complete({**arch, name: wider}, Random(0))
        if keeps(more):
            arch = more
        if not keeps(more) or arch[name] >= largest[name]:
            open_.remove(name)
    return arch
