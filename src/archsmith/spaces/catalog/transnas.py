"""The micro space of TransNAS-Bench-101 (Duan et al., CVPR 2021): four operations on each of six
edges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.catalog.edges import (
    CELL,
    EDGE_NAMES,
    edges_canonical,
    has_path,
    longest_convolutions,
)
from archsmith.spaces.catalog.entry import Format, Space

TRANSNAS_OPS = ("none", "skip", "conv1x1", "conv3x3")  # digits 0 to 3 of the code


# Duan et al., CVPR 2021: 4,096 cells
TRANSNAS = SearchSpace({name: TRANSNAS_OPS for name in EDGE_NAMES})


_TRANSNAS = "64-41414-{}_{}{}_{}{}{}"
_TRANSNAS_TEXT = re.compile(r"64-41414-([0-3])_([0-3])([0-3])_([0-3])([0-3])([0-3])")


def transnas_text(arch: Mapping[str, Any]) -> str:
    """The publishers' code `64-41414-a_bc_def`."""
    return _TRANSNAS.format(*(TRANSNAS_OPS.index(arch[name]) for name in EDGE_NAMES))


def transnas_arch(text: str) -> Architecture:
    """The cell of the publishers' code; UserError where it is none."""
    match = _TRANSNAS_TEXT.fullmatch(text.strip())
    if not match:
        raise UserError(
            f"{text!r} is no TransNAS micro cell; write 64-41414-a_bc_def with digits 0 to 3 "
            f"({', '.join(TRANSNAS_OPS)})"
        )
    return Architecture(
        {
            name: TRANSNAS_OPS[int(digit)]
            for name, digit in zip(EDGE_NAMES, match.groups(), strict=True)
        }
    )


SPACE = Space(
    "transnas",
    "archsmith.spaces.transnas:transnas",
    "a cell of six edges, four operations each, repeated (Duan et al., CVPR 2021)",
    "4,096",
    images="images of 32 to 256 pixels",
    formats=(
        Format(
            "code of TransNAS-Bench-101",
            transnas_text,
            transnas_arch,
            lambda text: re.match(r"\s*\d+-\d+-", text) is not None,
        ),
    ),
    live=has_path,
    canonical=edges_canonical,
    shape=CELL,
    statistic=longest_convolutions,
    ensemble="archsmith",
)
