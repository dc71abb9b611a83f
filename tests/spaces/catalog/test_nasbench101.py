"""NAS-Bench-101 cells: isomorphism classes, canonical forms, matrices both ways, the published
counts."""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    NASBENCH101_SMALL,
    SPACE1,
    cell_class,
    live_nodes,
    nasbench1shot1_arch,
    nasbench1shot1_canonical,
    nasbench1shot1_cell,
    nasbench1shot1_class,
    nasbench1shot1_read,
    nasbench101_arch,
    nasbench101_canonical,
    nasbench101_class,
)

CONV, POOL = "conv3x3-bn-relu", "maxpool3x3"


def permuted(
    matrix: list[list[int]], operations: list[str], order: list[int]
) -> tuple[list[list[int]], list[str]]:
    """The same cell with its nodes in another order."""
    return [[matrix[a][b] for b in order] for a in order], [operations[a] for a in order]


def test_isomorphic_cells_share_a_class_and_others_do_not() -> None:
    matrix = [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    operations = ["input", CONV, POOL, POOL, "output"]
    same = cell_class(*permuted(matrix, operations, [0, 2, 1, 3, 4]))
    assert cell_class(matrix, operations) == same
    assert cell_class(matrix, ["input", POOL, CONV, POOL, "output"]) != same
    with_more = [row.copy() for row in matrix]
    with_more[0][4] = 1
    assert cell_class(with_more, operations) != same


def test_every_order_of_a_cell_gives_one_class() -> None:
    rng = Random(3)
    for _ in range(20):
        matrix, operations = nasbench1shot1_cell(NASBENCH1SHOT1[2].sample(rng))
        classes = set()
        for inner in itertools.permutations(range(1, 5)):
            order = [0, *inner, 5]
            other, names = permuted(matrix, operations, order)
            # nodes still follow their parents
            if all(not other[b][a] for b in range(6) for a in range(b)):
                classes.add(cell_class(other, names))
        assert len(classes) == 1


def test_dead_nodes_do_not_count() -> None:
    plain = cell_class([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", CONV, "output"])
    loose = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert cell_class(loose, ["input", CONV, POOL, "output"]) == plain
    assert cell_class([[0, 0], [0, 0]], ["input", "output"]) == ""


def test_canonical_forms_keep_the_class() -> None:
    rng = Random(4)
    for space, canonical, classed in (
        (NASBENCH1SHOT1[1], nasbench1shot1_canonical, nasbench1shot1_class),
        (NASBENCH1SHOT1[2], nasbench1shot1_canonical, nasbench1shot1_class),
        (NASBENCH101_SMALL[5], nasbench101_canonical, nasbench101_class),
    ):
        for _ in range(60):
            arch = space.sample(rng)
            assert classed(canonical(arch)) == classed(arch) != ""


def test_the_matrices_of_1shot1_are_read_and_written() -> None:
    rng = Random(5)
    for which, space in NASBENCH1SHOT1.items():
        for _ in range(30):
            arch = nasbench1shot1_canonical(space.sample(rng))
            matrix, operations = nasbench1shot1_cell(arch)
            live = live_nodes(matrix)
            # the publishers' form: node 5 unused, dead nodes without edges
            seven = [[0] * 7 for _ in range(7)]
            for a, b in itertools.combinations(live, 2):
                seven[a][6 if b == 5 else b] = matrix[a][b]
            assert (
                nasbench1shot1_arch(which, seven, [*operations[:5], "conv1x1-bn-relu", "output"])
                == arch
            )


def test_ninety_one_cells_of_at_most_four_nodes() -> None:
    space = NASBENCH101_SMALL[4]
    classes = {nasbench101_class(arch) for arch in space.architectures()}
    assert len(classes) == 91  # as many as EC-NAS measured
    matrix, operations = [[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", CONV, "output"]
    arch = nasbench101_arch(4, matrix, operations)
    assert space.contains(arch) and nasbench101_class(arch) == cell_class(matrix, operations)
    with pytest.raises(UserError, match="2 to 4 nodes"):
        nasbench101_arch(4, [[0] * 5] * 5, ["input", CONV, CONV, CONV, "output"])


# -- texts -----------------------------------------------------------------------------------------

IO = ("input", "output")


def test_smaller_and_larger_cells_find_their_places() -> None:
    rng = Random(6)
    for which, space in NASBENCH1SHOT1.items():
        for _ in range(40):
            matrix, operations = nasbench1shot1_cell(space.sample(rng))
            live = live_nodes(matrix)
            small, named = permuted(matrix, operations, list(live))
            found = nasbench1shot1_read(which, small, named)
            assert space.contains(found) and nasbench1shot1_class(found) == cell_class(small, named)
            seven = [[*row[:5], 0, row[5]] for row in matrix[:5]] + [[0] * 7] * 2
            if seven[0][1]:
                read = nasbench1shot1_read(which, seven, [*operations[:5], POOL, "output"])
                assert nasbench1shot1_class(read) == cell_class(matrix, operations)


def test_a_cell_is_read_however_it_is_written() -> None:
    matrix, operations = [[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", CONV, "output"]
    texts = [
        json.dumps(
            {"module_adjacency": matrix, "module_operations": operations, "trainable_parameters": 8}
        ),
        f"ModelSpec(matrix={matrix}, ops={operations})",
        f"ModelSpec(\n    matrix={matrix},\n    ops={operations},\n)",
        f"{json.dumps(matrix)} {json.dumps(operations)}",
        str({"matrix": matrix, "ops": operations}),
    ]
    found = {SPACE1.read(text).arch for text in texts}
    (arch,) = found
    assert nasbench1shot1_class(arch) == cell_class(matrix, operations)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"matrix": [[0, 1], [0, 0, 0]], "ops": [*IO]}, "a square matrix of 2 to 7 nodes"),
        ({"matrix": [[0, 1], [1, 0]], "ops": [*IO]}, "on or below its diagonal"),
        ({"matrix": [[0, 1], [0, 0]], "ops": ["input"]}, "from 'input' to 'output'"),
        (
            {"matrix": [[0, 1, 0], [0, 0, 1], [0, 0, 0]], "ops": ["input", "conv5x5", "output"]},
            "operation 1 is 'conv5x5'",
        ),
        (
            {"matrix": [[0, 1, 0], [0, 0, 0], [0, 0, 0]], "ops": ["input", CONV, "output"]},
            "no path from input to output",
        ),
        (
            {"matrix": [[0, 1], [0, 0]], "ops": [*IO]},
            "its nodes 1 to 4 and the output read 1, 2, 2, 2, 2 nodes",
        ),
        ({"matrix": [[0, 1], [0, 0]]}, "is no cell; write"),
    ],
)
def test_what_the_space_cannot_say_is_named(text: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SPACE1.read(str(text))
