"""What the command line takes and gives: paths, bounds of numbers, one JSON object on standard
output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from archsmith.errors import UserError, shown

LONGEST = 10_000  # characters of an argument: no path is longer, no budget has to be
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object to standard output, progress to standard error."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, help="Threads to compute with. [default: physical cores]"
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Same seed, same run.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Processes. [default: physical cores]")
]


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
    found = (
        cause.errors()[0].get("input") if cause is not None and hasattr(cause, "errors") else None
    )
    if found is None:
        found = str(error).split(" is ")[0].strip("' ")
    what = "a whole number" if isinstance(low, int) else "a number"
    return f"{max(names, key=len)} {shown(found)}: allowed is {what} from {low} to {high}"


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
