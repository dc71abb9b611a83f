"""Genotypes: the inputs of a node in either order, what a cell concatenates."""

from __future__ import annotations

import pytest

from archsmith.errors import UserError
from archsmith.spaces.catalog.darts import darts_arch


def test_a_genotype_may_name_the_inputs_of_a_node_in_either_order() -> None:
    edges = [("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 0), ("dil_conv_5x5", 2)]
    edges += [("sep_conv_5x5", 3), ("skip_connect", 1), ("avg_pool_3x3", 0), ("dil_conv_3x3", 4)]
    arch = darts_arch(
        f"Genotype(normal={edges}, normal_concat=range(2, 6), reduce={edges}, "
        f"reduce_concat=range(2, 6))"
    )
    assert arch["normal.node2.inputs"] == (0, 1)
    assert (arch["normal.node2.op1"], arch["normal.node2.op2"]) == ("skip_connect", "sep_conv_3x3")
    assert arch["reduce.node4.inputs"] == (1, 3) and arch["reduce.node4.op2"] == "sep_conv_5x5"


@pytest.mark.parametrize("joined", ["range(2, 6)", "[2, 3, 4, 5]", "(2, 3, 4, 5)"])
def test_the_second_order_cells_of_the_paper(joined: str) -> None:
    """The cells of Liu, Simonyan and Yang (ICLR 2019) that its code calls DARTS_V2."""
    normal = [
        *2 * [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)],
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    ]
    reduce = [("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)]
    reduce += [("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)]
    arch = darts_arch(
        f"Genotype(normal={normal}, normal_concat={joined}, reduce={reduce}, "
        f"reduce_concat={joined})"
    )
    assert arch["normal.node5.inputs"] == (0, 2) and arch["normal.node5.op2"] == "dil_conv_3x3"
    assert arch["reduce.node3.inputs"] == (1, 2) and arch["reduce.node3.op1"] == "max_pool_3x3"


@pytest.mark.parametrize("joined", ["range(3, 6)", "[2, 4, 5]", "[]"])
def test_cells_that_concatenate_other_nodes_are_refused(joined: str) -> None:
    edges = 4 * [("skip_connect", 0), ("skip_connect", 1)]
    with pytest.raises(
        UserError,
        match="reduce_concat is .*; every network of this space concatenates nodes 2 to 5",
    ):
        darts_arch(
            f"Genotype(normal={edges}, normal_concat=range(2, 6), reduce={edges}, "
            f"reduce_concat={joined})"
        )
