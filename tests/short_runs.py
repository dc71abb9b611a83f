"""Runs of methods that train shared weights, small and no further than tests need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages.pipeline import carry_on

CELLS = """
from archsmith.spaces.nasbench201 import nasbench201


def Net(classes, channels, size, partial=1):
    return nasbench201(classes, channels, size, width=4, cells=1, partial=partial)
"""
SIZES = """
from torch import nn
from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Linear, Repeat


class Block(nn.Sequential):
    def __init__(self, width, number):
        kernel = Choice(1, 3, name=f"kernel{number}")
        conv = Conv2d(width, width, kernel, padding="same", bias=False)
        super().__init__(conv, BatchNorm2d(width), nn.ReLU())


def Net(classes, channels, size):
    width = Choice(4, 6, 8, name="width")
    conv = Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
    stem = [conv, BatchNorm2d(width), nn.ReLU()]
    body = Repeat(*(Block(width, i) for i in range(2)), depth=Choice(1, 2, name="depth"))
    return nn.Sequential(*stem, body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, classes))
"""
FAST: dict[str, Any] = {
    "data": "digits",
    "steps": 40,
    "time_s": None,
    "trials": 9,
    "threads": 1,
    "reference": False,
    "follow": "always",
}


def asked(method: str, folder: Path, **changes: Any) -> Any:
    """A request; the space is one of small cells unless another is given."""
    (folder / "cells.py").write_text(CELLS)
    return request_from(
        **{**FAST, "method": method, "space": f"{folder / 'cells.py'}:Net", **changes}
    )


class Stop(BaseException):
    """As if the process had been killed."""


class UntilSearched:
    """A watch that ends the process once the search is over: what follows is the same for every
    method."""

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """Nothing."""

    def tick(self, text: str, share: float | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
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
