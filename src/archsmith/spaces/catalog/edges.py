"""Cells of four nodes with an operation on every edge, as in NAS-Bench-201 and TransNAS-Bench-101:
what lives and is alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archsmith.space import Architecture
from archsmith.spaces.catalog.shape import CellShape

# from node, to node; by the node they enter, as in the strings
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
EDGE_NAMES = tuple(f"edge{a}to{b}" for a, b in EDGES)


def live_edges(arch: Mapping[str, Any]) -> tuple[str, ...]:
    """The edges on some path from node 0 to node 3 through operations other than "none"."""
    present = [
        (a, b) for (a, b), name in zip(EDGES, EDGE_NAMES, strict=True) if arch[name] != "none"
    ]
    ahead = reachable(present, 0)
    useful = reachable([(b, a) for a, b in reversed(present)], 3)
    return tuple(f"edge{a}to{b}" for a, b in present if a in ahead and b in useful)


def reachable(edges: Sequence[tuple[int, int]], start: int) -> set[int]:
    """Nodes with a path from `start`; edges come in an order in which those into a node stand
    before those out of it."""
    nodes = {start}
    for a, b in edges:
        if a in nodes:
            nodes.add(b)
    return nodes


def edges_canonical(arch: Mapping[str, Any]) -> Architecture:
    """The same function with every operation on a dead edge made "none".

    Cells of one canonical form compute the same; isomorphic ones (through skip connections) stay
    different.
    """
    live = live_edges(arch)
    return Architecture({name: arch[name] if name in live else "none" for name in EDGE_NAMES})


def has_path(arch: Mapping[str, Any]) -> bool:
    """Whether anything gets from input to output. In 341 of the NAS-Bench-201 cells nothing
    does."""
    return bool(live_edges(arch))


def longest_convolutions(arch: Mapping[str, Any]) -> int:
    """How many convolutions stand on the path from input to output that has most.

    (Oh, Lee and Ham, 2024, group networks by such a count of non-linearities.) 0 where there is no
    path.
    """
    live, most = live_edges(arch), {0: 0}
    for (a, b), name in zip(EDGES, EDGE_NAMES, strict=True):
        if name in live:
            most[b] = max(most.get(b, 0), most[a] + ("conv" in arch[name]))
    return most.get(3, 0)


def _edges_height(arch: Mapping[str, Any]) -> float:
    live, longest = live_edges(arch), {0: 0}
    for (a, b), name in zip(EDGES, EDGE_NAMES, strict=True):
        if name in live:
            longest[b] = max(longest.get(b, 0), longest[a] + (b < 3))
    return float(longest.get(3, 0))


CELL = CellShape({"cell": (EDGE_NAMES, _edges_height, EDGE_NAMES)})
