"""Genotypes: the inputs of a node in either order, what a cell concatenates."""

from __future__ import annotations

from archsmith.spaces.catalog.darts import darts_arch


def test_a_genotype_may_name_the_inputs_of_a_node_in_either_order() -> None:
    edges = [("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 0), ("dil_conv_5x5", 2)]
    edges += [("sep_conv_5x5", 3), ("skip_connect", 1), ("avg_pool_3x3", 0), ("dil_conv_3x3", 4)]
    arch = darts_arch(f"Genotype(normal={edges}, normal_concat=range(2, 6), reduce={edges}, reduce_concat=range(2, 6))")
    assert arch["normal.node2.inputs"] == (0, 1)
    assert (arch["normal.node2.op1"], arch["normal.node2.op2"]) == ("skip_connect", "sep_conv_3x3")
    assert arch["reduce.node4.inputs"] == (1, 3) and arch["reduce.node4.op2"] == "sep_conv_5x5"
