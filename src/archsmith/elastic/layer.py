"""The contract of elastic layers, and the slicing they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ParamSpec, Protocol, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from archsmith.space import Choice, Derived, Segments, Size, largest, resolve

P = ParamSpec("P")
Layer = TypeVar("Layer", bound=nn.Module)
# tensor name -> the size along each axis, None where the whole axis is always used
Axes = dict[str, tuple[Size | None, ...]]
Index = slice | Tensor


class ElasticLayer(Protocol):
    """A layer with tensors allocated at their largest; its sizes are plain attributes that `active`
    resolves to numbers.

    docs/guides/elastic-layers.md has one of one's own; `archsmith.testing.check_layer` tells
    whether it keeps the contract.
    """

    def axes(self) -> Axes:
        """The size along each axis of each parameter and buffer."""

    def weights(self) -> dict[str, Tensor]:
        """The differentiable tensors that the plain twin of the current sizes would hold."""

    def plain(self) -> nn.Module:
        """That twin, on `meta`, without its tensors: the caller fills or initialises them."""


def is_elastic(module: object) -> TypeGuard[ElasticLayer]:
    """Whether a module is an elastic layer; by its class, which is faster than asking a runtime
    protocol."""
    return hasattr(type(module), "axes") and hasattr(type(module), "weights")


def stock(kind: Callable[P, Layer], *sizes: P.args, **options: P.kwargs) -> Layer:
    """`kind(*sizes, **options, device="meta")`: a layer of torch's own, of arguments to be hashed.

    Made once for each set of arguments and copied after that: torch takes a tenth of a millisecond
    to set one up and to draw initial values that are not kept, and an extracted network has
    hundreds.
    """
    made = _made(kind, sizes, tuple(options.items()))
    twin: Layer = object.__new__(type(made))
    vars(twin).update(
        (name, value.copy() if isinstance(value, dict | list | set) else value)
        for name, value in vars(made).items()
    )
    twin._parameters.update(
        (name, None if one is None else nn.Parameter(one.detach(), one.requires_grad))
        for name, one in made._parameters.items()
    )
    twin._buffers.update(
        (name, None if one is None else one.detach()) for name, one in made._buffers.items()
    )
    return twin


@lru_cache(maxsize=4096)
def _made(kind: Callable[..., Layer], sizes: Any, options: Any) -> Layer:
    return kind(*sizes, **dict(options), device="meta")


def width(size: Size) -> int:
    """A resolved size as it is; an unresolved one at its largest, so that a layer outside `active`
    is the torch layer."""
    return size if isinstance(size, int) else int(largest(size))


def taps(kernel: int | tuple[int, int] | Choice | Derived) -> tuple[int, int]:
    """(height, width) of a kernel or dilation: of a pair, or square; an unresolved one at its
    largest."""
    return kernel if isinstance(kernel, tuple) else (width(kernel), width(kernel))


def index(size: Size | None, capacity: int) -> Index:
    """Where along an axis of length `capacity` the size lies: a prefix, or a prefix of each part of
    a concatenation."""
    if size is None or width(size) == capacity:
        return slice(0, capacity)
    if isinstance(size, Segments):
        starts = [sum(size.capacities[:i]) for i in range(len(size.capacities))]
        return torch.cat([torch.arange(a, a + n) for a, n in zip(starts, size.widths, strict=True)])
    return slice(0, width(size))


def take(tensor: Tensor, sizes: tuple[Size | None, ...]) -> Tensor:
    """The part of a tensor at the given size along each axis; a view unless a concatenation makes
    that impossible."""
    for axis, size in enumerate(sizes):
        where = index(size, tensor.shape[axis])
        if isinstance(where, Tensor):
            tensor = tensor.index_select(axis, where.to(tensor.device))
        elif where.stop < tensor.shape[axis]:
            tensor = tensor.narrow(axis, 0, where.stop)
    return tensor


def sliced(layer: Any) -> dict[str, Tensor]:
    """`weights()` of a layer whose tensors are plain slices."""
    tensors = {**layer._parameters, **layer._buffers}
    return {
        name: take(tensors[name], sizes)
        for name, sizes in layer.axes().items()
        if tensors.get(name) is not None
    }


def shapes(layer: Any, values: Mapping[Choice, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of the plain twin under the given option of each Choice; no
    tensor is touched."""
    forms: dict[str, tuple[int, ...]] = {}
    for name, sizes in layer.axes().items():
        tensor = layer._parameters.get(name)
        # kernel matrices are the supernet's only
        if tensor is None or (name.startswith("to") and name[2:].isdigit()):
            continue
        shape = [
            whole if size is None else int(resolve(size, values))
            for size, whole in zip(sizes, tensor.shape, strict=True)
        ]
        # convolutions, whose kernel is cropped apart
        if name == "weight" and hasattr(layer, "region"):
            shape[2:] = taps(resolve(layer.kernel, values))
        forms[name] = tuple(shape)
    return forms
