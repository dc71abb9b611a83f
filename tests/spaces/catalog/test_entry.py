"""Spaces as their publishers write them: strings both ways, mistakes named, published sizes,
canonical forms."""

from __future__ import annotations

from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.spaces.catalog.darts import (
    DARTS,
    darts_arch,
    darts_arch_of,
    darts_genotype,
    darts_text,
)
from archsmith.spaces.catalog.edges import EDGE_NAMES, edges_canonical
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    NASBENCH101_SMALL,
    nasbench1shot1_canonical,
    nasbench101_canonical,
)
from archsmith.spaces.catalog.nasbench201 import NASBENCH201, nasbench201_arch, nasbench201_text
from archsmith.spaces.catalog.nats import NATS_SIZE, nats_size_arch, nats_size_text
from archsmith.spaces.catalog.ofa import OFA, ofa_arch, ofa_settings
from archsmith.spaces.catalog.transnas import TRANSNAS, transnas_arch, transnas_text

ROUND_TRIPS = {
    "nasbench201": (NASBENCH201, nasbench201_text, nasbench201_arch),
    "transnas": (TRANSNAS, transnas_text, transnas_arch),
    "size": (NATS_SIZE, nats_size_text, nats_size_arch),
    "darts": (DARTS, darts_text, darts_arch),
    "genotype": (DARTS, darts_genotype, lambda g: darts_arch_of(g["normal"], g["reduce"])),
    "ofa": (OFA, ofa_settings, lambda s: ofa_arch(**s)),
}


CANONICAL = {
    "nasbench201": (NASBENCH201, edges_canonical),
    "transnas": (TRANSNAS, edges_canonical),
    "1shot1:1": (NASBENCH1SHOT1[1], nasbench1shot1_canonical),
    "1shot1:2": (NASBENCH1SHOT1[2], nasbench1shot1_canonical),
    "nasbench101:4": (NASBENCH101_SMALL[4], nasbench101_canonical),
    "nasbench101:5": (NASBENCH101_SMALL[5], nasbench101_canonical),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_what_is_written_is_read_back(name: str) -> None:
    space, write, read = ROUND_TRIPS[name]
    rng = Random(0)
    for _ in range(50):
        arch = space.sample(rng)
        assert read(write(arch)) == arch
        assert space.contains(read(write(arch)))


def test_the_strings_are_the_publishers() -> None:
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
    arch = nasbench201_arch(text)
    assert list(arch.items()) == [
        ("edge0to1", "avg_pool_3x3"),
        ("edge0to2", "nor_conv_1x1"),
        ("edge1to2", "skip_connect"),
        ("edge0to3", "nor_conv_3x3"),
        ("edge1to3", "none"),
        ("edge2to3", "skip_connect"),
    ]
    assert nasbench201_text(arch) == text
    arch = transnas_arch("64-41414-1_02_300")
    assert dict(arch) == dict(
        zip(EDGE_NAMES, ("skip", "none", "conv1x1", "conv3x3", "none", "none"), strict=True)
    )
    assert dict(nats_size_arch("8:16:24:32:64")) == {
        "width1": 8,
        "width2": 16,
        "width3": 24,
        "width4": 32,
        "width5": 64,
    }


@pytest.mark.parametrize(
    ("read", "text", "named"),
    [
        (nasbench201_arch, "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "nor_conv_3x3"),
        (nasbench201_arch, "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "op~1"),
        (transnas_arch, "64-41414-4_00_000", "digits 0 to 3"),
        (nats_size_arch, "8:16:24:32:7", "five widths"),
        (darts_arch, "Genotype(normal=[], reduce=[])", "0 edges"),
        (darts_arch, "ResNet", "normal"),
    ],
)
def test_what_is_no_cell_is_refused_with_the_form_to_write(read, text: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        read(text)


def test_two_equal_inputs_and_wrong_lengths_are_refused() -> None:
    twice = [("skip_connect", 0)] * 8
    with pytest.raises(UserError, match="inputs"):
        darts_arch_of(twice, twice)
    with pytest.raises(UserError, match="ks has 3 entries"):
        ofa_arch([3, 3, 3], [3] * 20, [2] * 5)
    with pytest.raises(UserError, match="depth"):
        ofa_arch([3] * 20, [3] * 20, [2, 2, 2, 2, 5])


def test_the_spaces_have_their_published_sizes() -> None:
    assert NASBENCH201.size == 15625
    assert TRANSNAS.size == 4096
    assert NATS_SIZE.size == 32768
    assert DARTS.size == (180 * 7**8) ** 2
    assert NASBENCH1SHOT1[1].size == 14580
    assert NASBENCH1SHOT1[2].size == 29160
    assert OFA.size == 7371**5


@pytest.mark.parametrize("name", CANONICAL)
def test_the_canonical_form_is_its_own_and_lies_in_the_space(name: str) -> None:
    space, canonical = CANONICAL[name]
    rng = Random(1)
    for _ in range(100):
        form = canonical(space.sample(rng))
        assert space.contains(form) and canonical(form) == form
