"""Cell spaces: the publishers' strings both ways, canonical forms, isomorphism classes, the published counts."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.spaces import cells

ROUND_TRIPS = {
    "nasbench201": (cells.NASBENCH201, cells.nasbench201_text, cells.nasbench201_arch),
    "transnas": (cells.TRANSNAS, cells.transnas_text, cells.transnas_arch),
    "size": (cells.NATS_SIZE, cells.nats_size_text, cells.nats_size_arch),
    "darts": (cells.DARTS, cells.darts_text, cells.darts_arch),
    "genotype": (cells.DARTS, cells.darts_genotype, lambda g: cells.darts_arch_of(g["normal"], g["reduce"])),
    "ofa": (cells.OFA, cells.ofa_settings, lambda s: cells.ofa_arch(**s)),
}
CANONICAL = {
    "nasbench201": (cells.NASBENCH201, cells.nasbench201_canonical),
    "transnas": (cells.TRANSNAS, cells.transnas_canonical),
    "1shot1:1": (cells.NASBENCH1SHOT1[1], cells.nasbench1shot1_canonical),
    "1shot1:2": (cells.NASBENCH1SHOT1[2], cells.nasbench1shot1_canonical),
    "nasbench101:4": (cells.NASBENCH101_SMALL[4], cells.nasbench101_canonical),
    "nasbench101:5": (cells.NASBENCH101_SMALL[5], cells.nasbench101_canonical),
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
    arch = cells.nasbench201_arch(text)
    assert list(arch.items()) == [
        ("edge0to1", "avg_pool_3x3"),
        ("edge0to2", "nor_conv_1x1"),
        ("edge1to2", "skip_connect"),
        ("edge0to3", "nor_conv_3x3"),
        ("edge1to3", "none"),
        ("edge2to3", "skip_connect"),
    ]
    assert cells.nasbench201_text(arch) == text
    arch = cells.transnas_arch("64-41414-1_02_300")
    assert dict(arch) == dict(zip(cells.EDGE_NAMES, ("skip", "none", "conv1x1", "conv3x3", "none", "none"), strict=True))
    assert dict(cells.nats_size_arch("8:16:24:32:64")) == {"width1": 8, "width2": 16, "width3": 24, "width4": 32, "width5": 64}


def test_a_genotype_may_name_the_inputs_of_a_node_in_either_order() -> None:
    edges = [("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 0), ("dil_conv_5x5", 2)]
    edges += [("sep_conv_5x5", 3), ("skip_connect", 1), ("avg_pool_3x3", 0), ("dil_conv_3x3", 4)]
    arch = cells.darts_arch(f"Genotype(normal={edges}, normal_concat=range(2, 6), reduce={edges}, reduce_concat=range(2, 6))")
    assert arch["normal.node2.inputs"] == (0, 1)
    assert (arch["normal.node2.op1"], arch["normal.node2.op2"]) == ("skip_connect", "sep_conv_3x3")
    assert arch["reduce.node4.inputs"] == (1, 3) and arch["reduce.node4.op2"] == "sep_conv_5x5"


@pytest.mark.parametrize(
    ("read", "text", "named"),
    [
        (cells.nasbench201_arch, "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "nor_conv_3x3"),
        (cells.nasbench201_arch, "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "op~1"),
        (cells.transnas_arch, "64-41414-4_00_000", "digits 0 to 3"),
        (cells.nats_size_arch, "8:16:24:32:7", "five widths"),
        (cells.darts_arch, "Genotype(normal=[], reduce=[])", "0 edges"),
        (cells.darts_arch, "ResNet", "normal"),
    ],
)
def test_what_is_no_cell_is_refused_with_the_form_to_write(read, text: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        read(text)


def test_two_equal_inputs_and_wrong_lengths_are_refused() -> None:
    twice = [("skip_connect", 0)] * 8
    with pytest.raises(UserError, match="inputs"):
        cells.darts_arch_of(twice, twice)
    with pytest.raises(UserError, match="ks has 3 entries"):
        cells.ofa_arch([3, 3, 3], [3] * 20, [2] * 5)
    with pytest.raises(UserError, match="depth"):
        cells.ofa_arch([3] * 20, [3] * 20, [2, 2, 2, 2, 5])


def test_the_spaces_have_their_published_sizes() -> None:
    assert cells.NASBENCH201.size == 15625
    assert cells.TRANSNAS.size == 4096
    assert cells.NATS_SIZE.size == 32768
    assert cells.DARTS.size == (180 * 7**8) ** 2
    assert cells.NASBENCH1SHOT1[1].size == 14580
    assert cells.NASBENCH1SHOT1[2].size == 29160
    assert cells.OFA.size == 7371**5


# -- canonical forms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CANONICAL)
def test_the_canonical_form_is_its_own_and_lies_in_the_space(name: str) -> None:
    space, canonical = CANONICAL[name]
    rng = Random(1)
    for _ in range(100):
        form = canonical(space.sample(rng))
        assert space.contains(form) and canonical(form) == form


def paths(arch: Architecture) -> set[tuple[str, ...]]:
    """The operation sequences of every path from node 0 to node 3, by walking: what a cell computes."""
    found = set()
    for route in [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]:
        names = [f"edge{a}to{b}" for a, b in itertools.pairwise(route)]
        if all(arch[name] != "none" for name in names):
            found.add(tuple(f"{name} {arch[name]}" for name in names))
    return found


def test_the_canonical_cell_keeps_every_path_and_nothing_else() -> None:
    rng = Random(2)
    for _ in range(300):
        arch = cells.NASBENCH201.sample(rng)
        form = cells.nasbench201_canonical(arch)
        assert paths(form) == paths(arch)
        on_paths = {step.split()[0] for path in paths(arch) for step in path}
        assert {name for name in form if form[name] != "none"} == on_paths == set(cells.live_edges(arch))


def test_the_published_counts_of_nasbench201() -> None:
    """15,284 cells connect input and output (the few-shot tables); 39.6 % hold an operation on a dead edge (ZiCo's notes)."""
    forms = [cells.nasbench201_canonical(arch) for arch in cells.NASBENCH201.architectures()]
    unconnected = cells.nasbench201_arch("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert sum(form != unconnected for form in forms) == 15284
    changed = sum(form != arch for form, arch in zip(forms, cells.NASBENCH201.architectures(), strict=True))
    assert round(changed / 15625, 3) == 0.396
    # Distinct forms, counted independently: any of four operations on each edge of the edge sets that are live throughout.
    alive = [s for s in itertools.product((0, 1), repeat=6) if _all_live(dict(zip(cells.EDGE_NAMES, s, strict=True)))]
    assert len(set(forms)) == sum(4 ** sum(s) for s in alive)


def _all_live(present: dict[str, int]) -> bool:
    routes = [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]
    steps = [[f"edge{a}to{b}" for a, b in itertools.pairwise(route)] for route in routes]
    used = {name for route in steps if all(present[name] for name in route) for name in route}
    return used == {name for name, there in present.items() if there}


# -- NAS-Bench-101 cells ---------------------------------------------------------------------------------------------------

CONV, POOL = "conv3x3-bn-relu", "maxpool3x3"


def permuted(matrix: list[list[int]], operations: list[str], order: list[int]) -> tuple[list[list[int]], list[str]]:
    """The same cell with its nodes in another order."""
    return [[matrix[a][b] for b in order] for a in order], [operations[a] for a in order]


def test_isomorphic_cells_share_a_class_and_others_do_not() -> None:
    matrix = [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    operations = ["input", CONV, POOL, POOL, "output"]
    same = cells.cell_class(*permuted(matrix, operations, [0, 2, 1, 3, 4]))
    assert cells.cell_class(matrix, operations) == same
    assert cells.cell_class(matrix, ["input", POOL, CONV, POOL, "output"]) != same
    with_more = [row.copy() for row in matrix]
    with_more[0][4] = 1
    assert cells.cell_class(with_more, operations) != same


def test_every_order_of_a_cell_gives_one_class() -> None:
    rng = Random(3)
    for _ in range(20):
        matrix, operations = cells.nasbench1shot1_cell(cells.NASBENCH1SHOT1[2].sample(rng))
        classes = set()
        for inner in itertools.permutations(range(1, 5)):
            order = [0, *inner, 5]
            other, names = permuted(matrix, operations, order)
            if all(not other[b][a] for b in range(6) for a in range(b)):  # nodes still follow their parents
                classes.add(cells.cell_class(other, names))
        assert len(classes) == 1


def test_dead_nodes_do_not_count() -> None:
    plain = cells.cell_class([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", CONV, "output"])
    loose = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert cells.cell_class(loose, ["input", CONV, POOL, "output"]) == plain
    assert cells.cell_class([[0, 0], [0, 0]], ["input", "output"]) == ""


def test_canonical_forms_keep_the_class() -> None:
    rng = Random(4)
    for space, canonical, classed in (
        (cells.NASBENCH1SHOT1[1], cells.nasbench1shot1_canonical, cells.nasbench1shot1_class),
        (cells.NASBENCH1SHOT1[2], cells.nasbench1shot1_canonical, cells.nasbench1shot1_class),
        (cells.NASBENCH101_SMALL[5], cells.nasbench101_canonical, cells.nasbench101_class),
    ):
        for _ in range(60):
            arch = space.sample(rng)
            assert classed(canonical(arch)) == classed(arch) != ""


def test_the_matrices_of_1shot1_are_read_and_written() -> None:
    rng = Random(5)
    for which, space in cells.NASBENCH1SHOT1.items():
        for _ in range(30):
            arch = cells.nasbench1shot1_canonical(space.sample(rng))
            matrix, operations = cells.nasbench1shot1_cell(arch)
            live = cells.live_nodes(matrix)
            seven = [[0] * 7 for _ in range(7)]  # the publishers' form: node 5 unused, dead nodes without edges
            for a, b in itertools.combinations(live, 2):
                seven[a][6 if b == 5 else b] = matrix[a][b]
            assert cells.nasbench1shot1_arch(which, seven, [*operations[:5], "conv1x1-bn-relu", "output"]) == arch


def test_ninety_one_cells_of_at_most_four_nodes() -> None:
    space = cells.NASBENCH101_SMALL[4]
    classes = {cells.nasbench101_class(arch) for arch in space.architectures()}
    assert len(classes) == 91  # as many as EC-NAS measured
    matrix, operations = [[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", CONV, "output"]
    arch = cells.nasbench101_arch(4, matrix, operations)
    assert space.contains(arch) and cells.nasbench101_class(arch) == cells.cell_class(matrix, operations)
    with pytest.raises(UserError, match="2 to 4 nodes"):
        cells.nasbench101_arch(4, [[0] * 5] * 5, ["input", CONV, CONV, CONV, "output"])


# -- Once-For-All ----------------------------------------------------------------------------------------------------------


def test_slots_beyond_the_depth_are_not_read() -> None:
    first = cells.ofa_arch([3] * 20, [3] * 20, [2] * 5)
    other = [7 if slot % 4 >= 2 else 3 for slot in range(20)]
    assert cells.ofa_arch(other, [3] * 20, [2] * 5) == first
    assert cells.ofa_settings(first)["ks"] == [3, 3, 0, 0] * 5


def test_the_once_for_all_space_is_that_of_the_network() -> None:
    import torch

    from archsmith.elastic.supernet import search_space
    from archsmith.spaces.mobilenet import ofa_mobilenet_v3

    with torch.device("meta"):
        space = search_space(ofa_mobilenet_v3())
    assert space == cells.OFA and list(cells.OFA) == list(space) and cells.OFA.fingerprint == space.fingerprint


# -- the shape of a cell ---------------------------------------------------------------------------------------------------


def test_heights_of_the_180_ways_to_connect_a_darts_cell() -> None:
    """1, 64, 156 and 180 of them have at most that height (what DDPNAS's generator goes through)."""
    names = [f"normal.node{node}.inputs" for node in (2, 3, 4, 5)]
    rest = dict(cells.DARTS.sample(Random(0)))
    found = [
        cells.SHAPES["darts"](rest | dict(zip(names, inputs, strict=True)))["height.normal"]
        for inputs in itertools.product(*(cells.DARTS[name] for name in names))
    ]
    assert [sum(height <= h for height in found) for h in (1, 2, 3, 4)] == [1, 64, 156, 180]


def test_what_is_counted_of_a_cell() -> None:
    pairs = [("sep_conv_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 0), ("sep_conv_3x3", 2), ("dil_conv_3x3", 1),
             ("dil_conv_3x3", 3), ("avg_pool_3x3", 0), ("sep_conv_5x5", 1)]  # fmt: skip
    counts = cells.SHAPES["darts"](cells.darts_arch_of(pairs, pairs))
    for cell in ("normal", "reduce"):
        assert {what: counts[f"{what}.{cell}"] for what in ("height", "free", "rest")} == {"height": 3, "free": 3, "rest": 5}
    arch = cells.nasbench201_arch("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|")
    assert cells.SHAPES["nasbench201"](arch) == {"height.cell": 2, "free.cell": 2, "rest.cell": 4}
    short = cells.nasbench201_arch("|skip_connect~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|")
    assert cells.SHAPES["nasbench201"](short)["height.cell"] == 0


def test_limits_that_no_cell_keeps() -> None:
    assert cells.SHAPES["darts"].limits(None, None) == ()
    with pytest.raises(UserError, match="free=9: a cell of this space has 8 operations"):
        cells.SHAPES["darts"].limits(None, 9)
    with pytest.raises(UserError, match="height=-1"):
        cells.SHAPES["darts"].limits(-1, None)
