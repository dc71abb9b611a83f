"""Modules of one's own made elastic where they stand: their tensors and whole numbers follow sizes,
their class's forward stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from archsmith.elastic.layer import Axes, sliced, take, width
from archsmith.space import Size


class Owning:
    """What a module's class gets beside its own: `self.scale` is the part of the parameter that the
    current sizes use, `self.heads` the current number."""

    plain_class: type[nn.Module]
    own_axes: dict[str, tuple[Size | None, ...]]  # name of a tensor -> the size along each axis

    def axes(self) -> Axes:
        """The size along each axis of each of its tensors; None where it is whole."""
        held: Any = self
        tensors = {**held._parameters, **held._buffers}
        return {
            name: self.own_axes.get(name, (None,) * tensor.dim())
            for name, tensor in tensors.items()
            if tensor is not None
        }

    def weights(self) -> dict[str, Tensor]:
        """Its tensors at the current sizes."""
        return sliced(self)

    def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:
        names = [name for name in vars(type(self)) if isinstance(vars(type(self))[name], property)]
        return _made, (self.plain_class, names), dict(vars(self))


def owning(
    module: nn.Module,
    tensors: Mapping[str, tuple[Size | None, ...]],
    numbers: Mapping[str, Any],
) -> None:
    """Makes a module elastic in place. `tensors`: name of a parameter or buffer of its own -> the
    size along each axis; `numbers`: an attribute -> the size, or the tuple with sizes, that it is
    from now on."""
    names = [*tensors, *numbers]
    made: Any = module
    made.__class__ = _class(type(module), names)
    vars(module)["own_axes"] = dict(tensors)
    vars(module).update(numbers)


def _class(kind: type[nn.Module], names: Iterable[str]) -> type:
    """A class as `kind`, that reads these names at their current sizes."""
    body: dict[str, Any] = {name: _current(name) for name in names}
    body |= {"plain_class": kind, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (Owning, kind), body)


def _made(kind: type[nn.Module], names: Iterable[str]) -> Any:
    """An empty module of such a class, for copies and pickles."""
    made: Any = _class(kind, names)
    return made.__new__(made)


def _current(name: str) -> property:
    def read(self: Any) -> Any:
        held = vars(self)
        for kind in ("_parameters", "_buffers"):
            if (tensor := held[kind].get(name)) is not None:
                return take(tensor, held["own_axes"][name]) if name in held["own_axes"] else tensor
        value = held.get(name)
        return tuple(map(width, value)) if isinstance(value, tuple) else width(value)

    def write(self: Any, value: Any) -> None:
        vars(self)[name] = value

    return property(read, write)
