"""The TransNAS-Bench-101 micro network: its skeleton and counts by hand."""

from __future__ import annotations

import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import params
from archsmith.spaces.catalog.edges import edges_canonical
from archsmith.spaces.catalog.transnas import TRANSNAS, transnas_arch
from archsmith.spaces.cell import FactorizedReduce
from archsmith.spaces.transnas import transnas

with torch.device("meta"):
    MODEL = transnas()


def plain(text: str) -> torch.nn.Module:
    return extract(MODEL, transnas_arch(text), "fresh", device="meta")


def test_its_space_is_the_published_one() -> None:
    space = search_space(MODEL)
    assert dict(space) == dict(TRANSNAS) and not space.conditions and space.size == 4096


def test_the_skeleton_doubles_channels_and_halves_the_map_three_times() -> None:
    x, network = torch.empty(2, 3, 256, 256, device="meta"), plain("64-41414-3_12_301").eval()
    shapes = []
    for child in list(network.children())[:-1]:
        x = child(x)
        shapes.append(tuple(x.shape[1:]))
    widest = (512, 8, 8)
    assert shapes == [
        (32, 128, 128),
        (64, 64, 64),
        (128, 32, 32),
        (128, 32, 32),
        (256, 16, 16),
        (256, 16, 16),
        widest,
    ]


def conv(a: int, b: int, kernel: int) -> int:
    return a * b * kernel**2 + 2 * b


STEM, HEAD = conv(3, 32, 3) + conv(32, 64, 3), 512 * 75 + 75
FIRST = ((64, 128), (128, 256), (256, 512))


def test_counts_by_hand() -> None:
    cells = [(a, b) for a, b in FIRST] + [(w, w) for w in (128, 128, 128, 256, 256, 256, 512)]
    assert params(plain("64-41414-0_00_000")) == STEM + HEAD
    every = sum(3 * conv(a, b, 3) + 3 * conv(b, b, 3) for a, b in cells)
    assert params(plain("64-41414-3_33_333")) == STEM + HEAD + every
    # of the edges out of node 0, where the map is halved
    skips = sum(3 * (a * b + 2 * b) for a, b in FIRST)
    assert params(plain("64-41414-1_11_111")) == STEM + HEAD + skips


def test_a_skip_connection_halves_the_map_by_two_convolutions() -> None:
    network = plain("64-41414-1_11_111")
    assert isinstance(network.module1.cell1.edge0to3, FactorizedReduce)
    assert isinstance(network.module1.cell2.edge0to3, torch.nn.Identity)
    reduce = FactorizedReduce(4, 6).eval()
    for size, half in ((6, 3), (7, 4)):
        assert reduce(torch.zeros(1, 4, size, size)).shape == (1, 6, half, half)


def test_dead_edges_of_a_cell_of_stride_two() -> None:
    # a convolution on node 1, which has no input, gives the output
    arch = transnas_arch("64-41414-0_00_030")
    assert params(extract(MODEL, edges_canonical(arch), "fresh", device="meta")) == STEM + HEAD
    network = plain("64-41414-0_00_030").eval()
    assert network(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 75)
