"""NAS-Bench-201 (Dong and Yang, ICLR 2020): five operations on each of six edges."""

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

NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


# Dong and Yang, ICLR 2020: 15,625 cells
NASBENCH201 = SearchSpace({name: NASBENCH201_OPS for name in EDGE_NAMES})


_NASBENCH201 = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
_NASBENCH201_TEXT = re.compile(re.sub(r"\\\{\\\}", r"(\\w+)", re.escape(_NASBENCH201)))


def nasbench201_text(arch: Mapping[str, Any]) -> str:
    """The publishers' string `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
    return _NASBENCH201.format(*(arch[name] for name in EDGE_NAMES))


def nasbench201_arch(text: str) -> Architecture:
    """The cell of the publishers' string; UserError where it is none."""
    match = _NASBENCH201_TEXT.fullmatch(text.strip())
    if not match or not set(match.groups()) <= set(NASBENCH201_OPS):
        allowed = ", ".join(NASBENCH201_OPS)
        raise UserError(
            f"{text!r} is no NAS-Bench-201 cell; write "
            f"{_NASBENCH201.format(*['op'] * 6)} with op one of {allowed}"
        )
    return Architecture(dict(zip(EDGE_NAMES, match.groups(), strict=True)))


SPACE = Space(
    "nasbench201",
    "archsmith.spaces.nasbench201:nasbench201",
    "a cell of six edges, five operations each, repeated (Dong and Yang, ICLR 2020)",
    "15,625",
    images="small images, made for 32 pixels",
    formats=(
        Format(
            "string of NAS-Bench-201",
            nasbench201_text,
            nasbench201_arch,
            lambda text: re.match(r"\s*\|[^|]*~0\|", text) is not None,
        ),
    ),
    live=has_path,
    canonical=edges_canonical,
    shape=CELL,
    statistic=longest_convolutions,
    ensemble="archsmith",
)
