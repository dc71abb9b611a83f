"""The NAS-Bench-201 cell network (Dong and Yang, ICLR 2020); its stem, reductions and head serve
the size space as well."""

from __future__ import annotations

from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, OneOf
from archsmith.space import Size
from archsmith.spaces.catalog.edges import EDGE_NAMES, EDGES
from archsmith.spaces.catalog.nasbench201 import NASBENCH201_OPS
from archsmith.spaces.cell import NONE, Cell, Nothing, parted, partly, relu_conv_norm
from archsmith.spaces.heads import pooled_classifier
from archsmith.spaces.inputs import check_inputs


def nasbench201(
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    width: int = 16,
    cells: int = 5,
    partial: int = 1,
) -> nn.Sequential:
    """One cell, an operation on each of its six edges, repeated: (B, channels, size, size) -> (B,
    classes).

    Three stages of `cells` cells at `width`, twice and four times `width` channels, residual blocks
    of stride 2 between them. 15,625 architectures; `canonical` makes the operations on dead edges
    "none", which leaves the function as it is. `partial`: operations work on one in so many
    channels (PC-DARTS), to search with; what is found is of the whole network.
    """
    check_inputs(classes, channels, size)
    choices = [Choice(*NASBENCH201_OPS, name=name) for name in EDGE_NAMES]
    model = nn.Sequential()
    model.add_module("stem", stem(channels, width))
    for i in range(3):
        outputs = width << i
        if i:
            model.add_module(f"reduction{i}", Residual(outputs // 2, outputs))
        stage = nn.Sequential()
        for j in range(1, cells + 1):
            made = [
                partly(_operation(parted(outputs, partial), choice), partial) for choice in choices
            ]
            edges = dict(zip(EDGES, made, strict=True))
            stage.add_module(f"cell{j}", Cell(edges, outputs))
        model.add_module(f"stage{i + 1}", stage)
    model.add_module("head", head(width << 2, classes))
    return model


def _operation(width: int, choice: Choice) -> OneOf:
    _, skip, conv1, conv3, pool = NASBENCH201_OPS
    layers = {
        NONE: Nothing(),
        skip: nn.Identity(),
        conv1: relu_conv_norm(width, width, 1),
        conv3: relu_conv_norm(width, width, 3),
        pool: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
    }
    return OneOf(layers, choice=choice)


def stem(channels: int, width: Size, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, BatchNorm."""
    layers = nn.Sequential()
    layers.add_module("conv", Conv2d(channels, width, 3, stride, padding="same", bias=False))
    layers.add_module("norm", BatchNorm2d(width))
    return layers


def head(inputs: Size, classes: int) -> nn.Sequential:
    """BatchNorm, ReLU, pooling, the classifier."""
    layers = nn.Sequential()
    layers.add_module("norm", BatchNorm2d(inputs))
    layers.add_module("act", nn.ReLU(inplace=True))
    return pooled_classifier(inputs, classes, after=layers)


class Residual(nn.Module):
    """The residual block of stride 2 between stages: two 3 x 3 convolutions, and a shortcut of
    pooling and a 1 x 1 convolution.

    (B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2)). At odd sizes, which the paper does
    not have, the last pooling window is narrower.
    """

    def __init__(self, inputs: Size, outputs: Size) -> None:
        super().__init__()
        self.first = relu_conv_norm(inputs, outputs, 3, stride=2)
        self.second = relu_conv_norm(outputs, outputs, 3, inplace=True)
        self.shortcut = nn.Sequential()
        self.shortcut.add_module(
            "pool", nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)
        )
        self.shortcut.add_module("conv", Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
        return self.shortcut(x) + self.second(self.first(x))
