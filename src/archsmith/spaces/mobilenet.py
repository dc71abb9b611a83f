"""MobileNetV3 spaces: the Once-For-All space exactly, and the inverted residuals of the family for images of any size."""

from __future__ import annotations

from torch import nn

from archsmith.elastic import Choice, Repeat
from archsmith.space import make_divisible
from archsmith.spaces.blocks import InvertedResidual, Plan, Sizes, classifier, conv_norm_act, stage
from archsmith.spaces.convnet import convnet
from archsmith.spaces.inputs import check_inputs


def ofa_mobilenet_v3(classes: int = 1000, channels: int = 3, size: int = 224, width: float = 1.0) -> nn.Sequential:
    """The Once-For-All space (Cai et al., ICLR 2020): kernel 3/5/7 and expansion 3/4/6 per block, depth 2/3/4 per stage.

    7371^5 = 2.2e19 architectures. (B, channels, size, size) -> (B, classes). `width` scales all channels.
    """
    check_inputs(classes, channels, size)
    stem, *widths, features = (make_divisible(c * width) for c in (16, 24, 40, 80, 112, 160, 960))
    strides, excited = (2, 2, 2, 1, 2), (False, True, False, True, True)
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, stem, 3, stride=2, act=nn.Hardswish))
    first = InvertedResidual(stem, stem, 3, None, 1, nn.ReLU, False, shortcut=True)
    model.add_module("first", Repeat({"block1": first}))
    inputs, sizes = stem, Sizes((3, 5, 7), (3, 4, 6))
    for i, (outputs, stride, se) in enumerate(zip(widths, strides, excited, strict=True), start=1):
        depth = Choice(2, 3, 4, name=f"stage{i}.depth")
        plan = Plan(outputs, stride, nn.ReLU if i < 3 else nn.Hardswish, se, depth, ("inverted",), sizes)
        model.add_module(f"stage{i}", stage(f"stage{i}", inputs, plan))
        inputs = outputs
    model.add_module("head", classifier(inputs, features, classes, make_divisible(1280 * width), dropout=0.1))
    return model


def ofa_w10(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """`ofa_mobilenet_v3` of width 1.0."""
    return ofa_mobilenet_v3(classes, channels, size, 1.0)


def ofa_w12(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """`ofa_mobilenet_v3` of width 1.2."""
    return ofa_mobilenet_v3(classes, channels, size, 1.2)


def mobilenet(classes: int, channels: int = 3, size: int = 32) -> nn.Sequential:
    """The part of `convnet` whose blocks are those of MobileNetV3: (B, channels, size, size) -> (B, classes)."""
    return convnet(classes, channels, size, ("inverted",))
