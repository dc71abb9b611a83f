"""DARTS cells (Liu et al., ICLR 2019; NAS-Bench-301, Zela et al., ICLR 2022): two inputs a node, an
operation on each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.catalog.entry import Format, Space
from archsmith.spaces.catalog.shape import CellShape, Counter

DARTS_OPS = (
    *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
)
_DARTS_CELLS, _DARTS_NODES = ("normal", "reduce"), (2, 3, 4, 5)


def _darts() -> SearchSpace:
    options: dict[str, tuple] = {}
    for cell, node in itertools.product(_DARTS_CELLS, _DARTS_NODES):
        options[f"{cell}.node{node}.inputs"] = tuple(itertools.combinations(range(node), 2))
        options[f"{cell}.node{node}.op1"] = options[f"{cell}.node{node}.op2"] = DARTS_OPS
    return SearchSpace(options)


# Liu et al., ICLR 2019, without "none": (180 x 7^8)^2; nodes 0 and 1 are the outputs of the two
# cells before
DARTS = _darts()

Genotype = dict[str, list[tuple[str, int]]]


def darts_genotype(arch: Mapping[str, Any]) -> Genotype:
    """Per cell the eight (operation, input) of nodes 2 to 5 in turn, the smaller input first."""
    genotype: Genotype = {}
    for cell in _DARTS_CELLS:
        names = [f"{cell}.node{node}" for node in _DARTS_NODES]
        genotype[cell] = [
            (arch[f"{n}.op{k + 1}"], arch[f"{n}.inputs"][k]) for n in names for k in (0, 1)
        ]
    return genotype


def darts_arch_of(normal: Sequence[Sequence[Any]], reduce: Sequence[Sequence[Any]]) -> Architecture:
    """The architecture of two lists of eight (operation, input), in either order within a node;
    UserError where it is none."""
    known: dict[str, Any] = {}
    for cell, pairs in (("normal", normal), ("reduce", reduce)):
        if len(pairs) != 2 * len(_DARTS_NODES):
            raise UserError(
                f"the {cell} cell has {len(pairs)} edges; a DARTS cell has eight, two "
                f"into each of nodes 2 to 5"
            )
        for position, node in enumerate(_DARTS_NODES):
            (op1, first), (op2, second) = sorted(
                pairs[2 * position : 2 * position + 2], key=lambda pair: int(pair[1])
            )
            known |= {
                f"{cell}.node{node}.inputs": (first, second),
                f"{cell}.node{node}.op1": op1,
                f"{cell}.node{node}.op2": op2,
            }
    return DARTS.check(Architecture(known))


def darts_text(arch: Mapping[str, Any]) -> str:
    """The string of the publishers' Genotype: `Genotype(normal=[('sep_conv_3x3', 0), ...],
    normal_concat=range(2, 6), ...)`."""
    genotype = darts_genotype(arch)
    return (
        "Genotype("
        + ", ".join(
            f"{cell}={genotype[cell]!r}, {cell}_concat=range(2, 6)" for cell in _DARTS_CELLS
        )
        + ")"
    )


def darts_arch(text: str) -> Architecture:
    """The architecture of a Genotype string; UserError where it is none, or a cell does not
    concatenate nodes 2 to 5."""
    cells = {}
    for cell in _DARTS_CELLS:
        match = re.search(rf"\b{cell}\s*=\s*\[([^\]]*)\]", text)
        if not match:
            raise UserError(
                f"{text[:80]!r} names no {cell} cell; write Genotype(normal=[('sep_conv_3x3', 0), "
                f"...], reduce=[...])"
            )
        cells[cell] = [
            (op, int(i)) for op, i in re.findall(r"\(\s*['\"](\w+)['\"]\s*,\s*(\d+)\s*\)", match[1])
        ]
        joined = re.search(rf"\b{cell}_concat\s*=\s*(range\([^)]*\)|\[[^\]]*\]|\([^)]*\))", text)
        if joined and _joined(joined[1]) != list(_DARTS_NODES):
            raise UserError(
                f"{cell}_concat is {joined[1]}; every network of this space "
                f"concatenates nodes 2 to 5: range(2, 6)"
            )
    return darts_arch_of(cells["normal"], cells["reduce"])


def _joined(text: str) -> list[int]:
    """The nodes of `range(2, 6)` or of a list."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return list(range(*numbers)) if text.startswith("range") and 1 <= len(numbers) <= 2 else numbers


def _darts_height(cell: str, arch: Mapping[str, Any]) -> float:
    longest = {0: 0, 1: 0}
    for node in _DARTS_NODES:
        longest[node] = 1 + max(longest[i] for i in arch[f"{cell}.node{node}.inputs"])
    return float(max(longest.values()))


def _darts_shape(cell: str) -> tuple[tuple[str, ...], Counter, tuple[str, ...]]:
    nodes = [f"{cell}.node{node}" for node in _DARTS_NODES]
    operations = tuple(f"{node}.op{k}" for node in nodes for k in (1, 2))
    return tuple(f"{node}.inputs" for node in nodes), partial(_darts_height, cell), operations


_SHAPE = CellShape({cell: _darts_shape(cell) for cell in _DARTS_CELLS})
SPACE = Space(
    "darts",
    "archsmith.spaces.darts:darts",
    "a normal and a reduction cell, 20 cells of 36 channels (Liu et al., ICLR 2019)",
    "1.1e+18",
    images="small images, made for 32 pixels",
    formats=(
        Format(
            "Genotype of DARTS and NAS-Bench-301",
            darts_text,
            darts_arch,
            lambda text: re.search(r"\bnormal\s*=", text) is not None,
        ),
    ),
    shape=_SHAPE,
    ensemble="archsmith",
)
SMALL = replace(
    SPACE,
    name="darts-small",
    network="archsmith.spaces.darts:darts_small",
    what="the same, 8 cells of 16 channels, as it is searched",
)
