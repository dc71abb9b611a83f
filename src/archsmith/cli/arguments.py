"""What the command line takes and gives: paths, bounds of numbers, one JSON object on standard
output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import typer

from archsmith.errors import UserError, did_you_mean, shown

LONGEST = 10_000  # characters of an argument: no path is longer, no budget has to be


def check(words: Sequence[str]) -> None:
    """UserError for an argument that no option can do anything with: one that is no text, or
    endless."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"'{shown(word)}' is not in UTF-8; rename that file or folder, or link to it by a "
                f"name in UTF-8: ln -s"
            ) from None
        if len(word) > LONGEST:
            raise UserError(
                f"'{shown(word)}' is too long for an argument; give at most {LONGEST:,} characters"
            )


def place(text: str | Path) -> Path:
    """A path as given, ~ replaced by the home folder."""
    if not str(text).strip():
        raise typer.BadParameter("it is empty; give a path")
    return _expanded(text)


def given(text: str) -> str:
    """A file or a text; ~ at its beginning replaced by the home folder."""
    if not text.strip():
        raise typer.BadParameter("it is empty; give a file, or the text of a network")
    return str(_expanded(text)) if text.startswith("~") else text


def source(text: str) -> str:
    """The name of data: files may stand in a list with commas."""
    if not text.strip(" ,"):
        raise typer.BadParameter(
            "it is empty; give a folder of images, a CSV, parquet or npz file, or digits"
        )
    for piece in text.split(","):
        _expanded(piece.strip())
    return text


def _expanded(text: str | Path) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = str(text).partition("/")[0]
        raise typer.BadParameter(
            f"there is no user '{shown(user[1:])}' whose home '{shown(user)}' could be; give the "
            f"whole path"
        ) from None


def finite(value: float | None) -> float | None:
    """A number that is one."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def out_of_bounds(error: BaseException) -> str:
    """What the parser's error about a numeric option means: the option, the value, what is allowed;
    "" for any other error."""
    option = getattr(error, "param", None)
    kind = getattr(option, "type", option)  # older versions of typer keep bounds in the type
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    names = getattr(option, "opts", None)
    if low is None or high is None or not names:
        return ""
    cause = error.__cause__
    number = (
        cause.errors()[0].get("input") if cause is not None and hasattr(cause, "errors") else None
    )
    if number is None:
        number = str(error).split(" is ")[0].strip("' ")
    what = "a whole number" if isinstance(low, int) else "a number"
    return f"{max(names, key=len)} {shown(number)}: allowed is {what} from {low} to {high}"


class _Aside:
    """Standard output while a command works that promised one JSON object: what others print goes
    to standard error."""

    def __init__(self, answers: TextIO, rest: TextIO) -> None:
        self.answers, self._rest = answers, rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)


@contextmanager
def only_answers(asked: bool) -> Iterator[None]:
    """Within it, where `asked`, nothing but `answer` writes to standard output."""
    if not asked or sys.stdout is None or sys.stderr is None:
        yield
        return
    with redirect_stdout(_Aside(sys.stdout, sys.stderr)):
        yield


def answer(value: Any) -> None:
    """Prints the one JSON object, or list."""
    out = getattr(sys.stdout, "answers", sys.stdout)
    if out is not None:
        out.write(json.dumps(value, indent=1, default=str) + "\n")


def settings(text: str) -> dict[str, Any]:
    """Of "a=1, b=half": numbers and true or false are those."""
    values: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = (word.strip() for word in part.partition("="))
        if not sign or not value:
            raise UserError(
                f"--set '{shown(part)}': write name=value, e.g. --set \"rounds=4, rule=half\""
            )
        try:
            values[name] = json.loads(value.lower())
        except (ValueError, RecursionError):
            values[name] = value
        if isinstance(values[name], float) and not math.isfinite(values[name]):
            raise UserError(f"--set {shown(name)}={shown(value)}: that is no finite number")
        if not isinstance(values[name], int | float | bool | str):
            values[name] = value
    return values


def one_of(**lengths: object) -> str | None:
    """Which of the options that say how long to train is given; UserError where several are."""
    given = [f"--{name}" for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} each say how long to train; give one of them")
    return given[0] if given else None


def training(
    lr: float | None, batch: int | None, augment: str | None, precision: str | None
) -> dict[str, Any]:
    """What of the recipe was given."""
    if augment is not None:
        from archsmith.data.augment import LEVELS

        _allowed("--augment", augment, LEVELS)
    if precision is not None:
        from archsmith.training.recipe import PRECISIONS

        _allowed("--precision", precision, PRECISIONS)
    given = {"lr": lr, "batch": batch, "augment": augment, "precision": precision}
    return {name: value for name, value in given.items() if value is not None}


def _allowed(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(
            f"{option} '{shown(value)}': it is one of "
            f"{', '.join(allowed)}{did_you_mean(value, allowed)}"
        )


def known_space(space: str) -> None:
    """UserError where there is no such space."""
    from archsmith._internal.registry import require_known
    from archsmith.spaces import SPACES

    require_known("space", space, ["auto", *SPACES])
