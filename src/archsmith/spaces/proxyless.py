"""The chain space of ProxylessNAS: for every block six inverted bottlenecks, or where it may be
left out also none."""

from __future__ import annotations

import itertools

from torch import nn

from archsmith.elastic import Choice, OneOf
from archsmith.spaces.blocks import InvertedResidual, conv_norm_act
from archsmith.spaces.catalog.proxyless import DEPTHS, EXPANSIONS, KERNELS, NONE, layout, option
from archsmith.spaces.inputs import check_inputs


def proxyless(classes: int, channels: int = 3, size: int = 224) -> nn.Sequential:
    """(B, channels, size, size) -> (B, classes). 21 blocks, 7^15 x 6^6 architectures.

    Cai, Zhu and Han (ICLR 2019), in the form that DDPNAS searches: depths 4, 4, 4, 4, 4, 1; kernels
    3, 5, 7, expansions 3, 6; a block that keeps its shape may be the identity. Widths are those of
    the paper times 1.3. Below 65 pixels they are about half of the paper's, with 320 features at
    the end, and stem and first stage keep the full resolution.
    """
    check_inputs(classes, channels, size)
    (stem, first, *stages, features), strides = layout(size > 64)
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, stem, 3, stride=strides[0], act=nn.ReLU6))
    model.add_module(
        "first",
        InvertedResidual(stem, first, 3, None, stride=1, act=nn.ReLU6, se=False, shortcut=False),
    )
    inputs = first
    for number, (width, depth, stride) in enumerate(
        zip(stages, DEPTHS, strides[1:], strict=True), start=1
    ):
        stage = nn.Sequential()
        for i in range(1, depth + 1):
            same = i > 1
            stage.add_module(
                f"block{i}",
                _block(inputs, width, 1 if same else stride, same, name=f"stage{number}.block{i}"),
            )
            inputs = width
        model.add_module(f"stage{number}", stage)
    head = conv_norm_act(inputs, features, act=nn.ReLU6)
    head.add_module("pool", nn.AdaptiveAvgPool2d(1))
    head.add_module("flatten", nn.Flatten())
    head.add_module("classifier", nn.Linear(features, classes))
    model.add_module("head", head)
    return model


def _block(inputs: int, outputs: int, stride: int, same: bool, name: str) -> OneOf:
    candidates: dict[str, nn.Module] = {NONE: nn.Identity()} if same else {}
    for expand, kernel in itertools.product(EXPANSIONS, KERNELS):
        candidates[option(kernel, expand)] = InvertedResidual(
            inputs, outputs, kernel, expand, stride=stride, act=nn.ReLU6, se=False, shortcut=same
        )
    return OneOf(candidates, choice=Choice(*candidates, name=name))
