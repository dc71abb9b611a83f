"""The short-list that a search leaves, without scores or with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from archsmith.space import Architecture


def entry(arch: Architecture, origin: str, **scores: float) -> dict[str, Any]:
    """A network of the short-list. `origin`: where it comes from, in a word or two, for the
    report."""
    return {"key": arch.key, "options": dict(arch), "origin": origin, **scores}


def shortlist(searcher: str, entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a search that scores nothing leaves: these networks, the first ones first. `searcher`:
    how they were found."""
    return {
        "searcher": searcher,
        "trials": 0,
        "best": None,
        "random": None,
        "shortlist": [dict(one) for one in entries],
    }
