"""An architecture that a user gives, as a file or as text: decisions in JSON, or in a form that its
publishers write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from archsmith.errors import UserError, shown
from archsmith.space import Architecture
from archsmith.spaces import SPACES, described, meant
from archsmith.spaces.catalog.entry import Published

JSON = "decisions in JSON"
_WHOLE = "options"  # where the file that a run ships has the decisions


def read_given(given: str | Path, space: str) -> Published:
    """The architecture of a file or text, and in which form it was; whether the space holds it, its
    `check` tells.

    Read are the publishers' forms of the space, an architecture.json, and decisions with their
    options as JSON. UserError for anything else, naming the place, or the space whose networks are
    written so.
    """
    source, file = f"--architecture {shown(given)}", _file(given)
    try:
        text = str(given) if file is None else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{source} cannot be read as text: {shown(error, 200)}; give an architecture.json"
        ) from error
    entry = described(space)
    if any(form.fits(text) for form in entry.formats):
        try:
            return entry.read(text)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
    written = text.lstrip().startswith("{")
    others = [
        other.name for other in SPACES.values() if any(form.fits(text) for form in other.formats)
    ]
    if others and (not written or meant(space) in SPACES):
        raise UserError(
            f"{source} is written as networks of other spaces are; give --space with one "
            f"of {', '.join(others)}"
        )
    if file is None and not written:
        forms = "; ".join(form.name for form in entry.formats)
        raise UserError(
            f"{source}: no such file{f', and not the text of {forms}' if forms else ''}; "
            f"give an architecture.json"
        )
    try:
        decoded: Any = json.loads(text)
        # the file that a run ships says more
        if isinstance(decoded, dict) and isinstance(decoded.get(_WHOLE), dict):
            decoded = decoded[_WHOLE]
        if not isinstance(decoded, dict):
            raise UserError("it holds no object")
        return Published(Architecture.from_json(decoded), JSON)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else shown(error, 200)
        raise UserError(f"{source} is no architecture: {why}; give an architecture.json") from error


def _file(given: str | Path) -> Path | None:
    """The file of that name, where there is one."""
    try:
        return Path(given) if Path(given).is_file() else None
    except (OSError, ValueError):  # a text may be too long for a name, or hold what no name does
        return None
