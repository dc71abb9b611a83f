"""The shape of a space's cells, as a metric whose parts can be bounded: height, operations without
parameters, the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from archsmith.errors import UserError
from archsmith.problem import Constraint, Term

# in the names of operations without parameters; "none" is no operation
_FREE = re.compile("skip|pool")
Counter = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True)
class CellShape:
    """Metric: architecture -> per cell its height, its operations without parameters (`free`) and
    its other edges (`rest`).

    Height: the most intermediate nodes on a path from the inputs of the cell (DDPNAS's code; of
    cells with an operation on every edge: to its output). Parts are called "height.normal" and so
    on; each is a term, so that limits on them are exact.
    """

    # cell -> what height reads, height, operations
    cells: Mapping[str, tuple[tuple[str, ...], Counter, tuple[str, ...]]]

    @property
    def terms(self) -> tuple[Term, ...]:
        """Height reads all connections of a cell, the counts one operation each."""
        terms = []
        for cell, (names, height, operations) in self.cells.items():
            others = {f"free.{cell}": 0.0, f"rest.{cell}": 0.0}
            terms.append(Term(names, partial(_height, cell, height, self._nothing)))
            terms += [
                Term((name,), partial(_kind, cell, name, self._nothing | others))
                for name in operations
            ]
        return tuple(terms)

    @property
    def _nothing(self) -> dict[str, float]:
        return {f"{what}.{cell}": 0.0 for cell in self.cells for what in ("height", "free", "rest")}

    def __call__(self, arch: Mapping[str, Any]) -> dict[str, float]:
        """All parts."""
        total = self._nothing
        for term in self.terms:
            for part, value in term.value(arch).items():  # type: ignore[arg-type]
                total[part] += value
        return total

    def limits(self, height: int | None, free: int | None) -> tuple[Constraint, ...]:
        """Every cell at most so high, with exactly so many operations without parameters; None: as
        it comes.

        UserError where no cell can be so.
        """
        constraints: list[Constraint] = []
        for cell, (_, _, operations) in self.cells.items():
            if free is not None and not 0 <= free <= len(operations):
                raise UserError(
                    f"free={free}: a cell of this space has {len(operations)} operations; give a "
                    f"number from 0 to that"
                )
            if height is not None and height < 0:
                raise UserError(f"height={height}: give the most nodes on a path, 1 or more")
            bounds = {
                "height": height,
                "free": free,
                "rest": None if free is None else len(operations) - free,
            }
            constraints += [
                Constraint(f"{what}.{cell}", self, high=float(high))
                for what, high in bounds.items()
                if high is not None
            ]
        return tuple(constraints)


def _height(
    cell: str, height: Counter, nothing: Mapping[str, float], arch: Mapping[str, Any]
) -> dict[str, float]:
    return {**nothing, f"height.{cell}": height(arch)}


def _kind(
    cell: str, name: str, nothing: Mapping[str, float], arch: Mapping[str, Any]
) -> dict[str, float]:
    return {**nothing, f"{'free' if _FREE.search(arch[name]) else 'rest'}.{cell}": 1.0}
