"""The DARTS network: its space, the published size of the paper's own cells, recorded counts,
stacking."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import params
from archsmith.spaces.catalog.darts import DARTS, darts_arch, darts_arch_of
from archsmith.spaces.darts import darts, darts_small

RECORDS = (
    Path(os.environ.get("ARCHSMITH_DATA", "/nowhere")) / "nas" / "nasbench301_darts_subset.csv"
)
SECOND = darts_arch(
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)  # DARTS, second order


def on_meta(make, *arguments, **settings) -> nn.Module:
    with torch.device("meta"):
        return make(*arguments, **settings)


def test_its_space_is_the_published_one() -> None:
    space = search_space(on_meta(darts_small))
    assert dict(space) == dict(DARTS) and not space.conditions and space.size == (180 * 7**8) ** 2


def test_the_papers_network_has_its_published_size() -> None:
    """3.3 million parameters in the paper, 3.349342 in the log of the released code; the auxiliary
    head is not counted."""
    assert params(extract(on_meta(darts), SECOND, "fresh", device="meta")) == 3349342


@pytest.mark.skipif(
    not RECORDS.is_file(), reason="needs ARCHSMITH_DATA with nas/nasbench301_darts_subset.csv"
)
def test_recorded_counts_are_reproduced_exactly() -> None:
    """NAS-Bench-301's network: 32 channels, 8 cells. The record has no affine BatchNorm on
    edges."""
    model = on_meta(darts, 10, 3, 32, width=32, layers=8)
    with RECORDS.open(newline="") as file:
        rows = list(csv.DictReader(file))[::300]
    for row in rows:
        arch = darts_arch_of(json.loads(row["normal"]), json.loads(row["reduce"]))
        plain = extract(model, arch, "fresh", device="meta")
        norms = sum(
            params(m)
            for path, m in plain.named_modules()
            if ".graph." in path and isinstance(m, nn.BatchNorm2d)
        )
        assert round((params(plain) - norms) / 1e6, 6) == float(row["params"])


def test_cells_a_third_and_two_thirds_down_reduce() -> None:
    plain = extract(on_meta(darts_small), SECOND, "fresh", device="meta").eval()
    before = last = plain.stem(torch.empty(2, 3, 32, 32, device="meta"))
    shapes = []
    for cell in plain.cells:
        before, last = last, cell(before, last)
        shapes.append(tuple(last.shape[1:]))
    assert shapes == [(64, 32, 32)] * 2 + [(128, 16, 16)] * 3 + [(256, 8, 8)] * 3
    assert plain(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_the_weights_of_an_edge_do_not_depend_on_its_place_in_the_pair() -> None:
    model = darts(5, 3, 8, width=4, layers=3)
    known = dict(SECOND) | {"normal.node3.inputs": (0, 1), "normal.node3.op2": "sep_conv_3x3"}
    other = dict(SECOND) | {"normal.node3.inputs": (1, 2), "normal.node3.op1": "sep_conv_3x3"}
    edges = [extract(model, arch).cells[0].graph.edge1to3 for arch in (known, other)]
    assert all(
        torch.equal(a, b) for a, b in zip(*(edge.parameters() for edge in edges), strict=True)
    )


def test_too_few_layers_are_named() -> None:
    with pytest.raises(UserError, match="layers=2"):
        darts(layers=2)
