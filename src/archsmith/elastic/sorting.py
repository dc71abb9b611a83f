"""The channels of an elastic network in the order of their importance, so that whatever is narrower
keeps the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith._internal.modes import modes_kept
from archsmith.elastic.layer import is_elastic
from archsmith.elastic.structure import require_inactive
from archsmith.errors import UserError, did_you_mean
from archsmith.space import Choice, Concat, Derived, Tiled, largest

Importance = Literal["l1", "taylor", "zico"]
IMPORTANCES = ("l1", "taylor", "zico")
TOLERANCE = 1e-4  # of the largest number that the network gives
_TINY = 1e-12


@dataclass(frozen=True)
class _Use:
    """An axis of a tensor that a size lies along: from `start` on, `times` places a channel."""

    layer: Any
    name: str
    axis: int
    start: int
    times: int
    reads: bool

    @property
    def tensor(self) -> Tensor:
        parameter = self.layer._parameters.get(self.name)
        return self.layer._buffers[self.name] if parameter is None else parameter


@dataclass
class _Group:
    """Channels that move together: all axes along one size."""

    size: Choice | Derived
    name: str
    unit: int = 1  # channels that stay together
    uses: list[_Use] = field(default_factory=list)


def sort_channels(
    model: nn.Module,
    importance: Importance = "l1",
    *,
    batches: Iterable[tuple[Tensor, Tensor]] = (),
    kept: Mapping[str, Sequence[int]] | None = None,
    probe: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> dict[str, str]:
    """Moves the important channels of each width to the front, in place; the largest network
    computes what it did. Gives the groups that stay as they were, and why.

    All axes along one size object move together. Importance of a channel, summed over the weights
    that read it (that give it, where none does): "l1" |w| (Li and others, ICLR 2017); "taylor"
    |w dL/dw| over `batches` (Molchanov and others, CVPR 2019, equation 8); "zico" mean |g| / std of
    g over them (Li and others, ICLR 2023, equation 13), of at least two. `kept`: decision -> widths
    that work already: channels are sorted between them only, so that those networks stay what they
    are. `probe`: an input, (B, ...); a group whose order changes what the largest network makes of
    it by more than 1e-4 of its largest number is put back, and named. (Once-For-All, Cai and
    others, ICLR 2020, section 3.3, sorts so before it shrinks widths.) Raises UserError for an
    importance that is not known, and for one that needs batches where there are none.
    """
    require_inactive(model)
    if importance not in IMPORTANCES:
        raise UserError(
            f"importance '{importance}'{did_you_mean(importance, IMPORTANCES)}; known are "
            f"{', '.join(IMPORTANCES)}"
        )
    groups, kept = list(_groups(model)), dict(kept or {})
    names = [group.name for group in groups]
    for name in kept:
        if name not in names:
            raise UserError(
                f"kept: no width is called '{name}'{did_you_mean(name, names)}; there are "
                f"{', '.join(names[:8])}"
            )
    statistic = _statistic(model, importance, list(batches), loss)
    before = _answer(model, probe)
    left: dict[str, str] = {}
    for group in groups:
        order = _order(group, statistic, kept.get(group.name, ()))
        if order is None:
            continue
        _move(group, order)
        if before is None:
            continue
        change = float((_answer(model, probe) - before).abs().max() / (before.abs().max() + _TINY))  # type: ignore[operator]
        if not change <= TOLERANCE:
            _move(group, torch.argsort(order))
            left[group.name] = f"another order of it changes the network by {change:.1g}"
    return left


def _answer(model: nn.Module, probe: Tensor | None) -> Tensor | None:
    """What the largest network makes of the probe."""
    if probe is None:
        return None
    with modes_kept(model), torch.no_grad():
        return model.eval()(probe)


# -- groups ---------------------------------------------------------------------------------------


def _groups(model: nn.Module) -> Iterator[_Group]:
    """The widths of a model, in order, with all that lies along each."""
    groups: dict[int, _Group] = {}
    done: set[int] = set()
    for path, layer in model.named_modules():
        if not is_elastic(layer) or id(layer) in done:
            continue
        done.add(id(layer))
        held: Any = layer
        for name, sizes in layer.axes().items():
            if held._parameters.get(name, held._buffers.get(name)) is None:
                continue
            for axis, size in enumerate(sizes):
                for inner, start, times in _parts(size):
                    named = getattr(inner, "name", None) or f"{path}.{name}.{axis}"
                    group = groups.setdefault(id(inner), _Group(inner, named))
                    reads = _reads(held, name, axis)
                    use = _Use(held, name, axis, start=start, times=times, reads=reads)
                    group.uses.append(use)
                    group.unit = max(group.unit, math.ceil(_unit(held) / times))
    yield from groups.values()


def _parts(size: Any) -> Iterator[tuple[Choice | Derived, int, int]]:
    """The sizes in a size, where each begins along its axis, and places a channel."""
    if isinstance(size, Concat):
        start = 0
        for part, capacity in zip(size.parts, size.capacities, strict=True):
            for inner, _, times in _parts(part):
                yield inner, start, times
            start += capacity
    elif isinstance(size, Tiled):
        yield size.size, 0, size.times
    elif isinstance(size, Choice | Derived):
        yield size, 0, 1


def _reads(layer: nn.Module, name: str, axis: int) -> bool:
    """Whether the axis is that of what a layer reads, rather than of what it gives or scales."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    read = 0 if transposed else 1
    whole = getattr(layer, "groups", 1) == 1
    return name == "weight" and axis == read and whole and layer._parameters["weight"].dim() > 1  # type: ignore[union-attr]


def _unit(layer: Any) -> int:
    """Channels that a layer treats as one: those of a group, of a convolution or normalisation."""
    if isinstance(layer, nn.GroupNorm):
        return layer.num_channels // layer.num_groups if layer.num_groups > 1 else 1
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return 1
    groups = layer.groups
    return layer.out_channels // groups if isinstance(groups, int) and groups > 1 else 1


# -- importance -----------------------------------------------------------------------------------


def _statistic(
    model: nn.Module,
    importance: Importance,
    batches: Sequence[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[_Use], Tensor]:
    """Of each number of a tensor, not negative."""
    if importance == "l1":
        return lambda use: use.tensor.detach().double().abs()
    least = 2 if importance == "zico" else 1
    if len(batches) < least:
        raise UserError(
            f"importance '{importance}' is of gradients: give at least {least} of batches, "
            "pairs of images and labels"
        )
    held = {id(p): p for p in model.parameters() if p.requires_grad}
    sums = {key: torch.zeros_like(p, dtype=torch.float64) for key, p in held.items()}
    squares = {key: torch.zeros_like(p, dtype=torch.float64) for key, p in held.items()}
    for x, y in batches:
        gradients = torch.autograd.grad(
            loss(model(x), y), list(held.values()), allow_unused=True, materialize_grads=True
        )
        for key, gradient in zip(held, gradients, strict=True):
            given = gradient.double()
            given = (held[key].detach() * given).abs() if importance == "taylor" else given
            sums[key] += given.abs()
            squares[key] += given**2

    def of(use: _Use) -> Tensor:
        key = id(use.tensor)
        if key not in sums:
            return torch.zeros_like(use.tensor, dtype=torch.float64)
        mean = sums[key] / len(batches)
        if importance == "taylor":
            return mean
        return mean / (squares[key] / len(batches) - mean**2).clamp(min=_TINY).sqrt()

    return of


def _order(
    group: _Group, statistic: Callable[[_Use], Tensor], kept: Sequence[int]
) -> Tensor | None:
    """The channels of a group, the most important first between the widths that are kept; None
    where that is the order they have."""
    size = int(largest(group.size))
    readers = [use for use in group.uses if use.reads]
    givers = [use for use in group.uses if use.name == "weight" and use.tensor.dim() > 1]
    total = torch.zeros(size, dtype=torch.float64)
    for use in readers or givers or group.uses:
        values = statistic(use).movedim(use.axis, 0)[use.start : use.start + size * use.times]
        total += values.reshape(size, -1).sum(1).cpu()
    unit = group.unit
    worth = total.view(-1, unit).sum(1)
    ends = sorted({0, *(int(k) // unit for k in kept if 0 < k < size), size // unit})
    order = torch.cat(
        [
            start + torch.argsort(worth[start:end], descending=True, stable=True)
            for start, end in zip(ends, ends[1:], strict=False)
        ]
    )
    if bool((order == torch.arange(len(order))).all()):
        return None
    return (order[:, None] * unit + torch.arange(unit)).flatten()


def _move(group: _Group, order: Tensor) -> None:
    """Puts the channels of all that lies along a size into an order; tied tensors once."""
    moved: set[tuple[int, int, int]] = set()
    with torch.no_grad():
        for use in group.uses:
            key = (use.tensor.data_ptr(), use.axis, use.start)
            if key in moved:
                continue
            moved.add(key)
            whole = torch.arange(use.tensor.shape[use.axis])
            places = (order[:, None] * use.times + torch.arange(use.times)).flatten()
            whole[use.start : use.start + len(places)] = use.start + places
            use.tensor.copy_(use.tensor.index_select(use.axis, whole.to(use.tensor.device)))
