"""The size space of NATS-Bench (Dong et al., TPAMI 2021): one fixed cell, five widths to choose."""

from __future__ import annotations

from typing import Any

from torch import nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Derived, OneOf
from archsmith.spaces.catalog.edges import EDGES
from archsmith.spaces.catalog.nats import NATS_SIZE
from archsmith.spaces.cell import Cell, relu_conv_norm
from archsmith.spaces.inputs import check_inputs
from archsmith.spaces.nasbench201 import Residual, head, stem


def nats_size(classes: int = 10, channels: int = 3, size: int = 32) -> nn.Sequential:
    """Stem, cell, reduction, cell, reduction, cell, each of the five after the stem of its own
    width.

    (B, channels, size, size) -> (B, classes); the stem has the first cell's width. The cell is
    NAS-Bench-201's best on CIFAR-100:
    |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|.
    """
    check_inputs(classes, channels, size)
    widths = [Choice(*options, name=name) for name, options in NATS_SIZE.items()]
    model = nn.Sequential()
    model.add_module("stem", stem(channels, widths[0]))
    model.add_module("cell1", _cell(widths[0], widths[0]))
    for i in (1, 2):
        model.add_module(f"reduction{i}", Residual(widths[2 * i - 2], widths[2 * i - 1]))
        model.add_module(f"cell{i + 1}", _cell(widths[2 * i - 1], widths[2 * i]))
    model.add_module("head", head(widths[4], classes))
    return model


def _kind(inputs: int, outputs: int) -> str:
    return "identity" if inputs == outputs else "project"


def _cell(inputs: Choice, outputs: Choice) -> Cell:
    edges: dict[tuple[int, int], nn.Module] = {}
    for source, target in EDGES:
        edges[source, target] = relu_conv_norm(outputs if source else inputs, outputs, 3)
    edges[0, 3] = nn.Identity() if inputs is outputs else _skip(inputs, outputs)
    return Cell(edges, outputs)


def _skip(inputs: Choice, outputs: Choice) -> OneOf:
    """The skip connection between equal widths; between others, as published, a 1 x 1 convolution
    and BatchNorm, no ReLU."""
    project = nn.Sequential()
    project.add_module("conv", Conv2d(inputs, outputs, 1, bias=False))
    project.add_module("norm", BatchNorm2d(outputs))
    kind: Any = Derived(_kind, inputs, outputs)
    return OneOf({"identity": nn.Identity(), "project": project}, choice=kind)
