"""MobileNetV3 spaces: the Once-For-All space exactly, and the inverted residuals of the family for
images of any size."""

from __future__ import annotations

from torch import nn

from archsmith.elastic import Choice, Repeat
from archsmith.spaces.blocks import (
    Activation,
    InvertedResidual,
    Plan,
    Sizes,
    classifier,
    conv_norm_act,
    stage,
)
from archsmith.spaces.catalog import ofa
from archsmith.spaces.convnet import convnet
from archsmith.spaces.inputs import check_inputs

_ACTIVATIONS: dict[str, Activation] = {"relu": nn.ReLU, "h_swish": nn.Hardswish}


def ofa_mobilenet_v3(
    classes: int = 1000, channels: int = 3, size: int = 224, width: float = 1.0
) -> nn.Sequential:
    """The Once-For-All space (Cai et al., ICLR 2020): kernel 3/5/7 and expansion 3/4/6 per block,
    depth 2/3/4 per stage.

    7371^5 = 2.2e19 architectures. (B, channels, size, size) -> (B, classes). `width` scales all
    channels.
    """
    check_inputs(classes, channels, size)
    stem, *widths, features, mixed = ofa.channels(width)
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, stem, 3, stride=2, act=nn.Hardswish))
    first = InvertedResidual(stem, stem, 3, None, stride=1, act=nn.ReLU, se=False, shortcut=True)
    model.add_module("first", Repeat({"block1": first}))
    inputs, sizes = stem, Sizes(ofa.OFA_KERNELS, ofa.OFA_EXPANSIONS)
    for i, (outputs, stride, se) in enumerate(
        zip(widths, ofa.STRIDES, ofa.EXCITED, strict=True), start=1
    ):
        depth = Choice(*ofa.OFA_DEPTHS, name=f"stage{i}.depth")
        plan = Plan(
            outputs,
            stride,
            _ACTIVATIONS[ofa.ACTIVATIONS[i - 1]],
            se,
            depth=depth,
            kinds=("inverted",),
            sizes=sizes,
        )
        model.add_module(f"stage{i}", stage(f"stage{i}", inputs, plan))
        inputs = outputs
    model.add_module("head", classifier(inputs, features, classes, mixed, dropout=0.1))
    return model


def ofa_w10(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """`ofa_mobilenet_v3` of width 1.0."""
    return ofa_mobilenet_v3(classes, channels, size, 1.0)


def ofa_w12(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """`ofa_mobilenet_v3` of width 1.2."""
    return ofa_mobilenet_v3(classes, channels, size, 1.2)


def mobilenet(classes: int, channels: int = 3, size: int = 32) -> nn.Sequential:
    """The part of `convnet` whose blocks are those of MobileNetV3: (B, channels, size, size) -> (B,
    classes)."""
    return convnet(classes, channels, size, ("inverted",))
