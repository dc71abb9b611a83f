"""What an option of a decision may be: what is compared, hashed and kept as JSON; what looks like a
range is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archsmith.errors import UserError


def frozen(option: Any) -> Any:
    """Lists become tuples, numpy's numbers plain ones."""
    if isinstance(option, list | tuple):
        return tuple(frozen(o) for o in option)
    return (
        option.item()
        if type(option).__module__ == "numpy" and getattr(option, "shape", None) == ()
        else option
    )


# What other libraries write behind the two ends of a range.
_RANGES = (
    *(
        "log",
        "log10",
        "log2",
        "ln",
        "loguniform",
        "log_uniform",
        "log-uniform",
        "logspace",
        "uniform",
        "quniform",
        "linear",
    ),
    *(
        "lin",
        "linspace",
        "float",
        "real",
        "continuous",
        "int",
        "integer",
        "randint",
        "discrete",
        "range",
        "normal",
        "step",
    ),
)


def short(value: Any, limit: int = 100) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def checked(subject: str, options: Sequence[Any]) -> tuple[Any, ...]:
    """The options of one decision, each of a kind that is compared, hashed and kept as JSON;
    UserError for others."""
    held = tuple(frozen(option) for option in options)
    for option in held:
        _check_kind(subject, option)
    numbers = [o for o in held if isinstance(o, int | float) and not isinstance(o, bool)]
    words = [o for o in held if isinstance(o, str) and o.lower() in _RANGES]
    if len(words) == 1 and len(numbers) >= 2 and len(numbers) + 1 == len(held):
        raise UserError(
            f"{subject} looks like a range, {words[0]!r}, from {numbers[0]!r} to {numbers[1]!r}; a "
            f"decision is among options that "
            f"it lists, one by one: list the values to try, e.g. "
            f"{_listed(numbers[0], numbers[1], words[0])}"
        )
    if len(set(held)) != len(held):
        raise UserError(
            f"{subject} names an option twice (1, 1.0 and True are equal); list each once"
        )
    return held


def _check_kind(subject: str, option: Any) -> None:
    if isinstance(option, tuple):
        for part in option:
            _check_kind(subject, part)
    elif isinstance(option, range):
        raise UserError(f"{subject} has an option {option!r}; list its numbers: *{option!r}")
    elif option is not None and not isinstance(option, int | float | str):
        raise UserError(
            f"{subject} has an option {short(option)} of type {type(option).__name__}; options are "
            f"numbers, texts, True, False, "
            "None and tuples of such: give it a name, e.g. OneOf({'relu': nn.ReLU(), 'gelu': "
            "nn.GELU()})"
        )
    elif option != option:
        raise UserError(
            f"{subject} has an option that is not a number (nan), which equals nothing; "
            "leave it out"
        )


def _listed(low: float, high: float, word: str) -> tuple[Any, ...]:
    """A few values from one end of what looks like a range to the other."""
    if ("log" in word.lower() or word.lower() == "ln") and low > 0 and high > 0:
        return tuple(float(f"{low * (high / low) ** (i / 3):.3g}") for i in range(4))
    steps = [low + (high - low) * i / 3 for i in range(4)]
    return (
        tuple(dict.fromkeys(map(round, steps)))
        if "int" in word.lower()
        else tuple(float(f"{v:.3g}") for v in steps)
    )


def options_of(name: Any, given: Any) -> tuple[Any, ...]:
    """The options given for one decision of a space, in their order."""
    if not isinstance(name, str):
        raise UserError(f"a decision is called {name!r}; names are texts")
    given = getattr(given, "options", given)  # of a Choice
    ordered = hasattr(type(given), "__iter__") and not isinstance(
        given, str | bytes | Mapping | set | frozenset
    )
    if not ordered:
        raise UserError(
            f"decision '{name}': {short(given)} is no list of options; list the values to try in "
            f"their order, e.g. "
            f"{{'{name}': (16, 24, 32)}}"
        )
    given = tuple(given)
    return checked(f"decision '{name}': {short(given)}", given)
