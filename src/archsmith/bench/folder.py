"""A folder that holds one comparison: what it compares, and results as JSON lines, so that it can
be stopped and go on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from archsmith._internal.files import write_text
from archsmith.errors import UserError


def claim(out: Path, fixed: Mapping[str, Any]) -> None:
    """Makes the folder for the comparison `fixed`; one that holds another is a UserError."""
    out.mkdir(parents=True, exist_ok=True)
    path, text = out / "setting.json", json.dumps(dict(fixed))
    if path.exists() and json.loads(held := path.read_text(encoding="utf-8")) != json.loads(text):
        raise UserError(f"{out} holds another comparison: {held}; give another --out")
    write_text(path, text)


def kept(path: Path) -> Iterator[dict[str, Any]]:
    """The results so far; a line that was cut off by a crash is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


@contextlib.contextmanager
def appending(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds one result, on the disk when it returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")  # the last line may have been cut off

        def add(row: Mapping[str, Any]) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        yield add
