"""What nodes of a graph tell: forms, inputs, arguments, the line."""

from __future__ import annotations

import torch
from small_graphs import Net
from torch import fx, nn

from archsmith.elastic.nodes import (
    argument,
    axes_of,
    axis_length,
    form_of,
    inputs,
    is_stock,
    location,
    modules_of,
    sizes_of,
)
from archsmith.elastic.tracing import called, traced


def nodes() -> dict[str, fx.Node]:
    """Name of what is called -> the node."""
    model = Net(lambda m, x: torch.cat([m.a(x).view(x.size(0), -1)] * 2, dim=1), a=nn.Linear(4, 6))
    graph = traced(model, torch.rand(2, 3, 4))
    return {called(node) or str(node.target): node for node in graph.nodes}


def test_forms_are_those_of_tensors() -> None:
    found = nodes()
    assert form_of(found["a"]) == (2, 3, 6) and axes_of(found["a"]) == 3
    assert form_of(found["size"]) is None and axes_of(found["size"]) == 0
    assert form_of(-1) is None and axis_length(found["view"], 1) == 18


def test_inputs_are_the_tensors_each_once() -> None:
    found = nodes()
    assert inputs(found["cat"]) == [found["view"]] and inputs(found["view"]) == [found["a"]]


def test_arguments_are_found_by_place_or_name() -> None:
    found = nodes()
    assert argument(found["cat"], 1, "dim", "axis") == 1 and argument(found["cat"], 2) is None
    assert argument(found["view"], 2) == -1 and argument(found["a"], 1, "dim", default=0) == 0
    assert sizes_of(found["view"]) == (found["size"], -1)


def test_the_line_and_the_modules_are_told() -> None:
    found = nodes()
    assert location(found["view"]).startswith("view (test_nodes.py:")
    assert list(modules_of(found["a"])) == ["a"]


def test_layers_of_torch_are_stock_and_classes_derived_from_them_are_not() -> None:
    class Own(nn.Linear):
        pass

    assert is_stock(nn.Linear(2, 2)) and not is_stock(Own(2, 2))
