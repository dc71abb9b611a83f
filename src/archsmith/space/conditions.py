"""When a decision exists: gates over other decisions, all of one clause, any of the clauses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gate:
    """True where the options of `names`, taken together, are among `accepted`."""

    names: tuple[str, ...]
    accepted: frozenset[tuple]

    def open(self, known: Mapping[str, Any]) -> bool:
        """Whether the decisions in `known` pass; a decision that is not there does not."""
        return tuple(known.get(n, INACTIVE_OPTION) for n in self.names) in self.accepted


class _Inactive:
    def __repr__(self) -> str:
        return "inactive"

    # compared by identity, so a copy or a pickle must come back as the one there is
    def __reduce__(self) -> str:
        return "INACTIVE_OPTION"


INACTIVE_OPTION = _Inactive()
Clause = tuple[Gate, ...]  # all of them
Condition = tuple[Clause, ...]  # any of them; an unconditional decision has no entry


def simplify(clauses: Sequence[Clause]) -> Condition | None:
    """Any-of-all-of with implied clauses dropped; None where one clause always holds."""
    sets = list(dict.fromkeys(frozenset(clause) for clause in clauses))
    if frozenset() in sets:
        return None
    kept = [s for s in sets if not any(other < s for other in sets)]
    first: dict[frozenset[Gate], Clause] = {}
    for clause in clauses:
        first.setdefault(frozenset(clause), tuple(dict.fromkeys(clause)))
    return tuple(first[s] for s in kept)
