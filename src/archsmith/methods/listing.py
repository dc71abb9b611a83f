"""The short-list that a search leaves, without scores or with them."""

from __future__ import annotations

from collections.abc import Iterable

from archsmith.run.records import Searched
from archsmith.run.records.search import Listed
from archsmith.space import Architecture


def entry(arch: Architecture, origin: str, **scores: float) -> Listed:
    """A network of the short-list. `origin`: where it comes from, in a word or two, for the
    report."""
    return Listed(key=arch.key, options=dict(arch), origin=origin, scores=scores)


def shortlist(searcher: str, entries: Iterable[Listed]) -> Searched:
    """What a search that scores nothing leaves: these networks, the first ones first. `searcher`:
    how they were found."""
    return Searched(searcher=searcher, trials=0, best=None, random=None, shortlist=tuple(entries))
