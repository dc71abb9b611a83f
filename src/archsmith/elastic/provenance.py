"""Whole numbers that say which module holds them, while a network is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from archsmith.elastic.structure import TORCH_INTERNAL

Source = tuple[str, str, int | None]  # path of a module, its attribute, position in a tuple
_WIDTHS = frozenset(
    "in_channels out_channels in_features out_features num_features num_channels".split()
)


class Read(int):
    """A number that a module holds as an attribute, or what was computed of such."""

    sources: frozenset[Source]
    direct: bool  # the attribute itself

    def __new__(cls, value: int, sources: frozenset[Source], direct: bool) -> Read:
        self = super().__new__(cls, value)
        self.sources, self.direct = sources, direct
        return self

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)


def _computed(name: str) -> Callable[[Read, Any], Any]:
    plain = getattr(int, f"__{name}__")

    def compute(self: Read, other: Any) -> Any:
        number = plain(self, other)
        if type(number) is not int:
            return number
        return Read(number, self.sources | getattr(other, "sources", frozenset()), False)

    return compute


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv"):
    setattr(Read, f"__{_name}__", _computed(_name))


@contextmanager
def marked(model: nn.Module) -> Iterator[None]:
    """Within it whole numbers that the user's modules hold, and widths that layers of torch do, say
    where they are from."""
    held: list[tuple[dict[str, Any], dict[str, Any]]] = []
    try:
        for path, module in model.named_modules():
            own, marks = vars(module), dict[str, Any]()
            stock = type(module).__module__.startswith("torch.nn")
            for name, value in own.items():
                if name in _WIDTHS if stock else name not in TORCH_INTERNAL:
                    mark = _mark(path, name, value)
                    marks |= {} if mark is None else {name: mark}
            held.append((own, {name: own[name] for name in marks}))
            own.update(marks)
        yield
    finally:
        for own, before in held:
            own.update(before)


def _mark(path: str, name: str, value: Any) -> Any:
    """The same number, or tuple of some, that says where it is from; None for what is none."""
    if type(value) is int:
        return Read(value, frozenset({(path, name, None)}), True)
    if type(value) is tuple and value and all(type(item) is int for item in value):
        return tuple(Read(item, frozenset({(path, name, i)}), True) for i, item in enumerate(value))
    return None
