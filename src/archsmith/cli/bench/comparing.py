"""A comparison as the command line reads its names, watches it and tells what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import typer

from archsmith.cli.arguments import answer
from archsmith.errors import UserError

Tell = Callable[[str, float], None]


def names_in(text: str, what: str) -> list[str]:
    """Of "a, b"; UserError that names the option `what` where there is none."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError(f"{what} is empty; give names separated by commas")
    return names


def watched(
    stage: str, work: Callable[[Tell], dict[str, Any]], line: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    """The result of `work(tell)`, its progress shown as that of a stage; `line`: the line at its
    end."""
    from archsmith._internal.progress import watch

    began = time.monotonic()
    with watch([stage]) as shown:
        shown.begin(stage, None)
        comparison = work(shown.tick)
        shown.end(stage, line(comparison), time.monotonic() - began)
    return comparison


def show(comparison: dict[str, Any], json: bool, text: str, files: str = "") -> None:
    """What was found: as one JSON object, or the text and which files lie where."""
    if json:
        answer(comparison)
    else:
        typer.echo(text + files)
