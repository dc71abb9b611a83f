"""How a publisher names and shapes the tensors of a network that a space of ours holds: a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# of the tensor there, and of those `beside` it (None where the file lacks one)
Change = Callable[..., Tensor]


def as_it_is(tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


def transposed(matrix: Tensor) -> Tensor:
    """(n, m) -> (m, n)."""
    return matrix.t()


def flattened(weight: Tensor) -> Tensor:
    """A 1 x 1 convolution (out, in, 1, 1) as a linear layer (out, in)."""
    return weight.flatten(1)


@dataclass(frozen=True)
class Source:
    """What a tensor of ours is made of: `change` of the one called `name` there and of those
    `beside` it; `absent`: what it is where the file has no `name`."""

    name: str
    change: Change = as_it_is
    beside: tuple[str, ...] = ()
    absent: str = "made new"


class Width(NamedTuple):
    """A width that a network is published in: the space of ours that has it, and how many times
    the paper's it is."""

    space: str
    times: float


@dataclass(frozen=True)
class Layout:
    """A publisher's names and shapes.

    `name`: the publisher's, for messages, and `what` the network is; `sources`: our key -> what it
    is made of; `spellings`: parts of names that are written in two ways -> as `sources` has them;
    `mark`: the tensor there whose first size tells the width, `widths`: that size -> the width;
    `varying`: our key -> the axis whose size follows the classes (0) or the channels of the images
    (1); `done`: how names end -> what becomes of such tensors, for messages; `otherwise`: what to
    do about tensors of other names or shapes.
    """

    name: str
    what: str
    sources: Mapping[str, Source]
    mark: str
    widths: Mapping[int, Width]
    varying: Mapping[str, int]
    otherwise: str
    spellings: tuple[tuple[str, str], ...] = ()
    done: tuple[tuple[str, str], ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """All that such a file may hold."""
        return frozenset(
            name for source in self.sources.values() for name in (source.name, *source.beside)
        )

    def spelled(self, name: str) -> str:
        """A name as `sources` has it."""
        for there, here in self.spellings:
            name = name.replace(there, here)
        return name

    @cached_property
    def marked(self) -> str:
        """Our key of the tensor that tells the width."""
        return next(key for key, source in self.sources.items() if source.name == self.mark)

    def width(self, tensor: Tensor) -> Width | None:
        """Which of the published widths the tensor that tells it has; None: none of them."""
        return self.widths.get(tensor.shape[0]) if tensor.ndim else None


def convolved(ours: str, conv: str, norm: str) -> dict[str, Source]:
    """The sources of a convolution and the BatchNorm after it, by the publisher's names of both."""
    return {f"{ours}.conv.weight": Source(f"{conv}.weight")} | {
        f"{ours}.norm.{name}": Source(f"{norm}.{name}") for name in NORM
    }


def classified(ours: str, linear: str) -> dict[str, Source]:
    """The sources of a linear layer."""
    return {f"{ours}.{name}": Source(f"{linear}.{name}") for name in ("weight", "bias")}
