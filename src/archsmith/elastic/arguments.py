"""What the constructors of elastic layers accept: sizes, whole numbers, pairs, flags; all else is
refused there, by name."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

from archsmith.errors import UserError, did_you_mean, first_line
from archsmith.space import Choice, Concat, Derived, Size

_SIZES = "a whole number of 1 or more, or a Choice, Derived or Concat of such"


@contextmanager
def building(layer: str) -> Iterator[None]:
    """What torch's own constructor refuses is told as a UserError that names the layer."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{layer}: {first_line(error)}") from error


def whole(layer: str, what: str, value: Any, least: int = 1) -> int:
    """A plain whole number, numpy's too; UserError for anything else, a Choice among it."""
    number = _index(value)
    if number is None or number < least:
        raise UserError(
            f"{layer}({what}={value!r}): {_fixed(value, f'give a whole number of {least} or more')}"
        )
    return number


def size(layer: str, what: str, value: Any) -> Size:
    """A width: a plain number as an int, or what decides it, all of whose values are whole and at
    least 1."""
    if not isinstance(value, Choice | Derived | Concat):
        number = _index(value)
        if number is None or number < 1:
            raise UserError(
                f"{layer}({what}={value!r}): neither a number nor a size; give {_SIZES}"
            )
        return number
    for option in _values(value):
        if _index(option) is None and not (
            isinstance(value, Derived) and isinstance(option, float) and option.is_integer()
        ):
            rounding = (
                ("; round it, e.g. Derived(lambda w: make_divisible(w / 2), width)")
                if isinstance(value, Derived)
                else ""
            )
            raise UserError(
                f"{layer}({what}={value!r}): {option!r} is no whole number{rounding}; give {_SIZES}"
            )
        if option < 1:
            raise UserError(f"{layer}({what}={value!r}): it may become {option!r}; give {_SIZES}")
    return value


def pair(layer: str, what: str, value: Any, least: int = 1) -> tuple[int, int]:
    """(along the height, along the width), of a whole number for both or of two."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        numbers = [_index(item) for item in value]
        first, *rest = numbers or (None,)
        if (
            first is not None
            and len(rest) == 1
            and rest[0] is not None
            and min(first, rest[0]) >= least
        ):
            return first, rest[0]
        allowed = f"give a whole number of {least} or more, or two: (height, width)"
        raise UserError(f"{layer}({what}={value!r}): {_fixed(value, allowed)}")
    number = _index(value)
    if number is None or number < least:
        allowed = f"give a whole number of {least} or more, or two: (height, width)"
        raise UserError(f"{layer}({what}={value!r}): {_fixed(value, allowed)}")
    return number, number


def flag(layer: str, what: str, value: Any) -> bool:
    """True or False, numpy's and 0 and 1 too: anything else would count as true, a Choice among
    it."""
    number = int(value) if isinstance(value, bool) else _index(value)
    if number is None and type(value).__name__ in ("bool", "bool_"):
        number = int(value)
    if number not in (0, 1):
        raise UserError(f"{layer}({what}={value!r}): {_fixed(value, 'give True or False')}")
    return bool(number)


def truth(layer: str, what: str, value: Any) -> bool:
    """True or False and nothing that counts as one of them: where torch hands it on to a function
    that takes no number."""
    if not isinstance(value, bool):
        raise UserError(f"{layer}({what}={value!r}): {_fixed(value, 'give True or False')}")
    return value


def number(layer: str, what: str, value: Any) -> float:
    """A plain finite number of 0 or more."""
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not 0 <= float(value) < float("inf")
    ):
        raise UserError(f"{layer}({what}={value!r}): {_fixed(value, 'give a number of 0 or more')}")
    return float(value)


def word(layer: str, what: str, value: Any, known: Sequence[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in known:
        near = did_you_mean(value, known) if isinstance(value, str) else ""
        raise UserError(
            f"{layer}({what}={value!r}): "
            f"{_fixed(value, 'give one of ' + ', '.join(map(repr, known)))}{near}"
        )
    return value


def _index(value: Any) -> int | None:
    """A whole number as an int; None for anything that is none, truth values among it."""
    if isinstance(value, bool | Choice | Derived | Concat) or not hasattr(type(value), "__index__"):
        return None
    if type(value).__module__ == "numpy" and type(value).__name__.startswith("bool"):
        return None
    try:
        return operator.index(value)
    except TypeError:  # arrays and tensors have it too, for one element
        return None


def _values(value: Choice | Derived | Concat) -> tuple[Any, ...]:
    if isinstance(value, Concat):
        return tuple(
            option
            for part in value.parts
            for option in (_values(part) if not isinstance(part, int) else (part,))
        )
    return value.options


def _fixed(value: Any, allowed: str) -> str:
    """What to do: where a decision stands in a place that takes none, how to decide it all the
    same."""
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(part, Choice | Derived | Concat) for part in parts):
        place = "a pair" if isinstance(value, list | tuple) else "this argument"
        return (
            f"{place} takes no Choice, only widths, groups, kernel sizes and dilations do; "
            f"{allowed}, or decide between whole "
            "layers with OneOf"
        )
    return allowed
