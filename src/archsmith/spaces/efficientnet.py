"""EfficientNet-Lite0 made elastic: how far it goes, and how deep and wide its stages are."""

from __future__ import annotations

from torch import nn

from archsmith.elastic import Choice, Derived, Linear, OneOf, Repeat, Resize
from archsmith.spaces.blocks import TENSORFLOW, InvertedResidual, conv_norm_act
from archsmith.spaces.catalog.efficientnet import ENDS, EXPANSIONS, FEATURES, STAGES, STEM
from archsmith.spaces.inputs import check_inputs

LEAST = 32  # side of an image: it is halved five times


def efficientnet_lite0(
    classes: int,
    channels: int = 3,
    size: int = 224,
    *,
    pixels: int | Choice | Derived | None = None,
) -> nn.Sequential:
    """(B, channels, size, size) -> (B, classes); the largest is EfficientNet-Lite0 itself.

    EfficientNet-B0 (Tan and Le, ICML 2019, table 1) without squeeze-excite and with ReLU6, stem
    and head of fixed width (Google, EfficientNet-Lite, 2020); padding and BatchNorm are
    TensorFlow's, as the published weights need them. Decisions: `end`, the stage after which the
    classifier stands (the published head after the last; mean values of its maps after others), the
    depth of each stage, and how many times as wide as its input each block is inside. `pixels`: the
    side that images are resized to first, `Choice(96, 128, 160, name="pixels")` for one more
    decision; None: they stay as they are.
    """
    check_inputs(classes, channels, size, least=LEAST)
    end = Choice(*ENDS, name="end")
    model, act = nn.Sequential(), nn.ReLU6
    if pixels is not None:
        model.add_module("resize", Resize(pixels))
    stem = conv_norm_act(channels, STEM, 3, 2, act=act, convention=TENSORFLOW)
    model.add_module("stem", stem)
    stages, heads, inputs = {}, {}, STEM
    for number, (width, depth, kernel, stride, expand) in enumerate(STAGES, start=1):
        name, blocks = f"stage{number}", {}
        for i in range(1, depth + 1):
            middle = None
            if expand > 1:
                middle = Choice(*EXPANSIONS, name=f"{name}.block{i}.expand")
            blocks[f"block{i}"] = InvertedResidual(
                inputs,
                width,
                kernel,
                middle,
                stride=stride if i == 1 else 1,
                act=act,
                se=False,
                shortcut=i > 1,
                convention=TENSORFLOW,
            )
            inputs = width
        deciding = Choice(*range(1, depth + 1), name=f"{name}.depth") if depth > 1 else None
        stages[name] = Repeat(blocks, depth=deciding)
        if number in ENDS:
            heads[number] = _head(width, FEATURES if number == len(STAGES) else None, classes)
    model.add_module("stages", Repeat(stages, depth=end))
    model.add_module("head", OneOf(heads, choice=end))
    return model


def _head(inputs: int, features: int | None, classes: int) -> nn.Sequential:
    """Pooling and the classifier, after a convolution to so many `features` where there are."""
    layers = nn.Sequential()
    if features is not None:
        layers = conv_norm_act(inputs, features, act=nn.ReLU6, convention=TENSORFLOW)
    layers.add_module("pool", nn.AdaptiveAvgPool2d(1))
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("classifier", Linear(features or inputs, classes))
    return layers
