"""Runs of methods that train shared weights, small and no further than tests need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archsmith.pipeline import carry_on
from archsmith.run import Run, request_from

CELLS = """
from archsmith.models.cell import nasbench201


def Net(classes, channels, size, partial=1):
    return nasbench201(classes, channels, size, width=4, cells=1, partial=partial)
"""
FAST: dict[str, Any] = {
    "data": "digits", "steps": 40, "time_s": None, "trials": 9, "threads": 1, "reference": False,
}  # fmt: skip


def asked(method: str, folder: Path, **changes: Any) -> Any:
    """A request; the space is one of small cells unless another is given."""
    (folder / "cells.py").write_text(CELLS)
    return request_from(**{**FAST, "method": method, "space": f"{folder / 'cells.py'}:Net", **changes})


class Stop(BaseException):
    """As if the process had been killed."""


class UntilSearched:
    """A watch that ends the process once the search is over: what follows is the same for every method."""

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """Nothing."""

    def tick(self, text: str, share: float | None) -> None:
        """Nothing."""

    def end(self, stage: str, text: str, seconds: float) -> None:
        """Stops."""
        if stage == "search":
            raise Stop


def searched(request: Any, folder: Path) -> Run:
    """A run as far as its short-list."""
    return searched_on(Run.create(folder, request))


def searched_on(run: Run) -> Run:
    """Carried on to its short-list."""
    with pytest.raises(Stop):
        carry_on(Run.open(run.folder), UntilSearched())
    return Run.open(run.folder)
