"""From a name in a table of names to what it stands for; nothing of it is imported before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from archsmith.errors import UserError, did_you_mean

Table = Mapping[str, tuple[str, str]]  # name -> (module:attribute, what it is)


def require_known(kind: str, name: str, table: Table) -> None:
    """UserError, with what was perhaps meant, for a name that the table does not have; `kind`: what its entries are."""
    if name not in table:
        raise UserError(f"no {kind} '{name}' among {', '.join(table)}{did_you_mean(name, table)}")


def load_named(kind: str, name: str, table: Table) -> Any:
    """The attribute that the table names; UserError as `require_known`."""
    require_known(kind, name, table)
    module, _, attribute = table[name][0].partition(":")
    return getattr(importlib.import_module(module), attribute)
