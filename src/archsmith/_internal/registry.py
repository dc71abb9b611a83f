"""From a name to what it stands for: of a table, of an installed plug-in, or of the user's own file
as "my.py:Name".

Nothing is imported before it is asked for. Plug-ins are entry points of the groups
`archsmith.methods`, `archsmith.spaces`, `archsmith.proxies`, `archsmith.searchers` and
`archsmith.benchmarks`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

from archsmith._internal.user_code import attribute_of, is_file
from archsmith.errors import UserError, did_you_mean, shown

Table = Mapping[str, tuple[str, ...]]  # name -> (module:attribute, what it is, ...)


@functools.cache
def plugins(kind: str) -> Mapping[str, metadata.EntryPoint]:
    """What is installed beside archsmith, by name; `kind`: method, space, proxy, searcher or
    benchmark."""
    return {point.name: point for point in metadata.entry_points(group=f"archsmith.{plural(kind)}")}


def plural(kind: str) -> str:
    """The group of a kind."""
    return kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


def require_known(kind: str, name: str, table: Collection[str]) -> None:
    """UserError, with what was perhaps meant, for a name that is neither of the table nor a plug-in
    nor "FILE.py:NAME"."""
    if name in table or is_file(name) or name in plugins(kind):
        return
    known = [*table, *plugins(kind)]
    raise UserError(
        f"no {kind} '{shown(name)}'{did_you_mean(name, known)}; there are {', '.join(known)}, or "
        f"your own as my.py:NAME"
    )


def load_named(kind: str, name: str, table: Table) -> Any:
    """What the name stands for; UserError as `require_known`, or for a file or plug-in that cannot
    be loaded."""
    require_known(kind, name, table)
    if name in table:
        module, _, attribute = table[name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)
    if is_file(name):
        return attribute_of(name, kind)
    try:
        return plugins(kind)[name].load()
    except Exception as error:
        point = plugins(kind)[name]
        raise UserError(
            f"the {kind} '{name}' of the installed {point.value} cannot be loaded: "
            f"{type(error).__name__}: "
            f"{shown(error, 200)}; repair or remove that package"
        ) from error


def listed(kind: str, table: Table) -> dict[str, str]:
    """Name -> what it is: the table, then the plug-ins, then how to give one's own."""
    rows = {name: entry[1] for name, entry in table.items()}
    rows |= {
        name: f"installed: {point.value}"
        for name, point in plugins(kind).items()
        if name not in rows
    }
    return rows
