"""Any plain network of stock layers made elastic: the same modules, keys and forward, its widths,
depths and kernels decisions."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from archsmith.elastic.agreement import Layout, Part
from archsmith.elastic.channels import Channels
from archsmith.elastic.checking import misfits
from archsmith.elastic.conv import Conv2d, ConvTranspose2d
from archsmith.elastic.following import followed
from archsmith.elastic.linear import Linear
from archsmith.elastic.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from archsmith.elastic.optional import chain, optional_blocks
from archsmith.elastic.owning import owning
from archsmith.elastic.structure import FIXED
from archsmith.elastic.tracing import traced
from archsmith.errors import UserError
from archsmith.space import Choice, Concat, Derived, Size, Tiled

WIDTHS = (0.25, 0.5, 0.75, 1.0)
_FINE = ((64, 8), (16, 4), (0, 1))  # from so many channels on, widths are multiples of
_SMALLEST_KERNEL = 3


@dataclass(frozen=True)
class Conversion:
    """`model`: the elastic network. `fixed`: path of a layer -> why its width is no decision."""

    model: nn.Module
    fixed: Mapping[str, str]


def elastic(
    model: nn.Module,
    example: Tensor,
    widths: Sequence[float] = WIDTHS,
    *,
    depth: bool = True,
    kernels: bool = False,
) -> nn.Module:
    """The same network with Choices: equal to the original, to the bit, at its largest, under the
    same state-dict keys; `converted` says what stays fixed.

    `example`: a batch that it takes, (B, C, H, W) or whatever it is. `widths`: shares of each inner
    width that can be decided, 1 among them, rounded to multiples of what keeps groups whole.
    Channels that must agree (residual sums, depthwise convolutions, normalisations, scales) are one
    decision; concatenations take a prefix of each part; attention in stock layers is decided by its
    heads, whose size stays (Vaswani and others, NeurIPS 2017); a squeeze-excite follows the width
    that it scales (Hu and others, CVPR 2018). Parameters, buffers and whole numbers of the user's
    modules that lie along a width follow it where they stand. `depth`: blocks of a Sequential that
    leave the form of their input, and add to it, become optional, last first. `kernels`: square odd
    ones may be smaller, to 3. Raises UserError where it cannot be followed, with the line, or has
    no inner width.

    >>> block = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 5))
    >>> model = elastic(block, torch.zeros(1, 3, 8, 8))
    >>> archsmith.search_space(model).options
    {'0': (8, 16, 24, 32)}
    """
    return converted(model, example, widths, depth=depth, kernels=kernels).model


def converted(
    model: nn.Module,
    example: Tensor,
    widths: Sequence[float] = WIDTHS,
    *,
    depth: bool = True,
    kernels: bool = False,
) -> Conversion:
    """`elastic`, and the layers whose width stays as it is, with the reason."""
    _check(model, widths)
    graph = traced(model, example)
    channels = followed(model, graph)
    while True:
        sizes = _decisions(channels, widths)
        twin = copy.deepcopy(model)
        layers = _Layers(channels, sizes, kernels)
        for path, module in list(twin.named_modules()):
            made = layers.made(path, module)
            if made is not None:
                _put(twin, path, made)
        layers.own(twin)
        runs = optional_blocks(model, graph, channels) if depth else {}
        for path, blocks in runs.items():
            _put(twin, path, chain(twin.get_submodule(path), path, blocks))
        if not (sizes or runs or layers.kernels):
            reasons = "; ".join(
                f"{path}: {why}" for path, why in list(channels.fixed().items())[:3]
            )
            raise UserError(
                f"{type(model).__name__} has no inner width that could be decided ({reasons}); it "
                "needs a layer between the first and the last whose width nothing else fixes"
            )
        wrong = misfits(twin, channels, sizes, example)
        if not wrong:
            break
        for root, why in wrong.items():
            channels.groups.fix((Part(root),), why)
    vars(twin)[FIXED] = channels.fixed()
    return Conversion(twin.train(model.training), channels.fixed())


def _decisions(channels: Channels, widths: Sequence[float]) -> dict[int, Choice | Derived]:
    """The size of each group whose width can be decided, or follows from one that can."""
    groups = channels.groups
    scaled: dict[int, set[int]] = {}
    for inner, outer in channels.squeezes:
        scaled.setdefault(groups.root(inner), set()).add(groups.root(outer))
    sizes: dict[int, Choice | Derived] = {}
    for root in groups.roots:
        options = _options(groups.size(root), groups.unit(root), widths)
        if groups.reason(root) is None and len(options) > 1:
            sizes[root] = Choice(*options, name=groups.name(root))
        else:
            groups.fix((Part(root),), "no share of it gives another width")
    for inner, outers in scaled.items():
        whole = sizes.get(min(outers))
        one = len(outers) == 1 and inner not in outers
        if inner in sizes and one and isinstance(whole, Choice):
            sizes[inner] = _following(groups.size(inner), groups.unit(inner), whole)
    return sizes


def _following(size: int, unit: int, scaled: Choice) -> Derived:
    """The inner width of a squeeze-excite: the same part of the width that it scales."""
    full, step = max(scaled.options), _step(size, unit)
    return Derived(lambda c: min(size, max(step, round(size * c / full / step) * step)), scaled)


def fixed_widths(model: nn.Module) -> Mapping[str, str] | None:
    """Of a network that was made elastic: path of a layer -> why its width is no decision; None of
    one that was declared with Choices."""
    reasons = vars(model).get(FIXED)
    return reasons if isinstance(reasons, Mapping) else None


def _check(model: nn.Module, widths: Sequence[float]) -> None:
    if not isinstance(model, nn.Module):
        raise UserError(f"elastic takes a torch.nn.Module, not a {type(model).__name__}")
    if not widths or not all(0 < width <= 1 for width in widths) or 1 not in widths:
        raise UserError(
            f"widths={tuple(widths)!r}: give shares above 0, 1 among them, e.g. {WIDTHS}"
        )


def _options(size: int, unit: int, widths: Sequence[float]) -> list[int]:
    """The widths of a group of channels, ascending, `size` last."""
    step = _step(size, unit)
    return sorted({max(step, round(share * size / step) * step) for share in widths} | {size})


def _step(size: int, unit: int) -> int:
    """What the widths of a group are multiples of."""
    step = math.lcm(unit, next(step for least, step in _FINE if size >= least))
    return unit if size % step else step


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    above, _, name = path.rpartition(".")
    setattr(model.get_submodule(above), name, module)


class _Layers:
    """Elastic twins of layers; they take over the tensors."""

    def __init__(
        self, channels: Channels, sizes: Mapping[int, Choice | Derived], kernels: bool
    ) -> None:
        self._channels, self._sizes, self._shrinks = channels, sizes, kernels
        self.kernels: list[str] = []  # paths of the convolutions whose kernel is a decision

    def made(self, path: str, layer: nn.Module) -> nn.Module | None:
        """The twin of the layer at `path`; None where nothing of it is elastic."""
        ends = self._channels.ends.get(path)
        if ends is None:
            return None
        given = self._size(ends[0])
        taken = given if ends[0] == ends[1] else self._size(ends[1])
        kernel = self._kernel(path, layer)
        if not any(map(_is_open, (given, taken, kernel))):
            return None
        twin = _twin(layer, given, taken, kernel)
        twin._parameters.update(layer._parameters)
        twin._buffers.update(layer._buffers)
        return twin.train(layer.training)

    def own(self, model: nn.Module) -> None:
        """Makes the tensors and numbers elastic that the user's modules hold."""
        tensors: dict[str, dict[str, tuple[Size | None, ...]]] = {}
        for path, axes in self._channels.tensors.items():
            owner, _, name = path.rpartition(".")
            holder: Any = model.get_submodule(owner)
            count = {**holder._parameters, **holder._buffers}[name].dim()
            sizes = [self._size(axes[a]) if a in axes else None for a in range(count)]
            if any(map(_is_open, sizes)):
                whole = tuple(size if _is_open(size) else None for size in sizes)
                tensors.setdefault(owner, {})[name] = whole
        numbers: dict[str, dict[str, Any]] = {}
        for (owner, name, place), layout in self._channels.numbers.items():
            size = self._size(layout)
            if not _is_open(size):
                continue
            held = numbers.setdefault(owner, {})
            if place is None:
                held[name] = size
            else:
                items = list(held.get(name, vars(model.get_submodule(owner))[name]))
                items[place] = size
                held[name] = tuple(items)
        for owner in {**tensors, **numbers}:
            made = model.get_submodule(owner)
            owning(made, tensors.get(owner, {}), numbers.get(owner, {}))

    def _size(self, layout: Layout | None) -> Size | None:
        """What a layer's width is made of."""
        if layout is None:
            return None
        parts = [
            self._part(part.group, part.repeat) for part in self._channels.groups.opened(layout)
        ]
        if any(map(_is_open, parts)) or len(parts) == 1:
            return parts[0] if len(parts) == 1 else Concat(*parts)
        return sum(part for part in parts if isinstance(part, int))

    def _part(self, group: int, repeat: int) -> Size:
        size = self._sizes.get(group, self._channels.groups.size(group))
        if repeat == 1:
            return size
        return size * repeat if isinstance(size, int) else Tiled(size, repeat)

    def _kernel(self, path: str, layer: nn.Module) -> Any:
        if not isinstance(layer, nn.Conv2d):
            return None
        if not self._shrinks:
            return layer.kernel_size
        high, wide = layer.kernel_size
        around = tuple(
            rate * (k // 2) for rate, k in zip(layer.dilation, (high, wide), strict=True)
        )
        whole = high == wide and high % 2 == 1 and high > _SMALLEST_KERNEL
        if not whole or layer.padding != around:
            return layer.kernel_size
        self.kernels.append(path)
        return Choice(*range(_SMALLEST_KERNEL, high + 1, 2), name=f"{path}.kernel")


def _is_open(size: Any) -> bool:
    return isinstance(size, Choice | Derived | Concat)


def _twin(layer: Any, given: Any, taken: Any, kernel: Any) -> nn.Module:
    """An elastic layer of these widths, on `meta`; `given`: what it reads, `taken`: what it
    gives."""
    bias = getattr(layer, "bias", None) is not None
    where: dict[str, Any] = {"device": "meta"}
    if isinstance(layer, nn.Linear):
        return Linear(given, taken, bias, **where)
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        groups = _groups(layer, given)
        options: dict[str, Any] = {
            "stride": layer.stride,
            "dilation": layer.dilation,
            "groups": groups,
        }
        options |= {"bias": bias, "padding_mode": layer.padding_mode, **where}
        if isinstance(layer, nn.ConvTranspose2d):
            outer: dict[str, Any] = {
                "padding": layer.padding,
                "output_padding": layer.output_padding,
            }
            taps: Any = layer.kernel_size
            return ConvTranspose2d(given, taken, taps, **outer, **options)
        padding: Any = "same" if isinstance(kernel, Choice) else layer.padding
        return Conv2d(given, taken, kernel, padding=padding, transform=False, **options)
    if isinstance(layer, nn.GroupNorm):
        unit = layer.num_channels // layer.num_groups
        count: Any = 1 if layer.num_groups == 1 else Derived(lambda c: c // unit, taken)
        return GroupNorm(count, taken, layer.eps, layer.affine, **where)
    if isinstance(layer, nn.LayerNorm):
        return LayerNorm(taken, layer.eps, layer.elementwise_affine, bias, **where)
    kind = BatchNorm2d if isinstance(layer, nn.BatchNorm2d) else BatchNorm1d
    flags: dict[str, Any] = {
        "affine": layer.affine,
        "track_running_stats": layer.track_running_stats,
    }
    return kind(taken, layer.eps, momentum=layer.momentum, **flags, **where)


def _groups(layer: Any, given: Any) -> Any:
    """As many groups as keep their width."""
    if layer.groups == 1 or isinstance(given, int):
        return layer.groups
    unit = layer.in_channels // layer.groups
    return given if unit == 1 else Derived(lambda c: c // unit, given)
