"""What a size can be: a number, a Choice, what is derived from Choices, and a concatenation of
such."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archsmith.errors import UserError
from archsmith.space.options import checked, short

# anything hashable that JSON can hold; a list becomes a tuple
Option = int | float | str | bool | tuple | None
# a Derived over at most so many combinations is kept as a table and pickles without its function
_TABULATED = 1 << 16


class Choice:
    """One decision: stands in a module where torch takes a number. The same object in two places is
    one decision.

    `options`: what can be decided, at least one: numbers, texts, True, False, None or tuples of
    such, ascending where they are sizes. `name`: what the decision is called, default: the path of
    the first module that holds it. Immutable, compared by identity. Raises UserError for options
    that are no such values, are named twice, or look like a range.

    >>> width = archsmith.Choice(16, 24, 32, name="width")
    >>> width.options
    (16, 24, 32)
    """

    __slots__ = ("name", "options")

    def __init__(self, *options: Option, name: str | None = None) -> None:
        if not options:
            raise UserError(
                f"Choice {name or ''} has no options; give at least one: Choice(16, 24, 32)"
            )
        if name is not None and not isinstance(name, str):
            raise UserError(f"Choice{options!r}: its name is {name!r}; give a text")
        self.options: tuple[Any, ...] = checked(f"Choice {name or ''}{short(options)}", options)
        self.name = name

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        return f"Choice({', '.join(map(repr, self.options))}{name})"


class Derived:
    """A size that follows from decisions: `fn` of the values of `arguments`, which are Choices,
    other Derived and constants.

    It is no decision of its own. `choices` are the Choices it rests on, `options` the values it can
    take. Small ones are tabulated, so that any function, a lambda too, survives pickling.

    >>> width, ratio = archsmith.Choice(16, 24, name="width"), archsmith.Choice(2, 4, name="ratio")
    >>> archsmith.Derived(lambda w, r: w * r, width, ratio).options
    (32, 64, 48, 96)
    """

    __slots__ = ("_arguments", "_fn", "_options", "_table", "choices")

    def __init__(self, fn: Callable[..., Any], *arguments: Any) -> None:
        self._fn: Callable[..., Any] | None = fn
        self._arguments = arguments
        self.choices: tuple[Choice, ...] = tuple(
            dict.fromkeys(c for a in arguments for c in choices_of(a))
        )
        self._table: dict[tuple, Any] | None = None
        self._options: tuple[Any, ...] | None = None  # found when asked for
        if math.prod(len(c.options) for c in self.choices) <= _TABULATED:
            combinations = itertools.product(*(c.options for c in self.choices))
            self._table = {
                values: self._compute(dict(zip(self.choices, values, strict=True)))
                for values in combinations
            }

    def _compute(self, values: Mapping[Choice, Any]) -> Any:
        assert self._fn is not None
        return self._fn(*(resolve(a, values) for a in self._arguments))

    def value(self, values: Mapping[Choice, Any]) -> Any:
        """The value under the given option of each Choice."""
        if self._table is not None:
            return self._table[tuple(values[c] for c in self.choices)]
        return self._compute(values)

    @property
    def options(self) -> tuple[Any, ...]:
        """The distinct values it takes over all combinations of its choices."""
        if self._options is None:
            combinations = itertools.product(*(c.options for c in self.choices))
            values = (
                (self._compute(dict(zip(self.choices, v, strict=True))) for v in combinations)
                if self._table is None
                else self._table.values()
            )
            self._options = tuple(dict.fromkeys(values))
        return self._options

    def __getstate__(self) -> dict[str, Any]:
        tabulated = self._table is not None
        return {
            "choices": self.choices,
            "table": self._table,
            "fn": None if tabulated else self._fn,
            "arguments": () if tabulated else self._arguments,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.choices, self._table, self._options = state["choices"], state["table"], None
        self._fn, self._arguments = state["fn"], state["arguments"]

    def __repr__(self) -> str:
        more = ", ..." if len(self.options) > 6 else ""
        return f"Derived({', '.join(map(repr, self.options[:6]))}{more})"


class Tiled(Derived):
    """A size of which each channel is `times` numbers next to one another, as flattening maps makes
    them.

    >>> archsmith.space.Tiled(archsmith.Choice(16, 24), 4).options
    (64, 96)
    """

    __slots__ = ("size", "times")

    def __init__(self, size: Choice | Derived, times: int) -> None:
        super().__init__(lambda channels: channels * times, size)
        self.size, self.times = size, times

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "size": self.size, "times": self.times}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.size, self.times = state["size"], state["times"]


class Segments(int):
    """The width of a concatenation, remembering how wide each part is and how wide it may
    become."""

    widths: tuple[int, ...]
    capacities: tuple[int, ...]

    def __new__(cls, widths: tuple[int, ...], capacities: tuple[int, ...]) -> Segments:
        self = super().__new__(cls, sum(widths))
        self.widths, self.capacities = widths, capacities
        return self

    def __getnewargs__(self) -> tuple[tuple[int, ...], tuple[int, ...]]:  # type: ignore[override]
        return self.widths, self.capacities


class Concat:
    """The width of a concatenation of elastic parts: what reads it takes a prefix of each part, not
    of the whole."""

    __slots__ = ("capacities", "choices", "parts")

    def __init__(self, *parts: Size) -> None:
        self.parts = parts
        self.choices: tuple[Choice, ...] = tuple(
            dict.fromkeys(c for part in parts for c in choices_of(part))
        )
        self.capacities = tuple(int(largest(part)) for part in parts)

    def value(self, values: Mapping[Choice, Any]) -> Segments:
        """The parts' widths under the given option of each Choice."""
        return Segments(tuple(int(resolve(part, values)) for part in self.parts), self.capacities)

    def __repr__(self) -> str:
        return f"Concat({', '.join(map(repr, self.parts))})"


Size = int | Choice | Derived | Concat
Elastic = Choice | Derived | Concat


def choices_of(value: Any) -> tuple[Choice, ...]:
    """The Choices a size rests on: none for a plain value."""
    if isinstance(value, Choice):
        return (value,)
    return value.choices if isinstance(value, Derived | Concat) else ()


def largest(value: Any) -> Any:
    """The largest value a size can take."""
    if isinstance(value, Concat):
        return Segments(value.capacities, value.capacities)
    return max(value.options) if isinstance(value, Choice | Derived) else value


def resolve(value: Any, values: Mapping[Choice, Any]) -> Any:
    """A plain value from a value, Choice, Derived or Concat."""
    if isinstance(value, Choice):
        return values[value]
    return value.value(values) if isinstance(value, Derived | Concat) else value


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, at least one, and never below 0.9 times it (the
    MobileNet rounding)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _no_number(size: Any, *_: Any, **__: Any) -> Any:
    """Told where a size that is still open is used as a number: to a layer of torch.nn, in
    arithmetic, as a shape."""
    raise UserError(
        f"{short(size)} is decided network by network, so it is no number yet: give it to the "
        f"layers of archsmith.elastic "
        "(elastic.Linear, elastic.Conv2d, ...; torch.nn's take none), write Derived(lambda w: 2 * "
        "w, width) for a size that "
        "follows from it, or OneOf for a decision between whole layers"
    )


def _no_tensor_size(
    kind: type, _: Any, __: Any, args: Sequence[Any] = (), kwargs: Any = None
) -> Any:
    """The same where it is an argument of a function of torch, which asks by
    `__torch_function__`."""
    held = [*args, *(kwargs or {}).values()]
    held += [item for value in held if isinstance(value, list | tuple) for item in value]
    return _no_number(next((value for value in held if isinstance(value, kind)), kind.__name__))


for _kind in (Choice, Derived, Concat):
    setattr(_kind, "__torch_function__", classmethod(_no_tensor_size))  # noqa: B010
    for _operation in (
        *("index", "int", "float", "iter", "neg", "abs", "round", "lt", "le", "gt", "ge"),
        *(
            f"{side}{name}"
            for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
            for side in ("", "r")
        ),
    ):
        setattr(_kind, f"__{_operation}__", _no_number)
