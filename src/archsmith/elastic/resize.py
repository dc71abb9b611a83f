"""The resolution of a network as a decision: its images are resized first; and the network as it is
shipped, which is given images of that size."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.layer import width
from archsmith.errors import UserError, first_line
from archsmith.space import Architecture, Choice, Concat, Derived, SearchSpace, choices_of, resolve
from archsmith.space.options import short

if TYPE_CHECKING:
    from archsmith.elastic.structure import Structure

Shape = tuple[int, ...]
_ALIKE = 1e-3  # of what tells images apart, at most: rounding, and nothing that saw other images


class Resize(nn.Module):
    """Images (B, C, H, W) of any size -> (B, C, pixels, pixels), bilinear and antialiased.

    `pixels`: a whole number, a Choice or a Derived of such; the same as torch's antialiased
    `F.interpolate`, with which images of that size stay as they are. It stands first in a network,
    once and in every network, and nothing else there sees the image: so the resolution is a
    decision beside depth and width (Tan and Le, ICML 2019, section 3). Such a network ships without
    it: the files take images of `pixels` x `pixels`, read from the picture at that size, which is
    a little sharper than a picture that was read at the run's size and then resized.

    >>> import torch
    >>> from archsmith.elastic import Choice, Resize
    >>> first = Resize(Choice(16, 24, name="pixels"))
    >>> first(torch.zeros(2, 3, 32, 32)).shape  # outside `active`: the largest
    torch.Size([2, 3, 24, 24])
    """

    def __init__(self, pixels: int | Choice | Derived) -> None:
        super().__init__()
        if isinstance(pixels, Concat):
            raise UserError(
                f"Resize(pixels={pixels!r}): a side is no width; give a whole number, or a Choice "
                "or Derived of such"
            )
        self.pixels: Any = arguments.size("Resize", "pixels", pixels)

    @property
    def side(self) -> int:
        """Pixels along each side, as it is now; the largest where that is open."""
        return width(self.pixels)

    def forward(self, x: Tensor) -> Tensor:
        """Images of that side."""
        size = (self.side, self.side)
        return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)

    def extra_repr(self) -> str:
        """What a print of it shows."""
        return repr(self.pixels)


# -- what the networks of a model are given -------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """Architecture -> the shape (C, H, W) of the images that its network is shipped for.

    `shape`: that of the run's images, where no `Resize` decides. `pixels`: what that decides;
    `deciding`: its choices, each with its name.
    """

    shape: Shape
    pixels: Any = None
    deciding: tuple[tuple[Choice, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The decisions on which the size of every map rests: one, or none."""
        return tuple(name for _, name in self.deciding)

    def __call__(self, arch: Architecture) -> Shape:
        """The shape."""
        if self.pixels is None:
            return self.shape
        side = int(resolve(self.pixels, {choice: arch[name] for choice, name in self.deciding}))
        return self.shape[0], side, side


def inputs_of(reading: Structure, shape: Shape) -> Inputs:
    """What the networks of a model are given, for images of `shape` (C, H, W); UserError where
    there are two `Resize`, or one that may be left out."""
    resizes = [
        place
        for place in reading.places
        if isinstance(place.module, Resize) and reading.along[place.path] is not None
    ]
    if len(resizes) > 1:
        first, second = (place.path for place in resizes[:2])
        raise UserError(
            f"Resize stands at '{first}' and at '{second}'; a network has one, first in it: decide "
            "between sides by Resize(Choice(24, 32))"
        )
    if not resizes:
        return Inputs(tuple(shape))
    (place,) = resizes
    if reading.along[place.path]:
        raise UserError(
            f"Resize at '{place.path}' is not there in every network; put it first and outside of "
            "OneOf, Repeat and Parallel, with the whole side as one of its options"
        )
    pixels = place.module.pixels
    deciding = tuple((choice, reading.names[choice]) for choice in choices_of(pixels))
    return Inputs(tuple(shape), pixels, deciding)


# -- a network as it is shipped -------------------------------------------------------------------


def without_resize(network: nn.Module, shape: Shape) -> tuple[nn.Module, Shape]:
    """A plain network as it is shipped, and the shape (C, H, W) of the images that it is given: one
    that resizes images of `shape` first, without that; any other as it is.

    Weights and layers are those of the network itself, under their names.
    """
    first = resize_in(network)
    if first is None:
        return network, tuple(shape)
    return _without(network), (shape[0], first.side, first.side)


def resize_in(network: nn.Module) -> Resize | None:
    """The `Resize` of a network, where it has one."""
    return next((module for module in network.modules() if isinstance(module, Resize)), None)


def _without(module: nn.Module) -> nn.Module:
    if isinstance(module, Resize):
        return nn.Identity().train(module.training)
    if resize_in(module) is None:
        return module
    twin = copy.copy(module)
    vars(twin)["_modules"] = {
        name: child if child is None else _without(child)
        for name, child in module._modules.items()
        if not (type(module) is nn.Sequential and isinstance(child, Resize))
    }
    return twin


@torch.no_grad()
def resizes_first(network: nn.Module, shape: Shape) -> bool:
    """Whether a plain network in evaluation mode, not on `meta`, makes of images of `shape` (C, H,
    W) what it makes of the same images resized before: nothing in it sees them in another size."""
    first = resize_in(network)
    assert first is not None
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, *shape, generator=generator).to(device)
    outputs = network(images)
    try:
        resized = network(first(images))
    except (RuntimeError, ValueError, AssertionError):  # made for one size
        return False
    if resized.shape != outputs.shape:
        return False
    spread = (outputs - outputs.mean(0)).abs().max()
    return bool((resized - outputs).abs().max() <= _ALIKE * spread + 1e-6 * outputs.abs().max())


# -- whether it is declared rightly ---------------------------------------------------------------


def check_resize(
    reading: Structure, channels: int, make: Callable[[Architecture, str], nn.Module]
) -> bool:
    """UserError where a `Resize` is not first in a network, or the layers after it cannot take one
    of its sides; else whether networks take images of so many channels at all.

    `make`: a fresh plain network of an architecture, on a device, in evaluation mode. Nothing is
    told where they take no side at all: then the sides are not what is wrong.
    """
    inputs = inputs_of(reading, (channels, 1, 1))
    if inputs.pixels is None:  # it is in no network
        return True
    refused: dict[int, tuple[Architecture, Exception]] = {}
    taken, alone = set[int](), False  # alone: a network takes images of its side, and no others
    for arch in _at_each_side(reading.space, inputs.names):
        side, network = inputs(arch)[1], make(arch, "meta")
        error = _failure(network, channels, 2 * side + 1)
        if error is None:
            taken.add(side)
            continue
        refused.setdefault(side, (arch, error))
        alone = alone or _failure(network, channels, side) is None
    possible = sorted(taken - set(refused))
    if refused and possible and not alone:
        side = min(refused)
        arch, error = refused[side]
        raise UserError(
            f"Resize({inputs.pixels!r}): the layers after it cannot take images of {side} pixels "
            f"({first_line(error)}), as in the network {short(dict(arch))}; sides that every "
            f"network tried can take: {', '.join(map(str, possible))}"
        ) from error
    if alone or (possible and not _smallest_resizes_first(reading, inputs, make)):
        raise UserError(
            f"Resize({inputs.pixels!r}) must be the first that a network does with its images, and "
            "nothing else may see them: begin forward with x = self.resize(x)"
        )
    return bool(possible)


def _failure(network: nn.Module, channels: int, side: int) -> Exception | None:
    """What a network on `meta` raises for images of a side."""
    try:
        with torch.no_grad():
            network(torch.empty(2, channels, side, side, device="meta"))
    except Exception as error:
        return error
    return None


def _smallest_resizes_first(
    reading: Structure, inputs: Inputs, make: Callable[[Architecture, str], nn.Module]
) -> bool:
    """Of the smallest network; true where it does not run here, which is told elsewhere."""
    arch = reading.space.extreme(0)
    channels, side, _ = inputs(arch)
    try:
        return resizes_first(make(arch, "cpu"), (channels, 2 * side + 1, 2 * side + 1))
    except Exception:
        return True


def _at_each_side(space: SearchSpace, names: tuple[str, ...]) -> Iterator[Architecture]:
    """The largest and the smallest network at each option of the decisions of these names."""
    for options in itertools.product(*(space[name] for name in names)):
        for end in (-1, 0):
            decided = {name: values[end] for name, values in space.items()}
            yield space.complete({**decided, **dict(zip(names, options, strict=True))}, Random(0))
