"""Cells of four nodes: canonical forms keep every path, the published counts of what is dead."""

from __future__ import annotations

import itertools
from random import Random

from archsmith.space import Architecture
from archsmith.spaces.catalog.edges import EDGE_NAMES, edges_canonical, live_edges
from archsmith.spaces.catalog.nasbench201 import NASBENCH201, nasbench201_arch


def paths(arch: Architecture) -> set[tuple[str, ...]]:
    """The operation sequences of every path from node 0 to node 3, by walking: what a cell
    computes."""
    found = set()
    for route in [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]:
        names = [f"edge{a}to{b}" for a, b in itertools.pairwise(route)]
        if all(arch[name] != "none" for name in names):
            found.add(tuple(f"{name} {arch[name]}" for name in names))
    return found


def test_the_canonical_cell_keeps_every_path_and_nothing_else() -> None:
    rng = Random(2)
    for _ in range(300):
        arch = NASBENCH201.sample(rng)
        form = edges_canonical(arch)
        assert paths(form) == paths(arch)
        on_paths = {step.split()[0] for path in paths(arch) for step in path}
        assert {name for name in form if form[name] != "none"} == on_paths == set(live_edges(arch))


def test_the_published_counts_of_nasbench201() -> None:
    """15,284 cells connect input and output (the few-shot tables); 39.6 % hold an operation on a
    dead edge (ZiCo's notes)."""
    forms = [edges_canonical(arch) for arch in NASBENCH201.architectures()]
    unconnected = nasbench201_arch("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert sum(form != unconnected for form in forms) == 15284
    changed = sum(
        form != arch for form, arch in zip(forms, NASBENCH201.architectures(), strict=True)
    )
    assert round(changed / 15625, 3) == 0.396
    # Distinct forms, counted independently: any of four operations on each edge of the edge sets
    # that are live throughout.
    alive = [
        s
        for s in itertools.product((0, 1), repeat=6)
        if _all_live(dict(zip(EDGE_NAMES, s, strict=True)))
    ]
    assert len(set(forms)) == sum(4 ** sum(s) for s in alive)


def _all_live(present: dict[str, int]) -> bool:
    routes = [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]
    steps = [[f"edge{a}to{b}" for a, b in itertools.pairwise(route)] for route in routes]
    used = {name for route in steps if all(present[name] for name in route) for name in route}
    return used == {name for name, there in present.items() if there}
