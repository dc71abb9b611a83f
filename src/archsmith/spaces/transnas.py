"""The micro space of TransNAS-Bench-101 (Duan et al., CVPR 2021) as an image classifier: the macro
skeleton 64-41414."""

from __future__ import annotations

from torch import nn

from archsmith.elastic import Choice, OneOf
from archsmith.spaces.catalog.edges import EDGE_NAMES, EDGES
from archsmith.spaces.catalog.transnas import TRANSNAS_OPS
from archsmith.spaces.cell import NONE, Cell, FactorizedReduce, Nothing, relu_conv_norm
from archsmith.spaces.heads import pooled_classifier
from archsmith.spaces.inputs import check_inputs
from archsmith.spaces.nasbench201 import stem

# a module of two cells for each digit; 4 doubles channels and halves the map, 1 keeps both
_SKELETON = "41414"


def transnas(
    classes: int = 75, channels: int = 3, size: int = 224, width: int = 64
) -> nn.Sequential:
    """One cell, an operation on each of its six edges, ten times: (B, channels, size, size) -> (B,
    classes).

    4,096 architectures. The stem reduces to a quarter, then modules of two cells; the first cell of
    modules 1, 3, 5 doubles the channels (`width` 64 to 512) and halves the map: there the edges out
    of node 0 have stride 2, and a skip connection is a factorized reduction. The benchmark's other
    heads (decoders, Siamese networks) are not here.
    """
    check_inputs(classes, channels, size)
    choices = [Choice(*TRANSNAS_OPS, name=name) for name in EDGE_NAMES]
    model = nn.Sequential()
    model.add_module("stem", stem(channels, width // 2, stride=2))
    model.add_module("stem2", relu_conv_norm(width // 2, width, 3, stride=2, inplace=True))
    inputs = width
    for i, digit in enumerate(_SKELETON, start=1):
        module, reduces = nn.Sequential(), digit == "4"
        for j in (1, 2):
            first = j == 1 and reduces
            outputs = 2 * inputs if first else inputs
            module.add_module(f"cell{j}", _cell(inputs, outputs, 2 if first else 1, choices))
            inputs = outputs
        model.add_module(f"module{i}", module)
    model.add_module("head", pooled_classifier(inputs, classes))
    return model


def _cell(inputs: int, outputs: int, stride: int, choices: list[Choice]) -> Cell:
    edges: dict[tuple[int, int], nn.Module] = {}
    _, skip, conv1, conv3 = TRANSNAS_OPS
    for ends, choice in zip(EDGES, choices, strict=True):
        width, step = (outputs, 1) if ends[0] else (inputs, stride)
        layers = {
            NONE: Nothing(),
            skip: nn.Identity()
            if step == 1 and width == outputs
            else FactorizedReduce(width, outputs),
            conv1: relu_conv_norm(width, outputs, 1, step),
            conv3: relu_conv_norm(width, outputs, 3, step),
        }
        edges[ends] = OneOf(layers, choice=choice)
    return Cell(edges, outputs, stride)
