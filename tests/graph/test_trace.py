"""Reading plain networks: constructor calls that rebuild a layer, names of functions, shapes, modes
left alone."""

from __future__ import annotations

import operator

import pytest
import torch
from plain_networks import chain
from torch import nn
from torch.nn import functional as F

from archsmith.graph.trace import (
    Untraceable,
    constructor,
    evaluation,
    function_name,
    is_chain,
    trace,
)

LAYERS = {
    "nn.Conv2d(3, 16, 3, padding=1, bias=False)": nn.Conv2d(3, 16, 3, 1, 1, bias=False),
    "nn.Conv2d(4, 8, (3, 5), stride=2, dilation=(1, 2), groups=4)": nn.Conv2d(
        4, 8, (3, 5), 2, 0, (1, 2), 4
    ),
    'nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect")': nn.Conv2d(
        4, 4, 3, 1, "same", padding_mode="reflect"
    ),
    "nn.BatchNorm2d(8, eps=0.001, momentum=None)": nn.BatchNorm2d(8, 1e-3, None),
    "nn.LayerNorm(7)": nn.LayerNorm(7),
    "nn.LayerNorm((3, 3), bias=False)": nn.LayerNorm((3, 3), bias=False),
    "nn.Linear(4, 2, bias=False)": nn.Linear(4, 2, False),
    "nn.AdaptiveAvgPool2d(1)": nn.AdaptiveAvgPool2d(1),
    "nn.MaxPool2d(3, stride=2, padding=1)": nn.MaxPool2d(3, 2, 1),
    'nn.GELU(approximate="tanh")': nn.GELU("tanh"),
    "nn.Hardswish(inplace=True)": nn.Hardswish(True),
    "nn.Dropout(p=0.1)": nn.Dropout(0.1),
    "nn.Identity()": nn.Identity(3, key=4),
    "nn.Flatten()": nn.Flatten(),
}


@pytest.mark.parametrize("text", LAYERS)
def test_the_constructor_rebuilds_the_layer(text):
    layer = LAYERS[text]
    assert constructor(layer) == text
    twin = eval(text, {"nn": nn})
    assert repr(twin) == repr(layer) and {n: t.shape for n, t in twin.state_dict().items()} == {
        n: t.shape for n, t in layer.state_dict().items()
    }


def test_what_cannot_be_rebuilt_is_named():
    class Mine(nn.Conv2d):
        pass

    for layer, words in (
        (Mine(1, 1, 1), "Mine is not a layer of torch.nn"),
        (nn.LSTM(2, 2), "nn.LSTM"),
    ):
        with pytest.raises(Untraceable, match=words):
            constructor(layer)
    with pytest.raises(Untraceable, match="not a function of torch"):
        function_name(operator.matmul)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.cat, "torch.cat"),
        (F.relu, "F.relu"),
        (F.scaled_dot_product_attention, "F.scaled_dot_product_attention"),
    ],
)
def test_names_of_functions(function, name):
    assert function_name(function) == name and eval(name, {"torch": torch, "F": F}) is function


def test_shapes_on_meta_and_modes():
    network = chain().to("meta")
    network[1].eval()
    before = [m.training for m in network.modules()]
    graph = trace(network, (3, 16, 16), batch=4, chains=True)
    assert [m.training for m in network.modules()] == before
    shapes = {
        str(node.target): node.meta["shape"] for node in graph.nodes if node.op == "call_module"
    }
    assert (
        shapes["stem"] == (4, 8, 16, 16)
        and shapes["stage2.block1.depthwise"] == (4, 16, 8, 8)
        and shapes["head"] == (4, 5)
    )
    assert {node.meta["inside"] for node in graph.nodes if node.op == "call_function"} == {
        "stage1.block1",
        "stage1.block2",
        "stage2.block1.excite",
    }
    assert is_chain(network[0]) and not is_chain(network[1]) and not is_chain(nn.Sequential())
    with pytest.raises(RuntimeError), evaluation(network):
        raise RuntimeError
    assert [m.training for m in network.modules()] == before
