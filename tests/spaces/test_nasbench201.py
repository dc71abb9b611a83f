"""The NAS-Bench-201 cell network: the recorded counts of all 15,625 cells, dead edges, nodes
without inputs."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

from archsmith.elastic import OneOf
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.metrics.cost import Costs, macs, params
from archsmith.space import Architecture
from archsmith.spaces.catalog.edges import EDGE_NAMES, edges_canonical
from archsmith.spaces.catalog.nasbench201 import NASBENCH201, nasbench201_arch
from archsmith.spaces.cell import Cell, Nothing, relu_conv_norm
from archsmith.spaces.nasbench201 import nasbench201

RECORDS = Path(os.environ.get("ARCHSMITH_DATA", "/nowhere")) / "nas" / "nasbench201.csv"


def on_meta(make, *arguments, **settings) -> nn.Module:
    with torch.device("meta"):
        return make(*arguments, **settings)


def test_its_space_is_the_published_one() -> None:
    space = search_space(on_meta(nasbench201))
    assert dict(space) == dict(NASBENCH201) and not space.conditions and space.size == 15625


@pytest.mark.parametrize(
    ("text", "published"),
    # two rows of the benchmark: parameters for 10 classes, MACs at 32 pixels, the classifier's 10
    # biases included
    [
        (
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
            (129306, 15647370),
        ),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
            (802426, 113951370),
        ),
    ],
)
def test_two_published_counts(text: str, published: tuple[int, int]) -> None:
    plain = extract(on_meta(nasbench201), nasbench201_arch(text), "fresh", device="meta")
    assert (params(plain), macs(plain, (3, 32, 32)) + 10) == published


@pytest.mark.skipif(not RECORDS.is_file(), reason="needs ARCHSMITH_DATA with nas/nasbench201.csv")
def test_the_recorded_counts_of_all_cells_are_reproduced_exactly() -> None:
    """The record counts one MAC for each bias of the classifier; no other difference is left."""
    costs = Costs(on_meta(nasbench201), (3, 32, 32), ("params", "macs"))
    assert costs.additive
    with RECORDS.open(newline="") as file:
        for row in csv.DictReader(file):
            found = costs(nasbench201_arch(row["arch_str"]))
            assert found == {"params": int(row["params_c10"]), "macs": int(row["macs_c10"]) - 10}, (
                row["arch_str"]
            )


@pytest.mark.skipif(not RECORDS.is_file(), reason="needs ARCHSMITH_DATA with nas/nasbench201.csv")
def test_other_class_counts_and_sizes_are_reproduced_too() -> None:
    with RECORDS.open(newline="") as file:
        row = next(
            row
            for row in csv.DictReader(file)
            if "none" in row["arch_str"] and "conv_1x1" in row["arch_str"]
        )
    for name, classes, size in (("c100", 100, 32), ("in16", 120, 16)):
        plain = extract(
            on_meta(nasbench201, classes, 3, size),
            nasbench201_arch(row["arch_str"]),
            "fresh",
            device="meta",
        )
        found = params(plain), macs(plain, (3, size, size)) + classes
        assert found == (int(row[f"params_{name}"]), int(row[f"macs_{name}"]))


def test_without_its_dead_operations_a_cell_computes_the_same() -> None:
    model = nasbench201(5, 3, 8, width=4, cells=1).eval()
    x, rng, pruned = (
        torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
        Random(0),
        0,
    )
    while pruned < 3:
        arch = NASBENCH201.sample(rng)
        whole, lean = extract(model, arch), extract(model, edges_canonical(arch))
        with torch.no_grad():
            assert torch.equal(whole(x), lean(x))
        pruned += params(lean) < params(whole)


def test_dead_operations_exist_unless_the_architecture_is_canonical() -> None:
    arch = Architecture(
        {name: "none" for name in EDGE_NAMES}
        | {"edge0to1": "nor_conv_3x3", "edge0to3": "skip_connect"}
    )
    model = nasbench201(5, 3, 8, width=4, cells=1)
    names = [name for name, _ in extract(model, arch).stage1.cell1.named_children()]
    assert names == ["edge0to1", "edge0to3"]
    assert [
        name for name, _ in extract(model, edges_canonical(arch)).stage1.cell1.named_children()
    ] == ["edge0to3"]


def test_a_node_without_edges_is_zero_and_an_operation_on_it_is_computed() -> None:
    edges = {
        (0, 1): OneOf({"none": Nothing(), "skip": nn.Identity()}),
        (1, 2): relu_conv_norm(3, 3, 1),
    }
    cell = Cell(edges, 3).eval()
    nn.init.constant_(cell.edge1to2.norm.bias, 0.5)
    name = next(iter(search_space(cell)))
    x = torch.ones(2, 3, 4, 4)
    with active(cell, {name: "none"}), torch.no_grad():
        assert torch.equal(cell(x), torch.full_like(x, 0.5))
    lonely = Cell(
        {(0, 1): OneOf({"none": Nothing(), "pool": nn.AvgPool2d(1, stride=2)})}, 4, stride=2
    )
    plain = extract(lonely, {next(iter(search_space(lonely))): "none"})
    assert torch.equal(plain(torch.ones(2, 3, 5, 5)), torch.zeros(2, 4, 3, 3))


@pytest.mark.parametrize("size", [8, 17, 28, 32])
def test_any_size_works(size: int) -> None:
    model = on_meta(nasbench201, 7, 1, size)
    plain = extract(model, search_space(model).extreme(-2), "fresh", device="meta").eval()
    assert plain(torch.empty(2, 1, size, size, device="meta")).shape == (2, 7)
