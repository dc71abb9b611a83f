"""The NAS-Bench-1Shot1 network: recorded parameter counts of NAS-Bench-101 cells that the spaces
hold, nodes, channels."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import params
from archsmith.space import Architecture
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    live_nodes,
    nasbench1shot1_canonical,
    nasbench1shot1_cell,
)
from archsmith.spaces.oneshot import nasbench1shot1

RECORDS = Path(os.environ.get("ARCHSMITH_DATA", "/nowhere")) / "nas" / "ecnas_nb101_small_cells.csv"


def on_meta(*arguments: Any, **settings: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return nasbench1shot1(*arguments, **settings)


def pruned(arch: Architecture) -> str:
    """Matrix and operations without dead nodes, as NAS-Bench-101 keeps them."""
    matrix, operations = nasbench1shot1_cell(arch)
    nodes = live_nodes(matrix)
    cell = [[int(matrix[a][b] and a in nodes and b in nodes) for b in nodes] for a in nodes]
    return json.dumps([cell, [operations[n] for n in nodes]])


@pytest.mark.parametrize("which", [1, 2])
def test_its_spaces_are_the_published_ones(which: int) -> None:
    space = search_space(on_meta(space=which, cells=1))
    assert dict(space) == dict(NASBENCH1SHOT1[which]) and not space.conditions
    assert space.size == {1: 14580, 2: 29160}[which]


def test_an_unknown_space_is_named() -> None:
    with pytest.raises(UserError, match="space 3 is not one of 1, 2"):
        nasbench1shot1(space=3)


@pytest.mark.skipif(
    not RECORDS.is_file(), reason="needs ARCHSMITH_DATA with nas/ecnas_nb101_small_cells.csv"
)
def test_recorded_counts_are_reproduced_exactly() -> None:
    """Cells with at most three live nodes are among those that EC-NAS trained; the same matrix, the
    same parameters."""
    with RECORDS.open(newline="") as file:
        rows = [
            (row["module_adjacency"], row["module_operations"], int(row["params"]))
            for row in csv.DictReader(file)
        ]
    recorded = {
        json.dumps([json.loads(matrix), json.loads(operations)]): count
        for matrix, operations, count in rows
    }
    for which, least in ((1, 6), (2, 6)):
        model, rng, seen = on_meta(space=which), Random(0), set()
        while len(seen) < least:
            arch = NASBENCH1SHOT1[which].sample(rng)
            cell = pruned(arch)
            if cell in recorded and cell not in seen:
                seen.add(cell)
                assert params(extract(model, arch, "fresh", device="meta")) == recorded[cell], cell


def arch(which: int, parents: dict[str, tuple[int, ...]]) -> Architecture:
    known = {name: options[-1] for name, options in NASBENCH1SHOT1[which].items()}
    return NASBENCH1SHOT1[which].check(
        Architecture(known | {f"{n}.parents": p for n, p in parents.items()})
    )


def test_the_channels_of_the_output_are_divided_among_the_nodes_it_reads() -> None:
    model = nasbench1shot1(5, 3, 8, space=2, width=8, cells=1)
    cell = extract(
        model, arch(2, {"node2": (1,), "node3": (0, 2), "node4": (1, 3), "output": (2, 3, 4)})
    ).stack1.cell1
    widths = [getattr(cell, f"node{n}").apply_operation.norm.num_features for n in (1, 2, 3, 4)]
    assert widths == [3, 3, 3, 2]  # node 1 as wide as the widest that reads it
    assert [name for name, _ in cell.node1.named_children()] == ["project", "apply_operation"]
    assert [name for name, _ in cell.node2.named_children()] == ["apply_operation"]


def test_nodes_that_the_output_does_not_read_do_not_exist() -> None:
    chosen = arch(1, {"node2": (0, 1), "node3": (0, 1), "node4": (0, 1), "output": (0, 2)})
    model = nasbench1shot1(5, 3, 8, width=4, cells=1).eval()
    whole, lean = extract(model, chosen), extract(model, nasbench1shot1_canonical(chosen))
    assert not list(whole.stack1.cell1.node3.parameters()) and not list(
        whole.stack1.cell1.node4.parameters()
    )
    assert whole.stack1.cell1.node2.apply_operation.norm.num_features == 4
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(whole(x), lean(x))
